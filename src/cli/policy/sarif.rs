//! Findings as SARIF 2.1.0, which code-review tools read.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Severity};

pub fn log(findings: &[Diagnostic]) -> Value {
    let results: Vec<_> = findings.iter().map(result).collect();
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<_> = rules.into_iter().map(|id| json!({"id": id})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "portcullis",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Diagnostic) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &finding.help {
        Some(help) => format!("{} ({help})", finding.message),
        None => finding.message.clone(),
    };
    let locations: Vec<_> = finding
        .place
        .iter()
        .map(|place| {
            json!({"physicalLocation": {
                "artifactLocation": {"uri": uri(&place.file)},
                "region": {"startLine": place.line.max(1), "startColumn": place.column.max(1)},
            }})
        })
        .collect();
    json!({"ruleId": finding.code, "level": level, "message": {"text": text}, "locations": locations})
}

/// A path as a URI reference: what a URI can't have is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into())
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    /// What the schema of SARIF 2.1.0 requires of the objects that are used, and the values that it lists.
    fn validate(log: &Value) {
        assert_eq!(log["version"], "2.1.0");
        for run in log["runs"].as_array().unwrap() {
            let driver = &run["tool"]["driver"];
            assert!(driver["name"].is_string());
            let rules = driver["rules"].as_array().unwrap();
            let ids: Vec<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
            assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "`uniqueItems`");
            assert!(["utf16CodeUnits", "unicodeCodePoints"].contains(&run["columnKind"].as_str().unwrap()));
            for result in run["results"].as_array().unwrap() {
                assert!(result["message"]["text"].is_string(), "required");
                assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
                assert!(ids.contains(&result["ruleId"].as_str().unwrap()));
                for location in result["locations"].as_array().unwrap() {
                    let physical = &location["physicalLocation"];
                    let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
                    uri.parse::<http::Uri>().unwrap_or_else(|error| panic!("{uri}: {error}"));
                    for field in ["startLine", "startColumn"] {
                        assert!(physical["region"][field].as_u64().unwrap() >= 1, "`minimum`");
                    }
                }
            }
        }
    }

    #[test]
    fn logs_have_what_the_schema_requires() {
        let place = |file: &str, line| Place { file: file.into(), line, column: 0, offset: 0, len: 0 };
        validate(&log(&[]));
        let findings = [
            Diagnostic::error("b-code", "wrong").at(place("/my policies/ü.yaml", 3)).help("mend it"),
            Diagnostic::warning("a-code", "odd").at(place("p.yaml", 0)),
            Diagnostic::warning("a-code", "without a place"),
        ];
        let log = log(&findings);
        validate(&log);
        let first = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(first["artifactLocation"]["uri"], "/my%20policies/%C3%BC.yaml");
    }
}
