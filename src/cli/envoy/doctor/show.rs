//! Findings for people, scripts and code-review tools.

use serde_json::{Value, json};

use crate::cli::policy::{self, as_json, count, sarif};
use crate::diagnostic::{Diagnostic, Sources, render};
use crate::proxy::doctor::{Examined, Finding, by_id};

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Format {
    Human,
    Json,
    Sarif,
    Github,
}

pub(super) fn shown(examined: &Examined, format: Format, texts: &Sources) -> String {
    let diagnostics: Vec<_> = examined.findings.iter().map(Finding::diagnostic).collect();
    match format {
        Format::Human => {
            let named =
                examined.findings.iter().zip(&diagnostics).map(|(finding, shown)| with_file(finding, shown));
            human(examined, &named.collect::<Vec<_>>(), texts)
        }
        Format::Json => as_json(&examined.findings),
        Format::Sarif => as_json(&sarif_log(&examined.findings, &diagnostics)),
        Format::Github => examined
            .findings
            .iter()
            .zip(&diagnostics)
            .map(|(finding, shown)| github(finding, shown))
            .collect(),
    }
}

fn human(examined: &Examined, diagnostics: &[Diagnostic], texts: &Sources) -> String {
    let errors = diagnostics.iter().filter(|finding| finding.is_error()).count();
    let warnings = diagnostics.len() - errors;
    let assumed =
        if examined.server_known { "" } else { " (without `--config`, documented defaults are assumed)" };
    format!(
        "{}examined {}, {}, {} of Portcullis{assumed}: {}, {}\n",
        render::human(diagnostics, texts, true),
        count(examined.listeners, "listener"),
        count(examined.routes, "route"),
        count(examined.filters, "filter"),
        count(errors, "error"),
        count(warnings, "warning"),
    )
}

fn github(finding: &Finding, shown: &Diagnostic) -> String {
    policy::github(&with_file(finding, shown))
}

/// One without a line names the file in its message.
fn with_file(finding: &Finding, shown: &Diagnostic) -> Diagnostic {
    let message = match shown.place {
        Some(_) => shown.message.clone(),
        None => format!("{}: {}", finding.file, shown.message),
    };
    Diagnostic { message, ..shown.clone() }
}

/// What `policy check` writes, with the rules described, and the path of each finding.
fn sarif_log(findings: &[Finding], diagnostics: &[Diagnostic]) -> Value {
    let mut log = sarif::log(diagnostics);
    let list = |value: &mut Value, pointer: &str| -> Vec<Value> {
        value.pointer_mut(pointer).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
    };
    let rules = list(&mut log, "/runs/0/tool/driver/rules");
    let rules: Vec<_> = rules.into_iter().map(described).collect();
    let results = list(&mut log, "/runs/0/results");
    let results: Vec<_> = results.into_iter().zip(findings).map(located).collect();
    if let Some(place) = log.pointer_mut("/runs/0/tool/driver/rules") {
        *place = Value::Array(rules);
    }
    if let Some(place) = log.pointer_mut("/runs/0/results") {
        *place = Value::Array(results);
    }
    log
}

fn described(rule: Value) -> Value {
    let Some(rule) = rule.get("id").and_then(Value::as_str).and_then(by_id) else { return rule };
    let level = rule.severity.as_str();
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": format!("{} {}", rule.what, rule.why)},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": level},
    })
}

fn located((mut result, finding): (Value, &Finding)) -> Value {
    let logical = json!([{"fullyQualifiedName": finding.path}]);
    let Some(locations) = result.get_mut("locations").and_then(Value::as_array_mut) else { return result };
    if locations.is_empty() {
        let uri = sarif::uri(&finding.file);
        locations.push(json!({"physicalLocation": {"artifactLocation": {"uri": uri}}}));
    }
    if let Some(location) = locations.first_mut().and_then(Value::as_object_mut) {
        location.insert("logicalLocations".to_owned(), logical);
    }
    result
}
