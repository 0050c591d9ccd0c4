//! Denials for gRPC callers: trailers alone, with `google.rpc.Status` in `grpc-status-details-bin`.
//!
//! A caller's library knows HTTP statuses only as errors of the transport, and never sees the body of one. Envoy turns
//! a denial of a gRPC call into trailers by itself: the body becomes `grpc-message`, and headers named `grpc-...` stay.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use crate::reason::Reason;
use crate::verdict::Denial;

/// Who says so, in `ErrorInfo`.
const DOMAIN: &str = "portcullis";

/// The same denial in the words of gRPC. `ErrorInfo` has the reason code, `decision_id` and `approval`; `RetryInfo` stands
/// there where asking again makes sense.
pub(super) fn for_grpc(denial: &Denial, reason: Reason, decision_id: &str) -> Denial {
    let code = code(denial.status);
    let mut facts = HashMap::from([("decision_id".to_owned(), decision_id.to_owned())]);
    let mut details = ErrorDetails::new();
    if let Some(ticket) = &denial.ticket {
        facts.insert("approval".to_owned(), ticket.approval.clone());
        facts.extend(ticket.location.clone().map(|location| ("location".to_owned(), location)));
        details.set_retry_info(Some(Duration::from_secs(ticket.retry_after)));
    }
    details.set_error_info(reason.shown_to_caller(), DOMAIN, facts);
    let status = tonic::Status::with_error_details(code, denial.message.as_str(), details);
    let mut headers: Vec<_> =
        denial.headers.iter().filter(|(name, _)| *name != "content-type").cloned().collect();
    headers.push(("grpc-status", i32::from(code).to_string()));
    headers.push(("grpc-status-details-bin", STANDARD_NO_PAD.encode(status.details())));
    Denial { headers, body: denial.message.clone(), ..denial.clone() }
}

/// What an HTTP status means to gRPC callers: `google.rpc.Code` names the counterparts.
fn code(status: u16) -> Code {
    match status {
        // A login page is none for programs.
        302 | 401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::FailedPrecondition,
        429 => Code::ResourceExhausted,
        502..=504 => Code::Unavailable,
        400..=499 => Code::InvalidArgument,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge::Challenge;
    use crate::verdict::Ticket;

    fn details(denial: &Denial) -> (String, ErrorDetails) {
        let header = |name: &str| denial.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        let bytes = STANDARD_NO_PAD.decode(header("grpc-status-details-bin")).unwrap();
        let status = tonic::Status::with_details(Code::Unknown, "", bytes.into());
        (header("grpc-status"), status.get_error_details())
    }

    #[test]
    fn a_ticket_tells_grpc_callers_the_approval_and_when_to_come_back() {
        let ticket = Ticket {
            approval: "a-1".into(),
            location: Some("/approvals/a-1".into()),
            retry_after: 5,
            preferred: false,
        };
        let denial =
            Denial::new("d-1", Reason::ApprovalPending, 403, "wait", Some(&ticket), &Challenge::default());
        let denial = for_grpc(&denial, Reason::ApprovalPending, "d-1");
        assert_eq!(denial.body, "wait");
        let (code, details) = details(&denial);
        assert_eq!(code, "7");
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("approval_pending", "portcullis"));
        assert_eq!(info.metadata["approval"], "a-1");
        assert_eq!(info.metadata["decision_id"], "d-1");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(5)));
    }

    #[test]
    fn every_reason_has_a_code_that_is_an_error() {
        for reason in Reason::ALL {
            let denial = Denial::new("d", reason, reason.status(), "", None, &Challenge::default());
            let denial = for_grpc(&denial, reason, "d");
            let (code, details) = details(&denial);
            assert_ne!(code, "0", "{reason:?}");
            assert_eq!(details.error_info().unwrap().reason, reason.shown_to_caller());
            assert!(details.retry_info().is_none());
        }
        assert_eq!((code(401), code(503)), (Code::Unauthenticated, Code::Unavailable));
    }
}
