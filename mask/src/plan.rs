//! All rules that apply to a body, compiled into one matcher that follows the document down.
//!
//! Field paths are sequences without branches, so a set of them runs as a bit-parallel automaton ("shift-and"):
//! bit `i` of a `Reach` says that everything before segment `i` has matched. A step to a member or element is a
//! handful of word operations whatever the paths are, and a document can't make the set of states grow.

use std::sync::Arc;

use super::Rule;
use super::detect::{Active, Set};
use super::hash::HashKey;
use super::headers::HeaderPlan;
use super::method::Method;
use super::path::{FieldPath, Segment};
use super::sibling::Filter;
pub(super) use action::Action;
use bits::{is_set, meet, set};
pub(super) use names::Names;
pub(super) use table::Table;

mod action;
mod bits;
mod names;
mod table;
mod texts;

/// The rules that apply to one body, compiled together. Cheap to share between bodies.
#[derive(Debug)]
pub struct Plan {
    start: Reach,
    /// Segments `*`.
    any: Reach,
    /// Segments `**`.
    deep: Reach,
    names: Names,
    /// Every index in the rules with its segments, and the segments of all indexes.
    indexes: Vec<(u32, Reach)>,
    indexed: Reach,
    /// Every filter with its segment, in the order of the segments; and the segments of all.
    filters: Vec<(usize, Filter)>,
    filtered: Reach,
    /// Segments `[json]`, and these with those of filters: where a value is more than what it says.
    texts: Reach,
    special: Reach,
    /// From the strictest to the mildest.
    actions: Vec<Accept>,
    /// Where any action takes any value, and where any takes leaves.
    whole: Reach,
    leaf: Reach,
    removes: bool,
    key: HashKey,
    detectors: Arc<Set>,
    /// Where rules look for values; a detector's scope is a place in this list.
    scopes: Vec<Scope>,
    masks_text: bool,
    /// For trailers that stand in a body.
    headers: HeaderPlan,
}

/// How far each rule's path has matched, as bits; all `Reach` of one plan have the same length.
type Reach = Vec<u64>;

/// An action, and where the paths of its rules end.
#[derive(Debug)]
struct Accept {
    action: Action,
    /// Takes any value.
    whole: Reach,
    /// Takes leaves only: the paths that end in `**`.
    leaf: Reach,
}

/// Where a rule looks for values.
#[derive(Debug)]
enum Scope {
    Everywhere,
    /// In the leaves that are reached so.
    Leaf(Reach),
}

impl Plan {
    /// The order of the rules does not matter; those about headers say nothing of a body. The key serves the `hash`
    /// method.
    pub fn compile(rules: &[Arc<Rule>], key: &HashKey) -> Self {
        let headers = HeaderPlan::compile(rules, key);
        let of_body = rules.iter().filter(|rule| rule.is_of_body()).cloned();
        let (detecting, rules): (Vec<_>, Vec<_>) = of_body.partition(|rule| rule.detect.is_some());
        let rules = &rules[..];
        let places = places(&detecting);
        let segments = |path: &FieldPath| path.segments().len() + 2;
        let bits: usize = rules
            .iter()
            .map(|rule| segments(&rule.field))
            .chain(places.iter().map(|path| segments(path)))
            .sum();
        let blank: Reach = vec![0; words(bits)];
        let mut plan = Self::blank(&blank, key, headers);
        plan.removes = rules.iter().any(|rule| rule.method == Method::Remove);
        plan.masks_text =
            rules.is_empty() && detecting.iter().all(|rule| rule.field == FieldPath::everything());
        for method in methods(rules) {
            let action = Action::of(method);
            plan.actions.push(Accept { action, whole: blank.clone(), leaf: blank.clone() });
        }
        let order = methods(rules);
        let mut bit = 0;
        for rule in rules {
            let slot = order.iter().position(|method| **method == rule.method).unwrap_or(0);
            plan.add(rule, slot, bit, &blank);
            bit += segments(&rule.field);
        }
        for path in &places {
            plan.add_scope(path, bit, &blank);
            bit += segments(path);
        }
        let scope = |rule: &Rule| places.iter().position(|path| **path == rule.field).unwrap_or_default();
        let looked_for =
            detecting.iter().filter_map(|rule| Some((rule.detect.as_ref()?, &rule.method, scope(rule))));
        plan.detectors = Arc::new(Set::compile(looked_for));
        let mut start = std::mem::take(&mut plan.start);
        plan.close(&mut start);
        plan.start = start;
        plan
    }

