//! What a change of a hold's terms does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Risk;
use crate::effect::{Approvers, Class, Grant, HoldTerms, Members, all_of, span};

/// The worst risk of all that changed, and each change in words. Terms come with the rule's text.
pub fn change(old: (&HoldTerms, &str), new: (&HoldTerms, &str)) -> (Risk, String) {
    let (old, because, new, new_because) = (old.0, old.1, new.0, new.1);
    let mut parts: Vec<(Risk, String)> = approvers(&old.approvers, &new.approvers);
    parts.extend(grant(old, new));
    if old.open_for() != new.open_for() {
        let risk = if new.open_for() > old.open_for() { Risk::Loosens } else { Risk::Tightens };
        parts.push((risk, format!("expires {} is now {}", span(old.open_for()), span(new.open_for()))));
    }
    if old.wait != new.wait {
        parts.push((Risk::Wording, format!("wait {} is now {}", span(old.wait), span(new.wait))));
    }
    if old.remind_after != new.remind_after {
        let shown = |after: Option<Duration>| after.map_or_else(|| "never".to_owned(), span);
        let text = format!("remind_after {} is now {}", shown(old.remind_after), shown(new.remind_after));
        parts.push((Risk::Wording, text));
    }
    parts.extend(exceptions(old, new));
    if because != new_because {
        parts.push((Risk::Wording, format!("`because` is now {new_because:?}")));
    }
    let risk = parts.iter().map(|(risk, _)| *risk).min().unwrap_or(Risk::Wording);
    let texts: Vec<_> = parts.into_iter().map(|(_, text)| text).collect();
    (risk, format!("hold: {}; approvals of calls that wait are void", texts.join("; ")))
}

fn approvers(old: &[Approvers], new: &[Approvers]) -> Vec<(Risk, String)> {
    let ([before], [after]) = (old, new) else {
        if old == new {
            return Vec::new();
        }
        // A group more, with all that was asked for before, asks for more; anything else may ask for less.
        let more = old.iter().all(|part| new.contains(part)) && new.len() > old.len();
        let risk = if more { Risk::Tightens } else { Risk::Loosens };
        return vec![(risk, format!("needs {}, now {}", all_of(old), all_of(new)))];
    };
    let mut parts = Vec::new();
    if before.count != after.count {
        let risk = if after.count < before.count { Risk::Loosens } else { Risk::Tightens };
        parts.push((risk, format!("{} must approve, now {}", before.count, after.count)));
    }
    let who =
        |part: &Approvers| -> BTreeSet<String> { part.groups.iter().chain(&part.people).cloned().collect() };
    let (had, has) = (who(before), who(after));
    if had != has {
        let risk = if has.is_subset(&had) { Risk::Tightens } else { Risk::Loosens };
        let list = |who: &BTreeSet<String>| who.iter().cloned().collect::<Vec<_>>().join(", ");
        parts.push((risk, format!("{} may approve, now {}", list(&had), list(&has))));
    } else if before.groups != after.groups || before.people != after.people {
        parts.push((Risk::Wording, "the approvers are written in another way".to_owned()));
    }
    parts
}

fn grant(old: &HoldTerms, new: &HoldTerms) -> Vec<(Risk, String)> {
    let mut parts = Vec::new();
    if old.grant != new.grant {
        let length = |grant: Grant| match grant {
            Grant::Once => None,
            Grant::For(span) => Some(span),
        };
        let risk = if length(new.grant) > length(old.grant) { Risk::Loosens } else { Risk::Tightens };
        let named = |grant: Grant| {
            length(grant).map_or_else(|| "once".into(), |period| format!("for {}", span(period)))
        };
        parts.push((risk, format!("grant {} is now {}", named(old.grant), named(new.grant))));
    }
    if old.same != new.same {
        let narrower = match (&old.same, &new.same) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => new.within(old),
            (None, _) => false,
        };
        let risk = if narrower { Risk::Tightens } else { Risk::Loosens };
        let shown = |same: &Option<Class>| {
            same.as_ref().map_or_else(
                || "the same call".to_owned(),
                |class| {
                    let parts: Vec<_> = class.parts().map(ToString::to_string).collect();
                    format!("calls of the same {}", parts.join(", "))
                },
            )
        };
        parts.push((risk, format!("an approval is for {}, now for {}", shown(&old.same), shown(&new.same))));
    }
    parts
}

/// Ways round the approvers, and hours.
fn exceptions(old: &HoldTerms, new: &HoldTerms) -> Vec<(Risk, String)> {
    let mut parts = Vec::new();
    if old.escalate != new.escalate {
        let shown = |terms: &HoldTerms| {
            terms
                .escalate
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), |to| format!("{} after {}", to.to, span(to.after)))
        };
        let risk = if new.escalate.is_none() { Risk::Tightens } else { Risk::Loosens };
        parts.push((risk, format!("escalates to {}, now to {}", shown(old), shown(new))));
    }
    if old.break_glass != new.break_glass {
        let names = |members: &Option<Members>| members.clone().unwrap_or_default();
        let (had, has) = (names(&old.break_glass), names(&new.break_glass));
        let risk = if has.names().is_subset(&had.names()) { Risk::Tightens } else { Risk::Loosens };
        let shown =
            |who: &Members| if who.names().is_empty() { "nobody".to_owned() } else { who.to_string() };
        parts.push((risk, format!("{} may break the glass, now {}", shown(&had), shown(&has))));
    }
    if old.hours != new.hours {
        let shown = |terms: &HoldTerms| {
            terms.hours.as_ref().map_or_else(|| "any time".to_owned(), ToString::to_string)
        };
        let risk = if old.hours.is_none() { Risk::Tightens } else { Risk::Loosens };
        parts.push((risk, format!("approved at {}, now at {}", shown(old), shown(new))));
    }
    if old.auto_approve != new.auto_approve {
        let when = |terms: &HoldTerms| terms.auto_approve.as_ref().map(|auto| auto.when.clone());
        let (before, after) = (when(old), when(new));
        let risk = match &after {
            None => Risk::Tightens,
            same if *same == before => Risk::Wording,
            Some(_) => Risk::Loosens,
        };
        let shown =
            |when: Option<String>| when.map_or_else(|| "never".to_owned(), |when| format!("when {when}"));
        parts.push((risk, format!("needs nobody {}, now {}", shown(before), shown(after))));
    }
    parts
}
