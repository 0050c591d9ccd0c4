//! How a change is made: written, put in force, told.

use std::sync::Arc;

use super::standing::{LastRefusal, Standing};
use super::{Control, Outcome, Request};
use crate::audit::{self, Record};
use crate::bundle::refusal::{Refusal, Refused};
use crate::bundle::source::Offer;
use crate::engine::{self, Snapshot};
use crate::store::{
    Activate, Actor, BundleChange, BundleEvent, BundleState, EventKind, KeptBundle, NewBundle, StateChange,
    StoreError,
};

/// What else changes in the same swap.
pub(super) type Swap = Box<dyn FnOnce(&mut Snapshot) + Send>;

impl Control {
    /// Puts in force what the store says is active. What it holds is judged as if it came today: a key that is no
    /// longer trusted, or a server that is older now, leaves nothing in force.
    pub(super) async fn restore(&self, first: Option<&Offer>) -> Result<(), StoreError> {
        let mut standing = self.standing.lock().await;
        let Some(active) = standing.kept.active.clone() else { return Ok(()) };
        if let Some(first) = first.filter(|first| is_content(&active, first)) {
            self.put_in_force(&mut standing, first, None);
            return Ok(());
        }
        let content = self.ports.store.bundle_content(&active.id).await?;
        let Some(content) = content else { return Ok(()) };
        let admission = self.admission();
        let judged = tokio::task::spawn_blocking(move || admission.kept(content)).await;
        match judged {
            Ok(Ok(offer)) => self.put_in_force(&mut standing, &offer, None),
            Ok(Err(refused)) => {
                let source = Arc::from(format!("the store: revision {}", active.revision));
                self.refuse(&mut standing, &source, "", None, &refused).await;
            }
            Err(error) => tracing::error!(%error, "the kept policies could not be judged"),
        }
        Ok(())
    }

    /// Takes an offer that nobody asked for.
    pub(super) async fn take(
        &self,
        standing: &mut Standing,
        source: &Arc<str>,
        offer: Offer,
        swap: Option<Swap>,
    ) -> Outcome {
        let state = StateChange {
            active: Activate::New(Box::new(new_bundle(source, &offer))),
            pinned: false,
            rolled_back: false,
            passed_over: None,
            newest: standing.newest(&offer.key),
        };
        let event = event(EventKind::Activated, source, Some(&offer), None);
        match self.commit(standing, BundleChange { state: Some(state), event: event.clone() }).await {
            Ok(()) => {
                self.put_in_force(standing, &offer, swap);
                self.tell(&event, None).await;
                Outcome::Taken
            }
            Err(StoreError::Conflict) => self.overtaken(standing, source, &offer).await,
            Err(error) => {
                tracing::error!(%error, %source, "new policies were not taken: the store can't keep them");
                Outcome::NotKept
            }
        }
    }

    /// Keeps the active bundle as it comes now when another key signed it: after a restart that key may be the one
    /// that is trusted.
    pub(super) async fn keep_signature(
        &self,
        standing: &mut Standing,
        source: &Arc<str>,
        offer: Offer,
    ) -> Outcome {
        let signer = offer.prepared.bundle.signer.as_deref().unwrap_or_default();
        if standing.kept.active.as_ref().is_none_or(|active| active.signer == signer) {
            return Outcome::Unchanged;
        }
        let state = StateChange {
            active: Activate::New(Box::new(new_bundle(source, &offer))),
            pinned: standing.kept.pinned,
            rolled_back: standing.kept.rolled_back,
            passed_over: standing.kept.passed_over.clone(),
            newest: None,
        };
        let comment = format!("signed by key `{signer}` now");
        let event = BundleEvent { comment, ..event(EventKind::Activated, source, Some(&offer), None) };
        match self.commit(standing, BundleChange { state: Some(state), event: event.clone() }).await {
            Ok(()) => {
                self.tell(&event, None).await;
                Outcome::Unchanged
            }
            Err(error) => {
                tracing::warn!(%error, "the active bundle's new signature is not kept");
                Outcome::NotKept
            }
        }
    }

    /// Reports an offer that nobody asked for; the same one only once.
    pub(super) async fn refuse(
        &self,
        standing: &mut Standing,
        source: &Arc<str>,
        fingerprint: &str,
        offer: Option<&Offer>,
        refused: &Refused,
    ) -> Outcome {
        let refusal = refused.refusal;
        let known = standing.refused.as_ref();
        if known.is_some_and(|known| known.refusal == refusal && known.fingerprint == fingerprint) {
            return Outcome::Refused(refusal);
        }
        for finding in &refused.findings {
            tracing::error!(%source, reason = refusal.code(), %finding, "policies were not taken");
        }
        let event = BundleEvent {
            refusal: Some((refusal.code().to_owned(), lines(refused))),
            ..event(EventKind::Refused, source, offer, None)
        };
        if let Err(error) = self.commit(standing, BundleChange { state: None, event }).await {
            tracing::warn!(%error, "a refusal is missing from the history");
        }
        standing.refused = Some(LastRefusal {
            source: source.clone(),
            refusal,
            findings: lines(refused),
            at: self.ports.clock.now(),
            fingerprint: fingerprint.to_owned(),
        });
        self.ports.metrics.policies_refused(refusal != Refusal::Pinned);
        // Last, so that whoever sees it counted finds the rest.
        self.ports.metrics.reload_refused(refusal.code());
        Outcome::Refused(refusal)
    }

