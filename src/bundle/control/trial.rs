//! The candidate: policies that are tried beside the active ones, and when they may decide.
//!
//! For a share of the callers it decides, so the rules of names and versions are those of the active policies. A pin and
//! a rollback are a person's word that other policies are to decide: while one stands, the candidate only compares.

use std::sync::Arc;

use super::change::{event, lines};
use super::standing::Standing;
use super::words::explained;
use super::{Control, Request};
use crate::bundle::content::Key;
use crate::bundle::refusal::Refused;
use crate::bundle::source::Offer;
use crate::engine::Candidate;
use crate::store::{BundleChange, BundleEvent, EventKind};

/// A candidate that the configuration names, as its source holds it now.
#[derive(Debug)]
pub struct Trial {
    pub source: Arc<str>,
    /// The percentage of callers for whom it is to decide, 0 to 100.
    pub share: u8,
    /// How many disagreements of each kind are recorded in a minute.
    pub sample: u32,
    pub offer: Result<Offer, Refused>,
}

/// Stands for one candidate of the configuration: what its files hold later counts until another takes its place.
#[derive(Clone, Debug)]
pub struct TrialId(Arc<()>);

/// What the candidate does.
#[derive(Clone, Debug)]
pub enum CandidateState {
    /// It has no share, and is compared only.
    Comparing,
    /// It decides for its share of the callers.
    Deciding,
    /// It would decide, and is compared only; says why.
    Suspended(String),
    /// It is neither compared nor decides.
    Refused(Refused),
}

impl CandidateState {
    pub const ALL: &[&str] = &["comparing", "deciding", "suspended", "refused"];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Comparing => "comparing",
            Self::Deciding => "deciding",
            Self::Suspended(_) => "suspended",
            Self::Refused(_) => "refused",
        }
    }

    /// Why it does not decide for its share; empty where it does, or has none.
    pub fn why(&self) -> String {
        match self {
            Self::Comparing | Self::Deciding => String::new(),
            Self::Suspended(why) => why.clone(),
            Self::Refused(refused) => refused.refusal.to_string(),
        }
    }
}

/// The candidate as the server knows it.
#[derive(Debug)]
pub(super) struct Tried {
    id: Arc<()>,
    pub source: Arc<str>,
    pub share: u8,
    pub sample: u32,
    /// The last that could be used.
    pub offer: Option<Offer>,
    /// Why what its source holds now can't be.
    pub refused: Option<Refused>,
}

/// A candidate that decides, as its beginning was recorded.
#[derive(Clone, Debug)]
pub(super) struct Began {
    key: Key,
    share: u8,
    event: BundleEvent,
}

impl Tried {
    fn begins(&self) -> Option<Began> {
        let offer = self.offer.as_ref()?;
        let event = event(EventKind::CandidateBegan, &self.source, Some(offer), None);
        Some(Began { key: offer.key.clone(), share: self.share, event })
    }
}

impl Began {
    fn is(&self, other: &Self) -> bool {
        self.key == other.key && self.share == other.share
    }
}

impl Standing {
    /// What the candidate is to do; `None` without one.
    pub fn candidate_state(&self) -> Option<CandidateState> {
        let tried = self.tried.as_ref()?;
        let Some(offer) = &tried.offer else {
            return tried.refused.clone().map(CandidateState::Refused);
        };
        if tried.share == 0 {
            return Some(CandidateState::Comparing);
        }
        if let Err(refusal) = self.name(&offer.key).and_then(|()| self.version(&offer.key).map(|_| ())) {
            return Some(CandidateState::Refused(explained(self, refusal, offer)));
        }
        let suspended = |why: &str| Some(CandidateState::Suspended(why.to_owned()));
        match &self.kept.active {
            Some(active) if self.kept.pinned => {
                suspended(&format!("revision {} is pinned, until `bundle unpin`", active.revision))
            }
            _ if self.running.is_none() => suspended("no policies are active"),
            _ if self.kept.rolled_back => {
                suspended("a rollback stands, until `bundle activate`, `bundle unpin` or newer policies")
            }
            _ if self.unrecorded => {
                suspended("the store can't record that it begins to decide; SIGHUP tries again")
            }
            _ => Some(CandidateState::Deciding),
        }
    }

    /// What the engine is to try: with its share only while that it decides is recorded, and still allowed.
    pub fn candidate(&self) -> Option<Candidate> {
        let tried = self.tried.as_ref()?;
        let offer = tried.offer.as_ref()?;
        let share = match self.candidate_state()? {
            CandidateState::Refused(_) => return None,
            CandidateState::Deciding if self.is_recorded(tried) => tried.share,
            _ => 0,
        };
        Some(Candidate::new(offer.prepared.set.clone(), share, tried.sample))
    }

    fn is_recorded(&self, tried: &Tried) -> bool {
        let (began, begins) = (self.began.as_ref(), tried.begins());
        began.zip(begins).is_some_and(|(began, begins)| began.is(&begins))
    }
}

impl Control {
    /// Tries this candidate from now on, or none. A broken one is reported, and the active policies go on without it.
    pub async fn try_out(self: &Arc<Self>, trial: Option<Trial>) -> TrialId {
        let id = Arc::new(());
        let (control, made) = (self.clone(), id.clone());
        let changed = async move {
            let mut standing = control.standing.lock().await;
            standing.tried = trial.map(|Trial { source, share, sample, offer }| {
                let (offer, refused) = split(offer);
                Tried { id: made, source, share, sample, offer, refused }
            });
            control.settle_candidate(&mut standing, None).await;
        };
        // To its end, also when whoever asked is gone. A panic in it is in the log.
        let _ = tokio::spawn(changed).await;
        TrialId(id)
    }

