//! Other files that end up among policies: recognised by their fields, so that one message says what they are, instead
//! of one for each field that no policy has.

use crate::document::{Node, Reader, Value};

/// Reports a document that was never meant to be a policy; false for one that may be.
pub fn report(root: &Node, reader: &mut Reader) -> bool {
    let Some((what, help)) = recognise(root) else { return false };
    reader.error_with_help(root.span, "not-a-policy", format!("this is {what}, not a policy"), help);
    true
}

fn recognise(root: &Node) -> Option<(String, String)> {
    let elsewhere = |what: &str| {
        let help = "move it out of the policies' folder: every `*.yaml` there is read as a policy";
        Some((what.to_owned(), help.to_owned()))
    };
    if let Value::Seq(items) = &root.value {
        return match items.first() {
            Some(item) if item.get("field").is_some() => elsewhere("a list of mask rules"),
            Some(item) if item.get("apiVersion").is_some() => {
                let help = "separate policies by a line `---` instead of writing them as a list";
                Some(("a list of policies".into(), help.into()))
            }
            _ => None,
        };
    }
    let has = |field: &str| root.get(field).is_some();
    let kind = root.get("kind").and_then(|node| match &node.value {
        Value::Str(kind) => Some(kind.as_str()),
        _ => None,
    });
    match kind {
        Some("Policy") => None,
        Some(kind) if crate::diagnostic::closest(kind, ["Policy"]).is_none() => {
            elsewhere(&format!("a Kubernetes object of the kind `{kind}`"))
        }
        Some(_) => None,
        None if has("apiVersion") || has("spec") => None,
        None if has("cases") => Some((
            "a file of cases".into(),
            "call it `NAME.cases.yaml`, after the policy that it tests".into(),
        )),
        None if has("request") => elsewhere("a call file"),
        None if has("policies") || has("listen") || has("identity") || has("store") => {
            elsewhere("a configuration of the server")
        }
        None if has("rules") || has("match") => {
            let help = "a policy has `apiVersion`, `kind`, `metadata` and `spec`; `match` and `rules` stand under `spec`";
            Some(("the inside of a policy".into(), help.into()))
        }
        None => None,
    }
}

/// Reports fields without a value, which YAML reads as null: taken for absent, an empty `when` would always apply and an
/// empty `match` would let every call in.
pub fn empty_values(node: &Node, reader: &mut Reader) {
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| empty_values(item, reader)),
        Value::Map(entries) => {
            // `with: null` is a way to mask; what is required is reported as missing.
            for entry in entries.iter().filter(|entry| entry.key != "with") {
                if entry.value.value != Value::Null {
                    empty_values(&entry.value, reader);
                } else if !REQUIRED.contains(&entry.key.as_str()) {
                    let message = format!("`{}` has no value", entry.key);
                    reader.error_with_help(entry.key_span, "empty-value", message, help(&entry.key));
                }
            }
        }
        _ => {}
    }
}

const REQUIRED: [&str; 5] = ["name", "rules", "approvers", "for", "field"];

fn help(key: &str) -> String {
    match key {
        "allow" | "deny" => format!("write `{key}: {{}}`"),
        "when" => "leave `when` out for a rule that always applies".into(),
        "match" => "leave `match` out for a policy about every call".into(),
        _ => "give it one, or leave it out; what stands under it must be indented deeper".into(),
    }
}
