//! Test cases beside the policies: a call, an identity, and what the policies must say. And which rules the cases
//! never reached.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::call_file::CallFile;
use super::decision::{Decision, Outcome};
use super::{PolicySet, RuleExplanation};
use crate::diagnostic::{Diagnostic, Place};
use crate::effect::HeaderChange;

mod check;
mod judge;
mod masked;
mod read;

pub use check::check;
pub use judge::{Judgement, judge};
pub use read::read;

/// Rules that are named to say why a case fails.
const MAX_REASONS: usize = 8;

/// One case of a `*.cases.yaml`.
#[derive(Clone, Debug)]
pub struct Case {
    pub place: Place,
    pub name: String,
    pub call: CallFile,
    pub expect: Expect,
    /// Where `expect` names the rule.
    pub rule_place: Option<Place>,
}

/// What a case expects; what it leaves out may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    pub outcome: Option<&'static str>,
    pub rule: Option<String>,
    pub reason: Option<String>,
    pub status: Option<u16>,
    /// Whether every rule that holds the call approves it by itself.
    pub auto_approved: Option<bool>,
    /// The masked response body, compared as JSON where it is JSON.
    pub body: Option<String>,
    /// Headers that the request is sent on with.
    pub headers: Vec<(String, String)>,
    /// Headers that the caller sees; a name that comes several times is expected so often.
    pub response_headers: Vec<(String, String)>,
}

/// One thing that came out otherwise than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `outcome`, `rule`, `header x-user`, ...
    pub what: String,
    pub expected: String,
    pub got: String,
}

/// How one case ended: nothing in `failures` means that it passed.
#[derive(Clone, Debug)]
pub struct CaseResult {
    pub case: Arc<str>,
    pub place: Place,
    pub failures: Vec<Failure>,
    /// For a case that failed: what the rules said, one line each.
    pub why: Vec<String>,
}

/// How all cases ended.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub results: Vec<CaseResult>,
    /// Rules that applied in no case.
    pub unreached: Vec<Arc<str>>,
    pub rules: usize,
}

/// Runs the cases against the policies.
pub fn run(set: &PolicySet, cases: &[Case]) -> Report {
    let mut reached: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut results = Vec::new();
    for case in cases {
        let judgement = judge(set, &case.call);
        let applied = judgement.rules.iter().filter(|rule| rule.applies());
        reached.extend(applied.map(|rule| rule.rule.clone()));
        let failures = compare(&case.expect, &judgement);
        let why = if failures.is_empty() { Vec::new() } else { reasons(set, case, &judgement) };
        results.push(CaseResult {
            case: case.name.as_str().into(),
            place: case.place.clone(),
            failures,
            why,
        });
    }
    let unreached = set.rule_names().filter(|name| !reached.contains(*name)).cloned().collect();
    Report { results, unreached, rules: set.rule_names().count() }
}

fn compare(expect: &Expect, judgement: &Judgement) -> Vec<Failure> {
    let decision = &judgement.decision;
    let mut failures = Vec::new();
    let mut differ = |what: &str, wanted: Option<&str>, found: &str| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            failures.push(Failure {
                what: what.to_owned(),
                expected: wanted.to_owned(),
                got: found.to_owned(),
            });
        }
    };
    differ("outcome", expect.outcome, decision.outcome.as_str());
    differ("rule", expect.rule.as_deref(), decision.rule.as_deref().unwrap_or("none"));
    differ("reason", expect.reason.as_deref(), decision.reason.as_str());
    let status = status(decision).to_string();
    differ("status", expect.status.map(|status| status.to_string()).as_deref(), &status);
    let auto =
        matches!(&decision.outcome, Outcome::Hold(rules) if rules.len() == decision.auto_approved().len());
    let shown = |auto: bool| if auto { "true" } else { "false" };
    differ("auto_approved", expect.auto_approved.map(shown), shown(auto));
    for (name, wanted) in &expect.headers {
        let name = name.to_ascii_lowercase();
        let found = header(decision, &name).unwrap_or("none");
        differ(&format!("header {name}"), Some(wanted), found);
    }
    failures.extend(response_headers(expect, judgement));
    if let Some(wanted) = &expect.body {
        let got = judgement.body.clone().unwrap_or_else(|| Err("the case gives no response".into()));
        let got = got.unwrap_or_else(|why| format!("none: {why}"));
        if !masked::same(wanted, &got) {
            failures.push(Failure { what: "body".into(), expected: wanted.clone(), got });
        }
    }
    failures
}

