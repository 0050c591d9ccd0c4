//! Findings as SARIF 2.1.0, which code-review tools read.

use serde_json::{Value, json};

use crate::diagnostic::Diagnostic;

/// The findings of policies, with their codes described.
pub fn log(findings: &[Diagnostic]) -> Value {
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    rules.sort_unstable();
    rules.dedup();
    document(rules.into_iter().map(rule).collect(), findings.iter().map(result).collect())
}

/// The whole log of a run that had these rules and these results.
pub(in crate::cli) fn document(rules: Vec<Value>, results: Vec<Value>) -> Value {
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

/// The table of all findings: what each is and what to do about it.
const FINDINGS: &str = include_str!("../../../docs/findings.md");

/// A code with its description from the documentation, and where that stands.
fn rule(id: &str) -> Value {
    let Some((section, what, fix)) = documented(id) else { return json!({"id": id}) };
    let uri = format!("{}/docs/findings.md#{}", env!("CARGO_PKG_REPOSITORY"), anchor(section));
    let mut rule = json!({
        "id": id,
        "fullDescription": {"text": what},
        "helpUri": uri,
    });
    if !fix.is_empty()
        && let Some(fields) = rule.as_object_mut()
    {
        fields.insert("help".into(), json!({"text": fix}));
    }
    rule
}

/// The section that explains the code, what it says that is wrong, and the fix.
fn documented(id: &str) -> Option<(&'static str, String, String)> {
    let mut section = "";
    for line in FINDINGS.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        // A bar inside a cell is escaped.
        let cells: Vec<_> = line.replace("\\|", "\u{1}").split('|').map(plain).collect();
        if let [_, code, _, what, _, fix, _] = cells.as_slice()
            && code == id
        {
            return Some((section, what.clone(), fix.clone()));
        }
    }
    None
}

/// The text of a table's cell, without what marks code.
fn plain(cell: &str) -> String {
    cell.trim().replace('`', "").replace('\u{1}', "|")
}

/// A heading as the anchor that a rendered page gives it.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

/// One finding; without a place it has no location.
pub(in crate::cli) fn result(finding: &Diagnostic) -> Value {
    let level = finding.severity.as_str();
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
pub(in crate::cli) fn uri(path: &str) -> String {
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
    fn rules_say_what_they_are_and_where_that_is_explained() {
        let log = log(&[Diagnostic::warning("idle-part", "odd"), Diagnostic::error("not-documented", "odd")]);
        let rules = &log["runs"][0]["tool"]["driver"]["rules"];
        assert_eq!(rules[0]["fullDescription"]["text"], "a part of the condition that changes nothing");
        assert_eq!(rules[0]["help"]["text"], "remove or mend it");
        assert!(rules[0]["helpUri"].as_str().unwrap().ends_with("/docs/findings.md#meaning"));
        assert_eq!(rules[1], json!({"id": "not-documented"}));
        assert!(documented("invalid-expression").unwrap().2.contains("||"), "an escaped bar");
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
