//! Which policies decide, from the first start on: offers from a source, and what people ask for.
//!
//! Every change is written to the store, then put in force, then told; one after the other, and each to its end
//! also when whoever asked for it is gone. So after a crash the store's word is what decides.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::refusal::{Refusal, Refused};
use super::source::{Admission, Offer};
use crate::audit::Audit;
use crate::authn::Authenticator;
use crate::clock::Clock;
use crate::engine::{Engine, Snapshot};
use crate::identity::Identity;
use crate::metrics::{Metrics, PollResult};
use crate::store::{RecordedEvent, Store, StoreError};

mod change;
mod explicit;
mod listing;
mod replicas;
mod standing;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trial;
mod words;

pub use explicit::Change;
pub use listing::{Available, CandidateListing, Listing};
pub use standing::{LastRefusal, SourceStatus};

pub use trial::{CandidateState, Trial, TrialId};

use change::Swap;
use standing::{Judgement, Standing};
use words::explained;

/// The one place that changes which policies decide.
#[derive(Debug)]
pub struct Control {
    ports: Ports,
    admission: RwLock<Arc<Admission>>,
    standing: tokio::sync::Mutex<Standing>,
    /// Apart, so that metrics and polls never wait for a change.
    source: Mutex<SourceStatus>,
}

/// What a change touches.
#[derive(Clone, Debug)]
pub struct Ports {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub audit: Audit,
    pub metrics: Metrics,
    pub clock: Clock,
}

/// What became of an offer that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    /// It decides already.
    Unchanged,
    /// Somebody rolled back from it, or activated another: it waits until it differs.
    PassedOver,
    Refused(Refusal),
    /// The store could not keep it; the same offer may come again.
    NotKept,
    /// It was judged by what policies had to satisfy before the configuration was read again.
    Outdated,
}

impl Outcome {
    /// Whether the same content has to be offered again.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::NotKept | Self::Outdated)
    }
}

/// Why what somebody asked for was not done. `Display` is for them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{}", told(.0))]
    Refused(Refused),
    #[error("no kept revision is called `{0}`; `bundle list` shows them")]
    Unknown(String),
    #[error("several kept revisions begin with `{0}`; give more of it")]
    Ambiguous(String),
    #[error("no earlier revision is kept")]
    NoPrevious,
    #[error("revision {0} is active already")]
    Active(String),
    #[error("revision {0} is pinned; unpin it first")]
    Pinned(String),
    #[error("nothing is pinned, and no rollback holds anything off")]
    NotPinned,
    #[error("no policies are active")]
    NothingActive,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The refusal, then every finding on a line of its own.
fn told(refused: &Refused) -> String {
    let findings = refused.findings.iter().map(|finding| format!("\n{finding}"));
    format!("{}{}", refused.refusal, findings.collect::<String>())
}

impl Control {
    /// Puts in force what was active when the last process ended: `first`, where it is the same content, or what
    /// the store kept, judged again. Whatever can't be restored leaves the server without policies.
    pub async fn start(
        ports: Ports,
        admission: Admission,
        location: &str,
        first: Option<&Offer>,
    ) -> Result<Arc<Self>, StoreError> {
        let kept = ports.store.bundle_state().await?;
        let source = SourceStatus { location: location.into(), ..SourceStatus::default() };
        let standing = Standing { kept, ..Standing::default() };
        ports.metrics.pinned(standing.kept.pinned);
        ports.metrics.policies_refused(false);
        ports.metrics.candidate_state(CandidateState::ALL, None);
        let control = Arc::new(Self {
            ports,
            admission: RwLock::new(Arc::new(admission)),
            standing: tokio::sync::Mutex::new(standing),
            source: Mutex::new(source),
        });
        control.restore(first).await?;
        Ok(control)
    }

    /// What policies must satisfy now.
    pub fn admission(&self) -> Arc<Admission> {
        self.admission.read().clone()
    }

    /// Whether this content, told by its fingerprint, is what was judged last.
    pub async fn knows(&self, fingerprint: &str) -> bool {
        self.standing.lock().await.judged.as_deref() == Some(fingerprint)
    }

    /// Whether the store knows of policies that were active, also if they could not be put in force.
    pub async fn was_active(&self) -> bool {
        self.standing.lock().await.kept.active.is_some()
    }

    /// Takes up what a source holds now, or why that can't be used, as `admission` judged it: as the rules of automatic
    /// changes say. The same refusal of the same content is reported once.
    pub async fn offer(
        self: &Arc<Self>,
        source: &str,
        fingerprint: String,
        admission: &Arc<Admission>,
        offer: Result<Offer, Refused>,
    ) -> Outcome {
        let (control, source, admission) = (self.clone(), Arc::from(source), admission.clone());
        let offered = async move {
            let mut standing = control.standing.lock().await;
            if !Arc::ptr_eq(&admission, &control.admission()) {
                return Outcome::Outdated;
            }
            control.consider(&mut standing, source, fingerprint, offer, None).await
        };
        tokio::spawn(offered).await.unwrap_or(Outcome::NotKept)
    }

