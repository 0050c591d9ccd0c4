//! What changed from one set of policies to another, rule by rule, and whether it lets through more or less.
//!
//! Layout, comments, the order of rules and of `&&` and `||`, and defaults written out are no changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::lint::{Relation, conditions, routes};
use super::outline::{Outline, RuleOutline};
use super::rule::Verdict;
use super::{Options, SourceFile, source};
use crate::diagnostic::Place;

mod terms;
mod verdict;

pub use verdict::{VerdictChange, verdicts};

/// What a change does to callers, the most dangerous first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A deny, hold or mask is gone, is no longer enforced, or covers less.
    Unprotects,
    /// More is allowed, or approved more easily.
    Loosens,
    /// Which of the two can't be told.
    Changes,
    /// Less is allowed.
    Tightens,
    /// Only what people are told changes, or what is recorded.
    Wording,
}

/// One change. `change` is stable and kebab-case (`rule-removed`), for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub risk: Risk,
    pub change: &'static str,
    /// `policy` or `policy/rule`.
    pub name: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// In the new policies; in the old ones for what is gone.
    #[serde(flatten)]
    pub place: Place,
}

/// The changes between policies that compile, the most dangerous first; what does not compile is left out.
pub fn changes(old: &[SourceFile], new: &[SourceFile]) -> Vec<Change> {
    let read = |files: &[SourceFile]| source::outlines(files, &Options { gateway: true }).0;
    let (old, new) = (read(old), read(new));
    let by_name = |set: &'_ [Outline]| set.iter().map(|policy| policy.name.clone()).collect::<BTreeSet<_>>();
    let (old_names, new_names) = (by_name(&old), by_name(&new));
    let named = |set: &[Outline], name: &str| set.iter().find(|policy| policy.name == name).cloned();
    let mut changes = Vec::new();
    for name in old_names.union(&new_names) {
        match (named(&old, name), named(&new, name)) {
            (Some(old), Some(new)) => both(&old, &new, &mut changes),
            (Some(gone), None) => {
                changes.extend(gone.rules.iter().map(|rule| removed(rule, "with its policy")))
            }
            (None, Some(added)) => {
                changes.extend(added.rules.iter().map(|rule| self::added(rule, "with its policy")))
            }
            (None, None) => {}
        }
    }
    changes.sort_by(|a, b| {
        (a.risk, &a.name, a.change, &a.message).cmp(&(b.risk, &b.name, b.change, &b.message))
    });
    changes
}

fn both(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    matches(old, new, changes);
    let names = |policy: &Outline| -> BTreeMap<String, RuleOutline> {
        policy.rules.iter().map(|rule| (rule.name.to_string(), rule.clone())).collect()
    };
    let (mut gone, mut come) = (names(old), names(new));
    let common: Vec<String> = gone.keys().filter(|name| come.contains_key(*name)).cloned().collect();
    for name in common {
        if let (Some(old), Some(new)) = (gone.remove(&name), come.remove(&name)) {
            rules(&old, &new, changes);
        }
    }
    for old in gone.into_values() {
        let same = come.iter().find(|(_, new)| content(new) == content(&old)).map(|(name, _)| name.clone());
        match same.and_then(|name| come.remove(&name)) {
            Some(new) => changes.push(renamed(&old, &new)),
            None => changes.push(removed(&old, "")),
        }
    }
    changes.extend(come.values().map(|rule| added(rule, "")));
}

/// A rule without its name.
fn content(rule: &RuleOutline) -> String {
    let verdict = terms::shown(rule.verdict.as_ref());
    format!("{} {} {verdict} {} {}", rule.enforce, rule.condition(), rule.masks, rule.headers)
}

/// What more calls of the rule do.
fn risk_of_more(rule: &RuleOutline) -> Risk {
    match &rule.verdict {
        _ if !rule.enforce => Risk::Wording,
        Some(Verdict::Allow) => Risk::Loosens,
        Some(Verdict::Deny(_)) => Risk::Tightens,
        // It holds what passed, and may let pass what was denied.
        Some(Verdict::Hold(_)) => Risk::Changes,
        None if rule.masks.is_null() => Risk::Changes,
        None => Risk::Tightens,
    }
}

/// What fewer calls of the rule do.
fn risk_of_less(rule: &RuleOutline) -> Risk {
    match &rule.verdict {
        _ if !rule.enforce => Risk::Wording,
        _ if rule.protects() => Risk::Unprotects,
        Some(_) => Risk::Tightens,
        None => Risk::Changes,
    }
}

