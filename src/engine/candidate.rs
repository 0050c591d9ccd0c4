//! Policies on trial: a candidate is evaluated beside the active set on live calls, and may decide for a share of the
//! principals.
//!
//! `shadow` compares in a thread of its own, after the answer, so that no candidate delays or changes one; `tally`
//! keeps what it found.

use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;

use crate::identity::Identity;
use crate::policy::{Candidates, Needs, PolicySet};
use crate::request::Request;

mod shadow;
mod tally;

pub(super) use shadow::{Comparer, Job, Subject};
pub use tally::{Comparison, Example, Side, View};

use super::Snapshot;
use tally::Tally;

/// Policies that are tried beside the active ones.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub policies: Arc<PolicySet>,
    /// The percentage of principals for whom it decides, 0 to 100; 0 evaluates it in shadow only.
    pub share: u8,
    /// How many disagreements of each kind are recorded in a minute.
    pub sample: u32,
    /// What the comparison with the active set of the same snapshot came to so far.
    pub(super) tally: Arc<Tally>,
}

impl Candidate {
    pub fn new(policies: Arc<PolicySet>, share: u8, sample: u32) -> Self {
        Self { policies, share, sample, tally: Arc::default() }
    }

    /// Whether it decides for this caller: the same answer for the same caller on every replica and for every
    /// candidate, and also `true` for every larger share.
    fn decides_for(&self, identity: &Identity, address: &str) -> bool {
        self.share > 0 && place(identity, address) < u64::from(self.share) * 100
    }
}

/// Where a caller stands, from 0 to 9,999: a person by the `person` claim or else by issuer and subject, a workload by
/// its SPIFFE id, an anonymous caller by its address.
fn place(identity: &Identity, address: &str) -> u64 {
    let fields: &[&str] = match identity {
        Identity { person: Some(person), .. } => &["person", person],
        Identity { subject, issuer, .. } if !subject.is_empty() => &["subject", issuer, subject],
        Identity { spiffe, .. } if !spiffe.is_empty() => &["spiffe", spiffe],
        _ => &["address", address],
    };
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"portcullis-candidate");
    for field in fields {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    let digest = context.finish();
    let first = digest.as_ref().iter().take(8);
    first.fold(0, |number: u64, byte| number << 8 | u64::from(*byte)) % 10_000
}

/// The rules about one call, of every set that may decide it.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    active: Candidates,
    /// Present when the candidate decides for anybody: who calls is not known yet.
    candidate: Option<Candidates>,
}

impl Snapshot {
    /// The rules about `request`.
    pub(super) fn routes(&self, request: &Request, gateway: bool) -> Routes {
        let deciding = self.candidate.as_ref().filter(|candidate| candidate.share > 0);
        Routes {
            active: self.policies.candidates(request, gateway),
            candidate: deciding.map(|candidate| candidate.policies.candidates(request, gateway)),
        }
    }

    /// What whoever decides may need.
    pub(super) fn needs(&self, routes: &Routes) -> Needs {
        let active = self.policies.needs(&routes.active);
        let (Some(candidate), Some(of_candidate)) = (&self.candidate, &routes.candidate) else {
            return active;
        };
        let other = candidate.policies.needs(of_candidate);
        Needs {
            body: active.body | other.body,
            may_hold: active.may_hold | other.may_hold,
            may_mask: active.may_mask | other.may_mask,
            masked: active.masked.and(other.masked),
        }
    }

    /// Which set decides for this caller, and its rules about the call.
    pub(super) fn side(&self, routes: Routes, identity: &Identity, address: &str) -> (Side, Candidates) {
        match (&self.candidate, routes.candidate) {
            (Some(candidate), Some(of_candidate)) if candidate.decides_for(identity, address) => {
                (Side::Candidate, of_candidate)
            }
            _ => (Side::Active, routes.active),
        }
    }

