//! The pages of documentation: one for each rule, and the table of all.

use super::manifests::fields;
use super::rule::Rule;
use super::rules::RULES;
use crate::diagnostic::Severity;

const MADE: &str = "<!-- made by `make docs` -->\n";

/// A rule's page, in Markdown.
pub fn page(rule: &Rule) -> String {
    let test = rule.test.map(|test| format!(" Test: `{test}` in `tests/e2e/doctor/`.")).unwrap_or_default();
    let fields = fields(rule.id).map(|fields| format!("{fields}\n\n")).unwrap_or_default();
    format!(
        "# {}: {}\n\n**{}.** {}\n\n## Why it matters\n\n{}\n\n## What shows it\n\n{}{test}\n\n## What to do\n\n{}\n\n{fields}\
         ```yaml\n{}```\n",
        rule.id,
        rule.title,
        severity(rule),
        rule.what,
        rule.why,
        rule.demonstrated,
        rule.fix,
        rule.example,
    )
}

/// Every file of `docs/doctor/`, by its name.
pub fn pages() -> Vec<(String, String)> {
    let row = |rule: &&Rule| {
        format!("| [`{0}`]({0}.md) | {1} | {2} |\n", rule.id, severity(rule).to_lowercase(), rule.title)
    };
    let rows: String = RULES.iter().map(row).collect();
    let index = format!(
        "{MADE}# What `portcullis envoy doctor` finds\n\nAn error lets calls slip by, or fails calls that should pass; a \
         warning may. `--ignore RULE` leaves a rule out, `--ignore RULE@PATH` at one place.\n\n\
         | rule | severity | what is wrong |\n|---|---|---|\n{rows}"
    );
    let pages = RULES.iter().map(|rule| (format!("{}.md", rule.id), format!("{MADE}{}", page(rule))));
    std::iter::once(("README.md".to_owned(), index)).chain(pages).collect()
}

fn severity(rule: &Rule) -> &'static str {
    match rule.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
    }
}
