//! Findings for people, scripts and code-review tools.

use serde_json::{Value, json};

use crate::cli::policy::{self, as_json, count, sarif};
use crate::diagnostic::{Diagnostic, Sources, render};
use crate::proxy::doctor::{Examined, Finding, Rule};

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

/// The findings with their rules described, each at its line or file and at its path.
fn sarif_log(findings: &[Finding], diagnostics: &[Diagnostic]) -> Value {
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable_by_key(|rule| rule.id);
    rules.dedup_by_key(|rule| rule.id);
    let results = findings.iter().zip(diagnostics).map(|(finding, shown)| located(finding, shown));
    sarif::document(rules.into_iter().map(described).collect(), results.collect())
}

fn described(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": format!("{} {}", rule.what, rule.why)},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": rule.severity.as_str()},
    })
}

fn located(finding: &Finding, shown: &Diagnostic) -> Value {
    let mut result = sarif::result(shown);
    let Some(locations) = result.get_mut("locations").and_then(Value::as_array_mut) else { return result };
    if locations.is_empty() {
        let uri = sarif::uri(&finding.file);
        locations.push(json!({"physicalLocation": {"artifactLocation": {"uri": uri}}}));
    }
    if let Some(location) = locations.first_mut().and_then(Value::as_object_mut) {
        location.insert("logicalLocations".to_owned(), json!([{"fullyQualifiedName": finding.path}]));
    }
    result
}
