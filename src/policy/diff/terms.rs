//! Verdicts and obligations in words, and what their changes do.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::{Risk, hold};
use crate::mask::{Bucket, Method, OnUnmaskable};
use crate::policy::outline::RuleOutline;
use crate::policy::rule::Verdict;

/// What the rule does, in a word or two: `allow`, `deny`, `hold, mask`.
pub fn effects(rule: &RuleOutline) -> String {
    let verdict = rule.verdict.as_ref().map(word);
    let mask = (!rule.masks.is_null()).then_some("mask");
    let headers = (!rule.headers.is_null()).then_some("headers");
    let effects: Vec<_> = [verdict, mask, headers].into_iter().flatten().collect();
    let shadow = if rule.enforce { "" } else { " (not enforced)" };
    format!("{}{shadow}", effects.join(", "))
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny(_) => "deny",
        Verdict::Hold(_) => "hold",
    }
}

/// The verdict with its terms, the rule's name left out.
pub fn shown(verdict: Option<&Verdict>) -> String {
    match verdict {
        None => "none".into(),
        Some(Verdict::Allow) => "allow".into(),
        Some(Verdict::Deny(terms)) => {
            format!("deny {} {}", terms.status, terms.because.as_deref().unwrap_or_default())
        }
        Some(Verdict::Hold(hold)) => format!("hold {:?} {}", hold.terms, hold.because),
    }
}

/// What the change of the verdict does; `None` when it says the same.
pub fn verdict(old: Option<&Verdict>, new: Option<&Verdict>) -> Option<(Risk, String)> {
    if shown(old) == shown(new) {
        return None;
    }
    Some(match (old, new) {
        (Some(Verdict::Hold(old)), Some(Verdict::Hold(new))) => {
            hold::change((&old.terms, &old.because), (&new.terms, &new.because))
        }
        (Some(Verdict::Deny(old)), Some(Verdict::Deny(new))) => {
            let status =
                (old.status != new.status).then(|| format!("status {} is now {}", old.status, new.status));
            let text = (old.because != new.because)
                .then(|| format!("`because` is now {:?}", new.because.as_deref().unwrap_or_default()));
            let parts: Vec<_> = [status, text].into_iter().flatten().collect();
            (Risk::Wording, format!("deny: {}", parts.join("; ")))
        }
        _ => {
            let name = |verdict: Option<&Verdict>| verdict.map_or("no verdict", word);
            (risk(old, new), format!("{} is now {}", name(old), name(new)))
        }
    })
}

fn risk(old: Option<&Verdict>, new: Option<&Verdict>) -> Risk {
    let strictness = |verdict: Option<&Verdict>| match verdict {
        None | Some(Verdict::Allow) => 0,
        Some(Verdict::Hold(_)) => 1,
        Some(Verdict::Deny(_)) => 2,
    };
    match (old, new) {
        _ if strictness(new) < strictness(old) => Risk::Unprotects,
        (None, Some(Verdict::Allow)) => Risk::Loosens,
        (None, Some(Verdict::Hold(_))) => Risk::Changes,
        _ => Risk::Tightens,
    }
}

/// How little a mask leaves of a value, by what stands under `with`, as `mask::Method` ranks it.
fn strictness(with: &str) -> u8 {
    let redact = Method::redact();
    let known = [
        Method::Remove,
        Method::Null,
        Method::KeepType,
        Method::Hash,
        Method::Bucket(Bucket::Width(1)),
        Method::Partial { first: 0, last: 0 },
        Method::Last4,
    ];
    let word = match serde_json::from_str(with) {
        Ok(Json::String(word)) => word,
        Ok(Json::Object(terms)) => terms.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    known.iter().find(|method| word == method.name()).unwrap_or(&redact).strictness()
}

/// A mask without its method, and without what is done where it can't be kept.
fn place(item: &Json) -> String {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.remove("with");
        fields.remove("on_unmaskable");
    }
    item.to_string()
}

/// What a mask lets become of bodies in which it can't be kept; the greater, the stricter.
fn on_unmaskable(item: &Json) -> OnUnmaskable {
    match item.get("on_unmaskable").and_then(Json::as_str) {
        Some("pass") => OnUnmaskable::Pass,
        Some("redact_all") => OnUnmaskable::RedactAll,
        _ => OnUnmaskable::Block,
    }
}

