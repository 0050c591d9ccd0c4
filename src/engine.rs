//! The story of one call: borrow the snapshot, authenticate, evaluate, hold if a rule says so, record, answer.
//!
//! Knows nothing of Envoy: the edges bring a `Request` and take a `Verdict`. `check` never fails: whatever goes
//! wrong inside becomes a denial with a reason.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use crate::approval::Approval;
use crate::audit::Audit;
use crate::authn::api_key::ApiKeys;
use crate::authn::revocation::Revocations;
use crate::authn::{Authentication, Proven, Removal};
use crate::clock::{self, Clock};
use crate::identity::Identity;
use crate::lifecycle::Lifecycle;
use crate::mask;
use crate::metrics::{Metrics, Service};
use crate::policy::{self, Candidates, Decision, Needs, Outcome, PolicySet};
use crate::reason::Reason;
use crate::request::{Body, Limits, Request};
use crate::store::Store;
use crate::verdict::{Answer, Verdict};

mod answer;
mod cache;
mod candidate;
mod credentials;
mod digest;
pub mod fault;
mod handover;
mod hold;
mod patience;
mod prefer;
mod record;
mod response;
mod snapshot;
mod status;
mod upstream;
mod waiters;

pub use cache::Decisions as DecisionCache;
pub use candidate::{Candidate, Comparison, Example, Side, View};
pub use credentials::{Credentials, Following};
pub use digest::DEFAULT_HEADERS as DEFAULT_DIGEST_HEADERS;
pub use handover::{HandoverKeyError, HandoverKeys, HandoverUse, Taken};
pub use patience::Patience;
pub use record::principal;
pub use response::{
    AcceptEncoding, Deadlines, HashKeys, MaskedResponse, Masking, ResponsePhase, ResponsePlan,
};
pub use snapshot::Snapshot;
pub use waiters::HeldLimits;

use cache::Decisions;
use candidate::{Comparer, Job, Routes, Subject};
use fault::{Faults, Point};
use patience::remaining;
use snapshot::Snapshots;
use waiters::Waiters;

/// Decides calls. One per server, shared by all of them.
#[derive(Debug)]
pub struct Engine {
    snapshots: Snapshots,
    waiters: Waiters,
    comparer: Comparer,
    decisions: Decisions,
    ports: Ports,
    settings: Settings,
}

/// What the engine works with.
#[derive(Clone, Debug)]
pub struct Ports {
    pub store: Store,
    /// Asked for every call, and while one is held or its response is masked.
    pub revocations: Revocations,
    /// `None` where keys are not accepted.
    pub api_keys: Option<ApiKeys>,
    pub audit: Audit,
    pub metrics: Metrics,
    pub clock: Clock,
    pub lifecycle: Lifecycle,
    pub faults: Faults,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// How long authentication and evaluation may take before the call is denied (`decision_timeout`).
    pub decision_timeout: Duration,
    pub held: HeldLimits,
    pub pending: crate::store::PendingLimits,
    /// Headers that every approval covers, in lower case.
    pub digest_headers: Vec<String>,
    /// How long after its release the same call, without an `idempotency-key`, is a retry of it.
    pub retry_window: Duration,
    /// The HTTP status of a ticket.
    pub ticket_status: u16,
    /// Below which path callers ask what became of their held calls; `None` where nobody is told.
    pub status_path: Option<String>,
    /// The key of hashes in masked bodies.
    pub hash_keys: HashKeys,
    /// Seals what one filter of a proxy tells the next.
    pub handover: HandoverKeys,
    pub mask_limits: mask::Limits,
    pub masking: Masking,
    /// How much memory decisions may take that are kept for the same call again; 0 keeps none.
    pub decision_cache_bytes: u64,
}

/// Where a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub service: Service,
    /// Whether hosts are more than the caller's claim here.
    pub gateway: bool,
    /// Whether response bodies can be masked: by this service, or by the one that calls are handed over to.
    pub masks: bool,
    /// Whether calls that go on are handed over to ext_proc.
    pub hands_over: bool,
}

/// A call taken up: it sees one snapshot until it is answered.
#[derive(Debug)]
pub struct Call {
    request: Request,
    listener: Listener,
    snapshot: Arc<Snapshot>,
    routes: Routes,
    needs: Needs,
    /// The request for approval whose state this call asks for: it goes no further than here.
    status_of: Option<String>,
    decision_id: String,
    received: Instant,
}

/// A call's answer, and what is needed to mask its response.
#[derive(Debug)]
pub struct Checked {
    pub verdict: Verdict,
    /// Present when the call goes on and a mask may apply to its response.
    pub response: Option<ResponsePhase>,
}

/// One evaluation: who calls, and what the policies say, on one snapshot.
#[derive(Debug)]
struct Evaluated {
    snapshot: Arc<Snapshot>,
    /// Whose policies decided; `None` when the call was refused whatever they say.
    side: Option<Side>,
    candidates: Candidates,
    identity: Arc<Identity>,
    /// Trusted proxies between the connection's peer and the caller.
    proxies: Vec<String>,
    /// How the credential is kept from the upstream.
    removal: Option<Removal>,
    /// Whether that credential stands in the header `authorization`.
    by_authorization: bool,
    decision: Decision,
}