/// The expected response headers that the caller sees otherwise.
fn response_headers(expect: &Expect, judgement: &Judgement) -> Vec<Failure> {
    let names: BTreeSet<&String> = expect.response_headers.iter().map(|(name, _)| name).collect();
    let compared = names.into_iter().map(|name| {
        let wanted = expect.response_headers.iter().filter(|(other, _)| other == name);
        let wanted: Vec<_> = wanted.map(|(_, value)| value.as_str()).collect();
        let got = match &judgement.headers {
            Some(Ok(headers)) => masked::shown(headers, name),
            Some(Err(why)) => format!("none: {why}"),
            None => "none: the case gives no response".to_owned(),
        };
        Failure { what: format!("response header {name}"), expected: wanted.join(", "), got }
    });
    compared.filter(|compared| compared.expected != compared.got).collect()
}

/// The status that the caller sees; a call that is allowed has the upstream's, and counts as 200.
pub fn status(decision: &Decision) -> u16 {
    match &decision.outcome {
        Outcome::Allow => 200,
        Outcome::Deny(terms) => terms.status,
        Outcome::Hold(_) | Outcome::Indeterminate => decision.reason.status(),
    }
}

fn header<'d>(decision: &'d Decision, wanted: &str) -> Option<&'d str> {
    decision.headers().request.iter().rev().find_map(|change| match change {
        HeaderChange::Set { name, value } | HeaderChange::Append { name, value } if name == wanted => {
            Some(value.as_str())
        }
        _ => None,
    })
}

/// What the rules said about a case that failed: those that applied or failed and the one that was expected; all of
/// them where none did.
fn reasons(set: &PolicySet, case: &Case, judgement: &Judgement) -> Vec<String> {
    if judgement.rules.is_empty() {
        let on_gateways = !case.call.gateway && !set.candidates(&case.call.request, true).0.is_empty();
        let hint = if on_gateways { "; on a gateway one would: add `gateway: true` to the case" } else { "" };
        return match case.call.request.defect {
            Some(_) => vec!["the call is refused before any rule is asked".into()],
            None => vec![format!("no policy matches the call{hint}")],
        };
    }
    let expected = |rule: &&RuleExplanation| case.expect.rule.as_deref() == Some(&*rule.rule);
    let mut relevant: Vec<_> =
        judgement.rules.iter().filter(|rule| rule.said.is_some() || expected(rule)).collect();
    if relevant.is_empty() {
        relevant = judgement.rules.iter().collect();
    }
    let mut lines: Vec<_> = relevant.iter().take(MAX_REASONS).map(|rule| line(rule)).collect();
    if relevant.len() > MAX_REASONS {
        lines.push(format!("... and {} more rules", relevant.len() - MAX_REASONS));
    }
    lines
}

fn line(rule: &RuleExplanation) -> String {
    let said = match rule.said {
        Some(said) => said.as_str(),
        None => "does not apply",
    };
    let shadow = if rule.enforce { "" } else { " (not enforced)" };
    let note = rule.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let read: Vec<_> = rule.read.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let read = if read.is_empty() { String::new() } else { format!(", with {}", read.join(", ")) };
    format!("{} {said}{shadow}{note}{read}", rule.rule)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} `{}`, got `{}`", self.what, self.expected, self.got)
    }
}

impl Report {
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|result| !result.failures.is_empty()).count()
    }

    /// How many of 100 rules the cases reach, rounded down.
    pub fn coverage(&self) -> usize {
        let reached = self.rules.saturating_sub(self.unreached.len());
        (reached * 100).checked_div(self.rules).unwrap_or(100)
    }

    /// The cases that failed, as findings at their places.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let failed = self.results.iter().filter(|result| !result.failures.is_empty());
        let finding = |result: &CaseResult| {
            let failures: Vec<_> = result.failures.iter().map(ToString::to_string).collect();
            let message = format!("the case `{}` fails: {}", result.case, failures.join("; "));
            Diagnostic::error("failing-case", message).at(result.place.clone())
        };
        failed.map(finding).collect()
    }
}

#[cfg(test)]
mod tests;
