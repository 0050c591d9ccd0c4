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

/// The largest piece of a body in FULL_DUPLEX_STREAMED mode, as Envoy advises, unless Envoy itself sent a larger one.
const PIECE_BYTES: usize = 64 << 10;

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
            let most = message.body.len();
            return self.send_body(message.body, most, message.end_of_stream, false).await;
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
                self.send_body(out, message.body.len(), message.end_of_stream, true).await
            }
            Err(code) => self.block(code, Reason::Unmaskable).await,
        }
    }

    /// Answers a chunk of `came` bytes with what takes its place; `last`: the body ends with it. In FULL_DUPLEX_STREAMED mode the answer is
    /// what the caller gets, so nothing is answered while everything is held back, and what passes is sent back.
    async fn send_body(
        &mut self,
        body: Vec<u8>,
        came: usize,
        last: bool,
        changed: bool,
    ) -> Result<(), Status> {
        if !self.modes.response_is_full_duplex() {
            return self
                .send(encode::body(Half::Response, Mutation::default(), changed.then_some(body)))
                .await;
        }
        let most = came.max(PIECE_BYTES);
        if body.len() <= most {
            let owed = last || !body.is_empty();
            return if owed { self.send(encode::response_piece(body, last)).await } else { Ok(()) };
        }
        let mut pieces = body.chunks(most).peekable();
        while let Some(piece) = pieces.next() {
            let last = last && pieces.peek().is_none();
            self.send(encode::response_piece(piece.to_vec(), last)).await?;
        }
        Ok(())
    }

    /// Trailers end a body too. What rules name of them is masked.
    pub(super) async fn response_trailers(&mut self, message: HttpTrailers) -> Result<(), Status> {
        let mut changes = Mutation::default();
        if let Some(masked) = &mut self.masked {
            let mut rest = Vec::new();
            let result = masked.finish(&mut rest);
            // Only in FULL_DUPLEX_STREAMED mode can anything be put before them.
            let has_place = rest.is_empty() || self.modes.response_is_full_duplex();
            if let Err(code) = result.and(if has_place { Ok(()) } else { Err("incomplete") }) {
                return self.block(code, Reason::Unmaskable).await;
            }
            let (_, trailers) = decode::raw_headers(message.trailers.unwrap_or_default());
            changes = mutation(&masked.mask_trailers(&trailers));
            self.response_leaves();
            self.response_ended();
            if !rest.is_empty() {
                self.send_body(rest, PIECE_BYTES, false, true).await?;
            }
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
