//! The masker against a reference that works on `serde_json::Value`, and against damage.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

// === documents, spelled in many ways ===

/// A document and one way to write it.
#[derive(Clone, Debug)]
enum Spelled {
    /// A scalar as written.
    Leaf(String),
    Array(Vec<Spelled>, String),
    Object(Vec<(Name, Spelled)>, String),
}

#[derive(Clone, Debug)]
struct Name {
    text: &'static str,
    spelled: String,
}

impl Spelled {
    fn text(&self) -> String {
        self.write(|space| space)
    }

    /// The text without white space between the tokens.
    fn compact(&self) -> String {
        self.write(|_| "")
    }

    fn write(&self, space: fn(&str) -> &str) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Array(items, between) => {
                let s = space(between);
                let items: Vec<_> = items.iter().map(|item| format!("{s}{}{s}", item.write(space))).collect();
                format!("[{}{s}]", items.join(","))
            }
            Self::Object(members, between) => {
                let s = space(between);
                let member = |(name, value): &(Name, Spelled)| {
                    format!("{s}{}{s}:{}{s}", name.spelled, value.write(space))
                };
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}{s}}}", members.join(","))
            }
        }
    }

    /// Replaces every string by one that can be told from all others.
    fn mark(&mut self, next: &mut usize) {
        match self {
            Self::Leaf(text) if text.starts_with('"') => {
                *text = format!("\"a <{next}> marker\"");
                *next += 1;
            }
            Self::Leaf(_) => {}
            Self::Array(items, _) => items.iter_mut().for_each(|item| item.mark(next)),
            Self::Object(members, _) => members.iter_mut().for_each(|(_, value)| value.mark(next)),
        }
    }
}

const NAMES: [&str; 6] = ["a", "b", "card", "number", "x y", "é"];

/// A string's characters, each plain or escaped.
fn string(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (text, any::<u64>()).prop_map(|(text, choice)| {
        let spell = |(i, c): (usize, char)| {
            if choice >> (i % 64) & 1 == 1 || c == '"' || c == '\\' || c.is_control() {
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
            } else {
                c.to_string()
            }
        };
        format!("\"{}\"", text.chars().enumerate().map(spell).collect::<String>())
    })
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just(" ".to_owned()), Just("\r\n\t ".to_owned())]
}

/// Documents; in an object of one with `duplicates`, a name may stand more than once.
fn document(duplicates: bool) -> impl Strategy<Value = Spelled> {
    let plain = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "0",
        "1.5",
        "-20",
        "1",
        "\"x\"",
        "\"2026-11-21\"",
    ]);
    let leaf = prop_oneof![
        string("\\PC{0,16}").prop_map(Spelled::Leaf),
        any::<i64>().prop_map(|n| Spelled::Leaf(n.to_string())),
        plain.prop_map(|text| Spelled::Leaf(text.to_owned())),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let repeated = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..5);
        let distinct = prop::sample::subsequence(NAMES.to_vec(), 0..NAMES.len()).prop_shuffle();
        let names = if duplicates { repeated.boxed() } else { distinct.boxed() };
        let items = prop::collection::vec(inner.clone(), 0..5);
        let members = names.prop_flat_map(move |names| {
            let member = |text: &'static str| {
                (string(Just(text.to_owned())).prop_map(move |spelled| Name { text, spelled }), inner.clone())
            };
            names.into_iter().map(member).collect::<Vec<_>>()
        });
        prop_oneof![
            (items, space()).prop_map(|(items, space)| Spelled::Array(items, space)),
            (members, space()).prop_map(|(members, space)| Spelled::Object(members, space)),
        ]
    })
}

// === rules ===

fn some_rules() -> impl Strategy<Value = Vec<Arc<Rule>>> {
    let segment = prop::sample::select(vec!["a", "b", "card", "number", "\"x y\"", "é", "*", "**", "**"]);
    let bracket = prop::sample::select(vec![
        "",
        "",
        "",
        "",
        "[0]",
        "[1]",
        "[?a==1]",
        "[?b!=\"x\"]",
        "[?a==true && card!=0]",
        "[1][?number==1]",
        "[?b==1][0]",
    ]);
    let segment = (segment, bracket).prop_map(|(segment, bracket)| format!("{segment}{bracket}"));
    let path = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("."));
    let path = prop_oneof![
        4 => path,
        1 => prop::sample::select(vec!["[0]", "[1].a", "[?a==1]", "[?a!=1].b", "[?b==\"x\"].**"]).prop_map(str::to_owned),
    ];
    let method = prop::sample::select(vec![
        Method::Remove,
        Method::Null,
        Method::redact(),
        Method::KeepType,
        Method::Hash,
        Method::Bucket(Bucket::Width(10)),
        Method::Bucket(Bucket::Date(DateUnit::Month)),
        Method::Partial { first: 2, last: 1 },
        Method::Last4,
    ]);
    let rule = (path, method)
        .prop_map(|(path, method)| Arc::new(Rule::new(FieldPath::parse(&path).unwrap(), method)));
    prop::collection::vec(rule, 0..5)
}

