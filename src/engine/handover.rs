//! One call, two filters: the Check decides, and tells the Process of the same call what to do with the response.
//!
//! Envoy carries the sealed envelope in dynamic metadata, and may send Process to another replica: so the obligations
//! themselves are in it. The Process asks no policy about the request again, holds nothing and uses nothing up. What is
//! missing, forged, stale or another call's is refused where a Check is expected.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use super::response::{Deciding, ResponsePhase};
use super::{Call, Candidates, Engine, Evaluated, Listener, Side, Snapshot, vouchers};
use crate::effect::HeaderChange;
use crate::metrics::Handover;
use crate::policy;
use crate::reason::Reason;
use crate::request::{Headers, Request};
use crate::verdict::{Permit, Verdict};
use envelope::{Bound, Envelope, Rest};

mod envelope;
mod key;

pub use key::{HandoverKeyError, HandoverKeys};

/// How long an envelope is good for: the way from one filter to the next. The clocks of replicas may differ by as much.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// Which calls the filters of a listener hand over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandoverUse {
    /// Those of filters that say so themselves.
    #[default]
    ByFilter,
    /// All: every Check is followed by a Process, and no Process comes without a Check.
    Always,
}

impl HandoverUse {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByFilter => "by_filter",
            Self::Always => "always",
        }
    }
}

/// What a Process does with a call.
#[derive(Debug)]
pub enum Taken {
    /// The Check decided that it goes on.
    Over {
        changes: Vec<HeaderChange>,
        response: Option<Box<ResponsePhase>>,
    },
    /// It is to be decided here.
    Afresh(Box<Request>),
    Refused(Verdict),
}

impl Engine {
    /// Puts into `permit` what the Process of this call is to know, and takes out of it what that will do. An error is the
    /// reason to deny with instead.
    pub(super) fn hand_over(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        permit: &mut Permit,
    ) -> Result<(), Reason> {
        let sealed = self.sealed(call, evaluated, permit);
        match sealed {
            Ok(_) => self.ports.metrics.handover(Handover::Given),
            Err(Reason::HandoverTooLarge) => self.ports.metrics.handover(Handover::TooLarge),
            Err(_) => {}
        }
        permit.handover = Some(sealed?);
        Ok(())
    }

    /// What `hand_over` puts into `permit`. What it will do is taken out of it.
    pub(super) fn sealed(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        permit: &mut Permit,
    ) -> Result<String, Reason> {
        let request = &call.request;
        let (mut masks, mut depends) = (Vec::new(), false);
        if evaluated.decision.may_mask {
            let call = policy::Call { request, identity: &evaluated.identity, response: None };
            let known = evaluated.policies().request_masks(&evaluated.candidates, &call);
            (masks, depends) = known.map_err(|_error| Reason::ConditionError)?;
        }
        let now = u64::try_from(self.ports.clock.now().as_millisecond()).unwrap_or(0);
        let good_for = u64::try_from(GOOD_FOR.as_millis()).unwrap_or(0);
        let envelope = Envelope {
            decision_id: call.decision_id.clone(),
            revision: evaluated.policies().revision().to_string(),
            expires: now.saturating_add(good_for),
            bound: bound(request, permit, &evaluated.snapshot.authenticator.credentials),
            identity: (*evaluated.identity).clone(),
            proxies: evaluated.proxies.clone(),
            masks: masks.iter().map(|rule| (**rule).clone()).collect(),
            response: std::mem::take(&mut permit.changes.response),
            rest: depends.then(|| Rest { context: request.context.clone() }),
        };
        self.settings.handover.seal(&envelope.encode()).ok_or(Reason::HandoverTooLarge)
    }

    /// What the Process of `request` is to do, by what its Check `sealed`. Where a Check is `expected`, nothing else
    /// decides.
    pub async fn take_over(
        &self,
        request: Request,
        sealed: Option<&str>,
        expected: bool,
        listener: Listener,
    ) -> Taken {
        let opened = sealed.ok_or(Handover::Missing).and_then(|sealed| self.open(&request, sealed));
        let taken =
            opened.and_then(|envelope| self.deciding(&envelope, &request, listener).map(|by| (envelope, by)));
        let (envelope, deciding) = match taken {
            Ok(taken) => taken,
            Err(why) => {
                self.ports.metrics.handover(why);
                if !expected {
                    return Taken::Afresh(Box::new(request));
                }
                return Taken::Refused(self.refuse_handover(request, listener, reason(why)).await);
            }
        };
        let revocations = &self.ports.revocations;
        let vouchers = vouchers(&request, &envelope.proxies);
        let revoked = revocations.check(&envelope.identity, vouchers).err();
        let masks = !envelope.masks.is_empty() || deciding.is_some();
        let unmaskable = (masks && !listener.masks).then_some(Reason::MaskUnavailable);
        let refusal = request.defect.or(revoked);
        if let Some(reason) = refusal.or(unmaskable) {
            return Taken::Refused(self.refuse_handover(request, listener, reason).await);
        }
        self.ports.metrics.handover(Handover::Taken);
        let Envelope { decision_id, identity, proxies, masks: rules, response: changes, rest, .. } = envelope;
        let mut request = request;
        request.context = rest.map(|rest| rest.context).unwrap_or_default();
        let rules = rules.into_iter().map(Arc::new).collect();
        let phase = || {
            ResponsePhase::handed_over(decision_id, request, listener, (identity, proxies), rules, deciding)
        };
        Taken::Over { changes, response: masks.then(|| Box::new(phase())) }
    }