fn change(rule: &RuleOutline, risk: Risk, change: &'static str, message: String) -> Change {
    let (name, place) = (rule.name.to_string(), rule.place.clone());
    Change { risk, change, name, message, before: None, after: None, place }
}

fn added(rule: &RuleOutline, how: &str) -> Change {
    let message = joined(&[&format!("new: {}", terms::effects(rule)), how]);
    Change { after: Some(when(rule)), ..change(rule, risk_of_more(rule), "rule-added", message) }
}

fn removed(rule: &RuleOutline, how: &str) -> Change {
    let message = joined(&[&format!("gone: {}", terms::effects(rule)), how]);
    Change { before: Some(when(rule)), ..change(rule, risk_of_less(rule), "rule-removed", message) }
}

fn renamed(old: &RuleOutline, new: &RuleOutline) -> Change {
    let void = if matches!(new.verdict, Some(Verdict::Hold(_))) {
        "; approvals of calls that wait are void"
    } else {
        ""
    };
    change(new, Risk::Wording, "rule-renamed", format!("renamed, was `{}`{void}", old.name))
}

fn joined(parts: &[&str]) -> String {
    parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn when(rule: &RuleOutline) -> String {
    rule.when.as_ref().map_or_else(|| "always".into(), |when| in_one_line(&when.text))
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn matches(old: &Outline, new: &Outline, changes: &mut Vec<Change>) {
    let relation = routes(&old.entries, &new.entries);
    let rules = || new.rules.iter();
    let (risk, message) = match relation {
        Relation::Same => return,
        Relation::Wider => (rules().map(risk_of_more).min(), "`match` lets in more calls"),
        Relation::Narrower => (rules().map(risk_of_less).min(), "`match` lets in fewer calls"),
        Relation::Unknown => {
            let both = rules().map(risk_of_less).chain(rules().map(risk_of_more));
            (both.min(), "`match` lets in other calls")
        }
    };
    changes.push(Change {
        risk: risk.unwrap_or(Risk::Changes),
        change: "match-changed",
        name: new.name.clone(),
        message: message.into(),
        before: Some(route(old)),
        after: Some(route(new)),
        place: new.place.clone(),
    });
}

fn route(policy: &Outline) -> String {
    if policy.matches.is_null() { "every call".into() } else { policy.matches.to_string() }
}

/// The changes of a rule that keeps its name.
fn rules(old: &RuleOutline, new: &RuleOutline, changes: &mut Vec<Change>) {
    if old.enforce != new.enforce {
        let (risk, message) = if new.enforce {
            (risk_of_more(new), "is enforced now, and was only recorded")
        } else {
            (risk_of_less(old), "is no longer enforced, only recorded")
        };
        changes.push(change(new, risk, "enforce-changed", format!("{}: {message}", terms::effects(new))));
    }
    let shadow = !old.enforce && !new.enforce;
    let seen = |risk: Risk| if shadow { Risk::Wording } else { risk };
    condition(old, new, changes);
    if let Some((risk, message)) = terms::verdict(old.verdict.as_ref(), new.verdict.as_ref()) {
        changes.push(change(new, seen(risk), "verdict-changed", message));
    }
    for (risk, message) in terms::masks(&old.masks, &new.masks) {
        changes.push(change(new, seen(risk), "mask-changed", message));
    }
    if old.headers != new.headers {
        let shown = |headers: &serde_json::Value| (!headers.is_null()).then(|| headers.to_string());
        let base = change(new, seen(Risk::Changes), "headers-changed", "the header changes differ".into());
        changes.push(Change { before: shown(&old.headers), after: shown(&new.headers), ..base });
    }
}

fn condition(old: &RuleOutline, new: &RuleOutline, changes: &mut Vec<Change>) {
    let (risk, message) = match conditions(&old.formula(), &new.formula()) {
        Relation::Same => return,
        Relation::Wider => (risk_of_more(new), "applies to more calls"),
        Relation::Narrower => (risk_of_less(new), "applies to fewer calls"),
        Relation::Unknown if new.enforce => (Risk::Changes, "applies to other calls"),
        Relation::Unknown => (Risk::Wording, "applies to other calls"),
    };
    let message = format!("{}: {message}", terms::effects(new));
    let base = change(new, risk, "condition-changed", message);
    changes.push(Change { before: Some(when(old)), after: Some(when(new)), ..base });
}

#[cfg(test)]
mod tests;
