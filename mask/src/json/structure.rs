//! Objects and arrays, and which rules apply where in them: decides what each value's fate is.

use super::replacement::Replacement;
use super::{Frame, Io, Json, State, ValueKind, Zone};
use crate::plan::Action;
use crate::unmaskable::Unmaskable;

impl Json {
    pub(super) fn open(&mut self, kind: ValueKind) -> Result<(), Unmaskable> {
        if self.frames.len() == self.limits.depth {
            return Err(Unmaskable::TooDeep { limit: self.limits.depth });
        }
        if matches!(self.zone, Zone::Rules) {
            if kind == ValueKind::Array {
                self.plan.at_elements(&mut self.reach);
            }
            if self.reach.iter().all(|word| *word == 0) {
                self.zone = Zone::Clear { depth: self.frames.len() };
            } else {
                self.reaches.extend_from_slice(&self.reach);
            }
        }
        self.frames.push(Frame { is_object: kind == ValueKind::Object, kept: false });
        Ok(())
    }

    pub(super) fn close(&mut self, io: &mut Io, at: usize, byte: u8) -> Result<usize, Unmaskable> {
        let frame = self.frames.pop();
        if frame.is_none_or(|frame| frame.is_object != (byte == b'}')) {
            return Err(self.invalid(at, "an object or array is closed by the other's sign"));
        }
        self.feed(&[byte]);
        if matches!(self.zone, Zone::Rules) {
            self.flow.pass(at, io.out)?;
            self.reaches.truncate(self.reaches.len().saturating_sub(self.plan.width()));
        }
        self.end_value(io, at + 1);
        Ok(at + 1)
    }

    pub(super) fn comma(&mut self, io: &mut Io, at: usize) -> Result<usize, Unmaskable> {
        self.feed(b",");
        let Some(frame) = self.frames.last() else {
            return Err(self.invalid(at, "something follows its end"));
        };
        self.state = if frame.is_object { State::Name } else { State::Value };
        if matches!(self.zone, Zone::Rules) && self.plan.removes() {
            if frame.kept {
                self.flow.wait(at);
            } else {
                self.flow.leave_out(io.chunk, at, io.out);
                self.flow.wait(at + 1);
            }
        }
        Ok(at + 1)
    }

    pub(super) fn begin_name(&mut self, io: &mut Io, at: usize) -> Result<usize, Unmaskable> {
        self.name.clear();
        self.state = State::InName;
        self.in_string(io, at)
    }

    pub(super) fn end_name(&mut self) -> Result<(), Unmaskable> {
        self.state = State::Colon;
        if let Some(looking) = self.looking.as_mut().filter(|_| !matches!(self.zone, Zone::Masked { .. })) {
            looking.set_name(&self.name);
        }
        if matches!(self.zone, Zone::Rules) {
            if self.name.len() > self.limits.key_bytes {
                return Err(Unmaskable::KeyTooLong { limit: self.limits.key_bytes });
            }
            let top = self.reaches.len().saturating_sub(self.plan.width());
            let from = self.reaches.get(top..).unwrap_or_default();
            self.plan.at_member(from, &self.name, &mut self.reach);
        }
        Ok(())
    }

    pub(super) fn end_value(&mut self, io: &mut Io, at: usize) {
        self.state = if self.frames.is_empty() { State::Done } else { State::CommaOrClose };
        if let Some(looking) = self.looking.as_mut().filter(|looking| looking.is_busy()) {
            let is_string = looking.end(io.out);
            // A string's closing quote passes.
            self.flow.resume(at - usize::from(is_string));
        }
        let here = self.frames.len();
        match &self.zone {
            Zone::Clear { depth } if *depth == here => self.zone = Zone::Rules,
            Zone::Masked { depth, .. } if *depth == here => {
                let zone = std::mem::replace(&mut self.zone, Zone::Rules);
                if let Zone::Masked { replacement, .. } = zone {
                    replacement.finish(io.out);
                }
                self.flow.resume(at);
                self.masked += 1;
            }
            _ => {}
        }
    }
}

