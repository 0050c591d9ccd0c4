//! Approvals as the admin API shows them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::pretty::{self, Pretty};
use super::v1;
use crate::approval::{Approval, Caller, Requirement, Shown, Vote, later};
use crate::effect::{Approvers, Class, Grant};
use crate::identity::Identity;

mod words;

pub(super) use words::standing;

/// Headers whose values are secrets: shown as a short hash, which tells two calls apart.
const CREDENTIALS: [&str; 6] =
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-amz-security-token", "x-api-key"];

/// Who looks, and when.
pub(super) struct Viewer<'a> {
    pub who: &'a Identity,
    pub admin: bool,
    pub now: Timestamp,
}

/// Without the headers and the body of the call.
pub(super) fn listed(approval: &Approval, viewer: &Viewer<'_>) -> v1::Approval {
    let Viewer { who, admin, now } = *viewer;
    let used = approval.progress.used.as_ref();
    let (grant, same) = approval.good_for();
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
            ..v1::Call::default()
        }),
        rules: approval.rules.clone(),
        revision: approval.revision.clone(),
        requires: requirements(approval, now),
        grant_for: match grant {
            Grant::Once => None,
            Grant::For(period) => Some(duration(period)),
        },
        votes: approval.votes.iter().map(vote).collect(),
        digest: approval.digest.clone(),
        idempotency_key: approval.idempotency_key.clone(),
        may_decide: approval.may_vote(who, now).is_ok(),
        same: same.into_iter().flat_map(Class::parts).map(ToString::to_string).collect(),
        covers: words::covers(approval),
        not_covered: words::not_covered(approval),
        may_break_glass: approval.may_break_glass(who, now).is_ok(),
        may_withdraw: approval.may_withdraw(who, admin, now).is_ok(),
        may_revoke: approval.may_revoke(who, admin, now).is_ok(),
        within_hours: approval.is_within_hours(now),
        reminded: approval.progress.reminded.map(timestamp),
        escalated: approval
            .progress
            .escalated
            .iter()
            .map(|(rule, at)| v1::Escalated { rule: rule.clone(), at: Some(timestamp(*at)) })
            .collect(),
        used: used.map(|used| timestamp(used.at)),
        decision_id: used.map(|used| used.decision.clone()).unwrap_or_default(),
        similar: Vec::new(),
        reminds: approval.remind_after.map(|after| timestamp(later(approval.created, after))),
    }
}

/// Adds the headers and the body of the call.
pub(super) fn complete(shown: &mut v1::Approval, approval: &Approval) {
    let Some(call) = &mut shown.call else { return };
    call.headers = approval.call.headers.iter().map(|(name, value)| header(name, value)).collect();
    call.body = body(&approval.call.body);
    if let Some(v1::call::Body::Text(text)) = &call.body {
        match pretty::json(text) {
            Pretty::Lines(lines) => call.pretty = lines,
            Pretty::TooDeep => call.too_deep = true,
            Pretty::NoJson => {}
        }
    }
    match approval.call.shown {
        Shown::Whole => {}
        Shown::Masked(fields) => call.masked_fields = fields,
        Shown::Withheld => call.withheld = true,
        Shown::NotKept(bytes) => call.not_kept_bytes = bytes,
    }
}

/// What became of an earlier request, beside the one that is looked at.
pub(super) fn past(past: &Approval, now: &Approval) -> v1::PastDecision {
    v1::PastDecision {
        id: past.id.clone(),
        state: past.state.as_str().to_owned(),
        created: Some(timestamp(past.created)),
        method: past.call.method.clone(),
        host: past.call.host.clone(),
        path: past.call.path.clone(),
        votes: past.votes.iter().map(vote).collect(),
        same_digest: past.digest == now.digest,
    }
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
        email: caller.email.clone(),
        tenant: caller.tenant.clone(),
        groups: caller.groups.clone(),
        scopes: caller.scopes.clone(),
    }
}

fn requirements(approval: &Approval, now: Timestamp) -> Vec<v1::Requirement> {
    let parts = approval.parts().zip(approval.tally());
    let shown = parts.map(|((_, rule, part), tally)| v1::Requirement {
        given_by: tally.by.iter().map(|vote| vote.author()).collect(),
        by_itself: tally.by_itself,
        opens: rule.hours.as_ref().and_then(|hours| hours.begin_after(now)).map(timestamp),
        ..requirement(approval, rule, part)
    });
    shown.collect()
}

fn requirement(approval: &Approval, rule: &Requirement, part: &Approvers) -> v1::Requirement {
    let to = rule.escalate.as_ref().map(|further| further.to.clone()).unwrap_or_default();
    let alone = rule.break_glass.clone().unwrap_or_default();
    v1::Requirement {
        groups: part.groups.clone(),
        people: part.people.clone(),
        count: part.count.max(1),
        rule: rule.rule.clone(),
        because: rule.because.clone(),
        escalates: rule.escalate.as_ref().map(|further| timestamp(later(approval.created, further.after))),
        escalates_to_groups: to.groups,
        escalates_to_people: to.people,
        break_glass_groups: alone.groups,
        break_glass_people: alone.people,
        hours: rule.hours.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..v1::Requirement::default()
    }
}

fn vote(vote: &Vote) -> v1::Vote {
    v1::Vote {
        choice: vote.choice.as_str().to_owned(),
        issuer: vote.issuer.clone(),
        subject: vote.subject.clone(),
        person: vote.person.clone().unwrap_or_default(),
        reason: vote.reason.clone(),
        at: Some(timestamp(vote.at)),
        rule: vote.rule.clone().unwrap_or_default(),
        voided: vote.void.as_ref().map(|void| timestamp(void.at)),
        voided_because: vote.void.as_ref().map(|void| void.because.clone()).unwrap_or_default(),
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
