//! Compares candidate and active policies, call by call, in a thread of its own.
//!
//! A call waits in a bounded queue once its answer is made. Nothing here can reach a caller: a slow candidate fills
//! the queue, a panicking one is caught, and both are counted.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use super::tally::{Example, Side, View};
use super::{Candidate, Snapshot};
use crate::audit::{self, Record};
use crate::disagreement::Disagreement;
use crate::engine::fault::Point;
use crate::engine::{Listener, Ports, record, response};
use crate::identity::Identity;
use crate::mask;
use crate::metrics::{Compared, NotComparable, Service};
use crate::policy::{self, Decision, Outcome, ResponseHead, compare};
use crate::reason::Reason;
use crate::request::Request;

/// Calls that may wait to be compared, and the bytes of their bodies.
const QUEUE: usize = 1_024;
const QUEUED_BYTES: usize = 32 << 20;

/// How long calls gather: one wake-up of the thread for all of them, which costs callers the most.
const GATHER: Duration = Duration::from_millis(5);

/// One answered call.
#[derive(Debug)]
pub(in crate::engine) struct Job {
    pub decision_id: String,
    pub listener: Listener,
    pub request: Arc<Request>,
    pub identity: Arc<Identity>,
    pub snapshot: Arc<Snapshot>,
    /// Who decided.
    pub side: Side,
    pub subject: Subject,
}

/// What the deciding side said.
#[derive(Debug)]
pub(in crate::engine) enum Subject {
    Request(Decision),
    /// `None`: the response was blocked.
    Response {
        head: ResponseHead,
        has_body: bool,
        masks: Option<Vec<Arc<mask::Rule>>>,
    },
}

/// The way to the comparing thread, which starts with the first call.
#[derive(Debug, Default)]
pub(in crate::engine) struct Comparer(OnceLock<Queue>);

#[derive(Debug)]
struct Queue {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<AtomicUsize>,
}

impl Comparer {
    /// Hands a call over, unless too many wait already; never waits.
    pub fn compare(&self, job: Job, ports: &Ports) {
        let queue = self.0.get_or_init(|| start(ports.clone()));
        let size = size(&job);
        let overload = |job: &Job| count_not_comparable(job, NotComparable::Overload, ports);
        if queue.bytes.fetch_add(size, Ordering::Relaxed).saturating_add(size) > QUEUED_BYTES {
            queue.bytes.fetch_sub(size, Ordering::Relaxed);
            return overload(&job);
        }
        if let Err(refused) = queue.jobs.try_send(job) {
            queue.bytes.fetch_sub(size, Ordering::Relaxed);
            overload(&refused.into_inner());
        }
    }
}

fn size(job: &Job) -> usize {
    job.request.body.complete().map_or(0, bytes::Bytes::len)
}

fn start(ports: Ports) -> Queue {
    let (jobs, mut waiting) = mpsc::channel(QUEUE);
    let bytes = Arc::new(AtomicUsize::new(0));
    let freed = bytes.clone();
    std::thread::spawn(move || {
        let mut batch = Vec::with_capacity(QUEUE);
        while waiting.blocking_recv_many(&mut batch, QUEUE) > 0 {
            for job in batch.drain(..) {
                let size = size(&job);
                let compared = std::panic::catch_unwind(AssertUnwindSafe(|| compare(&job, &ports)));
                if compared.is_err() {
                    count_not_comparable(&job, NotComparable::Panic, &ports);
                }
                drop(job);
                freed.fetch_sub(size, Ordering::Relaxed);
            }
            std::thread::sleep(GATHER);
        }
    });
    Queue { jobs, bytes }
}

fn count_not_comparable(job: &Job, reason: NotComparable, ports: &Ports) {
    ports.metrics.not_comparable(reason);
    if let Some(candidate) = &job.snapshot.candidate {
        candidate.tally.not_comparable(reason);
    }
}

