//! Approvals as the admin API shows them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::v1;
use crate::approval::{Approval, Caller, Choice, Vote};
use crate::effect::{Approvers, Grant};
use crate::identity::Identity;

/// Headers whose values are secrets: shown as a short hash, which tells two calls apart.
const CREDENTIALS: [&str; 6] =
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-amz-security-token", "x-api-key"];

/// Without the headers and the body of the call.
pub(super) fn listed(approval: &Approval, who: &Identity, now: Timestamp) -> v1::Approval {
    v1::Approval {
        id: approval.id.clone(),
        state: approval.state_at(now).as_str().to_owned(),
        created: Some(timestamp(approval.created)),
        expires: Some(timestamp(approval.expires)),
        caller: Some(caller(&approval.caller)),
        call: Some(v1::Call {
            method: approval.call.method.clone(),
            host: approval.call.host.clone(),
            path: approval.call.path.clone(),
            destination: approval.call.destination.clone(),
            headers: Vec::new(),
            body: None,
        }),
        rules: approval.rules.clone(),
        revision: approval.revision.clone(),
        requires: approval.requires.iter().map(requirement).collect(),
        grant_for: match approval.grant {
            Grant::Once => None,
            Grant::For(period) => Some(duration(period)),
        },
        votes: approval.votes.iter().map(vote).collect(),
        digest: approval.digest.clone(),
        idempotency_key: approval.idempotency_key.clone(),
        may_decide: approval.may_vote(who, now).is_ok(),
    }
}

/// With all that the digest covers.
pub(super) fn complete(approval: &Approval, who: &Identity, now: Timestamp) -> v1::Approval {
    let mut shown = listed(approval, who, now);
    if let Some(call) = &mut shown.call {
        call.headers = approval.call.headers.iter().map(|(name, value)| header(name, value)).collect();
        call.body = body(&approval.call.body);
    }
    shown
}

fn header(name: &str, value: &str) -> v1::Header {
    let secret = CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential));
    let value = if secret { short_hash(value) } else { value.to_owned() };
    v1::Header { name: name.to_owned(), value }
}

fn short_hash(value: &str) -> String {
    let digest = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes()));
    format!("sha256:{}", digest.chars().take(16).collect::<String>())
}

fn body(base64: &str) -> Option<v1::call::Body> {
    if base64.is_empty() {
        return None;
    }
    // What is not base64 was not written by this store; it is shown as it is.
    let bytes = STANDARD.decode(base64).unwrap_or_else(|_| base64.as_bytes().to_vec());
    Some(match String::from_utf8(bytes) {
        Ok(text) => v1::call::Body::Text(text),
        Err(error) => v1::call::Body::Binary(error.into_bytes()),
    })
}

fn caller(caller: &Caller) -> v1::Caller {
    v1::Caller {
        issuer: caller.issuer.clone(),
        subject: caller.subject.clone(),
        person: caller.person.clone().unwrap_or_default(),
        spiffe: caller.spiffe.clone(),
        method: caller.method.clone(),
        address: caller.address.clone(),
    }
}

fn requirement(approvers: &Approvers) -> v1::Requirement {
    v1::Requirement {
        groups: approvers.groups.clone(),
        people: approvers.people.clone(),
        count: approvers.count.max(1),
    }
}

fn vote(vote: &Vote) -> v1::Vote {
    v1::Vote {
        choice: match vote.choice {
            Choice::Approve => "approve",
            Choice::Reject => "reject",
        }
        .to_owned(),
        issuer: vote.issuer.clone(),
        subject: vote.subject.clone(),
        person: vote.person.clone().unwrap_or_default(),
        reason: vote.reason.clone(),
        at: Some(timestamp(vote.at)),
    }
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    // Before 1970 jiff counts nanoseconds downwards, protobuf never does.
    let nanos = at.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(0),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

fn duration(period: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(period.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(period.subsec_nanos()).unwrap_or(0),
    }
}