/// Masks that came, went, or mask in another way.
pub fn masks(old: &Json, new: &Json) -> Vec<(Risk, String)> {
    let items = |masks: &Json| -> Vec<(String, String, OnUnmaskable)> {
        let items = masks.as_array().map_or(&[][..], Vec::as_slice);
        let read = items.iter().map(|item| {
            let named = ["field", "header", "trailer"].map(|key| item.get(key).and_then(Json::as_str));
            let field = match (named, item.get("detect")) {
                ([Some(field), ..], None) => field.to_owned(),
                ([None, Some(header), _], None) => format!("header {}", header.to_ascii_lowercase()),
                ([None, None, Some(trailer)], None) => format!("trailer {}", trailer.to_ascii_lowercase()),
                // What is looked for, how, and where.
                _ => place(item),
            };
            (field, item.get("with").map_or_else(String::new, Json::to_string), on_unmaskable(item))
        });
        read.collect()
    };
    let (old, new) = (items(old), items(new));
    let mut changes = Vec::new();
    for (field, with, done) in old.iter().filter(|item| !new.contains(item)) {
        match new.iter().find(|item| item.0 == *field && !old.contains(item)) {
            Some((_, now, done_now)) => {
                if done != done_now {
                    let risk = if done_now < done { Risk::Unprotects } else { Risk::Tightens };
                    let (was, is) = (done.name(), done_now.name());
                    changes.push((risk, format!("mask of `{field}`: `on_unmaskable: {was}` is now `{is}`")));
                }
                if now == with {
                    continue;
                }
                let risk = match strictness(now).cmp(&strictness(with)) {
                    Ordering::Less => Risk::Unprotects,
                    Ordering::Greater => Risk::Tightens,
                    Ordering::Equal => Risk::Wording,
                };
                changes.push((risk, format!("mask of `{field}`: {with} is now {now}")));
            }
            None => changes.push((Risk::Unprotects, format!("mask of `{field}` is gone"))),
        }
    }
    for (field, with, _) in new.iter().filter(|item| !old.contains(item)) {
        if !old.iter().any(|item| item.0 == *field && !new.contains(item)) {
            changes.push((Risk::Tightens, format!("new mask of `{field}`: {with}")));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_that_may_pass_where_it_was_blocked_is_less_protected() {
        let rule = |done: &str| json!([{"detect": ["card"], "with": "hash", "on_unmaskable": done}]);
        let default = json!([{"detect": ["card"], "with": "hash"}]);
        let risks = |old: &Json, new: &Json| -> Vec<_> {
            masks(old, new).into_iter().map(|(risk, _)| risk).collect()
        };
        assert_eq!(risks(&default, &rule("pass")), [Risk::Unprotects]);
        assert_eq!(risks(&rule("redact_all"), &rule("pass")), [Risk::Unprotects]);
        assert_eq!(risks(&rule("pass"), &default), [Risk::Tightens]);
        assert_eq!(risks(&default, &rule("block")), []);
        let milder = json!([{"detect": ["card"], "with": "last4", "on_unmaskable": "pass"}]);
        assert_eq!(risks(&default, &milder), [Risk::Unprotects, Risk::Unprotects]);
    }

    #[test]
    fn masks_of_headers_are_compared_by_their_names() {
        let old = json!([{"header": "Set-Cookie", "with": "remove"}, {"trailer": "x-a", "with": "hash"}]);
        let new = json!([{"header": "set-cookie", "with": "last4"}, {"header": "x-a", "with": "hash"}]);
        let found: Vec<_> =
            masks(&old, &new).into_iter().map(|(risk, message)| format!("{risk:?} {message}")).collect();
        assert_eq!(
            found,
            [
                "Unprotects mask of `header set-cookie`: \"remove\" is now \"last4\"",
                "Unprotects mask of `trailer x-a` is gone",
                "Tightens new mask of `header x-a`: \"hash\"",
            ]
        );
    }

    #[test]
    fn what_a_mask_looks_for_is_a_part_of_it() {
        let old = json!([{"field": "a", "with": "hash"}, {"detect": ["card", "iban"], "with": "redact"}]);
        let new = json!([
            {"field": "a", "detect": ["card"], "with": "hash"}, {"detect": ["card"], "with": "redact"}
        ]);
        let risks: Vec<_> = masks(&old, &new).into_iter().map(|(risk, _)| risk).collect();
        assert_eq!(risks, [Risk::Unprotects, Risk::Unprotects, Risk::Tightens, Risk::Tightens]);
        let stricter = json!([{"detect": ["card"], "with": "remove"}]);
        let milder = json!([{"detect": ["card"], "with": "last4"}]);
        assert_eq!(masks(&stricter, &milder).first().map(|(risk, _)| *risk), Some(Risk::Unprotects));
    }
}