/// How a call ended.
#[derive(Debug)]
struct Settled {
    evaluated: Evaluated,
    reason: Reason,
    /// Shown to the caller in place of the reason's own text.
    because: String,
    approval: Option<Box<Approval>>,
    held: Option<Duration>,
}

impl Engine {
    pub fn new(first: Snapshot, ports: Ports, settings: Settings) -> Arc<Self> {
        ports.metrics.revision(first.policies.revision());
        let snapshots = Snapshots::new(first, ports.clock.now());
        let (waiters, comparer) = (Waiters::default(), Comparer::default());
        let decisions = Decisions::new(settings.decision_cache_bytes);
        let engine = Arc::new(Self { snapshots, waiters, comparer, decisions, ports, settings });
        hold::follow(&engine);
        engine
    }

    pub fn metrics(&self) -> &Metrics {
        &self.ports.metrics
    }

    pub fn lifecycle(&self) -> &Lifecycle {
        &self.ports.lifecycle
    }

    pub fn revocations(&self) -> &Revocations {
        &self.ports.revocations
    }

    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.current()
    }

    /// Puts what `change` makes of the current snapshot in force, as one. Decisions under way finish on the
    /// snapshot that they hold.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        let next = self.snapshots.update(change, self.ports.clock.now());
        self.decisions.clear();
        self.ports.metrics.revision(next.policies.revision());
    }

    /// Takes up a call; the clock of its latency starts here.
    pub fn receive(&self, request: Request, listener: Listener) -> Box<Call> {
        let snapshot = self.snapshots.current();
        let routes = snapshot.routes(&request, listener.gateway);
        let status_of = status::asked(&request, self.settings.status_path.as_deref());
        let needs = if status_of.is_some() { Needs::default() } else { snapshot.needs(&routes) };
        let decision_id = uuid::Uuid::now_v7().to_string();
        Box::new(Call {
            request,
            listener,
            snapshot,
            routes,
            needs,
            status_of,
            decision_id,
            received: clock::instant(),
        })
    }

    /// Answers a call. Dropping the future (the caller hung up) ends the wait of a held call, nothing else.
    pub async fn check(&self, call: Box<Call>, patience: Patience) -> Checked {
        let settled = match AssertUnwindSafe(self.settle(&call, patience)).catch_unwind().await {
            Ok(settled) => settled,
            Err(_panic) => self.refuse(&call, Reason::InternalError),
        };
        let (settled, verdict) = Box::pin(self.conclude(&call, settled)).await;
        let goes_on = matches!(verdict.answer, Answer::Allow(_));
        let released = matches!(verdict.reason, Reason::Approved | Reason::AutoApproved | Reason::BreakGlass);
        if released && let Some(approval) = &settled.approval {
            self.confirm_release(approval, &call.decision_id);
        }
        let may_mask = settled.evaluated.decision.may_mask;
        let masks_here = goes_on && may_mask && !call.listener.hands_over;
        let response = self.part(*call, settled.evaluated, masks_here);
        Checked { verdict, response }
    }

    /// Hands an answered call to its response, when that may be masked, and to the comparison with the candidate.
    fn part(&self, call: Call, evaluated: Evaluated, masks: bool) -> Option<ResponsePhase> {
        let compared = evaluated.side.filter(|_| evaluated.snapshot.candidate.is_some());
        if !masks && compared.is_none() {
            return None;
        }
        let (request, listener) = (Arc::new(call.request), call.listener);
        let phase = masks
            .then(|| ResponsePhase::new(call.decision_id.clone(), request.clone(), listener, &evaluated));
        let Evaluated { snapshot, identity, decision, .. } = evaluated;
        if let Some(side) = compared {
            let (decision_id, subject) = (call.decision_id, Subject::Request(decision));
            let job = Job { decision_id, listener, request, identity, snapshot, side, subject };
            self.comparer.compare(job, &self.ports);
        }
        phase
    }

    async fn settle(&self, call: &Call, patience: Patience) -> Settled {
        let (snapshot, routes) = (call.snapshot.clone(), call.routes.clone());
        let within = patience.until.map_or(self.settings.decision_timeout, |until| {
            remaining(until).min(self.settings.decision_timeout)
        });
        if let Some(id) = &call.status_of {
            let status = tokio::time::timeout(within, Box::pin(self.status(call, snapshot, id))).await;
            return status.unwrap_or_else(|_late| self.refuse(call, Reason::DecisionTimeout));
        }
        // Boxed, because a call that is held would carry the room for it all the time.
        let evaluation = Box::pin(self.evaluate(call, snapshot, routes));
        let Ok(evaluated) = tokio::time::timeout(within, evaluation).await else {
            return self.refuse(call, Reason::DecisionTimeout);
        };
        match &evaluated.decision.outcome {
            Outcome::Hold(_) if !is_unmaskable(call, &evaluated) => {
                // Few calls are held: the others need no room for it.
                Box::pin(self.hold(call, Box::new(evaluated), patience)).await
            }
            _ => self.settled(call, evaluated),
        }
    }

    /// A call that an evaluation decides by itself. One that goes on must be one whose response can be masked.
    fn settled(&self, call: &Call, evaluated: Evaluated) -> Settled {
        if is_unmaskable(call, &evaluated) {
            return Settled { reason: Reason::MaskUnavailable, ..Settled::of(evaluated) };
        }
        Settled::of(evaluated)
    }

    /// Who calls, and what the policies of `snapshot` say. A call or credential that must be refused whatever
    /// they say is a decision too.
    async fn evaluate(&self, call: &Call, snapshot: Arc<Snapshot>, routes: Routes) -> Evaluated {
        let request = &call.request;
        let (Proven { identity, removal, by_authorization }, proxies) =
            match self.authenticate(request, &snapshot).await {
                Ok(found) => found,
                Err(reason) => return Evaluated::refused(snapshot, reason),
            };
        // After any cache of identities, and before any of decisions.
        if let Err(reason) = self.ports.revocations.check(&identity, vouchers(request, &proxies)) {
            return Evaluated { identity, ..Evaluated::refused(snapshot, reason) };
        }
        let (side, candidates) = snapshot.side(routes, &identity, &request.source.address);
        let decision = self.decide(snapshot.policies_of(side), &candidates, request, &identity).await;
        let side = Some(side);
        Evaluated { snapshot, side, candidates, identity, proxies, removal, by_authorization, decision }
    }

    /// Who calls, and which proxies vouch for that; or why the call is refused whoever it is.
    async fn authenticate(
        &self,
        request: &Request,
        snapshot: &Snapshot,
    ) -> Result<(Proven, Vec<String>), Reason> {
        let authentication = if let Some(defect) = request.defect {
            Authentication::Refused(defect)
        } else if snapshot.policies.is_empty() {
            Authentication::Refused(Reason::NoPolicies)
        } else if let Err(reason) = self.ports.faults.pass(Point::Authenticate).await {
            Authentication::Refused(reason)
        } else {
            let Ports { api_keys, metrics, .. } = &self.ports;
            snapshot.authenticator.authenticate(request, api_keys.as_ref(), metrics).await
        };
        let proven = match authentication {
            Authentication::Refused(reason) => return Err(reason),
            Authentication::Anonymous => Proven::nobody(),
            Authentication::Authenticated(proven) => proven,
        };
        Ok((proven, snapshot.authenticator.proxies(request)?))
    }

    async fn decide(
        &self,
        policies: &PolicySet,
        candidates: &Candidates,
        request: &Request,
        identity: &Identity,
    ) -> Decision {
        if let Err(reason) = self.ports.faults.pass(Point::Evaluate).await {
            return Decision::refused(reason);
        }
        let call = policy::Call { request, identity, response: None };
        let decision = self.decisions.decide(policies, candidates, &call, &self.ports.metrics);
        for (rule, error) in decision.errors() {
            tracing::warn!(%rule, %error, request_id = %request.id, "a rule could not be evaluated");
        }
        decision
    }

    /// A call that ends without having been evaluated in full.
    fn refuse(&self, call: &Call, reason: Reason) -> Settled {
        Settled::of(Evaluated::refused(call.snapshot.clone(), reason))
    }
}

