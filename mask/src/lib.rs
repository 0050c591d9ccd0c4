//! Rewriting bodies so that sensitive fields never reach the caller. Fails closed: a body that must be masked
//! and can't be understood is refused, never passed.
//!
//! Rules are compiled into a [`Plan`] once; a [`Masker`] then rewrites one body as its chunks arrive. Outside the
//! values that rules take, the output is the input, byte for byte; however a body is cut into chunks, the output
//! is the same.
//!
//! Headers and trailers are masked by a [`HeaderPlan`], value by value.
//!
//! Knows nothing of policies, connections or Envoy: bytes in, bytes out.

#![cfg_attr(test, allow(clippy::string_slice, reason = "a test may panic"))]

use std::sync::Arc;

use coding::Coding;

mod bucket;
mod coding;
mod detect;
mod events;
mod form;
mod format;
mod grpc;
mod guarded;
mod hash;
mod header_names;
mod headers;
mod json;
mod json_string;
mod lines;
mod method;
mod path;
mod place;
mod plan;
mod proto;
mod search;
mod sibling;
mod stand_in;
mod text;
mod unmaskable;

#[cfg(test)]
mod tests;

pub use bucket::{Bucket, DateUnit};
pub use coding::Encoding;
pub use detect::custom::{CustomError, Pattern, Words};
pub use detect::found::Confidence;
pub use detect::{Detect, DetectError, Detector, Kind};
pub use format::Format;
pub use grpc::{Framing, GRPC_TRAILERS, Grpc};
pub use guarded::{Guarded, OnUnmaskable, redacted};
pub use hash::{HashKey, HashKeyError};
pub use header_names::{HeaderNames, HeaderNamesError};
pub use headers::{HeaderPlan, MaskedHeader, Section};
pub use method::Method;
pub use path::{FieldPath, PathError};
pub use plan::Plan;
pub use proto::{Message, Schema, SchemaError, UnknownFields};
pub use unmaskable::{Limits, Unmaskable};

/// One mask obligation: which fields, headers or trailers, and what takes their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub part: Part,
    /// In a body; of a header or trailer, `everything`.
    pub field: FieldPath,
    /// What is looked for in the strings and numbers of that field and below it, or in the header's value; the field or
    /// value itself is masked when this is `None`.
    pub detect: Option<Arc<Detect>>,
    pub method: Method,
    /// What becomes of a body that can't be masked. A header's value that can't be is redacted.
    pub on_unmaskable: OnUnmaskable,
}

/// Which part of a message a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    #[default]
    Body,
    Header(HeaderNames),
    Trailer(HeaderNames),
}

impl Rule {
    /// A rule about a field itself; a body in which it can't be kept is blocked.
    pub fn new(field: FieldPath, method: Method) -> Self {
        Self { part: Part::Body, field, detect: None, method, on_unmaskable: OnUnmaskable::Block }
    }

    /// A rule about what is found in a field and below it.
    pub fn looking(field: FieldPath, detect: Arc<Detect>, method: Method) -> Self {
        Self { detect: Some(detect), ..Self::new(field, method) }
    }

    /// A rule about headers or trailers themselves.
    pub fn of_headers(part: Part, method: Method) -> Self {
        Self { part, ..Self::new(FieldPath::everything(), method) }
    }

    /// Whether it is about a body.
    pub fn is_of_body(&self) -> bool {
        self.part == Part::Body
    }
}

/// Why bodies of a format can't be masked by a plan, whatever is in them. Each format says here what it makes of rules
/// that name fields, and of rules that look for values.
fn refusal(plan: &Plan, format: Format) -> Option<Unmaskable> {
    match format {
        Format::Json | Format::Ndjson | Format::Sse | Format::Form => None,
        Format::Text => (!plan.masks_text()).then_some(Unmaskable::FieldsInText),
    }
}

/// Masks one body.
#[derive(Debug)]
pub struct Masker {
    body: Body,
    /// For a body with a `content-encoding`.
    coding: Option<Box<Coding>>,
    phase: Phase,
}

/// A body without its encoding.
#[derive(Debug)]
enum Body {
    Json(json::Json),
    Ndjson(lines::Lines),
    Sse(events::Events),
    Form(form::Form),
    Grpc(grpc::Frames),
    Text(Box<text::Text>),
}

