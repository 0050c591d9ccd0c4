//! What a mask rule looks for, as people write it:
//!
//! ```yaml
//! - {detect: [card, iban], with: redact}
//! - {detect: {pattern: "EMP-[0-9]{6}", name: employee}, near: [staff], field: notes, with: hash}
//! ```

use serde_json::{Map, Value as Json, json};

use super::{Confidence, Detect, DetectError, Detector, Kind, Pattern, Words};
use crate::document::{Fields, Node, Reader, Value};

const CONFIDENCES: [(&str, Confidence); 3] =
    [("low", Confidence::Low), ("medium", Confidence::Medium), ("high", Confidence::High)];

/// The fields of a rule about what it looks for, which `read` reads again.
pub fn to_json(detect: &Detect) -> Map<String, Json> {
    let detectors: Vec<Json> = detect.detectors().iter().map(detector_to_json).collect();
    let mut fields = Map::new();
    fields.insert("detect".to_owned(), Json::Array(detectors));
    if let Some(near) = detect.near() {
        fields.insert("near".to_owned(), json!(near));
    }
    if detect.within() != Detect::DEFAULT_WITHIN {
        fields.insert("within".to_owned(), json!(detect.within()));
    }
    let word = CONFIDENCES.iter().find(|(_, confidence)| *confidence == detect.min_confidence());
    if let Some((word, _)) = word.filter(|(_, confidence)| *confidence != Confidence::Medium) {
        fields.insert("min_confidence".to_owned(), json!(word));
    }
    fields
}

fn detector_to_json(detector: &Detector) -> Json {
    match detector {
        Detector::Known(kind) => kind.name().into(),
        Detector::Pattern { name, pattern } => json!({"name": name, "pattern": pattern.source()}),
        Detector::Words { name, words } => json!({"name": name, "words": words.words()}),
    }
}

/// Reads `detect` and the fields that go with it from a rule. `Ok(None)` when there is none; `Err` when there is one with a
/// mistake, which has been reported.
pub fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Result<Option<Detect>, ()> {
    let place = fields.span;
    let detect = fields.optional("detect");
    let near_node = fields.optional("near");
    let within_node = fields.optional("within");
    let confidence_node = fields.optional("min_confidence");
    let Some(detect) = detect else {
        for (name, node) in
            [("near", near_node), ("within", within_node), ("min_confidence", confidence_node)]
        {
            if let Some(node) = node {
                let message = format!("`{name}` says how `detect` looks, and this rule has no `detect`");
                reader.error(node.span, "missing-field", message);
            }
        }
        return if near_node.or(within_node).or(confidence_node).is_some() { Err(()) } else { Ok(None) };
    };
    let detectors = detectors(detect, reader);
    let near = near_node.map(|node| reader.strings(node, "near").ok_or(())).transpose();
    let within = within_node.map(|node| reader.integer(node, "within", 0..=128).ok_or(())).transpose();
    let confidence =
        confidence_node.map(|node| reader.word(node, "confidence", &CONFIDENCES).ok_or(())).transpose();
    let within = within?.and_then(|within| usize::try_from(within).ok()).unwrap_or(Detect::DEFAULT_WITHIN);
    let made = Detect::new(detectors.ok_or(())?, near?, within, confidence?.unwrap_or(Confidence::Medium));
    made.map(Some).map_err(|error| {
        let span = match &error {
            DetectError::Near(_) => near_node.map_or(place, |node| node.span),
            _ => detect.span,
        };
        reader.error(span, "invalid-detector", error.to_string());
    })
}

fn detectors(node: &Node, reader: &mut Reader) -> Option<Vec<Detector>> {
    match &node.value {
        Value::Seq(items) => {
            let read: Vec<_> = items.iter().map(|item| detector(item, reader)).collect();
            read.into_iter().collect()
        }
        _ => detector(node, reader).map(|detector| vec![detector]),
    }
}

