//! What other servers of the store decided about the policies: taken up here as it is.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::change::{event, is_content};
use super::standing::Standing;
use super::{Control, Outcome};
use crate::bundle::refusal::{Refusal, Refused};
use crate::bundle::source::{Admission, Offer};
use crate::store::{BundleState, EventKind, KeptBundle, StoreError};

/// How often the store is asked, whatever it tells by itself.
const POLL: Duration = Duration::from_secs(5);

/// Where policies come from that another server made active.
const SOURCE: &str = "the store";

impl Control {
    /// Follows the store until the handle is dropped.
    pub fn follow_store(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let control = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut told = control.ports.store.bundles_changed();
            let mut failing = false;
            loop {
                // The next poll comes either way.
                tokio::time::timeout(POLL, told.changed()).await.ok();
                match control.catch_up().await {
                    Ok(()) => failing = false,
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(%error, "whether other servers changed the policies can't be read");
                        }
                    }
                }
            }
        }))
    }

    /// Takes up the state that the store has now, if another server changed it.
    pub async fn catch_up(self: &Arc<Self>) -> Result<(), StoreError> {
        let control = self.clone();
        let caught_up = async move {
            let mut standing = control.standing.lock().await;
            let state = control.ports.store.bundle_state().await?;
            if state.number != standing.kept.number {
                control.adopt(&mut standing, state).await?;
            }
            Ok(())
        };
        // To its end, as every change.
        tokio::spawn(caught_up).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Another server changed what decides before this offer could. Where that one took the same policies, as servers do that
    /// follow one folder, nothing is left but to follow it; else the offer comes again, and is judged by what is there then.
    pub(super) async fn overtaken(
        &self,
        standing: &mut Standing,
        source: &Arc<str>,
        offer: &Offer,
    ) -> Outcome {
        match self.ports.store.bundle_state().await {
            Ok(state) if state.active.as_ref().is_some_and(|active| is_content(active, offer)) => {
                if let Err(error) = self.adopt(standing, state).await {
                    tracing::warn!(%error, %source, "policies that another server took can't be read");
                }
            }
            Ok(_) => {
                tracing::info!(%source, "another server changed the policies meanwhile; these come again")
            }
            Err(error) => {
                tracing::warn!(%error, %source, "whether another server took these policies can't be read")
            }
        }
        let decides = standing.running.as_ref() == Some(&offer.key);
        if decides { Outcome::Unchanged } else { Outcome::NotKept }
    }

    /// Revisions are judged as if they came today. One that can't be used here leaves in force what is.
    async fn adopt(&self, standing: &mut Standing, state: BundleState) -> Result<(), StoreError> {
        let other = state.active.as_ref().filter(|active| !runs(standing, active));
        let judged = match other {
            Some(active) => match self.ports.store.bundle_content(&active.id).await? {
                Some(content) => Some(judge(self.admission(), content, active).await),
                // Another change came in between; it is told too.
                None => return Ok(()),
            },
            None => None,
        };
        self.ports.metrics.pinned(state.pinned);
        standing.kept = state;
        match judged {
            Some(Ok(offer)) => {
                self.put_in_force(standing, &offer, None);
                self.tell(&event(EventKind::Activated, SOURCE, Some(&offer), None), None).await;
            }
            Some(Err(refused)) => {
                self.refuse(standing, &SOURCE.into(), "", None, &refused).await;
            }
            None => {}
        }
        let running = standing.running.as_ref();
        if standing.available.as_ref().is_some_and(|(_, offer)| Some(&offer.key) == running) {
            standing.available = None;
        }
        // What the source holds stands differently to this state.
        standing.judged = None;
        self.settle_candidate(standing, None).await;
        Ok(())
    }
}

fn runs(standing: &Standing, active: &KeptBundle) -> bool {
    standing.running.as_ref().is_some_and(|key| {
        key.name() == active.name && key.version() == active.version && *key.digest == active.digest
    })
}

/// Verifies, compiles and tests, beside the calls that are being decided.
async fn judge(
    admission: Arc<Admission>,
    content: crate::store::Content,
    active: &KeptBundle,
) -> Result<Offer, Refused> {
    let judged = tokio::task::spawn_blocking(move || admission.kept(content)).await;
    let judged = judged.unwrap_or_else(|error| {
        Err(Refused::because(Refusal::Unreadable, format_args!("judging it failed ({error})")))
    });
    match judged {
        Ok(offer) if !is_content(active, &offer) => {
            Err(Refused::because(Refusal::WrongDigest, "the revision that the store keeps"))
        }
        judged => judged,
    }
}
