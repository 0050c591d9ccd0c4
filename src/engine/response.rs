//! The way back: which masks a response gets, and whether it can be masked at all.
//!
//! What must be masked and can't be understood (an unknown encoding, a part, an unknown type) is blocked, unless its rules
//! choose otherwise. `masks` says which rules count, `body` has the masker for what can, `masked` the body on its way,
//! `headers` what changes around it. What rules name of headers and trailers is masked whatever becomes of the body.

use std::sync::Arc;

use body::BodyForm;
use masks::{Masks, condition_error, of_form};

use super::candidate::{Job, Side, Subject};
use super::fault::Point;
use super::{Call, Engine, Evaluated, Listener, Snapshot, vouchers};
use crate::audit::{self, Record};
use crate::clock;
use crate::effect::HeaderChange;
use crate::identity::Identity;
use crate::mask::{self, HeaderPlan, OnUnmaskable, Plan};
use crate::policy::masked_headers::{MaskedHeaders, section};
use crate::policy::{self, Candidates, ConditionError, MaskedParts, PolicySet, ResponseHead};
use crate::request::Request;

mod body;
mod deadlines;
mod hash_keys;
mod headers;
mod masked;
mod masks;

pub use body::Masking;
pub use deadlines::Deadlines;
pub use hash_keys::HashKeys;
pub use headers::AcceptEncoding;
pub use masked::MaskedResponse;
pub(super) use masks::masks;

/// What is kept of an allowed call until its response has passed.
#[derive(Debug)]
pub struct ResponsePhase {
    decision_id: String,
    request: Arc<Request>,
    listener: Listener,
    identity: Arc<Identity>,
    proxies: Vec<String>,
    /// Masks that the Check of this call asked for.
    handed_over: Option<Vec<Arc<mask::Rule>>>,
    /// Whose conditions say what is masked; after a Check that left none to be asked, `None`.
    deciding: Option<Deciding>,
}

/// The policies that decided a call.
#[derive(Debug)]
pub(super) struct Deciding {
    pub snapshot: Arc<Snapshot>,
    pub side: Side,
    pub candidates: Candidates,
}

/// What is to be done with a response.
#[derive(Debug)]
pub enum ResponsePlan {
    /// Nothing is left to be masked but by these changes of headers.
    Pass(Vec<HeaderChange>),
    /// The body is masked, or trailers are; these headers change too.
    Mask(Box<MaskedResponse>, Vec<HeaderChange>),
    /// It must be masked and can't be; the code says why.
    Block(&'static str),
}

impl ResponsePhase {
    pub(super) fn new(
        decision_id: String,
        request: Arc<Request>,
        listener: Listener,
        evaluated: &Evaluated,
    ) -> Self {
        Self {
            decision_id,
            request,
            listener,
            identity: evaluated.identity.clone(),
            proxies: evaluated.proxies.clone(),
            handed_over: None,
            deciding: Some(Deciding {
                snapshot: evaluated.snapshot.clone(),
                side: evaluated.side.unwrap_or(Side::Active),
                candidates: evaluated.candidates.clone(),
            }),
        }
    }

    /// The response of a call that was decided by a Check; `deciding` when masks depend on the response.
    pub(super) fn handed_over(
        decision_id: String,
        request: Request,
        listener: Listener,
        (identity, proxies): (Identity, Vec<String>),
        masks: Vec<Arc<mask::Rule>>,
        deciding: Option<Deciding>,
    ) -> Self {
        let (request, identity) = (Arc::new(request), Arc::new(identity));
        Self { decision_id, request, listener, identity, proxies, handed_over: Some(masks), deciding }
    }

    /// Which parts of the response masks may be about.
    pub fn parts(&self) -> MaskedParts {
        let handed_over = MaskedParts::of(self.handed_over.iter().flatten());
        let asked = self
            .deciding
            .as_ref()
            .map(|deciding| deciding.snapshot.policies_of(deciding.side).needs(&deciding.candidates).masked);
        handed_over.and(asked.unwrap_or_default())
    }

    /// Which masks this response gets, or the code of the reason to block it.
    fn masks(&self, head: &ResponseHead, has_body: bool) -> Result<Masks, &'static str> {
        let call = policy::Call { request: &self.request, identity: &self.identity, response: Some(head) };
        let asked = |ask: Ask| match &self.deciding {
            Some(deciding) => {
                let policies = deciding.snapshot.policies_of(deciding.side);
                ask(policies, &deciding.candidates, &call).map_err(|error| condition_error(&error))
            }
            None => Ok(Vec::new()),
        };
        let rules = match &self.handed_over {
            None => asked(PolicySet::response_masks)?,
            Some(known) => [known.clone(), asked(PolicySet::dependent_masks)?].concat(),
        };
        of_form(rules, head, has_body)
    }
}

