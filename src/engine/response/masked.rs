//! One response body on its way through the masker.

use std::time::Instant;

use super::super::fault::{Faults, Point};
use super::deadlines::Due;
use crate::mask::{GRPC_TRAILERS, Guarded, OnUnmaskable, Unmaskable};

/// One response body on its way through the masker.
#[derive(Debug)]
pub struct MaskedResponse {
    body: Guarded,
    is_grpc: bool,
    due: Due,
    faults: Faults,
    chunks: u32,
    /// What was done with a body that could not be masked, and the code of the reason.
    given_up: Option<(OnUnmaskable, &'static str)>,
}

impl MaskedResponse {
    pub(super) fn new(body: Guarded, is_grpc: bool, due: Due, faults: Faults) -> Self {
        Self { body, is_grpc, due, faults, chunks: 0, given_up: None }
    }

    /// A body in whose place `text` is sent, because it can't be masked; `code` says why.
    pub(super) fn redacted(text: Vec<u8>, code: &'static str, due: Due, faults: Faults) -> Self {
        let given_up = Some((OnUnmaskable::RedactAll, code));
        Self { given_up, ..Self::new(Guarded::replaced(text), false, due, faults) }
    }

    /// Until when the next chunk must have come, if nothing came since `now`, and the code of the reason to block the body
    /// if it has not. `None` for as long as it takes.
    pub fn due(&self, now: Instant) -> Option<(Instant, &'static str)> {
        self.due.next(now)
    }

    /// Masks one chunk into `out`. After an error nothing more may be sent.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let point = Point::MaskChunk(self.chunks);
        self.chunks = self.chunks.saturating_add(1);
        self.faults.pass_sync(point).map_err(|reason| reason.as_str())?;
        self.body.push(chunk, out).map_err(|error| code(&error))?;
        self.note();
        Ok(())
    }

    /// Whether a trailer passes: nobody looks into most of them.
    pub fn keeps_trailer(&self, name: &str) -> bool {
        self.is_grpc && GRPC_TRAILERS.contains(&name)
    }

    /// The body is complete: what was held back goes to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.body.finish(out).map_err(|error| code(&error))?;
        self.note();
        Ok(())
    }

    fn note(&mut self) {
        if let Some((done, why)) = self.body.take_given_up() {
            self.given_up = Some((done, code(&why)));
        }
    }

    /// What was done with a body that could not be masked, and the code of the reason: once.
    pub(super) fn take_given_up(&mut self) -> Option<(OnUnmaskable, &'static str)> {
        self.given_up.take()
    }

    /// How many values were masked so far; `None` for a body that could not be masked.
    pub(super) fn masked_fields(&self) -> Option<u64> {
        self.body.masked_fields()
    }
}

fn code(error: &Unmaskable) -> &'static str {
    tracing::warn!(%error, "a response could not be masked");
    error.code()
}
