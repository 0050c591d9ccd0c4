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
    let (pending, approved) = (state == State::Pending, state == State::Approved);
    let message = if pending {
        "this call waits for approval"
    } else if approved {
        "this call is approved: send the same call again before it expires"
    } else {
        "this request for approval is over: send the call again for a new one"
    };
    let call = &approval.call;
    let mut body = json!({
        "id": approval.id,
        "state": state.as_str(),
        "message": message,
        "repeat": approved,
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
    use crate::request::{Limits, Parts};

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