    /// The envelope, when it is ours, fresh and this call's.
    fn open(&self, request: &Request, sealed: &str) -> Result<Envelope, Handover> {
        let content = self.settings.handover.open(sealed).ok_or(Handover::Invalid)?;
        let envelope = Envelope::decode(&content).ok_or(Handover::Invalid)?;
        let now = u64::try_from(self.ports.clock.now().as_millisecond()).unwrap_or(u64::MAX);
        fits(&envelope, request, now).map(|()| envelope)
    }

    /// The policies whose conditions about the response are still to be asked: those that decided. `None` when there are no
    /// such conditions; an error when this replica has other policies.
    fn deciding(
        &self,
        envelope: &Envelope,
        request: &Request,
        listener: Listener,
    ) -> Result<Option<Deciding>, Handover> {
        let Some(rest) = &envelope.rest else { return Ok(None) };
        let snapshot = self.snapshots.current();
        let side = side_of(&snapshot, &envelope.revision).ok_or(Handover::OtherPolicies)?;
        let request = Request { context: rest.context.clone(), ..request.clone() };
        let candidates: Candidates = snapshot.policies_of(side).candidates(&request, listener.gateway);
        Ok(Some(Deciding { snapshot, side, candidates }))
    }

    async fn refuse_handover(&self, request: Request, listener: Listener, reason: Reason) -> Verdict {
        let call = self.receive(request, listener);
        let settled = self.refuse(&call, reason);
        self.conclude(&call, settled).await.1
    }
}

/// Whether an envelope of ours is good at `now`, in milliseconds, for the call that it came with.
fn fits(envelope: &Envelope, request: &Request, now: u64) -> Result<(), Handover> {
    if now >= envelope.expires {
        return Err(Handover::Stale);
    }
    let seen = Bound {
        method: request.method.clone(),
        host: request.host.clone(),
        path: request.path.raw().to_owned(),
        request_id: request_id(&request.headers),
        peer: peer(request),
        proof: proof(&request.headers, &envelope.bound.credentials),
        credentials: envelope.bound.credentials.clone(),
    };
    if seen == envelope.bound { Ok(()) } else { Err(Handover::Mismatch) }
}

/// Which policies of this snapshot have the revision.
fn side_of(snapshot: &Snapshot, revision: &str) -> Option<Side> {
    let candidate = snapshot.candidate.as_ref().map(|_| Side::Candidate);
    let sides = std::iter::once(Side::Active).chain(candidate);
    sides.into_iter().find(|side| &**snapshot.policies_of(*side).revision() == revision)
}

fn reason(why: Handover) -> Reason {
    match why {
        Handover::Missing => Reason::HandoverMissing,
        Handover::Stale => Reason::HandoverStale,
        Handover::Mismatch => Reason::HandoverMismatch,
        Handover::OtherPolicies => Reason::HandoverPolicies,
        Handover::TooLarge => Reason::HandoverTooLarge,
        Handover::Invalid | Handover::Given | Handover::Taken => Reason::HandoverInvalid,
    }
}

/// What the Process of this call has to see, once `permit` has changed it.
fn bound(request: &Request, permit: &Permit, credentials: &[String]) -> Bound {
    let changed = |name: &str| permit.changes.request.iter().any(|change| change.name() == name);
    let kept = |name: &&String| request.headers.contains(name) && !changed(name);
    let credentials: Vec<_> = credentials.iter().filter(kept).cloned().collect();
    Bound {
        method: request.method.clone(),
        host: request.host.clone(),
        path: permit.path.clone().unwrap_or_else(|| request.path.raw().to_owned()),
        request_id: request_id(&request.headers),
        peer: peer(request),
        proof: proof(&request.headers, &credentials),
        credentials,
    }
}

fn request_id(headers: &Headers) -> String {
    headers.text("x-request-id").ok().flatten().unwrap_or_default().to_owned()
}

fn peer(request: &Request) -> String {
    let principal = &request.source.principal;
    if principal.contains("://") { principal.clone() } else { String::new() }
}

/// A digest of what these headers say.
fn proof(headers: &Headers, names: &[String]) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    for name in names {
        let values: Vec<_> = headers.all(name).collect();
        digest.update(&(values.len() as u64).to_be_bytes());
        for value in values {
            digest.update(&(value.len() as u64).to_be_bytes());
            digest.update(value);
        }
    }
    digest.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests;
