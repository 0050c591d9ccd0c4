//! What becomes of a body that must be masked and can't be.
//!
//! Where nothing of a body has left, another may still take its place, or the body itself, if the rules choose so.
//! Once a part of it is out, the reader has the beginning of a masked body, and it can only be cut off.

use std::mem;
use std::sync::Arc;

use super::coding::{Encoder, Encoding};
use super::format::Format;
use super::json_string;
use super::method::Method;
use super::unmaskable::Unmaskable;
use super::{Masker, Rule};

/// What a rule says is done with a body in which it can't be kept. Declared from the mildest to the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnUnmaskable {
    /// The body passes as it is.
    Pass,
    /// A fixed text takes the place of the whole body.
    RedactAll,
    /// Nothing of it passes.
    #[default]
    Block,
}

impl OnUnmaskable {
    /// What the rules about a body say together: the strictest wins.
    pub fn of(rules: &[Arc<Rule>]) -> Self {
        let of_body = rules.iter().filter(|rule| rule.is_of_body());
        of_body.map(|rule| rule.on_unmaskable).max().unwrap_or_default()
    }

    /// The word that policies use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::RedactAll => "redact_all",
            Self::Block => "block",
        }
    }
}

/// A masker that knows what to do when it fails.
#[derive(Debug)]
pub struct Guarded {
    way: Way,
    /// Nothing has come out so far.
    unsent: bool,
    /// Why the body was not masked, when something else was done than to block it.
    given_up: Option<Unmaskable>,
}

#[derive(Debug)]
enum Way {
    Masked {
        masker: Box<Masker>,
        instead: Instead,
    },
    /// This text is the body.
    Redacted(Vec<u8>),
    /// Every byte passes.
    Passed,
}

/// What is done when the masker fails before anything has left.
#[derive(Debug)]
enum Instead {
    Nothing,
    Text(Vec<u8>),
    /// The body as it is: what went in so far; `None` when it was too much to keep.
    Body(Option<Vec<u8>>),
}

impl Guarded {
    /// So much of a body is kept at most until something of it has left, where it may pass as it is.
    pub const KEPT_BYTES: usize = 1 << 20;

    /// `text`: what can take the place of the body, in its format and encoding; see [`redacted`]. Without one the body
    /// is blocked where it should be replaced.
    pub fn new(masker: Masker, on_unmaskable: OnUnmaskable, text: Option<Vec<u8>>) -> Self {
        let instead = match on_unmaskable {
            OnUnmaskable::Block => Instead::Nothing,
            OnUnmaskable::RedactAll => text.map_or(Instead::Nothing, Instead::Text),
            OnUnmaskable::Pass => Instead::Body(Some(Vec::new())),
        };
        Self { way: Way::Masked { masker: Box::new(masker), instead }, unsent: true, given_up: None }
    }

    /// For a body that is replaced by `text` whatever is in it.
    pub fn replaced(text: Vec<u8>) -> Self {
        Self { way: Way::Redacted(text), unsent: true, given_up: None }
    }

    /// For a body that passes whatever is in it.
    pub fn passed() -> Self {
        Self { way: Way::Passed, unsent: true, given_up: None }
    }

    /// As [`Masker::push`], but that a body which can't be masked fails only where it is to be blocked.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let before = out.len();
        match &mut self.way {
            Way::Redacted(text) => out.append(text),
            Way::Passed => out.extend_from_slice(chunk),
            Way::Masked { masker, instead } => match masker.push(chunk, out) {
                Ok(()) if self.unsent && out.len() == before => instead.keep(chunk),
                // What has left can't be taken back, so nothing else is kept for it.
                Ok(()) => *instead = Instead::Nothing,
                Err(why) => self.give_up(why, chunk, out)?,
            },
        }
        self.unsent &= out.len() == before;
        Ok(())
    }

    /// As [`Masker::finish`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &mut self.way {
            Way::Redacted(text) => out.append(text),
            Way::Passed => {}
            Way::Masked { masker, .. } => {
                if let Err(why) = masker.finish(out) {
                    self.give_up(why, &[], out)?;
                }
            }
        }
        Ok(())
    }

    /// `chunk` could not be masked.
    fn give_up(&mut self, why: Unmaskable, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let Way::Masked { instead, .. } = &mut self.way else { return Err(why) };
        self.way = match mem::replace(instead, Instead::Nothing) {
            _ if !self.unsent => return Err(why),
            Instead::Nothing | Instead::Body(None) => return Err(why),
            Instead::Text(text) => {
                out.extend_from_slice(&text);
                Way::Redacted(Vec::new())
            }
            Instead::Body(Some(kept)) => {
                out.extend_from_slice(&kept);
                out.extend_from_slice(chunk);
                Way::Passed
            }
        };
        self.given_up = Some(why);
        Ok(())
    }

    /// What was done with a body that could not be masked, and why not: once, and only where it was not blocked.
    pub fn take_given_up(&mut self) -> Option<(OnUnmaskable, Unmaskable)> {
        let done = match &self.way {
            Way::Passed => OnUnmaskable::Pass,
            Way::Redacted(_) | Way::Masked { .. } => OnUnmaskable::RedactAll,
        };
        self.given_up.take().map(|why| (done, why))
    }

    /// How many values were replaced or removed so far; `None` where the body is not masked, but replaced or passed.
    pub fn masked_fields(&self) -> Option<u64> {
        match &self.way {
            Way::Masked { masker, .. } => Some(masker.masked_fields()),
            Way::Redacted(_) | Way::Passed => None,
        }
    }
}

impl Instead {
    fn keep(&mut self, chunk: &[u8]) {
        if let Self::Body(kept) = self {
            let fits = |held: &Vec<u8>| held.len().saturating_add(chunk.len()) <= Guarded::KEPT_BYTES;
            *kept = kept.take().filter(fits).map(|mut held| {
                held.extend_from_slice(chunk);
                held
            });
        }
    }
}

/// The text that takes the place of a body of this format and encoding.
pub fn redacted(format: Format, encoding: Option<Encoding>) -> Result<Vec<u8>, Unmaskable> {
    let mut json = Vec::new();
    json_string::write(Method::DEFAULT_TEXT.as_bytes(), &mut json);
    let text = match format {
        Format::Json => json,
        Format::Ndjson => [&json[..], b"\n"].concat(),
        Format::Sse => [b"data: ", &json[..], b"\n\n"].concat(),
        Format::Form => b"body=%5Bredacted%5D".to_vec(),
        Format::Text => Method::DEFAULT_TEXT.as_bytes().to_vec(),
    };
    let Some(encoding) = encoding else { return Ok(text) };
    let (mut encoder, mut out) = (Encoder::new(encoding)?, Vec::new());
    encoder.write(&text)?;
    encoder.finish(&mut out)?;
    Ok(out)
}