impl Call {
    /// What the rules that may apply must be given.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    pub fn defect(&self) -> Option<Reason> {
        self.request.defect
    }

    /// From now on this call's response can't be masked any more: its proxy was told not to send the body.
    pub fn forgo_masks(&mut self) {
        self.listener.masks = false;
    }

    /// The request's body, which came after its headers.
    pub fn set_body(&mut self, body: Body, limits: &Limits) {
        self.request.set_body(body, limits);
    }
}

impl Evaluated {
    /// A call that no policy was asked about.
    fn refused(snapshot: Arc<Snapshot>, reason: Reason) -> Self {
        let (identity, decision) = (Identity::anonymous(), Decision::refused(reason));
        let (candidates, proxies) = (Candidates::default(), Vec::new());
        let (side, removal, by_authorization) = (None, None, false);
        Self { snapshot, side, candidates, identity, proxies, removal, by_authorization, decision }
    }

    /// The policies that decided.
    fn policies(&self) -> &Arc<PolicySet> {
        self.snapshot.policies_of(self.side.unwrap_or(Side::Active))
    }
}

/// The verified names of those who brought a call: the connection's peer, and the trusted proxies before it.
fn vouchers<'v>(request: &'v Request, proxies: &'v [String]) -> impl Iterator<Item = &'v str> + Clone {
    std::iter::once(request.source.principal.as_str()).chain(proxies.iter().map(String::as_str))
}

/// Whether the call would go on with a mask that this listener can't apply.
fn is_unmaskable(call: &Call, evaluated: &Evaluated) -> bool {
    let may_go_on = matches!(evaluated.decision.outcome, Outcome::Allow | Outcome::Hold(_));
    may_go_on && evaluated.decision.may_mask && !call.listener.masks
}
