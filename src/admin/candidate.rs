//! How the candidate compares with the active policies, for those who may see every call.

use super::encode::timestamp;
use super::fault::Fault;
use super::{AdminState, v1};
use crate::engine::{Comparison, Example, View};
use crate::identity::Identity;
use crate::metrics::Compared;

impl AdminState {
    pub(super) fn candidate(&self, who: &Identity) -> Result<v1::Candidate, Fault> {
        self.may_look(who)?;
        (self.comparison)().map(|comparison| candidate(&comparison)).ok_or(Fault::NoCandidate)
    }
}

fn candidate(comparison: &Comparison) -> v1::Candidate {
    let compared = |result| comparison.compared.get(&result).copied().unwrap_or_default();
    let count = |(name, count): (&str, &u64)| v1::Count { name: name.to_owned(), count: *count };
    let not_comparable = comparison.not_comparable.iter();
    let disagreements = comparison.disagreements.iter();
    v1::Candidate {
        active: comparison.active.to_string(),
        candidate: comparison.candidate.to_string(),
        share: comparison.share.into(),
        since: Some(timestamp(comparison.since)),
        agreed: compared(Compared::Agreed),
        disagreed: compared(Compared::Disagreed),
        not_comparable: not_comparable.map(|(reason, found)| count((reason.as_str(), found))).collect(),
        disagreements: disagreements.map(|(kind, found)| count((kind.as_str(), found))).collect(),
        examples: comparison.examples.iter().map(|found| example(found)).collect(),
    }
}

fn example(example: &Example) -> v1::CandidateExample {
    let identity = &example.identity;
    v1::CandidateExample {
        time: Some(timestamp(example.time)),
        decision_id: example.decision_id.clone(),
        service: example.service.to_owned(),
        disagreements: example.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        decided_by: example.decided_by.as_str().to_owned(),
        caller: Some(v1::Caller {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            person: identity.person.clone().unwrap_or_default(),
            spiffe: identity.spiffe.clone(),
            method: identity.method.as_str().to_owned(),
            address: example.source.clone(),
            email: identity.email.clone(),
            tenant: identity.tenant.clone(),
            groups: identity.groups.clone(),
            scopes: identity.scopes.clone(),
        }),
        method: example.method.clone(),
        host: example.host.clone(),
        path: example.path.clone(),
        active: Some(view(&example.active)),
        candidate: Some(view(&example.candidate)),
    }
}

fn view(view: &View) -> v1::CandidateView {
    v1::CandidateView {
        outcome: view.outcome.to_owned(),
        reason: view.reason.to_owned(),
        rule: view.rule.as_deref().unwrap_or_default().to_owned(),
        errors: view.errors.iter().map(|rule| rule.to_string()).collect(),
    }
}
