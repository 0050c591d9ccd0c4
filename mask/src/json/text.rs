//! Strings that are read as the JSON in them: rewritten by the same machine, and written as strings again.
//!
//! The document in a string stands where the string does, for all rules. Nothing of it is kept, so that a string may be
//! of any length; its objects and arrays count as being in those around the string.

use std::sync::Arc;

use super::{Io, Json, Zone};
use crate::json_string;
use crate::plan::Plan;
use crate::unmaskable::{Limits, Unmaskable};

/// Strings in strings, as far as they are read: each reads what the one before it decoded.
const MAX_LEVELS: usize = 4;
/// Of a string so much is decoded at a time.
const BLOCK: usize = 1 << 10;

/// What is different for a document in a string.
#[derive(Debug)]
pub struct Within {
    /// The reach of the document.
    pub start: Vec<u64>,
    /// The strings around it.
    level: usize,
}

/// The document in one string.
#[derive(Debug)]
pub struct Text {
    json: Json,
    /// Decoded bytes, and what became of them; empty between calls.
    decoded: Vec<u8>,
    rewritten: Vec<u8>,
}

impl Text {
    /// The document in a string that is read as JSON, by the reach of the string.
    pub fn new(plan: &Arc<Plan>, limits: Limits, reach: &[u64]) -> Self {
        Self::at(plan, limits, Within { start: plan.in_text(reach), level: 1 })
    }

    fn at(plan: &Arc<Plan>, limits: Limits, within: Within) -> Self {
        let mut json = Json::new(plan.clone(), limits);
        json.within = Some(within);
        Self { json, decoded: Vec::new(), rewritten: Vec::new() }
    }

    /// The string's next bytes, decoded: appends what of the document is decided.
    pub fn push(&mut self, decoded: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        self.json.push(decoded, out).map_err(in_text)
    }

    /// The string ends: appends the rest. A string without a document in it holds nothing to mask.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if self.json.is_blank() { Ok(()) } else { self.json.finish(out).map_err(in_text) }
    }

    pub fn masked_fields(&self) -> u64 {
        self.json.masked_fields()
    }
}

fn in_text(error: Unmaskable) -> Unmaskable {
    match error {
        Unmaskable::InvalidJson { what, .. } => Unmaskable::InvalidJsonInString { what },
        other => other,
    }
}

impl Json {
    /// Whether the string to come is read as JSON. It is not where it is replaced itself, or in what is.
    pub(super) fn parses(&self) -> bool {
        matches!(self.zone, Zone::Rules) && self.plan.parses(&self.reach)
    }

    /// The string that begins at `at` is read as JSON.
    pub(super) fn begin_text(&mut self, io: &mut Io, at: usize) -> Result<(), Unmaskable> {
        let level = self.within.as_ref().map_or(0, |within| within.level) + 1;
        let depth = self.limits.depth.saturating_sub(self.frames.len() + 1);
        if level > MAX_LEVELS || depth == 0 {
            return Err(Unmaskable::TooDeep { limit: self.limits.depth });
        }
        let within = Within { start: self.plan.in_text(&self.reach), level };
        // What waits is written twice for a moment: as it is, and as a string.
        let token_bytes = self.limits.token_bytes / if level == 1 { 2 } else { 1 };
        let mut text = Text::at(&self.plan, Limits { depth, token_bytes, ..self.limits }, within);
        if let (Some(inner), Some(outer)) = (&mut text.json.looking, &self.looking) {
            inner.named_as(outer);
        }
        self.flow.drop(io.chunk, at + 1, true, io.out)?;
        // Only one document at a time needs room for what waits.
        self.flow.release();
        self.name = Vec::new();
        self.text = Some(Box::new(text));
        Ok(())
    }

    /// Reads on in such a string.
    pub(super) fn in_text(&mut self, io: &mut Io, start: usize) -> Result<usize, Unmaskable> {
        let mut at = start;
        while let Some(rest) = io.chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let block = rest.get(..BLOCK).unwrap_or(rest);
            let Some(text) = &mut self.text else { break };
            let Text { decoded, rewritten, .. } = &mut **text;
            decoded.clear();
            rewritten.clear();
            let scanned = self.string.scan(block, |piece| decoded.extend_from_slice(piece));
            let (taken, closed) = scanned.map_err(|fault| Unmaskable::InvalidJson {
                offset: self.read + (at + fault.at) as u64,
                what: fault.what,
            })?;
            let (bytes, mut out) = (std::mem::take(decoded), std::mem::take(rewritten));
            text.push(&bytes, &mut out)?;
            if closed {
                text.finish(&mut out)?;
            }
            json_string::escape(&out, io.out);
            (text.decoded, text.rewritten) = (bytes, out);
            at += taken;
            if closed {
                self.masked += text.masked_fields();
                self.end_value(io, at);
                break;
            }
        }
        Ok(at)
    }
}
