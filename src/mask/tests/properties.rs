//! The masker against a reference that works on `serde_json::Value`, and against damage.

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
    Object(Vec<(String, Spelled)>, String),
}

impl Spelled {
    fn text(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Array(items, space) => {
                let items: Vec<_> =
                    items.iter().map(|item| format!("{space}{}{space}", item.text())).collect();
                format!("[{}{space}]", items.join(","))
            }
            Self::Object(members, space) => {
                let member = |(name, value): &(String, Spelled)| {
                    format!("{space}{name}{space}:{}{space}", value.text())
                };
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}{space}}}", members.join(","))
            }
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

fn document() -> impl Strategy<Value = Spelled> {
    let leaf = prop_oneof![
        string("\\PC{0,16}").prop_map(Spelled::Leaf),
        any::<i64>().prop_map(|n| Spelled::Leaf(n.to_string())),
        prop::sample::select(vec!["null", "true", "false", "0", "1.5", "-2e3"])
            .prop_map(|s| Spelled::Leaf(s.to_owned())),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let names = prop::sample::subsequence(NAMES.to_vec(), 0..NAMES.len()).prop_shuffle();
        let members = names.prop_flat_map({
            let inner = inner.clone();
            move |names| {
                let member = |name: &str| (string(Just(name.to_owned())), inner.clone());
                names.into_iter().map(member).collect::<Vec<_>>()
            }
        });
        prop_oneof![
            (prop::collection::vec(inner, 0..5), space())
                .prop_map(|(items, space)| Spelled::Array(items, space)),
            (members, space()).prop_map(|(members, space)| Spelled::Object(members, space)),
        ]
    })
}

// === rules ===

fn some_rules() -> impl Strategy<Value = Vec<Arc<Rule>>> {
    let segment = prop::sample::select(vec!["a", "b", "card", "number", "\"x y\"", "é", "*", "**", "**"]);
    let path = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("."));
    let method = prop::sample::select(vec![
        Method::Remove,
        Method::Null,
        Method::redact(),
        Method::Hash,
        Method::Last4,
    ]);
    let rule = (path, method)
        .prop_map(|(path, method)| Arc::new(Rule { field: FieldPath::parse(&path).unwrap(), method }));
    prop::collection::vec(rule, 0..5)
}

// === the reference: slow, recursive, over a parsed document ===

/// Whether the path matches these steps (`None` is an array's element), written straight from its definition.
fn matches(path: &[path::Segment], steps: &[Option<&str>]) -> bool {
    use path::Segment::{Any, Deep, Name};
    let Some((step, below)) = steps.split_first() else {
        return path.iter().all(|segment| *segment == Deep);
    };
    let skips_element = step.is_none() && matches(path, below);
    skips_element
        || match path.split_first() {
            None => false,
            Some((Any, rest)) => matches(rest, below),
            Some((Name(name), rest)) => *step == Some(name.as_str()) && matches(rest, below),
            Some((Deep, rest)) => matches(rest, steps) || matches(path, below),
        }
}

fn takes(rule: &Rule, steps: &[Option<&str>], value: &Value) -> bool {
    let segments = rule.field.segments();
    let is_leaf = !value.is_array() && !value.is_object();
    let ends_deep = segments.last() == Some(&path::Segment::Deep);
    // A step over an element that the path leaves out must not be its last: the array itself was meant.
    let whole = !(steps.last() == Some(&None) && !ends_deep && !ends_any(segments) && true);
    (is_leaf || !ends_deep) && whole && matches(segments, steps)
}

fn ends_any(segments: &[path::Segment]) -> bool {
    segments.last() == Some(&path::Segment::Any)
}
