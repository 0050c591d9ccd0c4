//! The candidate of a configuration: read with it, and again when its files change.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::bundle::{self, Admission, CandidateConfig, Control, Offer, Refused, Trial, TrialId};

/// A candidate as its source held it, with what it has to satisfy.
#[derive(Debug)]
pub struct Candidate {
    config: CandidateConfig,
    admission: Admission,
    watch: bool,
    offer: Result<Offer, Refused>,
}

impl Candidate {
    /// The candidate that `config` names, judged as the active policies are. What is wrong with it stops nothing: it is
    /// tried beside policies that work without it.
    pub(super) async fn read(config: &bundle::Config, admission: &Admission) -> Option<Self> {
        let candidate = config.candidate.clone()?;
        let offer = judge(&candidate, admission).await;
        Some(Self { config: candidate, admission: admission.clone(), watch: config.watch, offer })
    }

    /// Whether its rules may hold a call of anybody.
    pub(super) fn holds_calls(&self) -> bool {
        self.config.share > 0 && self.offer.as_ref().is_ok_and(|offer| offer.prepared.set.holds_calls())
    }

    pub fn offer(&self) -> Result<&Offer, &Refused> {
        self.offer.as_ref()
    }
}

async fn judge(config: &CandidateConfig, admission: &Admission) -> Result<Offer, Refused> {
    let (config, admission) = (config.clone(), admission.clone());
    let judged = tokio::task::spawn_blocking(move || config.judge(&admission));
    judged.await.unwrap_or_else(|error| {
        Err(Refused::because(bundle::Refusal::Unreadable, format_args!("the candidate ({error})")))
    })
}

/// The task that follows a candidate's files; it ends with its owner.
#[derive(Debug)]
pub(super) struct Trying {
    _task: Option<AbortOnDropHandle<()>>,
}

impl Trying {
    /// Tries this candidate from now on, or none, and follows its files until what comes back is dropped.
    pub(super) async fn start(candidate: Option<Candidate>, control: &Arc<Control>) -> Self {
        let Some(Candidate { config, admission, watch, offer }) = candidate else {
            control.try_out(None).await;
            return Self { _task: None };
        };
        let source = config.source.to_string().into();
        let trial = Trial { source, share: config.share, sample: config.sample, offer };
        let id = control.try_out(Some(trial)).await;
        let control = control.clone();
        let task = watch.then(|| tokio::spawn(follow(control, id, config, admission)));
        Self { _task: task.map(AbortOnDropHandle::new) }
    }
}

/// Takes what the files hold when they change.
async fn follow(control: Arc<Control>, id: TrialId, config: CandidateConfig, admission: Admission) {
    let Some(mut changes) = bundle::changes(&config.source) else { return };
    while changes.next().await {
        changes.taken();
        control.candidate_changed(&id, judge(&config, &admission).await).await;
    }
}