// === the reference: slow, recursive, over a parsed document ===

/// How a value is reached from the one around it, and the value.
#[derive(Clone, Copy)]
struct Step<'s> {
    by: By<'s>,
    value: &'s Spelled,
}

#[derive(Clone, Copy, PartialEq)]
enum By<'s> {
    Root,
    Member(&'s str),
    Element(usize),
}

/// Whether the path leads from `here` down those steps, written straight from its definition.
fn matches(path: &[path::Segment], here: &Spelled, below: &[Step]) -> bool {
    use path::Segment::{Any, Deep, Filter, Index, Name};
    let stays = match path.split_first() {
        Some((Deep, rest)) => matches(rest, here, below),
        Some((Filter(filter), rest)) => passes(filter, here) && matches(rest, here, below),
        _ => false,
    };
    let Some((step, below)) = below.split_first() else { return stays || path.is_empty() };
    let is_element = matches!(step.by, By::Element(_));
    let skips_element = is_element && !matches!(path.first(), Some(Index(_)));
    stays
        || skips_element && matches(path, step.value, below)
        || match path.split_first() {
            None | Some((Filter(_) | path::Segment::Text, _)) => false,
            Some((Any, rest)) => matches(rest, step.value, below),
            Some((Name(name), rest)) => step.by == By::Member(name) && matches(rest, step.value, below),
            Some((Index(index), rest)) => {
                step.by == By::Element(*index as usize) && matches(rest, step.value, below)
            }
            Some((Deep, _)) => matches(path, step.value, below),
        }
}

/// Whether an object's members leave it possible that the filter holds.
fn passes(filter: &sibling::Filter, value: &Spelled) -> bool {
    let members = match value {
        Spelled::Leaf(_) => return true,
        Spelled::Array(..) => return false,
        Spelled::Object(members, _) => members,
    };
    filter.conditions.iter().all(|condition| {
        let wanted = match &condition.value {
            sibling::Scalar::Text(text) => Value::from(text.as_str()),
            sibling::Scalar::Number(text) => parse(text),
            sibling::Scalar::Boolean(wanted) => (*wanted).into(),
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut same_name = members.iter().filter(|(name, _)| name.text == condition.name).peekable();
        same_name.peek().is_none()
            || same_name.any(|(_, value)| match value {
                Spelled::Leaf(leaf) if leaf != "null" => {
                    let value = parse(leaf);
                    if condition.equal { text(&value) == text(&wanted) } else { value != wanted }
                }
                _ => true,
            })
    })
}

fn takes(rule: &Rule, steps: &[Step], value: &Spelled) -> bool {
    let segments = rule.field.segments();
    let leaves_only = segments.last() == Some(&path::Segment::Deep);
    let (root, below) = steps.split_first().unwrap();
    (!leaves_only || matches!(value, Spelled::Leaf(_))) && matches(segments, root.value, below)
}

/// The method that the rules have for a value, if they change it.
fn method<'r>(rules: &'r [Arc<Rule>], steps: &[Step], value: &Spelled) -> Option<&'r Method> {
    let methods = rules.iter().filter(|rule| takes(rule, steps, value)).map(|rule| &rule.method);
    let is_null = matches!(value, Spelled::Leaf(text) if text == "null");
    let strictest = methods.min_by_key(|method| (std::cmp::Reverse(method.strictness()), method.mildness()));
    strictest.filter(|method| !is_null || **method == Method::Remove)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The masked document; `None` when it is removed.
fn reference<'s>(rules: &[Arc<Rule>], steps: &mut Vec<Step<'s>>, value: &'s Spelled) -> Option<Value> {
    if let Some(method) = method(rules, steps, value) {
        return replacement(method, value, steps.len() == 1);
    }
    Some(match value {
        Spelled::Leaf(text) => parse(text),
        Spelled::Array(items, _) => {
            let item = |(i, item)| below(rules, steps, By::Element(i), item, reference);
            items.iter().enumerate().filter_map(item).collect()
        }
        Spelled::Object(members, _) => {
            let member = |(name, value): &'s (Name, Spelled)| {
                let value = below(rules, steps, By::Member(name.text), value, reference)?;
                Some((name.text.to_owned(), value))
            };
            Value::Object(members.iter().filter_map(member).collect())
        }
    })
}