impl Engine {
    /// Decides on a response by its head. `has_body` is false when it ends with its headers; `changes` are those that
    /// policies make to its headers anyway, after the plan's.
    pub fn plan_response(
        &self,
        phase: &ResponsePhase,
        head: &ResponseHead,
        has_body: bool,
        changes: &[HeaderChange],
    ) -> ResponsePlan {
        if self.ports.faults.pass_sync(Point::MaskHead).is_err() {
            return ResponsePlan::Block("internal_error");
        }
        let masks = phase.masks(head, has_body);
        self.compare_masks(phase, head, has_body, &masks);
        let Masks { rules, form } = match masks {
            Ok(masks) => masks,
            Err(code) => return ResponsePlan::Block(code),
        };
        let named = HeaderPlan::compile(&rules, &self.settings.hash_keys.current());
        let masked = MaskedHeaders::of(&named, section(&head.headers, has_body), &head.headers);
        let (taken, seen) = (masked.taken, masked.applied(&head.headers));
        let head = ResponseHead { code: head.code, headers: seen };
        let mut plan = match form {
            Some(form) => self.mask_body(phase, &head, &rules, form, named),
            None => self.leave_body(phase, &head, has_body, named),
        };
        match &mut plan {
            ResponsePlan::Block(_) => {}
            ResponsePlan::Pass(more) => {
                *more = [masked.before(more.iter().chain(changes)), std::mem::take(more)].concat();
                self.headers_masked(phase, taken);
            }
            ResponsePlan::Mask(response, more) => {
                *more = [masked.before(more.iter().chain(changes)), std::mem::take(more)].concat();
                // Where nothing is masked but trailers, none may come.
                if response.masks_body() {
                    response.add_taken(taken);
                } else {
                    self.headers_masked(phase, taken);
                }
            }
        }
        plan
    }

    /// The way of a response whose body no rule is about, or that has none.
    fn leave_body(
        &self,
        phase: &ResponsePhase,
        head: &ResponseHead,
        has_body: bool,
        named: HeaderPlan,
    ) -> ResponsePlan {
        if !has_body {
            // A gRPC error that ends with its headers: the details of its status are among them.
            let details = head.headers.is_grpc() && phase.parts().body;
            let around = if details { headers::without_details } else { headers::for_one_caller };
            return ResponsePlan::Pass(around(&head.headers));
        }
        let around = headers::for_one_caller(&head.headers);
        if !named.names_trailers() {
            return ResponsePlan::Pass(around);
        }
        ResponsePlan::Mask(Box::new(MaskedResponse::trailers(named, self.ports.faults.clone())), around)
    }

    /// The way of a response whose body has masks; `form` is the code of the reason where it can't be masked.
    fn mask_body(
        &self,
        phase: &ResponsePhase,
        head: &ResponseHead,
        rules: &[Arc<mask::Rule>],
        form: Result<BodyForm, &'static str>,
        named: HeaderPlan,
    ) -> ResponsePlan {
        let plan = Plan::compile(rules, &self.settings.hash_keys.current());
        let (path, limits) = (phase.request.path.url_path(), self.settings.mask_limits);
        let faults = self.ports.faults.clone();
        let on_unmaskable = match OnUnmaskable::of(rules) {
            // Its trailers are in it.
            _ if head.headers.is_grpc_web() && named.names_trailers() => OnUnmaskable::Block,
            chosen => chosen,
        };
        let masked = form.and_then(|form| {
            let masker = form.masker(plan, path, &self.settings.masking, limits)?;
            let guarded = mask::Guarded::new(masker, on_unmaskable, form.redacted());
            let due = self.settings.masking.deadlines.of(form.is_of_events(), clock::instant());
            Ok((guarded, form.is_grpc(), due))
        });
        match (masked, on_unmaskable) {
            (Ok((guarded, is_grpc, due)), _) => {
                let masked = MaskedResponse::new(guarded, is_grpc, named, due, faults);
                ResponsePlan::Mask(Box::new(masked), headers::masked(&head.headers))
            }
            (Err(code), OnUnmaskable::Block) => ResponsePlan::Block(code),
            (Err(code), OnUnmaskable::RedactAll) => match body::redacted(head) {
                Some((content_type, text)) => {
                    let due = self.settings.masking.deadlines.of(false, clock::instant());
                    let masked = MaskedResponse::redacted(text, code, named, due, faults);
                    ResponsePlan::Mask(Box::new(masked), headers::redacted(&head.headers, content_type))
                }
                None => ResponsePlan::Block(code),
            },
            (Err(code), OnUnmaskable::Pass) => {
                self.response_given_up(phase, OnUnmaskable::Pass, code);
                self.leave_body(phase, head, true, named)
            }
        }
    }

