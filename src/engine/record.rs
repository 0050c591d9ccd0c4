//! From a settled call to its line in the audit trail and its place in the metrics.

use std::time::Duration;

use super::fault::Point;
use super::{Call, Engine, Evaluated, Settled};
use crate::approval::Approval;
use crate::audit::{self, Record};
use crate::identity::Identity;
use crate::metrics::Outcome;
use crate::reason::Reason;
use crate::request::Request;
use crate::verdict::{Answer, Verdict};

/// What the record says beyond the request itself.
pub(super) struct Facts<'a> {
    pub evaluated: &'a Evaluated,
    pub reason: Reason,
    pub status: Option<u16>,
    pub held: Option<Duration>,
    pub approval: Option<&'a str>,
    pub approvers: Vec<String>,
}

impl<'a> Facts<'a> {
    pub fn of(evaluated: &'a Evaluated, reason: Reason) -> Self {
        Self { evaluated, reason, status: None, held: None, approval: None, approvers: Vec::new() }
    }
}

impl Engine {
    /// Records the answer. An error is the reason to deny with instead: it may not leave unrecorded.
    pub(super) async fn record_decision(
        &self,
        call: &Call,
        settled: &Settled,
        verdict: &Verdict,
    ) -> Result<(), Reason> {
        let facts = Facts {
            status: match &verdict.answer {
                Answer::Allow(_) => None,
                Answer::Deny(denial) => Some(denial.status),
            },
            held: settled.held,
            approval: settled.approval.as_ref().map(|approval| approval.id.as_str()),
            approvers: settled.approval.as_deref().map(Approval::approvers).unwrap_or_default(),
            ..Facts::of(&settled.evaluated, settled.reason)
        };
        let recorded = async {
            self.ports.faults.pass(Point::Record).await.map_err(|_| Reason::AuditUnavailable)?;
            let record = self.decision(call, &facts);
            self.ports.audit.record(&record).await.map_err(|_| Reason::AuditUnavailable)
        };
        // A disk that does not answer is a disk that does not record.
        let in_time = tokio::time::timeout(self.settings.decision_timeout, recorded).await;
        in_time.unwrap_or(Err(Reason::AuditUnavailable))
    }

    /// Records without waiting: the caller is gone and gets no answer.
    pub(super) fn note_decision(&self, call: &Call, facts: &Facts<'_>) {
        self.ports.audit.note(&self.decision(call, facts));
        self.ports.metrics.decided(call.listener.service, facts.reason, call.received.elapsed());
    }

    fn decision<'a>(&self, call: &'a Call, facts: &'a Facts<'a>) -> Record<'a> {
        let (request, decision) = (&call.request, &facts.evaluated.decision);
        let chosen = [&request.id, &request.method, &request.host, shown_path(request)];
        let [id, method, host, path] = chosen;
        let (id, method, host) = (cut(id, LONGEST), cut(method, LONGEST), cut(host, LONGEST));
        let path = cut(path, self.settings.limits.path);
        let bytes = |texts: [&str; 4]| texts.into_iter().map(str::len).sum::<usize>();
        Record::Decision(audit::Decision {
            time: self.ports.clock.now(),
            decision_id: &call.decision_id,
            trace_id: request.trace_id(),
            request_id: id,
            service: call.listener.service.as_str(),
            outcome: Outcome::of(facts.reason).as_str(),
            reason: facts.reason.as_str(),
            rule: decision.rule.as_deref(),
            revision: facts.evaluated.policies().revision(),
            identity: principal(&facts.evaluated.identity),
            method,
            host,
            path,
            cut_bytes: bytes(chosen).saturating_sub(bytes([id, method, host, path])),
            source: &request.source.address,
            status: facts.status,
            latency_us: u64::try_from(call.received.elapsed().as_micros()).unwrap_or(u64::MAX),
            held_ms: facts.held.map(|held| u64::try_from(held.as_millis()).unwrap_or(u64::MAX)),
            approval: facts.approval,
            approvers: &facts.approvers,
            errors: decision.errors().iter().map(|(rule, _)| &**rule).collect(),
            shadow: decision.shadow().iter().map(|shadow| (&*shadow.rule, shadow.said.as_str())).collect(),
        })
    }
}

/// The longest id, method or host on record, in bytes: no valid host or method is longer.
const LONGEST: usize = 300;

/// The path without its query, which may carry secrets.
pub(super) fn shown_path(request: &Request) -> &str {
    request.path.raw().split('?').next().unwrap_or_default()
}

/// What a record shows of a text that its caller chose: refused calls must not fill the disk.
fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or_default()
}

/// Who, as the trail names them.
pub fn principal(identity: &Identity) -> audit::Principal<'_> {
    audit::Principal {
        method: identity.method.as_str(),
        issuer: &identity.issuer,
        subject: &identity.subject,
        person: identity.person.as_deref(),
        spiffe: &identity.spiffe,
    }
}
