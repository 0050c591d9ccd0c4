//! The candidate of a configuration: read with it, and again when its files change.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::policies;
use crate::bundle::{self, Admission, CandidateConfig};
use crate::diagnostic::{Diagnostic, Sources};
use crate::engine::{Candidate, Engine};

/// A candidate that may be tried, with where it came from.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    candidate: Candidate,
    config: CandidateConfig,
    admission: Admission,
    watch: bool,
}

/// The candidate that `config` names, judged as the active policies are; its mistakes are left in `findings`.
pub(super) async fn read(
    config: &bundle::Config,
    admission: &Admission,
    findings: &mut Vec<Diagnostic>,
    sources: &mut Sources,
) -> Option<Trial> {
    let candidate = config.candidate.clone()?;
    match judge(&candidate, admission).await {
        Ok((judged, warnings)) => {
            findings.extend(warnings.0);
            sources.extend(warnings.1);
            let (admission, watch) = (admission.clone(), config.watch);
            Some(Trial { candidate: judged, config: candidate, admission, watch })
        }
        Err(refused) => {
            policies::add(refused, findings, sources);
            None
        }
    }
}

type Judged = (Candidate, (Vec<Diagnostic>, Sources));

async fn judge(config: &CandidateConfig, admission: &Admission) -> Result<Judged, bundle::Refused> {
    let (config, admission) = (config.clone(), admission.clone());
    let judged = tokio::task::spawn_blocking(move || config.judge(&admission));
    let prepared = judged.await.unwrap_or_else(|error| {
        Err(bundle::Refused::because(bundle::Refusal::Unreadable, format_args!("the candidate ({error})")))
    })?;
    let bundle::Judged { set, share, sample, findings, sources } = prepared;
    Ok((Candidate::new(set, share, sample), (findings, sources)))
}

impl Trial {
    /// Whether its rules may hold a call of anybody.
    pub(super) fn holds_calls(&self) -> bool {
        self.candidate.share > 0 && self.candidate.policies.holds_calls()
    }

    /// Tries it from now on, and follows its files until what comes back is dropped.
    pub(super) fn start(self, engine: &Arc<Engine>) -> Trying {
        let Self { candidate, config, admission, watch } = self;
        engine.update(|snapshot| snapshot.candidate = Some(candidate));
        let (live, engine) = (Live::default(), engine.clone());
        let task = watch.then(|| tokio::spawn(follow(engine, config, admission, live.clone())));
        Trying { live, _task: task.map(AbortOnDropHandle::new) }
    }
}

/// Whether the one that follows may still change the candidate; held while it does.
type Live = Arc<Mutex<Option<Ended>>>;

#[derive(Debug)]
struct Ended;

/// A candidate that is tried and followed. Once this is dropped, its files change nothing any more.
#[derive(Debug)]
pub(super) struct Trying {
    live: Live,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Drop for Trying {
    fn drop(&mut self) {
        // The task ends at its next wait only, and may be about to change the candidate.
        *self.live.lock() = Some(Ended);
    }
}

/// Takes what the files hold when they change. What can't be used is logged and counted; the last candidate stays.
async fn follow(engine: Arc<Engine>, config: CandidateConfig, admission: Admission, live: Live) {
    let Some(mut changes) = bundle::Changes::of(&config.source) else { return };
    while changes.next().await {
        changes.taken();
        match judge(&config, &admission).await {
            Ok((next, _)) => replace(&engine, next, &live),
            Err(refused) => {
                engine.metrics().reload_refused(refused.refusal.code());
                for finding in &refused.findings {
                    tracing::error!(%finding, "the candidate was not replaced");
                }
            }
        }
    }
}

/// Tries `next`, unless it is tried already or is no longer wanted.
fn replace(engine: &Engine, next: Candidate, live: &Live) {
    let ended = live.lock();
    let revision = next.policies.revision().clone();
    let current = engine.snapshot().candidate.clone();
    if ended.is_some() || current.is_some_and(|current| *current.policies.revision() == revision) {
        return;
    }
    engine.update(|snapshot| snapshot.candidate = Some(next));
    tracing::info!(%revision, "a new candidate is tried");
}
