//! The way back: each message of the response is passed, masked, or answered by a denial in its place.

use envoy_types::pb::envoy::service::ext_proc::v3::{HttpBody, HttpHeaders, HttpTrailers};
use tonic::Status;

use super::Session;
use crate::challenge::Challenge;
use crate::effect;
use crate::engine::ResponsePlan;
use crate::envoy::decode;
use crate::envoy::ext_proc::encode::{self, Half};
use crate::envoy::mutation::{Mutation, mutation};
use crate::policy::ResponseHead;
use crate::reason::Reason;
use crate::verdict::Denial;

impl Session {
    pub(super) async fn response_headers(&mut self, message: HttpHeaders) -> Result<(), Status> {
        // A filter that skips trailers has let the call through; its response stays here.
        if let Some(call) = self.waiting.take() {
            return self.without_body(call).await;
        }
        let (pseudo, headers) = decode::raw_headers(message.headers.unwrap_or_default());
        let mut changes = mutation(&effect::without_aliases(&self.changes, &headers));
        let code = pseudo.get(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
        let head = ResponseHead { code, headers };
        if let Some(phase) = &self.phase {
            match self.service.engine.plan_response(phase, &head, !message.end_of_stream, &self.changes) {
                ResponsePlan::Pass(more) => {
                    changes.prepend(mutation(&more));
                    self.phase = None;
                }
                ResponsePlan::Mask(masked, more) => {
                    changes.prepend(mutation(&more));
                    self.masked = Some(*masked);
                }
                ResponsePlan::Block(code) => return self.block(code, Reason::Unmaskable).await,
            }
        }
        self.send(encode::headers(Half::Response, changes, None)).await
    }

    pub(super) async fn response_body(&mut self, message: HttpBody) -> Result<(), Status> {
        let Some(masked) = &mut self.masked else {
            return self.send(encode::body(Half::Response, Mutation::default(), None)).await;
        };
        let mut out = Vec::with_capacity(message.body.len());
        let mut result = masked.push(&message.body, &mut out);
        if result.is_ok() && message.end_of_stream {
            result = masked.finish(&mut out);
        }
        match result {
            Ok(()) => {
                self.response_leaves();
                if message.end_of_stream {
                    self.response_ended();
                }
                self.send(encode::body(Half::Response, Mutation::default(), Some(out))).await
            }
            Err(code) => self.block(code, Reason::Unmaskable).await,
        }
    }

    /// Trailers end a body too. What rules name of them is masked.
    pub(super) async fn response_trailers(&mut self, message: HttpTrailers) -> Result<(), Status> {
        let mut changes = Mutation::default();
        if let Some(masked) = &mut self.masked {
            let mut rest = Vec::new();
            let result = masked.finish(&mut rest);
            if let Err(code) = result.and(if rest.is_empty() { Ok(()) } else { Err("incomplete") }) {
                return self.block(code, Reason::Unmaskable).await;
            }
            let (_, trailers) = decode::raw_headers(message.trailers.unwrap_or_default());
            changes = mutation(&masked.mask_trailers(&trailers));
            self.response_leaves();
            self.response_ended();
        }
        self.send(encode::trailers(Half::Response, changes)).await
    }

    /// What is about to leave is not masked where its rules chose so, and that is told.
    fn response_leaves(&mut self) {
        if let (Some(phase), Some(masked)) = (&self.phase, &mut self.masked) {
            self.service.engine.response_leaves(phase, masked);
        }
    }

    fn response_ended(&mut self) {
        if let (Some(phase), Some(masked)) = (self.phase.take(), &self.masked) {
            self.service.engine.response_masked(&phase, masked);
        }
    }

    /// Answers with a denial in place of the response. Where its headers are out, Envoy resets the caller's stream instead:
    /// an error status would do that too, but not with `failure_mode_allow`.
    pub(super) async fn block(&mut self, code: &'static str, reason: Reason) -> Result<(), Status> {
        let Some(phase) = self.phase.take() else { return Err(Status::internal("blocked without a call")) };
        self.service.engine.response_blocked(&phase, code);
        let denial =
            Denial::new(phase.decision_id(), reason, reason.status(), "", None, &Challenge::default());
        self.refuse(&denial, reason, phase.decision_id()).await
    }
}