fn detector(node: &Node, reader: &mut Reader) -> Option<Detector> {
    if !matches!(node.value, Value::Map(_)) {
        let words = Kind::ALL.map(|kind| (kind.name(), kind));
        return reader.word(node, "detector", &words).map(Detector::Known);
    }
    let mut fields = reader.fields(node, "a detector")?;
    let name =
        fields.required("name", reader).and_then(|node| reader.string(node, "name")).map(str::to_owned);
    let (pattern, words) = (fields.optional("pattern"), fields.optional("words"));
    fields.close(reader);
    let (span, made) = match (pattern, words) {
        (Some(pattern), None) => {
            let made = Pattern::new(reader.string(pattern, "pattern")?);
            (pattern.span, made.map(|pattern| name.map(|name| Detector::Pattern { name, pattern })))
        }
        (None, Some(words)) => {
            let made = Words::new(reader.strings(words, "words")?);
            (words.span, made.map(|words| name.map(|name| Detector::Words { name, words })))
        }
        _ => {
            let help = "write `pattern: \"...\"` or `words: [...]`";
            let message = "a detector has either a pattern or words";
            reader.error_with_help(node.span, "missing-field", message, help);
            return None;
        }
    };
    made.unwrap_or_else(|error| {
        reader.error(span, "invalid-detector", error.to_string());
        None
    })
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::read;
    use super::super::{FieldPath, rule_to_json, rules_from_node};
    use crate::document::{Node, Reader, Span};

    #[test]
    fn what_is_read_is_written_and_read_again() {
        let (rules, findings) = read(
            "- {detect: card, with: redact}\n\
             - {detect: [iban, ssn, email, phone, ip, jwt, api_key, private_key], with: hash, min_confidence: low}\n\
             - {detect: {pattern: 'EMP-[0-9]{6}', name: employee}, near: [staff], within: 20, field: notes, with: last4}\n\
             - {detect: [card, {words: [Bluebird], name: codename}], with: remove, min_confidence: high}\n",
        );
        assert_eq!(findings, [""; 0]);
        assert_eq!(rules.len(), 4);
        assert_eq!(rules[0].field, FieldPath::everything());
        assert_eq!(rules[2].field.as_str(), "notes");
        let written = serde_json::Value::Array(rules.iter().map(rule_to_json).collect());
        let node = Node::from_json(written, Span::default());
        let mut reader = Reader::new(&"again".into());
        assert_eq!(rules_from_node(&node, &mut reader), rules);
        assert!(reader.findings.is_empty());
    }

    #[test]
    fn mistakes_are_reported_at_their_place() {
        let (rules, findings) = read(
            "- {detect: crad, with: redact}\n- {detect: [], with: redact}\n\
             - {detect: {pattern: 'a+', name: x}, with: redact}\n- {detect: {name: x}, with: redact}\n\
             - {detect: card, within: 200, with: redact}\n- {detect: card, with: null}\n\
             - {field: a, near: [b], with: redact}\n- {detect: {words: [a], name: x}, with: redact}\n\
             - {detect: card, near: [], with: redact}\n- {detect: {pattern: a, name: 'x y'}, with: redact}\n",
        );
        assert_eq!(rules, []);
        assert_eq!(
            findings,
            [
                "rules.yaml:1:12: error[unknown-value]: unknown detector `crad` (did you mean `card`?)",
                "rules.yaml:2:12: error[invalid-detector]: there is nothing to detect",
                "rules.yaml:3:22: error[invalid-detector]: what the pattern matches has no longest length: bound its repetitions, as in `{1,512}`",
                "rules.yaml:4:12: error[missing-field]: a detector has either a pattern or words (write `pattern: \"...\"` or `words: [...]`)",
                "rules.yaml:5:26: error[out-of-range]: within is 200, not in 0 to 128",
                "rules.yaml:6:24: error[invalid-mask-method]: `null` has no place within a text (write `redact`, `remove`, `hash` or a partial method)",
                "rules.yaml:7:20: error[missing-field]: `near` says how `detect` looks, and this rule has no `detect`",
                "rules.yaml:8:20: error[invalid-detector]: the word `a` is shorter than 2 bytes or longer than 128",
                "rules.yaml:9:24: error[invalid-detector]: the words to stand near: the list has no words",
                "rules.yaml:10:12: error[invalid-detector]: the name `x y` of a detector is empty, longer than 64 bytes, or has other signs than letters, digits, `_` and `-`",
            ]
        );
    }
}
