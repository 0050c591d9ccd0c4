//! What the caller gets: the call goes on, with header changes, or it is answered here.

use serde_json::{Value, json};

use crate::challenge::Challenge;
use crate::effect::HeaderChanges;
use crate::reason::Reason;

/// The answer to one call. There is no default: whoever makes one says which it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// UUID v7: names this decision in the record, the log and the denial.
    pub decision_id: String,
    pub reason: Reason,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Allow(Permit),
    Deny(Denial),
}

/// How a call goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    pub changes: HeaderChanges,
    /// Path and query for the upstream, where these are not what the caller sent.
    pub path: Option<String>,
    /// What the next filter of the proxy is to know, sealed.
    pub handover: Option<String>,
}

/// An HTTP answer in the upstream's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// 400 to 599; 302 for a person who is sent to log in, 202 for a ticket that was asked for, 200 for the state of a
    /// request for approval.
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// JSON: `error` (the reason code), `message`, `decision_id`, and for tickets `approval`.
    pub body: String,
    /// What the body says to people.
    pub message: String,
    pub ticket: Option<Ticket>,
}

/// The approval that a ticket stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub approval: String,
    /// Where the caller is told what became of it; `None` where nobody is.
    pub location: Option<String>,
    /// Seconds after which asking again makes sense.
    pub retry_after: u64,
    /// Whether the caller preferred a ticket to waiting (`prefer: respond-async`), and gets 202.
    pub preferred: bool,
}

impl Verdict {
    /// The verdict on a call about which nothing more is known than that judging it failed.
    pub fn internal_error() -> Self {
        let (decision_id, reason) = (String::new(), Reason::InternalError);
        let challenge = Challenge::default();
        let denial = Denial::new(&decision_id, reason, reason.status(), "", None, &challenge);
        Self { decision_id, reason, answer: Answer::Deny(denial) }
    }
}

impl Denial {
    /// The answer for `reason`. An empty `because` gets the reason's own text.
    pub fn new(
        decision_id: &str,
        reason: Reason,
        status: u16,
        because: &str,
        ticket: Option<&Ticket>,
        challenge: &Challenge,
    ) -> Self {
        let message = if because.is_empty() { explanation(reason) } else { because };
        let mut body = json!({
            "error": reason.shown_to_caller(),
            "message": message,
            "decision_id": decision_id,
        });
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        if let Some(ticket) = ticket
            && let Value::Object(fields) = &mut body
        {
            let mut approval = json!({"id": ticket.approval, "state": "pending"});
            if let (Some(location), Value::Object(approval)) = (&ticket.location, &mut approval) {
                approval.insert("location".to_owned(), location.as_str().into());
            }
            fields.insert("approval".to_owned(), approval);
            headers.push(("retry-after", ticket.retry_after.to_string()));
            if ticket.preferred {
                // It is what the caller asked for.
                fields.remove("error");
                headers.push(("preference-applied", "respond-async".to_owned()));
                headers.extend(ticket.location.clone().map(|location| ("location", location)));
            }
        }
        if status == 401 || reason == Reason::TokenRepeated {
            headers.extend(challenge.values(reason).into_iter().map(|value| ("www-authenticate", value)));
        }
        let message = message.to_owned();
        Self { status, headers, body: body.to_string(), message, ticket: ticket.cloned() }
    }

    /// Sends a person who needs a credential to where they get one.
    pub fn redirected_to(mut self, login: String) -> Self {
        self.status = 302;
        self.headers.retain(|(name, _)| *name != "www-authenticate");
        self.headers.push(("location", login));
        self
    }
}