    /// A plan in which no rule is.
    fn blank(blank: &Reach, key: &HashKey, headers: HeaderPlan) -> Self {
        Self {
            start: blank.clone(),
            any: blank.clone(),
            deep: blank.clone(),
            names: Names::default(),
            indexes: Vec::new(),
            indexed: blank.clone(),
            filters: Vec::new(),
            filtered: blank.clone(),
            texts: blank.clone(),
            special: blank.clone(),
            actions: Vec::new(),
            whole: blank.clone(),
            leaf: blank.clone(),
            removes: false,
            key: key.clone(),
            detectors: Arc::default(),
            scopes: Vec::new(),
            masks_text: true,
            headers,
        }
    }

    /// Whether no rule is in it, so that every body passes as it is.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.detectors.is_empty()
    }

    /// Whether its rules can be kept in a text without fields.
    pub fn masks_text(&self) -> bool {
        self.masks_text
    }

    fn add(&mut self, rule: &Rule, slot: usize, first: usize, blank: &Reach) {
        let bit = self.lay(&rule.field, first, blank);
        if let Some(accept) = self.actions.get_mut(slot) {
            match rule.field.segments().last() {
                Some(Segment::Deep) => {
                    set(&mut accept.leaf, bit - 1);
                    set(&mut self.leaf, bit - 1);
                }
                _ => {
                    set(&mut accept.whole, bit);
                    set(&mut self.whole, bit);
                }
            }
        }
    }

    /// The leaves that are the path's field or lie below it.
    fn add_scope(&mut self, path: &FieldPath, first: usize, blank: &Reach) {
        if *path == FieldPath::everything() {
            self.scopes.push(Scope::Everywhere);
            return;
        }
        let end = self.lay(path, first, blank);
        let last = match path.segments().last() {
            Some(Segment::Deep) => end - 1,
            _ => {
                set(&mut self.deep, end);
                end
            }
        };
        let mut leaf = blank.clone();
        set(&mut leaf, last);
        self.scopes.push(Scope::Leaf(leaf));
    }

    /// Lays out a path's segments from bit `first` on; returns the bit that says that all of it has matched.
    fn lay(&mut self, path: &FieldPath, first: usize, blank: &Reach) -> usize {
        set(&mut self.start, first);
        let mut bit = first;
        for segment in path.segments() {
            match segment {
                Segment::Any => set(&mut self.any, bit),
                Segment::Deep => set(&mut self.deep, bit),
                Segment::Index(index) => {
                    let mut wanted = blank.clone();
                    set(&mut wanted, bit);
                    self.indexes.push((*index, wanted));
                    set(&mut self.indexed, bit);
                }
                Segment::Filter(filter) => {
                    self.filters.push((bit, filter.clone()));
                    set(&mut self.filtered, bit);
                    set(&mut self.special, bit);
                }
                Segment::Text => {
                    set(&mut self.texts, bit);
                    set(&mut self.special, bit);
                }
                Segment::Name(name) => {
                    if let Some(wanted) = self.names.of(name.as_bytes(), blank) {
                        set(wanted, bit);
                    }
                }
            }
            bit += 1;
        }
        bit
    }

    /// `**` may match nothing: what reaches it reaches the segment after it too.
    fn close(&self, reach: &mut [u64]) {
        let mut carry = 0;
        for (word, deep) in reach.iter_mut().zip(&self.deep) {
            let passed = *word & deep;
            *word |= passed << 1 | carry;
            carry = passed >> 63;
        }
    }
}

// === following a document ===

impl Plan {
    pub(super) fn key(&self) -> &HashKey {
        &self.key
    }

    /// What masks the trailers that stand in a body.
    pub(super) fn headers(&self) -> &HeaderPlan {
        &self.headers
    }

    pub(super) fn detectors(&self) -> &Arc<Set> {
        &self.detectors
    }

    /// The detectors that apply to a leaf reached so.
    pub(super) fn activate(&self, reach: &[u64], active: &mut Active) {
        let applies = |scope: usize| match self.scopes.get(scope) {
            None | Some(Scope::Everywhere) => true,
            Some(Scope::Leaf(leaf)) => meet(reach, leaf),
        };
        self.detectors.activate(applies, active);
    }

    /// Whether where a value is makes a difference to what is looked for in it.
    pub(super) fn has_scopes(&self) -> bool {
        self.scopes.iter().any(|scope| matches!(scope, Scope::Leaf(_)))
    }

    /// The words that a reach takes.
    pub(super) fn width(&self) -> usize {
        self.start.len()
    }

    /// Whether any rule removes, so that what precedes a value must wait for it.
    pub(super) fn removes(&self) -> bool {
        self.removes
    }