    /// Hashes masked values under this key from the next body on. `false`: it is the one in use.
    pub fn use_hash_key(&self, key: mask::HashKey) -> bool {
        self.settings.hash_keys.replace(key)
    }

    /// What the upstream is asked where masks of bodies may apply, so that it gives what can be masked.
    pub fn wishes(&self, phase: &ResponsePhase) -> Vec<HeaderChange> {
        self.wishes_about(phase.parts(), &phase.request)
    }

    /// The same for a call that was not decided yet.
    pub fn wishes_of_call(&self, call: &Call) -> Vec<HeaderChange> {
        self.wishes_about(call.needs().masked, &call.request)
    }

    fn wishes_about(&self, parts: MaskedParts, request: &Request) -> Vec<HeaderChange> {
        if !parts.body {
            return Vec::new();
        }
        headers::wishes(&request.headers, self.settings.masking.accept_encoding)
    }

    /// Hands the response to the comparison with the candidate, if there is one.
    fn compare_masks(
        &self,
        phase: &ResponsePhase,
        head: &ResponseHead,
        has_body: bool,
        masks: &Result<Masks, &'static str>,
    ) {
        // After a Check the candidate was asked about the request, and elsewhere.
        let decided_here = phase.deciding.as_ref().filter(|_| phase.handed_over.is_none());
        let Some(Deciding { snapshot, side, .. }) = decided_here.filter(|by| by.snapshot.candidate.is_some())
        else {
            return;
        };
        let masks = masks.as_ref().ok().map(|masks| masks.rules.clone());
        let job = Job {
            decision_id: phase.decision_id.clone(),
            listener: phase.listener,
            request: phase.request.clone(),
            identity: phase.identity.clone(),
            snapshot: snapshot.clone(),
            side: *side,
            subject: Subject::Response { head: head.clone(), has_body, masks },
        };
        self.comparer.compare(job, &self.ports);
    }

    /// The response is through: counts and records what was masked.
    pub fn response_masked(&self, phase: &ResponsePhase, masked: &MaskedResponse) {
        match masked.masked_fields() {
            Some(fields) => {
                self.ports.metrics.masked(fields);
                self.note_response(phase, "masked", fields, None);
            }
            None => self.headers_masked(phase, masked.taken()),
        }
    }

    /// So many values of headers or trailers were masked, and nothing else.
    fn headers_masked(&self, phase: &ResponsePhase, taken: u64) {
        if taken > 0 {
            self.ports.metrics.masked(taken);
            self.note_response(phase, "masked", taken, None);
        }
    }

    /// To be called whenever a part of the response is about to leave: counts and records, once, that it could not be masked
    /// and was not blocked.
    pub fn response_leaves(&self, phase: &ResponsePhase, masked: &mut MaskedResponse) {
        if let Some((done, code)) = masked.take_given_up() {
            self.response_given_up(phase, done, code);
        }
    }

    /// The response could not be masked, and by its rules' choice it was not blocked: counts and records why.
    fn response_given_up(&self, phase: &ResponsePhase, done: OnUnmaskable, code: &'static str) {
        self.ports.metrics.mask_failed(code);
        let outcome = if done == OnUnmaskable::Pass { "passed_unmasked" } else { "redacted" };
        self.note_response(phase, outcome, 0, Some(code));
    }

    /// The response could not be masked: counts and records why.
    pub fn response_blocked(&self, phase: &ResponsePhase, code: &'static str) {
        self.ports.metrics.mask_failed(code);
        self.note_response(phase, "blocked", 0, Some(code));
    }

    /// Completes when the caller of this response is revoked; at once when they are.
    pub async fn revoked(&self, phase: &ResponsePhase) {
        let vouchers = vouchers(&phase.request, &phase.proxies);
        self.ports.revocations.revoked(&phase.identity, vouchers).await;
    }

    fn note_response(
        &self,
        phase: &ResponsePhase,
        outcome: &'static str,
        masked_fields: u64,
        reason: Option<&'static str>,
    ) {
        self.ports.audit.note(&Record::Response(audit::Response {
            time: self.ports.clock.now(),
            decision_id: &phase.decision_id,
            outcome,
            masked_fields,
            reason,
        }));
    }
}

impl ResponsePhase {
    pub fn decision_id(&self) -> &str {
        &self.decision_id
    }
}

/// What is asked of policies about one response.
type Ask = fn(&PolicySet, &Candidates, &policy::Call<'_>) -> Result<Vec<Arc<mask::Rule>>, ConditionError>;
