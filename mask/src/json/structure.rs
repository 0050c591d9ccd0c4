//! Objects and arrays, and which rules apply where in them: decides what each value's fate is.

use super::replacement::Replacement;
use super::waiting::Waiting;
use super::{Frame, Io, Json, State, ValueKind, Zone};
use crate::plan::Action;
use crate::sibling::Outline;
use crate::unmaskable::Unmaskable;

/// Objects within each other that are asked about their members: each time, all they hold is read once more.
const MAX_FILTERING: usize = 8;

impl Json {
    pub(super) fn open(&mut self, kind: ValueKind) -> Result<(), Unmaskable> {
        if self.frames.len() == self.limits.depth {
            return Err(Unmaskable::TooDeep { limit: self.limits.depth });
        }
        self.enter(kind);
        Ok(())
    }

    /// Goes into an object or array; `reach` is its own.
    #[inline]
    pub(super) fn enter(&mut self, kind: ValueKind) {
        let mut frame = Frame::new(kind == ValueKind::Object);
        frame.filtered = std::mem::take(&mut self.filtered);
        self.filtering += usize::from(frame.filtered);
        if matches!(self.zone, Zone::Rules) {
            frame.indexed = kind == ValueKind::Array && self.plan.indexes(&self.reach);
            if kind == ValueKind::Array && !frame.indexed {
                self.plan.at_element(&mut self.reach, 0);
            }
            if self.reach.iter().all(|word| *word == 0) {
                self.zone = Zone::Clear { depth: self.frames.len() };
            } else {
                self.reaches.extend_from_slice(&self.reach);
            }
        }
        self.frames.push(frame);
    }

    pub(super) fn close(&mut self, io: &mut Io, at: usize, byte: u8) -> Result<usize, Unmaskable> {
        let frame = self.frames.pop();
        if frame.is_none_or(|frame| frame.is_object != (byte == b'}')) {
            return Err(self.invalid(at, "an object or array is closed by the other's sign"));
        }
        let filtered = frame.is_some_and(|frame| frame.filtered);
        self.filtering = self.filtering.saturating_sub(usize::from(filtered));
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
        if self.frames.is_empty() {
            return Err(self.invalid(at, "something follows its end"));
        }
        self.state = self.separate(io, at);
        Ok(at + 1)
    }

    /// The comma at `at` is read; returns what comes next.
    #[inline]
    pub(super) fn separate(&mut self, io: &mut Io, at: usize) -> State {
        let Some(frame) = self.frames.last_mut() else { return State::Done };
        frame.elements = frame.elements.saturating_add(1);
        if matches!(self.zone, Zone::Rules) && self.plan.removes() {
            if frame.kept {
                self.flow.wait(at);
            } else {
                self.flow.leave_out(io.chunk, at, io.out);
                self.flow.wait(at + 1);
            }
        }
        if frame.is_object { State::Name } else { State::Value }
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
        if self.text.take().is_some() {
            self.flow.resume(at - 1);
        } else if let Some(looking) = self.looking.as_mut().filter(|looking| looking.is_busy()) {
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
            None => match &self.within {
                Some(within) => self.reach.copy_from_slice(&within.start),
                None => self.plan.at_root(&mut self.reach),
            },
            Some(frame) if frame.is_object => {}
            Some(frame) => {
                let top = self.reaches.len().saturating_sub(self.reach.len());
                if let Some(elements) = self.reaches.get(top..) {
                    self.reach.copy_from_slice(elements);
                }
                if frame.indexed {
                    self.plan.at_element(&mut self.reach, frame.elements);
                }
            }
        }
    }

    /// Finds out what the value that begins at `at` counts as; `false` when its members must be asked and have not arrived.
    pub(super) fn ask(&mut self, io: &mut Io, at: usize, kind: ValueKind) -> Result<bool, Unmaskable> {
        if kind != ValueKind::String {
            self.plan.pass_texts(&mut self.reach);
        }
        Ok(!self.plan.filters(&self.reach) || self.ask_members(io, at, kind)?)
    }

    /// Asks the members of the value that begins at `at` which filters it passes; `false` when they have not arrived.
    fn ask_members(&mut self, io: &mut Io, at: usize, kind: ValueKind) -> Result<bool, Unmaskable> {
        match kind {
            // Its elements are asked.
            ValueKind::Array => return Ok(true),
            ValueKind::Object if self.filtering < MAX_FILTERING => {}
            // It has no members that speak against a rule, or others within others have been asked often enough.
            _ => {
                self.plan.pass_filters(&mut self.reach, |_| true);
                return Ok(true);
            }
        }
        let limit = self.limits.filter_bytes;
        let rest = io.chunk.get(at..).unwrap_or_default();
        let within = rest.get(..limit).unwrap_or(rest);
        match Outline::default().end(within) {
            Some(end) => {
                let object = within.get(..end).unwrap_or_default();
                self.plan.pass_filters(&mut self.reach, |filter| filter.holds(object));
            }
            None if rest.len() >= limit => self.plan.pass_filters(&mut self.reach, |_| true),
            None => {
                self.flow.end_chunk(io.chunk.get(..at).unwrap_or_default(), io.out)?;
                self.waiting = Some(Waiting::new(rest));
                return Ok(false);
            }
        }
        self.filtered = true;
        Ok(true)
    }

    /// Decides about the value that begins at `at`.
    pub(super) fn decide(&mut self, io: &mut Io, at: usize, kind: ValueKind) -> Result<(), Unmaskable> {
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

    /// Whether what takes a value's place depends on what the value says.
    pub(super) fn reads(&self) -> bool {
        matches!(&self.zone, Zone::Masked { replacement, .. } if replacement.reads())
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

    /// Whether the value at `at`, which ends at `end` and was reached so, may pass as it is.
    #[inline]
    pub(super) fn is_clear(&mut self, bytes: &[u8], at: usize, end: usize, first: u8, reach: &[u64]) -> bool {
        let Some(looking) = &mut self.looking else { return true };
        if !looking.applies(&self.plan, reach) {
            return true;
        }
        let quotes = usize::from(first == b'"');
        let text = bytes.get(at + quotes..end.saturating_sub(quotes)).unwrap_or_default();
        // Escapes are for the other machine, unless one look is enough.
        let is_plain = first != b'"' || memchr::memchr(b'\\', text).is_none();
        if is_plain { looking.is_clear(first, text) } else { looking.is_written_clear(text) }
    }

    /// The values to come are called this.
    #[inline]
    pub(super) fn look_by_name(&mut self, name: &[u8]) {
        if let Some(looking) = &mut self.looking {
            looking.set_name(name);
        }
    }
}