    /// The reach at the document; like every other, it is `width` words long.
    pub(super) fn at_root(&self, reach: &mut [u64]) {
        reach.copy_from_slice(&self.start);
    }

    /// The reach at the member `name` of an object that was reached `from`.
    #[inline]
    pub(super) fn at_member(&self, from: &[u64], name: &[u8], reach: &mut [u64]) {
        self.step(from, self.names.find(name), reach);
    }

    #[inline]
    fn step(&self, from: &[u64], named: Option<&Reach>, reach: &mut [u64]) {
        let mut carry = 0;
        let steps = from.iter().zip(&self.any).zip(&self.deep).zip(&mut *reach);
        for (i, (((word, any), deep), reach)) in steps.enumerate() {
            let wanted = any | named.and_then(|named| named.get(i)).unwrap_or(&0);
            let passed = word & wanted;
            *reach = passed << 1 | carry | word & deep;
            carry = passed >> 63;
        }
        self.close(reach);
    }

    /// Turns the reach of an array into that of its element `index`: arrays are transparent, save for indexes.
    pub(super) fn at_element(&self, reach: &mut [u64], index: u32) {
        self.enter_array(reach, |i| {
            let wants = self.indexes.iter().filter(|(wanted, _)| *wanted == index);
            wants.fold(0, |bits, (_, reach)| bits | reach.get(i).unwrap_or(&0))
        });
    }

    /// The same for an element whose place is not known: every index may be its.
    pub(super) fn at_elements(&self, reach: &mut [u64]) {
        self.enter_array(reach, |_| u64::MAX);
    }

    /// `here` has the segments of a word that are the index of the element.
    #[inline]
    fn enter_array(&self, reach: &mut [u64], here: impl Fn(usize) -> u64) {
        let mut carry = 0;
        let steps = reach.iter_mut().zip(&self.any).zip(&self.indexed);
        for (i, ((word, any), indexed)) in steps.enumerate() {
            let wanted = if *word & indexed == 0 { *any } else { any | indexed & here(i) };
            let passed = *word & wanted;
            *word = *word & !indexed | passed << 1 | carry;
            carry = passed >> 63;
        }
        self.close(reach);
    }

    /// Whether the elements of an array reached so differ by their places.
    pub(super) fn indexes(&self, reach: &[u64]) -> bool {
        meet(reach, &self.indexed)
    }

    /// Whether what happens to a value reached so depends on its members.
    pub(super) fn filters(&self, reach: &[u64]) -> bool {
        meet(reach, &self.filtered)
    }

    /// Lets the reach of a value pass the filters that hold.
    pub(super) fn pass_filters(&self, reach: &mut [u64], mut holds: impl FnMut(&Filter) -> bool) {
        for (bit, filter) in &self.filters {
            if is_set(reach, *bit) && holds(filter) {
                set(reach, bit + 1);
                // `**` may lead to the next filter, which is about the same value.
                self.close(reach);
            }
        }
    }

    /// What happens to a value reached so, if anything; the strictest rule decides.
    pub(super) fn action(&self, reach: &[u64], is_leaf: bool) -> Option<&Action> {
        let takes = |accept: &&Accept| meet(reach, &accept.whole) || is_leaf && meet(reach, &accept.leaf);
        self.actions.iter().find(takes).map(|accept| &accept.action)
    }
}

/// The words that so many bits take: as many as `Table` has a length for, if it has one.
fn words(bits: usize) -> usize {
    let words = bits.div_ceil(64);
    [1, 4, 8].into_iter().find(|most| words <= *most).unwrap_or(words)
}

/// Where the rules look for values, each place once.
fn places(rules: &[Arc<Rule>]) -> Vec<&FieldPath> {
    let mut places: Vec<&FieldPath> = Vec::new();
    for rule in rules {
        if !places.contains(&&rule.field) {
            places.push(&rule.field);
        }
    }
    places
}

