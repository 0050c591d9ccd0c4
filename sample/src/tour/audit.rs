//! Reads the audit trail that the tour left.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The records that are whole; the last line may still be on its way.
pub(super) fn records(path: &Path) -> Vec<Value> {
    let trail = fs::read_to_string(path).unwrap_or_default();
    trail.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How many records are of this kind and have this value at `pointer`.
pub(super) fn count(records: &[Value], kind: &str, pointer: &str, value: &str) -> usize {
    let of_kind = records.iter().filter(|record| text(record, "/kind") == kind);
    of_kind.filter(|record| text(record, pointer) == value).count()
}

/// One record on one line, with what a person looks for.
pub(super) fn summary(record: &Value) -> String {
    let words = match text(record, "/kind") {
        "decision" => {
            vec!["/outcome", "/reason", "/identity/subject", "/method", "/path", "/rule", "/approvers/0"]
        }
        "response" => vec!["/outcome", "/reason"],
        "approval" => vec!["/change", "/rules/0"],
        "vote" => vec!["/choice", "/identity/subject", "/comment"],
        _ => return record.to_string(),
    };
    let words = words.into_iter().map(|pointer| text(record, pointer)).filter(|word| !word.is_empty());
    let mut line = format!("{:9}{}", text(record, "/kind"), words.collect::<Vec<_>>().join(" "));
    if let Some(fields) = record.get("masked_fields") {
        line.push_str(&format!(" (masked fields: {fields})"));
    }
    line
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_torn_last_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "{\"kind\":\"vote\",\"choice\":\"approve\"}\n{\"kind\":\"vo").unwrap();
        let records = records(&path);
        assert_eq!(records.len(), 1);
        assert_eq!(count(&records, "vote", "/choice", "approve"), 1);
        assert_eq!(count(&records, "decision", "/choice", "approve"), 0);
    }

    #[test]
    fn a_summary_shows_what_there_is() {
        let decision = json!({
            "kind": "decision", "outcome": "deny", "reason": "unauthenticated", "method": "GET", "path": "/v1/orders",
        });
        assert_eq!(summary(&decision), "decision deny unauthenticated GET /v1/orders");
        let response = json!({"kind": "response", "outcome": "masked", "masked_fields": 3});
        assert_eq!(summary(&response), "response masked (masked fields: 3)");
    }
}
