//! Reading mask rules from YAML: policies and `portcullis mask` share this. Knows nothing of how they are applied.

use super::method::REDACTED;
use super::{FieldPath, Method, Rule};
use crate::document::{Node, Reader, Value};

const WORDS: [(&str, Word); 5] = [
    ("remove", Word::Remove),
    ("null", Word::Null),
    ("redact", Word::Redact),
    ("hash", Word::Hash),
    ("last4", Word::Last4),
];

#[derive(Clone, Copy)]
enum Word {
    Remove,
    Null,
    Redact,
    Hash,
    Last4,
}

/// The rules of a list such as `- {field: "**.card.number", with: last4}`; what is wrong with it is in the reader.
pub fn rules_from_node(node: &Node, reader: &mut Reader) -> Vec<Rule> {
    let Some(items) = reader.list(node, "a mask") else { return Vec::new() };
    items.iter().filter_map(|item| rule(item, reader)).collect()
}

fn rule(node: &Node, reader: &mut Reader) -> Option<Rule> {
    let mut fields = reader.fields(node, "a mask rule")?;
    let field = fields.required("field", reader).and_then(|node| field_path(node, reader));
    fields.optional("with");
    let method = match node.get("with") {
        Some(with) => method(with, reader),
        None => {
            reader.error(fields.span, "missing-field", "a mask rule lacks the field `with`");
            None
        }
    };
    fields.close(reader);
    Some(Rule { field: field?, method: method? })
}

fn field_path(node: &Node, reader: &mut Reader) -> Option<FieldPath> {
    let text = reader.string(node, "`field`")?;
    match FieldPath::parse(text) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("the field path `{text}` is wrong at column {}: {error}", error.column);
            reader.error(node.span, "invalid-field-path", message);
            None
        }
    }
}

/// A word, or `{redact: TEXT}`. YAML's own `null` is refused: it looks like a value that was forgotten.
fn method(node: &Node, reader: &mut Reader) -> Option<Method> {
    match &node.value {
        Value::Null => {
            let help = "write `with: \"null\"` in quotes to mask by `null`";
            reader.error_with_help(node.span, "missing-value", "`with` has no value", help);
            None
        }
        Value::Map(_) => {
            let mut fields = reader.fields(node, "`with`")?;
            let text = fields.required("redact", reader).and_then(|text| reader.string(text, "`redact`"));
            fields.close(reader);
            Some(Method::Redact { text: text?.to_owned() })
        }
        _ => Some(match reader.word(node, "masking method", &WORDS)? {
            Word::Remove => Method::Remove,
            Word::Null => Method::Null,
            Word::Redact => Method::Redact { text: REDACTED.to_owned() },
            Word::Hash => Method::Hash,
            Word::Last4 => Method::Last4,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let document = Document::parse(&"rules.yaml".into(), &text.into()).unwrap();
        let mut reader = Reader::new(&document.file);
        let rules = rules_from_node(&document.roots[0], &mut reader);
        let shown = rules.iter().map(|rule| format!("{} {:?}", rule.field, rule.method)).collect();
        (
            shown,
            reader
                .findings
                .iter()
                .map(|f| format!("{}: {}", f.code, f.place.as_ref().unwrap().line))
                .collect(),
        )
    }

    #[test]
    fn every_method_is_read() {
        let text = "- {field: a, with: remove}\n- {field: a, with: 'null'}\n- {field: a, with: redact}\n\
                    - {field: a, with: {redact: x}}\n- {field: a, with: hash}\n- {field: '**.a', with: last4}\n";
        let rules = [
            "a Remove",
            "a Null",
            "a Redact { text: \"[redacted]\" }",
            "a Redact { text: \"x\" }",
            "a Hash",
            "**.a Last4",
        ];
        assert_eq!(read(text), (rules.map(str::to_owned).to_vec(), vec![]));
    }

    #[test]
    fn every_mistake_is_reported_and_good_rules_stay() {
        let text = "- {field: 'a[3]', with: last4}\n- {field: a, with: null}\n- {field: a, with: lastfour}\n\
                    - {field: a}\n- {with: hash}\n- {field: a, with: hash, detect: [iban]}\n\
                    - {field: a, with: {redact: 3}}\n- {field: a, with: {hide: x}}\n- 7\n- {field: b, with: hash}\n";
        let (rules, findings) = read(text);
        assert_eq!(rules, ["a Hash", "b Hash"]);
        let expected = [
            "invalid-field-path: 1",
            "missing-value: 2",
            "unknown-value: 3",
            "missing-field: 4",
            "missing-field: 5",
            "unknown-field: 6",
            "wrong-type: 7",
            "missing-field: 8",
            "unknown-field: 8",
            "wrong-type: 9",
        ];
        assert_eq!(findings, expected);
        assert_eq!(read("a: b").1, ["wrong-type: 1"]);
    }
}
