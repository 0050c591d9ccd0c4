//! What became of a held call, told to the caller who made it: below one path, and through the proxy like any other call.
//!
//! No policy is asked, and nothing changes: a GET can't decide, use or prolong an approval.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Call, Engine, Evaluated, Settled, Snapshot, hold, vouchers};
use crate::approval::{Approval, Choice, State};
use crate::identity::Identity;
use crate::reason::Reason;
use crate::request::Request;
use crate::verdict::{Denial, Ticket};

/// The id of the request for approval that this call asks about: what follows `base` in its path.
pub(super) fn asked(request: &Request, base: Option<&str>) -> Option<String> {
    let rest = request.path.url_path().strip_prefix(base?)?;
    rest.strip_prefix('/').map(str::to_owned)
}

impl Engine {
    /// Settles a call that asks for the state of the request for approval `id`: `ApprovalStatus` with the approval for the
    /// caller who made the call that waits. Whoever else asks is not told whether there is one.
    pub(super) async fn status(&self, call: &Call, snapshot: Arc<Snapshot>, id: &str) -> Settled {
        let request = &call.request;
        let (identity, proxies) = match self.authenticate(request, &snapshot).await {
            Ok((proven, proxies)) => (proven.identity, proxies),
            Err(reason) => return Settled::of(Evaluated::refused(snapshot, reason)),
        };
        let (reason, approval) = match self.ports.revocations.check(&identity, vouchers(request, &proxies)) {
            Err(reason) => (reason, None),
            Ok(()) => self.state_for(&identity, &request.method, id).await,
        };
        let evaluated = Evaluated { identity, ..Evaluated::refused(snapshot, reason) };
        Settled { approval: approval.map(Box::new), ..Settled::of(evaluated) }
    }

    async fn state_for(&self, identity: &Identity, method: &str, id: &str) -> (Reason, Option<Approval>) {
        if identity.is_anonymous() {
            return (Reason::Unauthenticated, None);
        }
        if !matches!(method, "GET" | "HEAD") {
            return (Reason::MethodNotAllowed, None);
        }
        match self.ports.store.approval(id).await {
            Ok(Some(approval)) if is_of(&approval, identity) => (Reason::ApprovalStatus, Some(approval)),
            Ok(_) => (Reason::ApprovalNotFound, None),
            Err(error) => {
                tracing::error!(%error, "an approval could not be read");
                (Reason::StoreUnavailable, None)
            }
        }
    }
}

/// Whether `identity` made the call that waits: the very principal whose call the approval covers.
fn is_of(approval: &Approval, identity: &Identity) -> bool {
    let caller = &approval.caller;
    caller.issuer == identity.issuer && caller.subject == identity.subject && caller.spiffe == identity.spiffe
}

/// The state of an approval at `now`, as its caller reads it.
pub(super) fn document(decision_id: &str, approval: &Approval, now: Timestamp) -> Denial {
    let state = approval.state_at(now);
    let pending = state == State::Pending;
    let repeat = state == State::Approved && approval.is_within_hours(now);
    let message = match state {
        State::Pending => "this call waits for approval",
        State::Approved if repeat => "this call is approved: send the same call again before it expires",
        State::Approved => {
            "this call is approved, and a rule releases it in its `hours` only: send it again then"
        }
        State::Used => "this call was released already",
        State::Releasing | State::ReleasedUnconfirmed => {
            "this call may have been released: look whether it was before you repeat it"
        }
        State::Rejected | State::Expired | State::Withdrawn | State::Revoked => {
            "this request for approval is over: send the call again for a new one"
        }
    };
    let call = &approval.call;
    let mut body = json!({
        "id": approval.id,
        "state": state.as_str(),
        "message": message,
        "repeat": repeat,
        "created": approval.created,
        "expires": approval.expires,
        "call": {
            "method": call.method,
            "host": call.host,
            // A query may carry secrets, and this answer may be kept.
            "path": call.path.split('?').next().unwrap_or_default(),
        },
        "decision_id": decision_id,
    });
    let rejected = approval.votes.iter().find(|vote| vote.choice == Choice::Reject);
    if let (Some(vote), Value::Object(fields)) = (rejected, &mut body) {
        fields.insert("reason".to_owned(), vote.reason.as_str().into());
    }
    let mut headers =
        vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
    let ticket = pending.then(|| {
        let retry_after = hold::RETRY_AFTER.as_secs();
        headers.push(("retry-after", retry_after.to_string()));
        Ticket { approval: approval.id.clone(), location: None, retry_after, preferred: false }
    });
    let status = Reason::ApprovalStatus.status();
    Denial { status, headers, body: body.to_string(), message: message.to_owned(), ticket }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::{Requirement, testing};
    use crate::effect::{Day, Hours};
    use crate::request::{Limits, Parts};

    fn read(approval: &Approval) -> (bool, String) {
        let denial = document("d", approval, Timestamp::UNIX_EPOCH);
        let body: Value = serde_json::from_str(&denial.body).unwrap();
        (body["repeat"].as_bool().unwrap(), body["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_caller_repeats_what_is_approved_and_is_warned_of_what_may_be_done_already() {
        let mut approval = testing::approval(vec![]);
        assert!(read(&approval).0);
        for (state, words) in [
            (State::Pending, "waits"),
            (State::Used, "was released already"),
            (State::Releasing, "may have been released"),
            (State::ReleasedUnconfirmed, "may have been released"),
            (State::Rejected, "for a new one"),
        ] {
            approval.state = state;
            let (repeat, message) = read(&approval);
            assert!(!repeat && message.contains(words), "{state:?}: {message}");
        }
    }

    #[test]
    fn outside_its_hours_an_approved_call_is_not_to_be_repeated_yet() {
        let mut approval = testing::approval(vec![]);
        // 1970 began on a Thursday.
        let hours = Hours {
            days: vec![Day::ALL[0]],
            from: jiff::civil::Time::midnight(),
            to: None,
            time_zone: "UTC".into(),
        };
        approval.requires = vec![Requirement { hours: Some(hours), ..Requirement::of("p/r", vec![]) }];
        let (repeat, message) = read(&approval);
        assert!(!repeat && message.contains("`hours`"), "{message}");
    }

    #[test]
    fn only_what_lies_below_the_path_is_asked_for() {
        let asked = |path: &str, base: Option<&str>| {
            let parts =
                Parts { method: "GET".into(), host: "h".into(), path: path.into(), ..Parts::default() };
            super::asked(&Request::assemble(parts, &Limits::default()), base)
        };
        let base = Some("/.well-known/portcullis/approvals");
        assert_eq!(asked("/.well-known/portcullis/approvals/a-1?x=1", base).as_deref(), Some("a-1"));
        assert_eq!(asked("/.well-known/portcullis/approvals/a/b", base).as_deref(), Some("a/b"));
        for other in [
            "/.well-known/portcullis/approvals",
            "/.well-known/portcullis/approvals-old/a",
            "/x/.well-known/portcullis/approvals/a",
        ] {
            assert_eq!(asked(other, base), None, "{other}");
        }
        assert_eq!(asked("/.well-known/portcullis/approvals/a-1", None), None);
    }
}