    /// As `offer`, for a configuration that was read again: identity providers and policies change as one. A
    /// refusal changes neither; a pin holds off the policies alone. `offer` is `None` where the source is a URL.
    pub async fn reload(self: &Arc<Self>, reloaded: Reloaded) -> Outcome {
        let control = self.clone();
        let changed = async move {
            let Reloaded { authenticator, admission, location, offer } = reloaded;
            let mut standing = control.standing.lock().await;
            let before = control.admission();
            let held_off = (standing.available.clone(), standing.seen.clone(), standing.judged.clone());
            *control.admission.write() = Arc::new(admission);
            let swap: Swap = Box::new({
                let authenticator = authenticator.clone();
                move |snapshot: &mut Snapshot| snapshot.authenticator = authenticator
            });
            let outcome = match offer {
                Some((fingerprint, offer)) => {
                    // Whoever asks is told again what was told before.
                    standing.refused.iter_mut().for_each(|refused| refused.fingerprint.clear());
                    control.consider(&mut standing, location.clone(), fingerprint, offer, Some(swap)).await
                }
                None => Outcome::Unchanged,
            };
            // What the source holds is judged again, by what policies have to satisfy from now on.
            standing.judged = None;
            match outcome {
                Outcome::Taken => {}
                Outcome::Unchanged | Outcome::PassedOver | Outcome::Refused(Refusal::Pinned) => {
                    control.ports.engine.update(|snapshot| snapshot.authenticator = authenticator);
                    control.ports.metrics.reloaded();
                }
                Outcome::Refused(_) | Outcome::NotKept | Outcome::Outdated => {
                    *control.admission.write() = before;
                    // The source stays what it was, and so does what it offered: it is not asked for it again.
                    (standing.available, standing.seen, standing.judged) = held_off;
                    return outcome;
                }
            }
            let mut source = control.source.lock();
            if source.location != location {
                *source = SourceStatus { location, ..SourceStatus::default() };
            }
            outcome
        };
        tokio::spawn(changed).await.unwrap_or(Outcome::NotKept)
    }

    /// What the last request for the bundle came to; an error is for people.
    pub fn polled(&self, result: PollResult, error: Option<String>) {
        self.ports.metrics.polled(result);
        let mut source = self.source.lock();
        if error.is_none() {
            source.polled = Some(self.ports.clock.now());
        }
        source.error = error;
    }

    /// Seconds since the URL last answered well; infinite when it never did, `None` before the first request.
    pub fn poll_age(&self) -> Option<f64> {
        let source = self.source.lock();
        match source.polled {
            Some(polled) => Some(self.ports.clock.now().duration_since(polled).as_secs_f64().max(0.0)),
            None => source.error.as_ref().map(|_| f64::INFINITY),
        }
    }

    /// At most `limit` events, 500 at most, the newest first; only those older than the one with the id `before`.
    pub async fn history(&self, limit: u32, before: Option<&str>) -> Result<Vec<RecordedEvent>, StoreError> {
        self.ports.store.bundle_events(limit, before).await
    }

    async fn consider(
        &self,
        standing: &mut Standing,
        source: Arc<str>,
        fingerprint: String,
        offer: Result<Offer, Refused>,
        swap: Option<Swap>,
    ) -> Outcome {
        let outcome = match offer {
            Err(refused) => self.refuse(standing, &source, &fingerprint, None, &refused).await,
            Ok(offer) => {
                standing.available = None;
                standing.seen = Some(offer.key.clone());
                match standing.judge(&offer.key) {
                    Judgement::Take => self.take(standing, &source, offer, swap).await,
                    Judgement::Unchanged => self.keep_signature(standing, &source, offer).await,
                    Judgement::PassedOver => Outcome::PassedOver,
                    Judgement::Refuse(refusal) => {
                        let refused = explained(standing, refusal, &offer);
                        let outcome =
                            self.refuse(standing, &source, &fingerprint, Some(&offer), &refused).await;
                        standing.available = (refusal == Refusal::Pinned).then_some((source, offer));
                        outcome
                    }
                }
            }
        };
        if matches!(outcome, Outcome::Unchanged | Outcome::PassedOver) {
            self.accepted_again(standing);
        }
        standing.judged = (!outcome.is_pending()).then_some(fingerprint);
        self.settle_candidate(standing, None).await;
        outcome
    }
}

/// A configuration that was read again.
#[derive(Debug)]
pub struct Reloaded {
    pub authenticator: Arc<Authenticator>,
    pub admission: Admission,
    pub location: Arc<str>,
    pub offer: Option<(String, Result<Offer, Refused>)>,
}

/// Who asks for a change, and why.
#[derive(Clone, Debug)]
pub struct Request {
    pub who: Arc<Identity>,
    pub reason: String,
}
