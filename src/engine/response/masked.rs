//! One response body on its way through the masker, and the trailers after it.

use std::time::Instant;

use super::super::fault::{Faults, Point};
use super::deadlines::Due;
use crate::effect::HeaderChange;
use crate::mask::{GRPC_TRAILERS, Guarded, HeaderPlan, OnUnmaskable, Section, Unmaskable};
use crate::policy::masked_headers::MaskedHeaders;
use crate::request::Headers;

/// One response body on its way through the masker, and the trailers after it.
#[derive(Debug)]
pub struct MaskedResponse {
    body: Guarded,
    /// Whether rules are about the body.
    masks_body: bool,
    kept: KeptTrailers,
    named: HeaderPlan,
    /// How many values of headers and trailers were masked.
    taken: u64,
    due: Due,
    faults: Faults,
    chunks: u32,
    /// What was done with a body that could not be masked, and the code of the reason.
    given_up: Option<(OnUnmaskable, &'static str)>,
}

/// Which trailers may leave, masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptTrailers {
    All,
    OfGrpc,
    None,
}

impl MaskedResponse {
    /// `named`: the rules about trailers.
    pub(super) fn new(body: Guarded, is_grpc: bool, named: HeaderPlan, due: Due, faults: Faults) -> Self {
        let kept = if is_grpc { KeptTrailers::OfGrpc } else { KeptTrailers::None };
        Self { body, masks_body: true, kept, named, taken: 0, due, faults, chunks: 0, given_up: None }
    }

    /// A response of which nothing is masked but trailers: its body is held back by nobody, and may take its time.
    pub(super) fn trailers(named: HeaderPlan, faults: Faults) -> Self {
        let masked = Self::new(Guarded::passed(), false, named, Due::never(), faults);
        Self { masks_body: false, kept: KeptTrailers::All, ..masked }
    }

    /// A body in whose place `text` is sent, because it can't be masked; `code` says why.
    pub(super) fn redacted(
        text: Vec<u8>,
        code: &'static str,
        named: HeaderPlan,
        due: Due,
        faults: Faults,
    ) -> Self {
        let given_up = Some((OnUnmaskable::RedactAll, code));
        Self { given_up, ..Self::new(Guarded::replaced(text), false, named, due, faults) }
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

    /// What changes of the trailers. Those of a body that has masks are dropped, but the status of gRPC: they may hold what
    /// the body holds. Others are masked.
    pub fn mask_trailers(&mut self, trailers: &Headers) -> Vec<HeaderChange> {
        let keeps = |name: &str| match self.kept {
            KeptTrailers::All => true,
            KeptTrailers::OfGrpc => GRPC_TRAILERS.contains(&name),
            KeptTrailers::None => false,
        };
        let (kept, dropped): (Vec<_>, Vec<_>) = trailers.iter().partition(|trailer| keeps(&trailer.name));
        let mut changes: Vec<_> =
            dropped.into_iter().map(|trailer| HeaderChange::Remove { name: trailer.name.clone() }).collect();
        let masked = MaskedHeaders::of(&self.named, Section::Trailers, &kept.into_iter().cloned().collect());
        self.taken += masked.taken;
        changes.extend(masked.before([].iter()));
        changes
    }

    /// Whether rules are about the body.
    pub(super) fn masks_body(&self) -> bool {
        self.masks_body
    }

    /// So many values of the headers were masked.
    pub(super) fn add_taken(&mut self, taken: u64) {
        self.taken += taken;
    }

    /// How many values of headers and trailers were masked.
    pub(super) fn taken(&self) -> u64 {
        self.taken
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

    /// How many values were masked so far, in headers and trailers too; `None` for a body that was not masked.
    pub(super) fn masked_fields(&self) -> Option<u64> {
        self.body.masked_fields().filter(|_| self.masks_body).map(|fields| fields + self.taken)
    }
}

fn code(error: &Unmaskable) -> &'static str {
    tracing::warn!(%error, "a response could not be masked");
    error.code()
}
