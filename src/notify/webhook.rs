//! The body of a generic webhook: JSON of a documented shape.
//!
//! For programs, so texts are as the caller wrote them, and it is for the reader to make them safe to look at. Fields are
//! only ever added; `version` changes when one means something else.

use reqwest::Url;
use serde_json::{Value, json};

use super::words;
use crate::approval::{Caller, Vote};
use crate::effect::{Approvers, Class, Grant, Part};
use crate::notice::Notice;

pub(super) const VERSION: u32 = 1;

pub(super) fn body(notice: &Notice, page: &Url) -> Value {
    json!({
        "type": format!("approval.{}", notice.event.as_str()),
        "version": VERSION,
        "timestamp": notice.at,
        "data": {
            "id": notice.approval,
            "state": notice.state.as_str(),
            "url": words::link(page, &notice.approval),
            "created": notice.created,
            "expires": notice.expires,
            "caller": caller(&notice.caller),
            "call": {
                "method": notice.method,
                "host": notice.host,
                "path": notice.path,
                "query_bytes": notice.query_bytes,
                "destination": notice.destination,
            },
            "rules": notice.rules,
            "revision": notice.revision,
            "requires": notice.requires.iter().map(requirement).collect::<Vec<_>>(),
            "grant_seconds": match notice.grant {
                Grant::Once => Value::Null,
                Grant::For(period) => json!(period.as_secs()),
            },
            "same": notice.same.as_ref().map(parts),
            "votes": notice.votes.iter().map(vote).collect::<Vec<_>>(),
        },
    })
}

fn caller(caller: &Caller) -> Value {
    json!({
        "issuer": caller.issuer,
        "subject": caller.subject,
        "person": caller.person,
        "spiffe": caller.spiffe,
        "method": caller.method,
        "address": caller.address,
    })
}

fn parts(class: &Class) -> Vec<String> {
    class.parts().map(Part::to_string).collect()
}

fn requirement(approvers: &Approvers) -> Value {
    json!({"groups": approvers.groups, "people": approvers.people, "count": approvers.count.max(1)})
}

fn vote(vote: &Vote) -> Value {
    json!({
        "choice": vote.choice.as_str(),
        "issuer": vote.issuer,
        "subject": vote.subject,
        "person": vote.person,
        "rule": vote.rule,
        "reason": vote.reason,
        "at": vote.at,
        "voided": vote.void.as_ref().map(|void| void.at),
    })
}
