//! From how a call ended to its answer on the wire.

use super::{Call, Engine, Settled, hold, upstream};
use crate::policy::Outcome;
use crate::reason::Reason;
use crate::verdict::{Answer, Denial, Ticket, Verdict};

impl Engine {
    /// The answer on the wire. The only place that makes an `Answer::Allow`, and only for two reasons.
    pub(super) fn verdict(&self, call: &Call, settled: &Settled) -> Verdict {
        let reason = settled.reason;
        let id = &call.decision_id;
        let challenge = &settled.evaluated.snapshot.authenticator.challenge;
        let answer = match reason {
            Reason::Allowed | Reason::Approved => {
                Answer::Allow(upstream::permit(&call.request, &settled.evaluated))
            }
            Reason::ApprovalPending => {
                let ticket = settled.approval.as_ref().map(|approval| Ticket {
                    approval: approval.id.clone(),
                    retry_after: hold::RETRY_AFTER.as_secs(),
                });
                let status = self.settings.ticket_status;
                Answer::Deny(Denial::new(id, reason, status, &settled.because, ticket.as_ref(), challenge))
            }
            _ => {
                let status = match &settled.evaluated.decision.outcome {
                    Outcome::Deny(terms) if reason == settled.evaluated.decision.reason => terms.status,
                    _ => reason.status(),
                };
                let denial = Denial::new(id, reason, status, &settled.because, None, challenge);
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
}
