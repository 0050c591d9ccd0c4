//! Why the policies say what they say about one call: each candidate rule, what it read, what it said.

use std::sync::Arc;

use serde::Serialize;

use super::cel::Scope;
use super::cel::attribute::Attribute;
use super::decision::{Call, HeadersRead, Said};
use super::route::Candidate;
use super::rule::{Rule, Verdict};
use super::{PolicySet, decide};

/// Headers whose values are credentials.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "x-forwarded-client-cert"];
const HIDDEN: &str = "<hidden>";
/// Longer values are cut off.
const LONGEST_SHOWN: usize = 200;

/// Every candidate rule's part in the verdict.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    pub rules: Vec<RuleExplanation>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RuleExplanation {
    /// `policy/rule`.
    pub rule: Arc<str>,
    pub enforce: bool,
    /// Attributes and their values; credentials are hidden.
    pub read: Vec<(String, String)>,
    /// What it says; `None` when its condition is not met.
    pub said: Option<Said>,
    /// Why it could not be evaluated, or what it still waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl RuleExplanation {
    /// Whether the condition was met.
    pub fn applies(&self) -> bool {
        self.said.is_some_and(|said| said != Said::Error)
    }
}

pub fn explain(set: &PolicySet, candidates: &[Candidate], call: &Call<'_>) -> Explanation {
    let mut scope = Scope::of(*call);
    let rules = decide::asked(set, candidates).map(|asked| {
        scope.capture(set.index.captures(asked.candidate));
        let policy = set.policies.get(asked.candidate.place());
        explain_rule(asked.rule, policy.map_or(&[], |policy| &policy.captures), &scope, call)
    });
    Explanation { rules: rules.collect() }
}

fn explain_rule(rule: &Rule, captures: &[String], scope: &Scope<'_>, call: &Call<'_>) -> RuleExplanation {
    let (said, note) = if rule.reads_response() && call.response.is_none() {
        (None, Some("decided once the response is known".to_owned()))
    } else {
        match rule.applies(scope) {
            Ok(true) => (Some(effect(rule)), None),
            Ok(false) => (None, None),
            Err(error) => (Some(Said::Error), Some(error.to_string())),
        }
    };
    let read = read(rule, captures, scope, call);
    RuleExplanation { rule: rule.name.clone(), enforce: rule.enforce, read, said, note }
}

/// What the rule says where it applies: its verdict, or else its obligation.
pub fn effect(rule: &Rule) -> Said {
    match &rule.verdict {
        Some(Verdict::Allow) => Said::Allow,
        Some(Verdict::Deny(_)) => Said::Deny,
        Some(Verdict::Hold(_)) => Said::Hold,
        None if rule.masks.is_empty() => Said::Headers,
        None => Said::Mask,
    }
}

fn read(rule: &Rule, captures: &[String], scope: &Scope<'_>, call: &Call<'_>) -> Vec<(String, String)> {
    let mut read = Vec::new();
    for attribute in &rule.reads.attributes {
        if *attribute == Attribute::Headers {
            read.extend(headers(rule, call));
            continue;
        }
        let value = match scope.attribute(*attribute) {
            Ok(_) if *attribute == Attribute::ResponseHeaders => "<headers>".to_owned(),
            Ok(value) => cut(&value.to_json().to_string()),
            Err(error) => format!("<{error}>"),
        };
        read.push((attribute.name(captures), value));
    }
    read
}

fn headers(rule: &Rule, call: &Call<'_>) -> Vec<(String, String)> {
    let names = match rule.reads.headers_read() {
        HeadersRead::Named(names) => names,
        HeadersRead::All => call.request.headers.iter().map(|header| header.name.clone()).collect(),
    };
    let shown = names.into_iter().map(|name| {
        let value = match call.request.headers.joined(&name) {
            Ok(Some(_)) if SECRET_HEADERS.contains(&name.as_str()) => HIDDEN.to_owned(),
            Ok(Some(value)) => cut(&serde_json::Value::from(value.as_ref()).to_string()),
            Ok(None) => "<absent>".to_owned(),
            Err(error) => format!("<{error}>"),
        };
        (format!("request.headers['{name}']"), value)
    });
    shown.collect()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_SHOWN {
        return text.to_owned();
    }
    text.chars().take(LONGEST_SHOWN).chain(['…']).collect()
}
