//! What changed from one set of policies to another, rule by rule, and whether it lets through more or less.
//!
//! Layout, comments, the order of rules and of `&&` and `||`, and defaults written out are no changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::lint::{Relation, Transitions, routes};
use super::outline::{Outline, RuleOutline};
use super::rule::Verdict;
use super::{Options, SourceFile, source};
use crate::diagnostic::Place;

mod hold;
mod risk;
mod terms;
mod verdict;

pub use risk::Risk;
pub use verdict::{VerdictChange, verdicts};

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

fn change(rule: &RuleOutline, risk: Risk, change: &'static str, message: String) -> Change {
    let (name, place) = (rule.name.to_string(), rule.place.clone());
    Change { risk, change, name, message, before: None, after: None, place }
}

fn added(rule: &RuleOutline, how: &str) -> Change {
    let failing = if denies_by_failing(rule) { "; it denies calls on which it fails" } else { "" };
    let message = joined(&[&format!("new: {}", terms::effects(rule)), how]) + failing;
    Change { after: Some(when(rule)), ..change(rule, risk::of_more(rule).risk(), "rule-added", message) }
}

fn removed(rule: &RuleOutline, how: &str) -> Change {
    let failing = if denies_by_failing(rule) { "; it denied calls on which it failed" } else { "" };
    let message = joined(&[&format!("gone: {}", terms::effects(rule)), how]) + failing;
    Change { before: Some(when(rule)), ..change(rule, risk::of_less(rule).risk(), "rule-removed", message) }
}

/// Whether failing is worth a word: a rule that denies does so when it fails too.
fn denies_by_failing(rule: &RuleOutline) -> bool {
    rule.enforce && !matches!(rule.verdict, Some(Verdict::Deny(_))) && rule.may_fail()
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
    let captures = old.rules.iter().chain(&new.rules).any(|rule| rule.reads_captures);
    let all = |of: fn(&RuleOutline) -> risk::Effect| {
        new.rules.iter().map(of).fold(risk::Effect::default(), risk::Effect::and)
    };
    let (effect, message) = match routes(&old.entries, &new.entries, captures) {
        Relation::Same => return,
        Relation::Wider => (all(risk::of_more), "`match` lets in more calls"),
        Relation::Narrower => (all(risk::of_less), "`match` lets in fewer calls"),
        Relation::Unknown => {
            let message = if captures {
                "`match` lets in other calls, or captures other parts of their paths"
            } else {
                "`match` lets in other calls"
            };
            (all(risk::of_less).and(all(risk::of_more)), message)
        }
    };
    changes.push(Change {
        risk: effect.risk(),
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
        let (effect, message) = if new.enforce {
            (risk::of_more(new), "is enforced now, and was only recorded")
        } else {
            (risk::of_less(old), "is no longer enforced, only recorded")
        };
        let message = format!("{}: {message}", terms::effects(new));
        changes.push(change(new, effect.risk(), "enforce-changed", message));
    }
    // What enforcing did, or does no more, was told above.
    let enforced = old.enforce && new.enforce;
    let seen = |risk: Risk| if enforced { risk } else { Risk::Wording };
    let body = risk::of_body(old, new);
    condition(old, new, changes);
    if let Some((risk, message)) = terms::verdict(old.verdict.as_ref(), new.verdict.as_ref()) {
        changes.push(change(new, seen(body.with(risk)), "verdict-changed", message));
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
    if old.condition() == new.condition() {
        return;
    }
    let transitions = Transitions::between(&old.formula(), &new.formula());
    let body = risk::of_body(old, new);
    let enforced = old.enforce && new.enforce;
    let risk = match enforced {
        true if transitions.more() && transitions.less() => Risk::Changes,
        true => risk::of(new, &transitions).and(body).risk(),
        false => Risk::Wording,
    };
    let told = answers(&transitions, old.needs_body, new.needs_body);
    let Some(told) = told else { return };
    let message = format!("{}: {told}", terms::effects(new));
    let base = change(new, risk, "condition-changed", message);
    changes.push(Change { before: Some(when(old)), after: Some(when(new)), ..base });
}

/// What becomes of a condition's answers, in words; `None` when they are the same on every call.
fn answers(change: &Transitions, body_before: bool, body_after: bool) -> Option<String> {
    let applies = match (change.more(), change.less()) {
        (true, true) => Some("applies to other calls"),
        (true, false) => Some("applies to more calls"),
        (false, true) => Some("applies to fewer calls"),
        (false, false) => None,
    };
    let fails = change.true_to_failing || change.false_to_failing || (body_after && !body_before);
    let recovers = change.failing_to_true || change.failing_to_false || (body_before && !body_after);
    let failing = match (fails, recovers) {
        (true, true) => Some("may fail on other calls, which are denied"),
        (true, false) => Some("may fail on more calls, which are denied"),
        (false, true) => Some("may fail on fewer calls, which were denied"),
        (false, false) => None,
    };
    let told: Vec<_> = [applies, failing].into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
mod tests;