fn below<'s, T>(
    rules: &[Arc<Rule>],
    steps: &mut Vec<Step<'s>>,
    by: By<'s>,
    value: &'s Spelled,
    visit: impl Fn(&[Arc<Rule>], &mut Vec<Step<'s>>, &'s Spelled) -> T,
) -> T {
    steps.push(Step { by, value });
    let result = visit(rules, steps, value);
    steps.pop();
    result
}

fn replacement(method: &Method, value: &Spelled, is_document: bool) -> Option<Value> {
    let text = match value {
        Spelled::Leaf(text) => parse(text).as_str().map_or_else(|| text.clone(), str::to_owned),
        container => container.compact(),
    };
    let shows = matches!(value, Spelled::Leaf(text) if text != "true" && text != "false");
    match method {
        Method::Remove if is_document => Some(Value::Null),
        Method::Remove => None,
        Method::Null => Some(Value::Null),
        Method::Redact { text } => Some(text.as_str().into()),
        Method::Hash => {
            let mut digest = key().digest();
            digest.update(text.as_bytes());
            Some(digest.text().into())
        }
        Method::KeepType => Some(match value {
            Spelled::Object(..) => parse("{}"),
            Spelled::Array(..) => parse("[]"),
            Spelled::Leaf(text) if text.starts_with('"') => "".into(),
            Spelled::Leaf(text) if shows => parse(if text == "null" { "null" } else { "0" }),
            Spelled::Leaf(_) => false.into(),
        }),
        Method::Bucket(bucket) => {
            let is_text = matches!(value, Spelled::Leaf(text) if text.starts_with('"'));
            let may = is_text || shows && !matches!(bucket, Bucket::Date(_));
            let range =
                may.then(|| bucket.range(&text)).flatten().filter(|_| text.len() <= Bucket::MAX_BYTES);
            Some(range.unwrap_or_else(|| Method::DEFAULT_TEXT.to_owned()).into())
        }
        Method::Partial { .. } | Method::Last4 => {
            if !shows {
                return Some("****".into());
            }
            let (first, last) = method.shown();
            let characters: Vec<char> = text.chars().collect();
            let last = usize::from(last).min(characters.len() / 3);
            let first = usize::from(first).min(characters.len() / 3 - last);
            let (head, rest) = characters.split_at(first);
            let (hidden, tail) = rest.split_at(rest.len() - last);
            let text = head.iter().copied().chain(std::iter::repeat_n('*', hidden.len().min(64)));
            Some(text.chain(tail.iter().copied()).collect::<String>().into())
        }
    }
}

/// The numbers of the markers that no rule takes.
fn survivors<'s>(rules: &[Arc<Rule>], steps: &mut Vec<Step<'s>>, value: &'s Spelled) -> BTreeSet<usize> {
    if method(rules, steps, value).is_some() {
        return BTreeSet::new();
    }
    match value {
        Spelled::Leaf(text) => markers(text),
        Spelled::Array(items, _) => {
            let item = |(i, item)| below(rules, steps, By::Element(i), item, survivors);
            items.iter().enumerate().flat_map(item).collect()
        }
        Spelled::Object(members, _) => members
            .iter()
            .flat_map(|(name, value)| below(rules, steps, By::Member(name.text), value, survivors))
            .collect(),
    }
}

/// The markers in a text: `<12>` and the like.
fn markers(text: &str) -> BTreeSet<usize> {
    text.split('<').filter_map(|part| part.split_once('>')?.0.parse().ok()).collect()
}

// === properties ===

fn cut<'b>(body: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}

fn compile(rules: &[Arc<Rule>]) -> Arc<Plan> {
    Arc::new(Plan::compile(rules, &key()))
}

/// What RFC 8259 calls a document, as serde_json reads it. Values are skipped, not built, because building them
/// refuses more than the grammar does: large exponents, deep nesting, lone surrogates.
fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn assert_agrees_with_serde(rules: &[Arc<Rule>], body: &[u8], cuts: &[usize]) {
    for plan in [compile(rules), compile(&[])] {
        let masked = mask_chunks(&plan, Format::Json, Limits::default(), cut(body, cuts));
        assert_eq!(masked.is_ok(), is_json(body), "{masked:?} for {}", String::from_utf8_lossy(body));
        assert!(masked.is_err() || is_json(&masked.unwrap()));
    }
}