fn compare(job: &Job, ports: &Ports) {
    let Some(candidate) = &job.snapshot.candidate else { return };
    ports.faults.block(Point::EvaluateCandidate);
    let before = policy::Call { request: &job.request, identity: &job.identity, response: None };
    let other = match job.side {
        Side::Active => &candidate.policies,
        Side::Candidate => &job.snapshot.policies,
    };
    let routes = other.candidates(&job.request, job.listener.gateway);
    let lacks_body = other.needs(&routes).body && job.request.body.complete().is_none();
    match &job.subject {
        Subject::Request(decided) => {
            // What the deciding side did not ask for is not asked for on behalf of the other.
            if lacks_body && decided.reason != Reason::BodyUnavailable {
                return count_not_comparable(job, NotComparable::Body, ports);
            }
            let said = other.decide(&routes, &before);
            let (active, tried) = in_order(job.side, decided, &said);
            let kinds = compare::decisions(active, tried, job.listener.service == Service::ExtProc);
            // Two that agree so far, and may both mask, are counted once their masks are compared.
            let both_mask =
                [active, tried].iter().all(|said| said.may_mask && said.outcome == Outcome::Allow);
            if !(kinds.is_empty() && both_mask && job.listener.masks) {
                count(candidate, &kinds, ports);
            }
            report(job, candidate, kinds, (View::of(active), View::of(tried)), ports);
        }
        Subject::Response { head, has_body, masks } => {
            // Where only one side may mask, that was counted with the request.
            if lacks_body || !other.decide(&routes, &before).may_mask {
                return;
            }
            let after = policy::Call { response: Some(head), ..before };
            let said = response::masks(other, &routes, &after, *has_body).ok();
            let said = said.map(|masks| masks.rules);
            let (active, tried) = in_order(job.side, masks, &said);
            let kinds = compare::masks(active.as_deref(), tried.as_deref());
            count(candidate, &kinds, ports);
            report(job, candidate, kinds, (View::of_masks(active), View::of_masks(tried)), ports);
        }
    }
}

/// Counts a call that was compared to its end.
fn count(candidate: &Candidate, kinds: &[Disagreement], ports: &Ports) {
    let result = if kinds.is_empty() { Compared::Agreed } else { Compared::Disagreed };
    ports.metrics.candidate_compared(result);
    candidate.tally.compared(result);
}

/// The active set's first.
fn in_order<'t, T>(side: Side, decided: &'t T, said: &'t T) -> (&'t T, &'t T) {
    match side {
        Side::Active => (decided, said),
        Side::Candidate => (said, decided),
    }
}

/// Counts disagreements, and records the first of a minute.
fn report(
    job: &Job,
    candidate: &Candidate,
    kinds: Vec<Disagreement>,
    (active, tried): (View, View),
    ports: &Ports,
) {
    kinds.iter().for_each(|kind| ports.metrics.candidate_disagreed(*kind));
    let time = ports.clock.now();
    if kinds.is_empty() || !candidate.tally.disagreed(&kinds, time, candidate.sample) {
        return;
    }
    let (request, identity) = (&job.request, &job.identity);
    let example = Example {
        time,
        decision_id: job.decision_id.clone(),
        service: job.listener.service.as_str(),
        kinds,
        decided_by: job.side,
        identity: identity.clone(),
        method: request.method.clone(),
        host: request.host.clone(),
        path: record::shown_path(request).to_owned(),
        source: request.source.address.clone(),
        active: View { revision: job.snapshot.policies.revision().clone(), ..active },
        candidate: View { revision: candidate.policies.revision().clone(), ..tried },
    };
    ports.audit.note(&Record::Candidate(trail(&example)));
    candidate.tally.keep(example);
}

/// As the audit trail has it.
fn trail(example: &Example) -> audit::Candidate<'_> {
    fn said(view: &View) -> audit::Said<'_> {
        audit::Said {
            revision: &view.revision,
            outcome: view.outcome,
            reason: view.reason,
            rule: view.rule.as_deref(),
            errors: view.errors.iter().map(|rule| &**rule).collect(),
        }
    }
    audit::Candidate {
        time: example.time,
        decision_id: &example.decision_id,
        service: example.service,
        disagreements: example.kinds.iter().map(|kind| kind.as_str()).collect(),
        decided_by: example.decided_by.as_str(),
        identity: record::principal(&example.identity),
        method: &example.method,
        host: &example.host,
        path: &example.path,
        source: &example.source,
        active: said(&example.active),
        candidate: said(&example.candidate),
    }
}

impl View {
    fn of(decision: &Decision) -> Self {
        Self {
            outcome: decision.outcome.as_str(),
            reason: decision.reason.as_str(),
            rule: decision.rule.clone(),
            errors: decision.errors().iter().map(|(rule, _)| rule.clone()).collect(),
            ..Self::default()
        }
    }

    /// Of a response: let through, masked or not, or blocked.
    fn of_masks(masks: &Option<Vec<Arc<mask::Rule>>>) -> Self {
        match masks {
            Some(_) => Self { outcome: "allow", reason: Reason::Allowed.as_str(), ..Self::default() },
            None => Self { outcome: "deny", reason: Reason::Unmaskable.as_str(), ..Self::default() },
        }
    }
}