/// What a caller is told, in a sentence.
fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::Allowed | Reason::Approved | Reason::AutoApproved | Reason::BreakGlass => {
            "the call is allowed"
        }
        Reason::NoRuleAllows => "no policy allows this call",
        Reason::DeniedByRule => "a policy denies this call",
        Reason::Unauthenticated => "this call needs a credential",
        Reason::ApprovalPending => {
            "this call waits for approval; send the same call again once it is approved"
        }
        Reason::ApprovalRejected => "the approvers rejected this call",
        Reason::ApprovalExpired => "nobody approved this call in time",
        Reason::ApprovalWithdrawn => "the request for approval was withdrawn",
        Reason::ApprovalRevoked => "the approval of this call was revoked",
        Reason::ApprovalUsed => {
            "this call was released already; to make it once more, send another `idempotency-key`, or wait a little"
        }
        Reason::OutsideHours => "this call is approved, and may be made in the hours of its rule only",
        Reason::TooManyPending => "too many calls of this caller or rule wait for approval",
        Reason::TooManyOpened => "this caller opened too many requests for approval within an hour",
        Reason::TooManyHeld => "too many calls are held open",
        Reason::CallerGone => "the caller hung up",
        Reason::ApprovalStatus => "this is the state of a request for approval",
        Reason::ApprovalNotFound => "no request for approval of this caller has this id",
        Reason::MethodNotAllowed => "ask for the state of a request for approval with GET",
        Reason::PathInvalid => "the path is not valid",
        Reason::PathAmbiguous => "the path can be read in more than one way",
        Reason::PathTooLong => "the path is too long",
        Reason::MethodInvalid => "the method is not valid",
        Reason::HostInvalid => "the host is not valid",
        Reason::HeaderInvalid => "a header is not valid",
        Reason::HeaderDuplicate => "a header that must come once came twice",
        Reason::TokenRepeated => "a token came in more than one place",
        Reason::HeaderTooLarge | Reason::HeadersTooLarge => "the headers are too large",
        Reason::BodyTooLarge => "the body is too large to be judged",
        Reason::BodyUnavailable => "the body is needed to judge this call and was not available in full",
        Reason::MaskUnavailable => "the answer to this call must be masked, which this route can't do",
        Reason::Unmaskable => "the answer could not be masked safely",
        Reason::KeysUnavailable
        | Reason::IntrospectionUnavailable
        | Reason::TokenReviewUnavailable
        | Reason::TooManyCallouts
        | Reason::BasicOverloaded
        | Reason::StoreUnavailable
        | Reason::AuditUnavailable
        | Reason::DecisionTimeout => "the call can't be judged now; try again later",
        Reason::HandoverMissing
        | Reason::HandoverInvalid
        | Reason::HandoverMismatch
        | Reason::HandoverTooLarge => "the proxy did not show how this call was decided",
        Reason::HandoverStale | Reason::HandoverPolicies => "the call can't be judged now; try again",
        Reason::ConditionError | Reason::InternalError => "the call could not be judged",
        _ => "the credential was refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_says_what_to_come_back_with() {
        let ticket = Ticket {
            approval: "a-1".into(),
            location: Some("/approvals/a-1".into()),
            retry_after: 5,
            preferred: false,
        };
        let denial =
            Denial::new("d-1", Reason::ApprovalPending, 403, "", Some(&ticket), &Challenge::default());
        let body: Value = serde_json::from_str(&denial.body).unwrap();
        assert_eq!(body["error"], "approval_pending");
        assert_eq!(body["approval"]["id"], "a-1");
        assert_eq!(body["approval"]["location"], "/approvals/a-1");
        assert!(denial.headers.contains(&("retry-after", "5".to_owned())));
        assert!(denial.headers.iter().all(|(name, _)| *name != "location"));
        // Who asked for it is told no error, and where to look.
        let preferred = Ticket { preferred: true, ..ticket };
        let denial =
            Denial::new("d-1", Reason::ApprovalPending, 202, "", Some(&preferred), &Challenge::default());
        assert_eq!(serde_json::from_str::<Value>(&denial.body).unwrap()["error"], Value::Null);
        for header in [("location", "/approvals/a-1"), ("preference-applied", "respond-async")] {
            assert!(denial.headers.contains(&(header.0, header.1.to_owned())), "{header:?}");
        }
    }

    #[test]
    fn who_is_sent_to_log_in_is_told_nothing_else() {
        let plain = Denial::new("d", Reason::Unauthenticated, 401, "", None, &Challenge::default());
        assert!(plain.headers.contains(&("www-authenticate", "Bearer".to_owned())));
        let sent = plain.redirected_to("https://login.example.com/".into());
        assert_eq!(sent.status, 302);
        assert!(sent.headers.contains(&("location", "https://login.example.com/".to_owned())));
        assert!(sent.headers.iter().all(|(name, _)| *name != "www-authenticate"));
    }

    #[test]
    fn hostile_text_stays_inside_the_json() {
        let denial =
            Denial::new("d", Reason::DeniedByRule, 403, "\"}\r\n<script>", None, &Challenge::default());
        assert_eq!(serde_json::from_str::<Value>(&denial.body).unwrap()["message"], "\"}\r\n<script>");
    }
}
