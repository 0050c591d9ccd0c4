//! One field in both of its spellings.

use crate::diagnostic::Severity;
use crate::document::{Node, Value};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "duplicate-field",
    severity: Severity::Error,
    title: "one field stands twice, in both of its spellings",
    what: "Objects that have a field by its snake-case and by its camel-case name, such as `failure_mode_allow` and \
          `failureModeAllow`, anywhere in Envoy's configuration.",
    why: "Envoy takes such a file without a word: of two values the later one counts, and messages, lists and maps are \
          joined. Who reads the first one, as people and this program do, is told something else than what is in force.",
    demonstrated: "Envoy 1.40.0: a filter with `failure_mode_allow: false` and, below it, `failureModeAllow: true` let \
          calls pass while Portcullis was out of reach. Without the second field they were refused with 503.",
    test: Some("duplicate_field"),
    fix: "Keep one of the two, in the spelling of the rest of the file.",
    example: "failure_mode_allow: false     # and no failureModeAllow\n",
    envoy: Some(envoy),
};

/// Maps whose keys are names; their values are messages.
const MAPS: [&str; 4] =
    ["typedPerFilterConfig", "typedExtensionProtocolOptions", "typedFilterMetadata", "metadata"];

/// What may hold anything.
const FREE: [&str; 9] = [
    "contextExtensions",
    "fields",
    "filterMetadata",
    "jsonFormat",
    "labels",
    "layer",
    "node",
    "staticLayer",
    "typedJsonFormat",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    // What is drawn up from manifests is read by other programs first.
    if report.is_of_manifests() {
        return;
    }
    for document in &envoy.documents {
        if document.node().is_some_and(|node| any("", node)) {
            find("", document, report);
        }
    }
}

/// Whether there is such a field here or below: cheaper than looking for it with its path.
fn any(key: &str, node: &Node) -> bool {
    match &node.value {
        Value::Map(_) if is_free(key, node) => false,
        Value::Map(entries) => {
            let mut names: Vec<_> = entries.iter().map(|entry| camel(&entry.key)).collect();
            let twice = entries.iter().any(|entry| entry.key.contains('_')) && !MAPS.contains(&key) && {
                names.sort_unstable();
                names.windows(2).any(|pair| pair.first() == pair.last())
            };
            twice || entries.iter().any(|entry| any(&camel(&entry.key), &entry.value))
        }
        Value::Seq(items) => items.iter().any(|item| any(key, item)),
        _ => false,
    }
}

fn find(key: &str, at: &At<'_>, report: &mut Report<'_>) {
    if at.node().is_none_or(|node| is_free(key, node)) {
        return;
    }
    let mut before: Vec<(String, &str)> = Vec::new();
    for (name, field) in at.fields() {
        let same = camel(name);
        match before.iter().find(|(other, _)| *other == same) {
            Some((_, first)) if !MAPS.contains(&key) => {
                let message = format!(
                    "`{name}` is the field `{first}` again: Envoy takes the later value, or joins both, and the first was \
                     examined"
                );
                report.find(&RULE, &field, message, "keep one of the two");
            }
            _ => before.push((same.clone(), name)),
        }
        find(&same, &field, report);
    }
    at.items().iter().for_each(|item| find(key, item, report));
}

/// Whether its fields are nobody's: a `Struct`.
fn is_free(key: &str, node: &Node) -> bool {
    let typed = |node: &Node| match node.get("@type").map(|kind| &kind.value) {
        Some(Value::Str(kind)) => kind.ends_with(".Struct"),
        _ => false,
    };
    FREE.contains(&key) || typed(node)
}

/// Protobuf's JSON name of a field.
fn camel(name: &str) -> String {
    let mut upper = false;
    let mut letters = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            _ if upper => {
                letters.push(letter.to_ascii_uppercase());
                upper = false;
            }
            _ => letters.push(letter),
        }
    }
    letters
}