/// Every method in the rules once, the strictest first.
fn methods(rules: &[Arc<Rule>]) -> Vec<&Method> {
    let mut methods: Vec<&Method> = rules.iter().map(|rule| &rule.method).collect();
    methods.sort_by_cached_key(|method| (std::cmp::Reverse(method.strictness()), method.mildness()));
    methods.dedup();
    methods
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldPath;

    /// Walks down `steps` (`[]` is an array's element) and tells what would happen to a leaf and to a container.
    fn at(rules: &[(&str, Method)], steps: &[&str]) -> (Option<&'static str>, Option<&'static str>) {
        let rules: Vec<_> = rules
            .iter()
            .map(|(field, method)| Arc::new(Rule::new(FieldPath::parse(field).unwrap(), method.clone())))
            .collect();
        let plan = Plan::compile(&rules, &HashKey::new(&[0; 32]).unwrap());
        let mut reach = vec![0; plan.width()];
        plan.at_root(&mut reach);
        for step in steps {
            match *step {
                "[]" => plan.at_element(&mut reach, 0),
                "[1]" => plan.at_element(&mut reach, 1),
                name => {
                    let from = reach.clone();
                    plan.at_member(&from, name.as_bytes(), &mut reach);
                }
            }
        }
        let name = |is_leaf| {
            plan.action(&reach, is_leaf).map(|action| match action {
                Action::Remove => "remove",
                Action::Write(text) if **text == *b"null" => "null",
                Action::Write(_) => "redact",
                Action::Hash => "hash",
                Action::KeepType => "keep_type",
                Action::Bucket(_) => "bucket",
                Action::Partial { .. } => "partial",
            })
        };
        (name(true), name(false))
    }

    #[test]
    fn paths_match_as_documented() {
        let (both, leaf, none) = ((Some("hash"), Some("hash")), (Some("hash"), None), (None, None));
        let table: &[(&str, &[&str], _)] = &[
            ("a.b", &["a", "b"], both),
            ("a.b", &["a"], none),
            ("a.b", &["b"], none),
            ("a.b", &["a", "b", "c"], none),
            ("a.b", &["[]", "a", "[]", "[]", "b"], both),
            ("cards.*.number", &["cards", "[]", "number"], both),
            ("cards.*.number", &["cards", "[]", "x", "number"], both),
            ("cards.*.number", &["cards", "x", "[]", "number"], both),
            ("cards.*.number", &["cards", "number"], none),
            ("cards.*", &["cards", "[]"], both),
            ("*", &["[]"], both),
            ("*", &[], none),
            ("**.x", &["x"], both),
            ("**.x", &["a", "[]", "b", "x"], both),
            ("**.x", &["x", "y", "x"], both),
            ("**.x.**.y", &["x", "y"], both),
            ("**.x.**.y", &["a", "x", "x", "[]", "c", "y"], both),
            ("**.x.**.y", &["y", "x"], none),
            ("a[1]", &["a", "[1]"], both),
            ("a[1]", &["a", "[]"], none),
            ("a[1]", &["a", "[]", "[1]"], none),
            ("a[1]", &["a"], none),
            ("a[1].b", &["[]", "a", "[1]", "[]", "b"], both),
            ("[1].b", &["[1]", "b"], both),
            ("[1].b", &["[]", "[1]", "b"], none),
            ("**[1]", &["x", "[]", "[1]"], both),
            ("a[1][0]", &["a", "[1]", "[]"], both),
            ("a[1][0]", &["a", "[1]", "[1]"], none),
            ("**", &[], leaf),
            ("**", &["a", "[]"], leaf),
            ("a.**", &["a"], leaf),
            ("a.**", &["a", "b", "[]"], leaf),
            ("a.**", &["b"], none),
        ];
        for (field, steps, expected) in table {
            assert_eq!(at(&[(field, Method::Hash)], steps), *expected, "{field} at {steps:?}");
        }
    }

    #[test]
    fn the_strictest_rule_decides_in_any_order() {
        let rules = [
            ("a", Method::Last4),
            ("*", Method::Hash),
            ("**.a", Method::redact()),
            ("**", Method::Null),
            ("a.a", Method::Remove),
        ];
        let reversed: Vec<_> = rules.iter().rev().cloned().collect();
        for rules in [&rules[..], &reversed] {
            assert_eq!(at(rules, &["a"]), (Some("null"), Some("redact")));
            assert_eq!(at(rules, &["b"]), (Some("null"), Some("hash")));
            assert_eq!(at(rules, &["a", "a"]), (Some("remove"), Some("remove")));
        }
    }

    #[test]
    fn many_rules_cross_word_borders() {
        let fields: Vec<String> = (0..100).map(|i| format!("**.r{i}.*.**.x{i}.y")).collect();
        let rules: Vec<_> = fields.iter().map(|field| (field.as_str(), Method::Hash)).collect();
        for i in 0..100 {
            let (r, x) = (format!("r{i}"), format!("x{i}"));
            assert_eq!(at(&rules, &["q", &r, "q", "q", &x, "y"]).0, Some("hash"), "{i}");
            assert_eq!(at(&rules, &["q", &r, &x, "y"]).0, None, "{i}");
        }
    }
}
