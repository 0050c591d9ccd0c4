//! An Envoy configuration drawn up from manifests, each of whose values remembers where it came from.
//!
//! The checks of Envoy's own configuration run on it as on any other, and what they find is told at the place in the
//! manifest: `Draft::origin`.

use std::sync::Arc;

use crate::document::{Entry, Node, Span, Value};
use crate::proxy::tree::{At, Source};

/// The places that the values of one configuration came from.
#[derive(Debug, Default)]
pub struct Draft<'a> {
    origins: Vec<At<'a>>,
}

impl<'a> Draft<'a> {
    /// The span that stands for this place: its line counts the places.
    fn span(&mut self, origin: &At<'a>) -> Span {
        self.origins.push(origin.clone());
        Span { line: u32::try_from(self.origins.len()).unwrap_or(u32::MAX), ..Span::default() }
    }

    /// Where a value that was drawn up with this line came from.
    pub fn origin(&self, line: u32) -> Option<&At<'a>> {
        self.origins.get(usize::try_from(line).ok()?.checked_sub(1)?)
    }

    /// What the control plane writes because of this place.
    pub fn write(&mut self, origin: &At<'a>, value: serde_json::Value) -> Node {
        let span = self.span(origin);
        Node::from_json(value, span)
    }

    /// The value of this place as it stands there; null when it is absent.
    pub fn copy(&mut self, at: &At<'a>) -> Node {
        let span = self.span(at);
        let value = match at.node().map(|node| &node.value) {
            Some(Value::Map(_)) => {
                Value::Map(at.fields().into_iter().map(|(key, field)| self.entry(key, &field)).collect())
            }
            Some(Value::Seq(_)) => Value::Seq(at.items().iter().map(|item| self.copy(item)).collect()),
            Some(value) => value.clone(),
            None => Value::Null,
        };
        Node { value, span }
    }

    fn entry(&mut self, key: &str, field: &At<'a>) -> Entry {
        let value = self.copy(field);
        Entry { key: key.to_owned(), key_span: value.span, value }
    }

    /// The finished configuration, as if it had been read.
    pub fn finish(&self, name: &str, root: Node) -> Source {
        Source { name: Arc::from(name), text: Arc::from(""), roots: vec![root], has_lines: true }
    }
}

/// Puts a field into a map, in place of the one that has its name in either spelling. Null puts nothing.
pub fn set(map: &mut Node, key: &str, value: Node) {
    let Value::Map(entries) = &mut map.value else { return };
    if value.value == Value::Null {
        return;
    }
    match entries.iter_mut().find(|entry| same_name(&entry.key, key)) {
        Some(entry) => (entry.key_span, entry.value) = (value.span, value),
        None => entries.push(Entry { key: key.to_owned(), key_span: value.span, value }),
    }
}

/// The field of a map that has this name, in snake case or camel case.
pub fn find<'n>(map: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut map.value else { return None };
    entries.iter_mut().find(|entry| same_name(&entry.key, key)).map(|entry| &mut entry.value)
}

/// Protobuf's merge, as both control planes patch: messages field by field, lists one after the other, the rest replaced.
pub fn merge(into: &mut Node, from: Node) {
    match (&mut into.value, from.value) {
        (Value::Map(old), Value::Map(entries)) => {
            for new in entries {
                match old.iter_mut().find(|entry| same_name(&entry.key, &new.key)) {
                    Some(entry) => merge_entry(entry, new),
                    None => old.push(new),
                }
            }
        }
        (Value::Seq(old), Value::Seq(items)) => old.extend(items),
        (_, value) => *into = Node { value, span: from.span },
    }
}

fn merge_entry(entry: &mut Entry, new: Entry) {
    if !matches!(new.value.value, Value::Map(_) | Value::Seq(_)) {
        entry.key_span = new.key_span;
    }
    merge(&mut entry.value, new.value);
}

/// Whether two names are one field of protobuf: `max_bytes`, `maxBytes`.
fn same_name(left: &str, right: &str) -> bool {
    let letters = |name: &str| -> Vec<u8> {
        name.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).collect()
    };
    left == right || letters(left) == letters(right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_knows_the_place_that_it_came_from() {
        let source = Source::parse("m.yaml", "a:\n  maxBytes: 5\nb: true\n").unwrap();
        let root = source.documents().next().unwrap();
        let mut draft = Draft::default();
        let mut drawn = draft.copy(&root.get("a"));
        set(&mut drawn, "flag", draft.write(&root.get("b"), json!({"inner": 1})));
        let drawn = draft.finish("drawn", drawn);
        let at = drawn.documents().next().unwrap();
        let origin = |at: &At<'_>| {
            let origin = draft.origin(at.place().unwrap().line).unwrap();
            (origin.path().to_owned(), origin.place().unwrap().line)
        };
        assert_eq!(at.get("max_bytes").number(), Some(5));
        assert_eq!(origin(&at.get("max_bytes")), ("a.maxBytes".to_owned(), 2));
        assert_eq!(origin(&at.at(&["flag", "inner"])), ("b".to_owned(), 3));
        assert_eq!(origin(&at.get("missing")), ("a".to_owned(), 1), "what would hold it");
    }

    #[test]
    fn patches_merge_as_protobuf_does() {
        let mut draft = Draft::default();
        let source = Source::parse("m.yaml", "a: 1\n").unwrap();
        let at = source.documents().next().unwrap();
        let mut into =
            draft.write(&at, json!({"one": {"max_bytes": 1, "kept": true}, "list": [1], "text": "old"}));
        merge(
            &mut into,
            draft.write(&at, json!({"one": {"maxBytes": 2}, "list": [2], "text": "new", "more": 1})),
        );
        let wanted = json!({"one": {"max_bytes": 2, "kept": true}, "list": [1, 2], "text": "new", "more": 1});
        assert_eq!(into.to_json(), wanted);
    }

    #[test]
    fn a_value_that_a_patch_replaced_is_the_patch_s() {
        let source = Source::parse("m.yaml", "a: {flag: true}\nb: {flag: false}\n").unwrap();
        let root = source.documents().next().unwrap();
        let mut draft = Draft::default();
        let mut drawn = draft.copy(&root.get("a"));
        merge(&mut drawn, draft.copy(&root.get("b")));
        let drawn = draft.finish("drawn", drawn);
        let flag = drawn.documents().next().unwrap().get("flag");
        assert_eq!(draft.origin(flag.place().unwrap().line).unwrap().path(), "b.flag");
    }

    #[test]
    fn null_sets_nothing() {
        let mut draft = Draft::default();
        let source = Source::parse("m.yaml", "a: 1\n").unwrap();
        let at = source.documents().next().unwrap();
        let mut map = draft.write(&at, json!({"a": 1}));
        let nothing = draft.copy(&at.get("missing"));
        set(&mut map, "a", nothing);
        assert_eq!(map.to_json(), json!({"a": 1}));
    }
}
