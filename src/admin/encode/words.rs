//! What an approval lets through, and what it leaves open, in words.

use jiff::Timestamp;

use crate::admin::ago::ago;
use crate::admin::v1;
use crate::approval::Approval;
use crate::effect::{Grant, Part, span};

/// As `approves this one call by ana: ...`, or `approves every call by ana with method POST, whatever its body, for 1h`.
pub(super) fn covers(approval: &Approval) -> String {
    let who = approval.caller.name().unwrap_or("nobody in particular");
    let bytes = "method, host, path and query, body and the headers shown, byte by byte";
    match approval.good_for() {
        (Grant::Once, _) => format!("approves this one call by {who}: {bytes}"),
        (Grant::For(period), None) => {
            format!("approves every same call by {who} for {}: {bytes}", span(period))
        }
        (Grant::For(period), Some(class)) => {
            let same: Vec<_> = class.parts().map(|part| with(approval, part)).collect();
            let open = class.left_open().join(", ");
            let period = span(period);
            format!(
                "approves every call by {who} with {}, whatever its {open}, for {period}",
                same.join(" and ")
            )
        }
    }
}

/// What may differ from the call that is shown.
pub(super) fn not_covered(approval: &Approval) -> String {
    const NEVER: &str = "the token, dates, trace ids and the caller's address";
    match approval.good_for().1 {
        None => format!("other headers, {NEVER}"),
        Some(class) => format!("{}, {NEVER}", class.left_open().join(", ")),
    }
}

/// What became of a request that is not pending any more: `used; approved by bob@example.com 5 min ago`.
pub(in crate::admin) fn standing(approval: &v1::Approval, now: Timestamp) -> String {
    let state = approval.state.replace('_', " ");
    let Some(vote) = approval.votes.last() else { return state };
    let done = match vote.choice.as_str() {
        "approve" => "approved",
        "break_glass" => "released alone",
        "reject" => "rejected",
        "withdraw" => "withdrawn",
        "revoke" => "revoked",
        other => other,
    };
    let rule = format!("rule {}", vote.rule);
    let names = [if vote.rule.is_empty() { &vote.person } else { &rule }, &vote.subject];
    let who = names.into_iter().find(|name| !name.is_empty()).map_or("nobody in particular", |name| name);
    let at = vote.at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    let when = at.map(|at| format!(" {}", ago(at, now))).unwrap_or_default();
    // What its name says already.
    let state = if state == done { String::new() } else { format!("{state}; ") };
    format!("{state}{done} by {who}{when}")
}

fn with(approval: &Approval, part: &Part) -> String {
    let call = &approval.call;
    let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
    match part {
        Part::Method => format!("method {}", call.method),
        Part::Host => format!("host {}", call.host),
        Part::Path => format!("path {path}"),
        Part::Query if query.is_empty() => "no query".to_owned(),
        Part::Query => format!("query {query}"),
        Part::Body => "this body".to_owned(),
        Part::Header(name) => format!("header {name} as shown"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::approval::testing::approval;
    use crate::effect::Class;

    #[test]
    fn what_is_over_says_what_it_is_and_by_whom() {
        let vote = |choice: &str, person: &str, rule: &str| v1::Vote {
            choice: choice.into(),
            person: person.into(),
            subject: "sub".into(),
            rule: rule.into(),
            at: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            ..v1::Vote::default()
        };
        let said = |state: &str, votes: Vec<v1::Vote>| {
            let one = v1::Approval { state: state.into(), votes, ..v1::Approval::default() };
            standing(&one, Timestamp::from_second(300).unwrap())
        };
        assert_eq!(said("used", vec![vote("approve", "bob@x", "")]), "used; approved by bob@x 5 min ago");
        assert_eq!(said("rejected", vec![vote("reject", "", "")]), "rejected by sub 5 min ago");
        let ruled = said("released_unconfirmed", vec![vote("approve", "", "p/r")]);
        assert_eq!(ruled, "released unconfirmed; approved by rule p/r 5 min ago");
        assert_eq!(said("expired", vec![]), "expired");
    }

    #[test]
    fn an_approval_says_what_it_lets_through_and_what_may_differ() {
        let mut one = approval(vec![]);
        assert!(covers(&one).starts_with("approves this one call by ana@example.com: method, host"));
        assert!(not_covered(&one).starts_with("other headers, the token"));
        one.grant = Grant::For(Duration::from_secs(3_600));
        assert!(covers(&one).starts_with("approves every same call by ana@example.com for 1h"));
        one.same = Class::new([Part::Method, Part::Host, Part::Header("x-env".into())]);
        assert_eq!(
            covers(&one),
            "approves every call by ana@example.com with method POST and host api and header x-env as shown, whatever \
             its path, query, body, other headers, for 1h"
        );
        assert!(not_covered(&one).starts_with("path, query, body, other headers, the token"));
        one.same = Class::new([Part::Path, Part::Query, Part::Body]);
        assert!(
            covers(&one)
                .contains("with path /a and query b=1 and this body, whatever its method, host, headers")
        );
    }
}
