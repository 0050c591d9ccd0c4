//! Mask rules as people write them:
//!
//! ```yaml
//! - {field: "**.card.number", with: last4}
//! - {field: note, with: {redact: "[hidden]"}}
//! - {detect: [card, iban], with: redact}
//! ```

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{FieldPath, Method, Rule, detect};
use crate::document::{Node, Reader, Value};

type Make = fn() -> Method;

/// The methods in a user's words.
const WORDS: [(&str, Make); 5] = [
    ("remove", || Method::Remove),
    ("null", || Method::Null),
    ("redact", Method::redact),
    ("hash", || Method::Hash),
    ("last4", || Method::Last4),
];

/// The rule as people write it, which `rules_from_node` reads again.
pub fn rule_to_json(rule: &Rule) -> Json {
    let with = match &rule.method {
        Method::Redact { text } => json!({"redact": text}),
        // `null` is a word to people, and no value.
        Method::Remove | Method::Null | Method::Hash | Method::Last4 => rule.method.name().into(),
    };
    let mut fields = rule.detect.as_deref().map(detect::to_json).unwrap_or_default();
    if rule.detect.is_none() || rule.field != FieldPath::everything() {
        fields.insert("field".to_owned(), rule.field.as_str().into());
    }
    fields.insert("with".to_owned(), with);
    Json::Object(fields)
}

/// Reads a list of rules; every mistake is reported to `reader`, and a rule with one is left out.
pub fn rules_from_node(node: &Node, reader: &mut Reader) -> Vec<Rule> {
    let Some(items) = reader.list(node, "the list of mask rules") else { return Vec::new() };
    items.iter().filter_map(|item| rule(item, reader)).collect()
}

fn rule(node: &Node, reader: &mut Reader) -> Option<Rule> {
    let mut fields = reader.fields(node, "a mask rule")?;
    let detect = detect::read(&mut fields, reader);
    let field = match fields.optional("field") {
        Some(node) => field(node, reader),
        // Values are looked for everywhere.
        None if !matches!(detect, Ok(None)) => Some(FieldPath::everything()),
        None => fields.required("field", reader).and(None),
    };
    let _ = fields.optional("with");
    // `with: null` is meant: YAML reads the word as no value, and `optional` would call it absent.
    let method = match node.get("with") {
        Some(with) => method(with, reader),
        None => {
            let help = "write `with: redact`, `remove`, `null`, `hash` or `last4`";
            reader.error_with_help(node.span, "missing-field", "a mask rule lacks the field `with`", help);
            None
        }
    };
    fields.close(reader);
    let (detect, method) = (detect.ok()?.map(Arc::new), method?);
    if detect.is_some() && method == Method::Null {
        let help = "write `redact`, `remove`, `hash` or a partial method";
        let span = node.get("with").map_or(node.span, |with| with.span);
        reader.error_with_help(span, "invalid-value", "`null` has no place within a text", help);
        return None;
    }
    Some(Rule { field: field?, detect, method })
}

fn field(node: &Node, reader: &mut Reader) -> Option<FieldPath> {
    let text = reader.string(node, "field")?;
    match FieldPath::parse(text) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("the field path `{text}` can't be read: {error}");
            let help = format!("look at character {} of the path", error.column);
            reader.error_with_help(node.span, "invalid-field-path", message, help);
            None
        }
    }
}

fn method(node: &Node, reader: &mut Reader) -> Option<Method> {
    match &node.value {
        Value::Null => Some(Method::Null),
        Value::Map(_) => {
            let mut fields = reader.fields(node, "`with`")?;
            let text = fields.required("redact", reader).and_then(|node| reader.string(node, "redact"));
            fields.close(reader);
            Some(Method::Redact { text: text?.to_owned() })
        }
        _ => reader.word(node, "mask method", &WORDS).map(|method| method()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> (Vec<Rule>, Vec<String>) {
        let document = Document::parse(&"rules.yaml".into(), &text.into()).unwrap();
        let mut reader = Reader::new(&document.file);
        let rules = rules_from_node(&document.roots[0], &mut reader);
        (rules, reader.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_every_method() {
        let (rules, findings) = read(
            "- {field: '**.number', with: last4}\n- {field: a, with: remove}\n- {field: b, with: \"null\"}\n\
             - {field: c, with: null}\n- {field: d, with: redact}\n- {field: e, with: {redact: '[hidden]'}}\n\
             - {field: f, with: hash}\n",
        );
        assert_eq!(findings, [""; 0]);
        let read: Vec<_> = rules.into_iter().map(|rule| (rule.field.to_string(), rule.method)).collect();
        let expected = [
            ("**.number", Method::Last4),
            ("a", Method::Remove),
            ("b", Method::Null),
            ("c", Method::Null),
            ("d", Method::redact()),
            ("e", Method::Redact { text: "[hidden]".to_owned() }),
            ("f", Method::Hash),
        ];
        assert_eq!(read, expected.map(|(field, method)| (field.to_owned(), method)));
    }

    #[test]
    fn reports_every_mistake_at_its_place() {
        let (rules, findings) = read(
            "- {field: 'a[0]', with: lats4}\n- {field: a}\n- {with: hash, detect: ibam}\n- 5\n\
             - {field: 7, with: {redact: 8}}\n- {field: a, with: {hash: x}}\n- {field: ok, with: hash}\n",
        );
        assert_eq!(rules.len(), 1);
        assert_eq!(
            findings,
            [
                "rules.yaml:1:11: error[invalid-field-path]: the field path `a[0]` can't be read: array indexes are not supported: leave them out, or write `.*` for any element (look at character 2 of the path)",
                "rules.yaml:1:25: error[unknown-value]: unknown mask method `lats4` (did you mean `last4`?)",
                "rules.yaml:2:3: error[missing-field]: a mask rule lacks the field `with` (write `with: redact`, `remove`, `null`, `hash` or `last4`)",
                "rules.yaml:3:24: error[unknown-value]: unknown detector `ibam` (did you mean `iban`?)",
                "rules.yaml:4:3: error[wrong-type]: a mask rule must be a map, not an integer",
                "rules.yaml:5:11: error[wrong-type]: field must be a string, not an integer (put it in quotes)",
                "rules.yaml:5:29: error[wrong-type]: redact must be a string, not an integer (put it in quotes)",
                "rules.yaml:6:20: error[missing-field]: `with` lacks the field `redact`",
                "rules.yaml:6:21: error[unknown-field]: unknown field `hash` in `with` (known here: redact)",
            ]
        );
        assert_eq!(
            read("field: a\n").1,
            ["rules.yaml:1:1: error[wrong-type]: the list of mask rules must be a list, not a map"]
        );
    }
}