#[derive(Debug)]
enum Phase {
    Open,
    Finished,
    /// Nothing more comes out, whatever goes in.
    Failed(Unmaskable),
}

impl Masker {
    pub fn new(plan: Arc<Plan>, format: Format, limits: Limits) -> Self {
        let phase = refusal(&plan, format).map_or(Phase::Open, Phase::Failed);
        let body = match format {
            Format::Json => Body::Json(json::Json::new(plan, limits)),
            Format::Ndjson => Body::Ndjson(lines::Lines::new(plan, limits)),
            Format::Sse => Body::Sse(events::Events::new(plan, limits)),
            Format::Text => Body::Text(Box::new(text::Text::new(&plan))),
            Format::Form => Body::Form(form::Form::new(plan, limits)),
        };
        Self { body, coding: None, phase }
    }

    /// For the messages of a gRPC call.
    pub fn grpc(plan: Arc<Plan>, grpc: &Grpc, limits: Limits) -> Self {
        Self { body: Body::Grpc(grpc::Frames::new(plan, grpc, limits)), coding: None, phase: Phase::Open }
    }

    /// For a body that is encoded: what goes in and what comes out are, what rules see isn't.
    pub fn in_encoding(self, encoding: Encoding, limits: &Limits) -> Result<Self, Unmaskable> {
        Ok(Self { coding: Some(Box::new(Coding::new(encoding, limits)?)), ..self })
    }

    /// Appends to `out` what may leave after this chunk; what a rule could still take stays behind. A call that
    /// fails appends nothing, and every later call fails as it did.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &self.phase {
            Phase::Failed(error) => Err(error.clone()),
            Phase::Finished if chunk.is_empty() => Ok(()),
            Phase::Finished => self.fail(Unmaskable::AfterEnd),
            Phase::Open => {
                let before = out.len();
                let body = &mut self.body;
                let pushed = match &mut self.coding {
                    None => body.push(chunk, out),
                    Some(coding) => coding.push(chunk, out, &mut |decoded, plain| body.push(decoded, plain)),
                };
                pushed.or_else(|error| {
                    out.truncate(before);
                    self.fail(error)
                })
            }
        }
    }

    /// The body ends here: appends the rest. An incomplete body is an error. Calling it again does nothing.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &self.phase {
            Phase::Failed(error) => Err(error.clone()),
            Phase::Finished => Ok(()),
            Phase::Open => {
                self.phase = Phase::Finished;
                let before = out.len();
                let body = &mut self.body;
                let finished = match &mut self.coding {
                    None => body.finish(out),
                    Some(coding) => coding.finish(out, &mut |plain| body.finish(plain)),
                };
                finished.or_else(|error| {
                    out.truncate(before);
                    self.fail(error)
                })
            }
        }
    }

    /// Why nothing more comes out: also before the first chunk, when the rules can't be kept in such a body.
    pub fn failure(&self) -> Option<&Unmaskable> {
        match &self.phase {
            Phase::Failed(error) => Some(error),
            Phase::Open | Phase::Finished => None,
        }
    }

    /// How many values were replaced or removed so far.
    pub fn masked_fields(&self) -> u64 {
        self.body.masked_fields()
    }

    fn fail(&mut self, error: Unmaskable) -> Result<(), Unmaskable> {
        self.phase = Phase::Failed(error.clone());
        Err(error)
    }
}

impl Body {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match self {
            Self::Json(json) => json.push(chunk, out),
            Self::Ndjson(lines) => lines.push(chunk, out),
            Self::Sse(events) => events.push(chunk, out),
            Self::Form(form) => form.push(chunk, out),
            Self::Grpc(frames) => frames.push(chunk, out),
            Self::Text(text) => text.push(chunk, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match self {
            Self::Json(json) => json.finish(out),
            Self::Ndjson(lines) => lines.finish(out),
            Self::Sse(events) => events.finish(out),
            Self::Form(form) => form.finish(out),
            Self::Grpc(frames) => frames.finish(out),
            Self::Text(text) => text.finish(out),
        }
    }

    fn masked_fields(&self) -> u64 {
        match self {
            Self::Json(json) => json.masked_fields(),
            Self::Ndjson(lines) => lines.masked_fields(),
            Self::Sse(events) => events.masked_fields(),
            Self::Form(form) => form.masked_fields(),
            Self::Grpc(frames) => frames.masked_fields(),
            Self::Text(text) => text.masked_fields(),
        }
    }
}