    /// What the files of a candidate hold now. What can't be used is reported, and the last that could is tried on.
    /// Nothing happens once another candidate took its place.
    pub async fn candidate_changed(self: &Arc<Self>, id: &TrialId, offer: Result<Offer, Refused>) {
        let (control, id) = (self.clone(), id.clone());
        let changed = async move {
            let mut standing = control.standing.lock().await;
            let Some(tried) = standing.tried.as_mut().filter(|tried| Arc::ptr_eq(&tried.id, &id.0)) else {
                return;
            };
            let (offer, refused) = split(offer);
            let kept_on = offer.is_none() && tried.offer.is_some();
            tried.offer = offer.or_else(|| tried.offer.take());
            tried.refused = refused;
            if let Some(refused) = tried.refused.as_ref().filter(|_| kept_on) {
                let (source, refused) = (tried.source.clone(), refused.clone());
                control.report(&source, &refused);
            }
            control.settle_candidate(&mut standing, None).await;
        };
        let _ = tokio::spawn(changed).await;
    }

    /// Brings what the engine tries, the history and the log in line with what the candidate may do now. It ends at
    /// once, and begins once that is recorded.
    pub(super) async fn settle_candidate(&self, standing: &mut Standing, request: Option<&Request>) {
        standing.unrecorded = false;
        let state = standing.candidate_state();
        let begins = match (&state, &standing.tried) {
            (Some(CandidateState::Deciding), Some(tried)) => tried.begins(),
            _ => None,
        };
        let goes_on = match (&standing.began, &begins) {
            (Some(before), Some(now)) => before.is(now),
            _ => false,
        };
        let ended = if goes_on { None } else { standing.began.take() };
        self.show_candidate(standing);
        if let Some(ended) = ended {
            self.record_end(standing, ended, state.as_ref(), request).await;
        }
        if let Some(begins) = begins.filter(|_| !goes_on) {
            self.record_beginning(standing, begins, request).await;
            self.show_candidate(standing);
        }
        self.say_state(standing);
    }

    /// Tries what may be tried now.
    pub(super) fn show_candidate(&self, standing: &Standing) {
        let next = standing.candidate();
        let snapshot = self.ports.engine.snapshot();
        let told = |candidate: &Candidate| {
            (candidate.policies.revision().clone(), candidate.share, candidate.sample)
        };
        if snapshot.candidate.as_ref().map(told) != next.as_ref().map(told) {
            self.ports.engine.update(|snapshot| snapshot.candidate = next);
        }
    }

    async fn record_end(
        &self,
        standing: &mut Standing,
        ended: Began,
        state: Option<&CandidateState>,
        request: Option<&Request>,
    ) {
        let comment = match state {
            None => "the configuration names no candidate".to_owned(),
            Some(CandidateState::Comparing) => "it is compared only".to_owned(),
            Some(CandidateState::Deciding) => "another candidate, or share, takes its place".to_owned(),
            Some(state) => state.why(),
        };
        let who = event(EventKind::CandidateEnded, "", None, request).who;
        let event = BundleEvent { kind: EventKind::CandidateEnded, who, comment, ..ended.event };
        let change = BundleChange { state: None, event: event.clone() };
        if let Err(error) = self.commit(standing, change).await {
            tracing::warn!(%error, "the history lacks that the candidate ended");
        }
        self.tell(&event, request).await;
    }

    async fn record_beginning(&self, standing: &mut Standing, begins: Began, request: Option<&Request>) {
        let comment = format!("it decides for {}% of the callers", begins.share);
        let who = event(EventKind::CandidateBegan, "", None, request).who;
        let event = BundleEvent { who, comment, ..begins.event.clone() };
        let change = BundleChange { state: None, event: event.clone() };
        match self.commit(standing, change).await {
            Ok(()) => {
                standing.began = Some(begins);
                self.tell(&event, request).await;
            }
            Err(error) => {
                tracing::error!(%error, "the candidate does not decide: the store can't record it");
                standing.unrecorded = true;
            }
        }
    }

    /// Tells of a state once.
    fn say_state(&self, standing: &mut Standing) {
        let state = standing.candidate_state();
        let now = state.as_ref().map(CandidateState::as_str);
        self.ports.metrics.candidate_state(CandidateState::ALL, now);
        let tried = standing.tried.as_ref();
        let offer = tried.and_then(|tried| tried.offer.as_ref());
        let revision = offer.map(|offer| offer.prepared.set.revision().to_string()).unwrap_or_default();
        let why = state.as_ref().map(CandidateState::why).unwrap_or_default();
        let share = tried.map_or(0, |tried| tried.share);
        let details = match &state {
            Some(CandidateState::Refused(refused)) => lines(refused).join("\n"),
            _ => why.clone(),
        };
        let said = Some((now.unwrap_or("none"), revision.clone(), share, details));
        if standing.said == said || (standing.said.is_none() && now.is_none()) {
            return;
        }
        if let (Some(CandidateState::Refused(refused)), Some(tried)) = (&state, tried) {
            self.report(&tried.source, refused);
        }
        standing.said = said;
        tracing::info!(state = now.unwrap_or("none"), revision, share, why, "the candidate");
    }

    fn report(&self, source: &Arc<str>, refused: &Refused) {
        for finding in &refused.findings {
            let reason = refused.refusal.code();
            tracing::error!(%source, reason, %finding, "the candidate was not taken; the active policies go on");
        }
        self.ports.metrics.reload_refused(refused.refusal.code());
    }
}

fn split(offer: Result<Offer, Refused>) -> (Option<Offer>, Option<Refused>) {
    match offer {
        Ok(offer) => (Some(offer), None),
        Err(refused) => (None, Some(refused)),
    }
}