    /// What the admin API shows; `None` without a candidate.
    pub fn comparison(&self) -> Option<Comparison> {
        let candidate = self.candidate.as_ref()?;
        let (active, tried) = (self.policies.revision(), candidate.policies.revision());
        Some(candidate.tally.comparison(active, tried, candidate.share))
    }

    /// Goes on with the tally of `before`, the active set and its candidate, when both are the same; else begins one.
    pub(super) fn begin_comparison(&mut self, before: Option<(&PolicySet, &Candidate)>, now: Timestamp) {
        let Some(candidate) = &mut self.candidate else { return };
        let same = |(active, tried): &(&PolicySet, &Candidate)| {
            active.revision() == self.policies.revision()
                && tried.policies.revision() == candidate.policies.revision()
        };
        candidate.tally = match before.filter(same) {
            Some((_, tried)) => tried.tally.clone(),
            None => Arc::new(Tally::since(now)),
        };
    }

    /// The policies of one side; without a candidate there is one side only.
    pub(super) fn policies_of(&self, side: Side) -> &Arc<PolicySet> {
        match (side, &self.candidate) {
            (Side::Candidate, Some(candidate)) => &candidate.policies,
            _ => &self.policies,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Method;
    use crate::policy::{Options, SourceFile, compile};

    fn candidate(share: u8) -> Candidate {
        let text = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec: {rules: [{name: r, allow: {}}]}\n";
        let files = [SourceFile { file: "p.yaml".into(), text: text.into() }];
        Candidate::new(Arc::new(compile(&files, &Options::default()).set.unwrap()), share, 0)
    }

    fn subject(issuer: &str, subject: &str) -> Identity {
        let mut identity = (*Identity::anonymous()).clone();
        identity.method = Method::Jwt;
        (identity.issuer, identity.subject) = (issuer.into(), subject.into());
        identity
    }

    #[test]
    fn the_share_is_met_and_grows_without_moving_anybody_back() {
        let people: Vec<_> = (0..10_000).map(|n| subject("https://idp.example", &format!("u{n}"))).collect();
        let decided = |share: u8| {
            let candidate = candidate(share);
            people.iter().map(|who| candidate.decides_for(who, "")).collect::<Vec<_>>()
        };
        let count = |decided: &[bool]| decided.iter().filter(|decided| **decided).count();
        let (none, five, twenty, all) = (decided(0), decided(5), decided(20), decided(100));
        assert_eq!((count(&none), count(&all)), (0, 10_000));
        assert!((400..600).contains(&count(&five)) && (1_850..2_150).contains(&count(&twenty)));
        assert!(five.iter().zip(&twenty).all(|(five, twenty)| !five | twenty));
    }

    #[test]
    fn places_are_the_same_for_ever() {
        // Replicas of several versions must agree: these numbers may not change.
        assert_eq!(place(&subject("https://idp.example", "ana"), "10.0.0.1"), PLACE_OF_ANA);
        assert_eq!(place(&Identity::anonymous(), "10.0.0.1"), PLACE_OF_ADDRESS);
    }

    const PLACE_OF_ANA: u64 = 4_780;
    const PLACE_OF_ADDRESS: u64 = 962;

    #[test]
    fn a_caller_is_known_by_the_best_name_there_is() {
        let ana = subject("https://idp.example", "ana");
        assert_eq!(place(&ana, "10.0.0.1"), place(&ana, "10.0.0.2"));
        let through_a_workload = Identity { spiffe: "spiffe://a/b".into(), ..ana.clone() };
        assert_eq!(place(&ana, ""), place(&through_a_workload, ""), "a person is not moved by a proxy");
        let person = |login: &str| Identity { person: Some("ana@example.com".into()), ..subject("i", login) };
        assert_eq!(place(&person("a"), ""), place(&person("b"), ""));
        let anonymous = Identity::anonymous();
        assert_ne!(place(&anonymous, "10.0.0.1"), place(&anonymous, "10.0.0.2"));
        assert_ne!(place(&subject("ab", "c"), ""), place(&subject("a", "bc"), ""));
    }
}