    /// Writes a change; it is durable when this returns. Where the store was slow to answer, its state says whether
    /// the change was made.
    pub(super) async fn commit(
        &self,
        standing: &mut Standing,
        change: BundleChange,
    ) -> Result<(), StoreError> {
        let wanted = change.state.clone();
        let after = match self.ports.store.change_bundles_after(standing.kept.number, change).await {
            Err(StoreError::Slow) => {
                let after = self.ports.store.bundle_state().await?;
                if !wanted.as_ref().is_some_and(|wanted| is_made(wanted, &after)) {
                    return Err(StoreError::Slow);
                }
                after
            }
            written => written?,
        };
        // What another server changed meanwhile is taken up as a whole, by `catch_up`.
        if wanted.is_some() || after.number == standing.kept.number {
            self.ports.metrics.pinned(after.pinned);
            standing.kept = after;
        }
        Ok(())
    }

    /// One swap; decisions under way finish on the snapshot that they hold.
    pub(super) fn put_in_force(&self, standing: &mut Standing, offer: &Offer, swap: Option<Swap>) {
        let set = offer.prepared.set.clone();
        // The first ones are no change.
        if standing.running.replace(offer.key.clone()).is_some() {
            self.ports.metrics.reloaded();
        }
        self.accepted_again(standing);
        for finding in &offer.prepared.findings {
            tracing::warn!(%finding, "the policies have a finding");
        }
        tracing::info!(
            revision = %set.revision(),
            policies = set.len(),
            name = offer.key.name(),
            version = offer.key.version(),
            "these policies decide now"
        );
        // A candidate that may not decide beside these ends with the same swap.
        let candidate = standing.candidate();
        self.ports.engine.update(|snapshot| {
            snapshot.policies = set;
            snapshot.candidate = candidate;
            if let Some(swap) = swap {
                swap(snapshot);
            }
        });
    }

    /// Forgets the last refusal: what the source holds now is good, or something else was chosen.
    pub(super) fn accepted_again(&self, standing: &mut Standing) {
        let refused = standing.refused.take();
        if let Some(refused) = refused.filter(|refused| refused.refusal != Refusal::Pinned) {
            let revision = standing.kept.active.as_ref().map(|active| active.revision.as_str());
            let (revision, before) = (revision.unwrap_or_default(), refused.refusal.code());
            tracing::info!(revision, before, "policies accepted again");
        }
        self.ports.metrics.policies_refused(false);
    }

    /// Records a change that is in force.
    pub(super) async fn tell(&self, event: &BundleEvent, request: Option<&Request>) {
        if let Some(Request { who, reason }) = request {
            let (change, revision) = (event.kind.as_str(), event.revision.as_str());
            let who = who.person.as_deref().unwrap_or(&who.subject);
            tracing::info!(change, revision, who, reason, "somebody changed which policies decide");
        }
        let record = Record::Policies(audit::Policies {
            time: self.ports.clock.now(),
            change: event.kind.as_str(),
            revision: &event.revision,
            name: &event.name,
            version: &event.version,
            source: &event.source,
            identity: request.map(|request| engine::principal(&request.who)),
            comment: &event.comment,
        });
        // The change stands whatever happens here; a lost record is counted, and `required` has waited for it.
        if self.ports.audit.record(&record).await.is_err() {
            tracing::error!(change = event.kind.as_str(), "a change of policies could not be recorded");
        }
    }
}

pub(super) fn new_bundle(source: &str, offer: &Offer) -> NewBundle {
    NewBundle {
        revision: offer.prepared.set.revision().to_string(),
        name: offer.key.name().to_owned(),
        version: offer.key.version(),
        digest: offer.key.digest.to_string(),
        signer: offer.prepared.bundle.signer.as_deref().unwrap_or_default().to_owned(),
        source: source.to_owned(),
        content: offer.content.clone(),
    }
}

pub(super) fn event(
    kind: EventKind,
    source: &str,
    offer: Option<&Offer>,
    request: Option<&Request>,
) -> BundleEvent {
    BundleEvent {
        kind,
        revision: offer.map(|offer| offer.prepared.set.revision().to_string()).unwrap_or_default(),
        name: offer.map(|offer| offer.key.name().to_owned()).unwrap_or_default(),
        version: offer.map(|offer| offer.key.version()).unwrap_or_default(),
        digest: offer.map(|offer| offer.key.digest.to_string()).unwrap_or_default(),
        source: source.to_owned(),
        who: request.map(|request| Actor::of(&request.who)),
        comment: request.map(|request| request.reason.clone()).unwrap_or_default(),
        refusal: None,
    }
}

/// The findings, each on a line of its own, as many as a person reads.
pub(super) fn lines(refused: &Refused) -> Vec<String> {
    const MOST: usize = 50;
    refused.findings.iter().take(MOST).map(ToString::to_string).collect()
}

pub(super) fn is_content(kept: &KeptBundle, offer: &Offer) -> bool {
    kept.name == offer.key.name() && kept.version == offer.key.version() && kept.digest == *offer.key.digest
}

fn is_made(wanted: &StateChange, after: &BundleState) -> bool {
    let active = after.active.as_ref();
    let active = match &wanted.active {
        Activate::Same => true,
        Activate::Kept(id) => active.is_some_and(|active| active.id == *id),
        Activate::New(new) => active.is_some_and(|active| {
            (&active.name, &active.version, &active.digest) == (&new.name, &new.version, &new.digest)
        }),
    };
    active
        && (after.pinned, after.rolled_back) == (wanted.pinned, wanted.rolled_back)
        && after.passed_over == wanted.passed_over
}