// === masking ===

impl Json {
    /// Sets the reach of the value to come, unless its name has.
    #[inline]
    pub(super) fn reach_value(&mut self) {
        match self.frames.last() {
            None => self.plan.at_root(&mut self.reach),
            Some(frame) if frame.is_object => {}
            Some(_) => {
                let top = self.reaches.len().saturating_sub(self.reach.len());
                if let Some(elements) = self.reaches.get(top..) {
                    self.reach.copy_from_slice(elements);
                }
            }
        }
    }

    /// Decides about the value that begins at `at`.
    pub(super) fn decide(&mut self, io: &mut Io, at: usize, kind: ValueKind) -> Result<(), Unmaskable> {
        self.reach_value();
        let is_leaf = !matches!(kind, ValueKind::Object | ValueKind::Array);
        let action = self.plan.action(&self.reach, is_leaf);
        // `null` holds nothing to mask; but a removed field is not there, whatever it holds.
        let action = action.filter(|action| kind != ValueKind::Null || matches!(action, Action::Remove));
        let is_document = self.frames.is_empty();
        let replacement = action.map(|action| Replacement::start(action, kind, is_document, self.plan.key()));
        let kept = !matches!(replacement, Some(Replacement::Nothing));
        if let Some(frame) = self.frames.last_mut() {
            frame.kept |= kept;
        }
        match replacement {
            None => self.flow.pass(at, io.out),
            Some(replacement) => {
                self.zone = Zone::Masked { depth: self.frames.len(), replacement };
                self.flow.drop(io.chunk, at, kept, io.out)
            }
        }
    }

    /// Whether the value at hand is replaced itself, not one within it.
    pub(super) fn is_masked_value(&self) -> bool {
        matches!(self.zone, Zone::Masked { depth, .. } if depth == self.frames.len())
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if let Zone::Masked { replacement, .. } = &mut self.zone {
            replacement.feed(bytes);
        }
    }
}

// === looking for values ===

impl Json {
    /// Whether something is looked for in the value at hand, which stays.
    #[inline]
    pub(super) fn looks(&mut self) -> bool {
        let Some(looking) = &mut self.looking else { return false };
        match self.zone {
            Zone::Rules => looking.applies(&self.plan, &self.reach),
            Zone::Clear { .. } => looking.applies(&self.plan, &[]),
            Zone::Masked { .. } => false,
        }
    }

    /// Looks into the value that begins at `at`, if something is looked for in it.
    pub(super) fn begin_looking(
        &mut self,
        io: &mut Io,
        at: usize,
        kind: ValueKind,
        first: u8,
    ) -> Result<(), Unmaskable> {
        if !matches!(kind, ValueKind::String | ValueKind::Number) || !self.looks() {
            return Ok(());
        }
        let Some(looking) = &mut self.looking else { return Ok(()) };
        let from = if kind == ValueKind::String {
            looking.begin_string();
            at + 1
        } else {
            looking.begin_number();
            looking.number(&[first]);
            at
        };
        self.flow.drop(io.chunk, from, true, io.out)
    }

    /// Whether the value at `at`, which ends at `end`, may pass as it is.
    #[inline]
    pub(super) fn is_clear(&mut self, bytes: &[u8], at: usize, end: usize, first: u8) -> bool {
        if self.looking.is_none() || !self.looks() {
            return true;
        }
        let quotes = usize::from(first == b'"');
        let text = bytes.get(at + quotes..end.saturating_sub(quotes)).unwrap_or_default();
        // Escapes are for the other machine.
        let is_plain = first != b'"' || memchr::memchr(b'\\', text).is_none();
        is_plain && self.looking.as_mut().is_none_or(|looking| looking.is_clear(first, text))
    }

    /// The values to come are called this.
    #[inline]
    pub(super) fn look_by_name(&mut self, name: &[u8]) {
        if let Some(looking) = &mut self.looking {
            looking.set_name(name);
        }
    }
}
