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
                "artifactLocation": {"uri": place.file},
                "region": {"startLine": place.line.max(1), "startColumn": place.column.max(1)},
            }})
        })
        .collect();
    json!({"ruleId": finding.code, "level": level, "message": {"text": text}, "locations": locations})
}
