//! From a settled call to its answer.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::{Call, Engine, Evaluated, Settled, hold, prefer, status, upstream};
use crate::approval::Approval;
use crate::policy::Outcome;
use crate::reason::Reason;
use crate::verdict::{Answer, Denial, Ticket, Verdict};

/// The status of a ticket that the caller asked for in place of waiting.
const ACCEPTED: u16 = 202;

impl Engine {
    /// Answers a settled call: seals what ext_proc is to know where the call is handed over, records, counts.
    pub(super) async fn conclude(&self, call: &Call, settled: Settled) -> (Settled, Verdict) {
        let mut settled = settled;
        let mut verdict = self.verdict(call, &settled);
        if let (true, Answer::Allow(permit)) = (call.listener.hands_over, &mut verdict.answer)
            && let Err(reason) = self.hand_over(call, &settled.evaluated, permit)
        {
            let identity = settled.evaluated.identity.clone();
            let refused = Evaluated::refused(settled.evaluated.snapshot.clone(), reason);
            let refused = Settled::of(Evaluated { identity, ..refused });
            settled = Settled { approval: settled.approval, held: settled.held, ..refused };
            verdict = self.verdict(call, &settled);
        }
        let recorded = AssertUnwindSafe(self.record_decision(call, &settled, &verdict)).catch_unwind().await;
        if let Err(reason) = recorded.unwrap_or(Err(Reason::InternalError)) {
            verdict = self.verdict(call, &self.refuse(call, reason));
        }
        let (service, reason) = (call.listener.service, verdict.reason);
        self.ports.metrics.decided(service, reason, call.received.elapsed());
        (settled, verdict)
    }

    /// The answer on the wire. The only place that makes an `Answer::Allow`, and only for a reason that lets through.
    pub(super) fn verdict(&self, call: &Call, settled: &Settled) -> Verdict {
        let reason = settled.reason;
        let id = &call.decision_id;
        let challenge = &settled.evaluated.snapshot.authenticator.challenge;
        let answer = match (reason, &settled.approval) {
            (reason, _) if reason.lets_through() => {
                Answer::Allow(upstream::permit(&call.request, &settled.evaluated))
            }
            (Reason::ApprovalPending, approval) => {
                let ticket = approval.as_ref().map(|approval| self.ticket(call, approval));
                let preferred = ticket.as_ref().is_some_and(|ticket| ticket.preferred);
                let status = if preferred { ACCEPTED } else { self.settings.ticket_status };
                Answer::Deny(Denial::new(id, reason, status, &settled.because, ticket.as_ref(), challenge))
            }
            (Reason::ApprovalStatus, Some(approval)) => {
                Answer::Deny(status::document(id, approval, self.ports.clock.now()))
            }
            _ => {
                let status = match &settled.evaluated.decision.outcome {
                    Outcome::Deny(terms) if reason == settled.evaluated.decision.reason => terms.status,
                    _ => reason.status(),
                };
                let mut denial = Denial::new(id, reason, status, &settled.because, None, challenge);
                if reason == Reason::MethodNotAllowed {
                    denial.headers.push(("allow", "GET, HEAD".to_owned()));
                }
                let authenticator = &settled.evaluated.snapshot.authenticator;
                let login = (denial.status == 401).then(|| authenticator.login(&call.request)).flatten();
                Answer::Deny(match login {
                    Some(login) => denial.redirected_to(login),
                    None => denial,
                })
            }
        };
        Verdict { decision_id: id.clone(), reason, answer }
    }

    fn ticket(&self, call: &Call, approval: &Approval) -> Ticket {
        let base = self.settings.status_path.as_deref();
        Ticket {
            approval: approval.id.clone(),
            location: base.map(|base| format!("{base}/{}", approval.id)),
            retry_after: hold::RETRY_AFTER.as_secs(),
            // To gRPC callers a 202 is an unknown error.
            preferred: !call.request.is_grpc() && prefer::respond_async(&call.request.headers).is_some(),
        }
    }
}

impl Settled {
    /// A call that the evaluation itself decided.
    pub(super) fn of(evaluated: Evaluated) -> Self {
        let reason = evaluated.decision.reason;
        let because = match &evaluated.decision.outcome {
            Outcome::Deny(terms) => terms.because.as_deref().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        Self { evaluated, reason, because, approval: None, held: None }
    }
}