/// Damages a body: each change replaces, inserts or takes out a byte.
fn damage(body: &mut Vec<u8>, changes: &[(usize, u8, u8)]) {
    for (at, byte, kind) in changes {
        let at = at % (body.len() + 1);
        match kind % 3 {
            0 => body.insert(at, *byte),
            1 if at < body.len() => drop(body.remove(at)),
            _ => body.get_mut(at).into_iter().for_each(|old| *old = *byte),
        }
    }
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(b"{}[],:\"\\ue0 1-+.Etrfalsn\n".to_vec()), any::<u8>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn masks_what_the_reference_masks(document in document(false), rules in some_rules(), cuts: [usize; 4]) {
        let (plan, body) = (compile(&rules), document.text());
        let whole = mask_chunks(&plan, Format::Json, Limits::default(), [body.as_bytes()]).unwrap();
        let cut = mask_chunks(&plan, Format::Json, Limits::default(), cut(body.as_bytes(), &cuts)).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
        let masked: Value = serde_json::from_slice(&whole).unwrap();
        prop_assert_eq!(masked, below(&rules, &mut Vec::new(), By::Root, &document, reference).unwrap_or(Value::Null));
    }

    #[test]
    fn in_a_string_that_is_read_as_json_the_same_is_masked(
        document in document(true), rules in some_rules(), cuts: [usize; 4],
    ) {
        let body = document.text();
        let alone = mask_chunks(&compile(&rules), Format::Json, Limits::default(), [body.as_bytes()]).unwrap();
        let in_string: Vec<_> = rules
            .iter()
            .map(|rule| {
                let dot = if rule.field.as_str().starts_with('[') { "" } else { "." };
                let field = FieldPath::parse(&format!("p[json]{dot}{}", rule.field)).unwrap();
                Arc::new(Rule { field, ..(**rule).clone() })
            })
            .collect();
        let outer = format!("{{\"p\":{}}}", Value::from(body));
        let plan = compile(&in_string);
        let masked = mask_chunks(&plan, Format::Json, Limits::default(), cut(outer.as_bytes(), &cuts)).unwrap();
        let masked: Value = serde_json::from_slice(&masked).unwrap();
        prop_assert_eq!(masked["p"].as_str(), std::str::from_utf8(&alone).ok());
    }

    #[test]
    fn no_secret_survives_and_nothing_else_is_lost(
        mut document in document(true), rules in some_rules(), cuts: [usize; 4],
    ) {
        document.mark(&mut 0);
        let body = document.text();
        let masked = mask_chunks(&compile(&rules), Format::Json, Limits::default(), cut(body.as_bytes(), &cuts));
        let masked = String::from_utf8(masked.unwrap()).unwrap();
        prop_assert_eq!(markers(&masked), below(&rules, &mut Vec::new(), By::Root, &document, survivors), "{}", masked);
    }

    #[test]
    fn without_a_matching_rule_nothing_changes(document in document(true), cuts: [usize; 4]) {
        let body = document.text();
        let plan = plan(&[("**.absent", Method::Remove), ("*.absent", Method::Hash)]);
        let masked = mask_chunks(&plan, Format::Json, Limits::default(), cut(body.as_bytes(), &cuts)).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&masked), body);
    }

    #[test]
    fn accepts_what_serde_json_accepts(
        document in document(true),
        rules in some_rules(),
        changes in prop::collection::vec((any::<usize>(), byte(), any::<u8>()), 0..4),
        cuts: [usize; 4],
    ) {
        let mut body = document.text().into_bytes();
        damage(&mut body, &changes);
        assert_agrees_with_serde(&rules, &body, &cuts);
    }

    #[test]
    fn accepts_what_serde_json_accepts_of_noise(
        body in prop::collection::vec(byte(), 0..12), rules in some_rules(), cuts: [usize; 4],
    ) {
        assert_agrees_with_serde(&rules, &body, &cuts);
    }

    #[test]
    fn lines_and_events_survive_damage(
        documents in prop::collection::vec(document(true), 0..4),
        rules in some_rules(),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        changes in prop::collection::vec((any::<usize>(), byte(), any::<u8>()), 0..4),
        cuts: [usize; 4],
    ) {
        let plan = compile(&rules);
        let texts = documents.iter().map(|document| document.compact());
        let lines: String = texts.clone().map(|text| format!("{text}{end}")).collect();
        let events: String = texts.map(|text| format!("id: 1{end}data: {text}{end}{end}")).collect();
        for (format, body) in [(Format::Ndjson, lines), (Format::Sse, events)] {
            let mut body = body.into_bytes();
            damage(&mut body, &changes);
            let whole = mask_chunks(&plan, format, Limits::default(), [&body[..]]);
            let cut = mask_chunks(&plan, format, Limits::default(), cut(&body, &cuts));
            prop_assert_eq!(whole.map_err(|error| error.code()), cut.map_err(|error| error.code()));
        }
    }
}

#[test]
fn takes_what_serde_json_can_not_build() {
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    for body in ["1e400", "-1E99999999999999999999", "[\"\\ud800\"]", &deep] {
        assert!(serde_json::from_str::<Value>(body).is_err(), "{body}");
        assert_eq!(mask(&[("**.a", Method::Remove)], body).as_deref(), Ok(body));
    }
}
