//! What can be said about the policies now.

use std::sync::Arc;

use super::Control;
use super::standing::{LastRefusal, SourceStatus};
use super::trial::{CandidateState, Tried};
use crate::bundle::source::Offer;
use crate::store::{KeptBundle, StoreError};

/// All that can be said about the policies now.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What decides; `None` when nothing does.
    pub active: Option<KeptBundle>,
    pub pinned: bool,
    /// Whether a rollback stands.
    pub rolled_back: bool,
    /// Every revision that can be gone back to, the last active one first.
    pub kept: Vec<KeptBundle>,
    /// Where the next rollback leads.
    pub previous: Option<KeptBundle>,
    /// The newest offer that only the pin holds off.
    pub available: Option<Available>,
    /// What a person turned away from by a rollback or an upload: it is not taken by itself until the source differs.
    pub passed_over: Option<KeptBundle>,
    pub candidate: Option<CandidateListing>,
    pub refused: Option<LastRefusal>,
    pub source: SourceStatus,
}

/// What would be active without the pin, or is tried.
#[derive(Clone, Debug, Default)]
pub struct Available {
    pub revision: Arc<str>,
    pub name: String,
    pub version: String,
    pub digest: Arc<str>,
    pub source: Arc<str>,
}

/// The candidate of the configuration.
#[derive(Clone, Debug)]
pub struct CandidateListing {
    /// Without revision where nothing could be used yet.
    pub policies: Available,
    /// The percentage of callers for whom it is to decide.
    pub share: u8,
    pub state: CandidateState,
    /// What is wrong with what its source holds now.
    pub findings: Vec<String>,
}

impl Available {
    fn of(source: &Arc<str>, offer: &Offer) -> Self {
        Self {
            revision: offer.prepared.set.revision().clone(),
            name: offer.key.name().to_owned(),
            version: offer.key.version(),
            digest: offer.key.digest.clone(),
            source: source.clone(),
        }
    }
}

impl CandidateListing {
    fn of(tried: &Tried, state: CandidateState) -> Self {
        let nothing = || Available { source: tried.source.clone(), ..Available::default() };
        let refused = match &state {
            CandidateState::Refused(refused) => Some(refused),
            _ => tried.refused.as_ref(),
        };
        let findings = refused.map(super::change::lines).unwrap_or_default();
        let policies = tried.offer.as_ref().map_or_else(nothing, |offer| Available::of(&tried.source, offer));
        Self { policies, share: tried.share, state, findings }
    }
}

impl Control {
    pub async fn list(&self) -> Result<Listing, StoreError> {
        let kept = self.ports.store.bundles().await?;
        let standing = self.standing.lock().await;
        let active = standing.kept.active.clone().filter(|_| standing.running.is_some());
        let previous = active.as_ref().and_then(|active| active.previous.as_ref());
        let previous = kept.iter().find(|kept| Some(&kept.id) == previous).cloned();
        let tried = standing.tried.as_ref().zip(standing.candidate_state());
        Ok(Listing {
            active,
            pinned: standing.kept.pinned,
            rolled_back: standing.kept.rolled_back,
            previous,
            available: standing.available.as_ref().map(|(source, offer)| Available::of(source, offer)),
            passed_over: standing.turned_away(&kept).cloned(),
            kept,
            candidate: tried.map(|(tried, state)| CandidateListing::of(tried, state)),
            refused: standing.refused.clone(),
            source: self.source.lock().clone(),
        })
    }
}
