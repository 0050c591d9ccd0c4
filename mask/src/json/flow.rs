//! What happens to the bytes read: they flow on as they are, wait for a decision, or go.
//!
//! Positions are those of the chunk at hand. Bytes are copied when what follows them goes, or their chunk ends: as few
//! times as can be.

use super::waiting::grow;
use crate::unmaskable::Unmaskable;

#[derive(Debug)]
pub struct Flow {
    course: Course,
    /// Where in the chunk the bytes begin that have not gone their way.
    from: usize,
    /// While bytes wait: where in the chunk those begin. What stands between `from` and here passes.
    waiting: usize,
    /// Bytes of earlier chunks that wait.
    held: Vec<u8>,
    limit: usize,
}

/// Bytes of the chunk at hand that are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub from: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Pass,
    Wait,
    Drop,
}

impl Flow {
    /// At most `limit` bytes may wait at a time.
    pub fn new(limit: usize) -> Self {
        Self { course: Course::Pass, from: 0, waiting: 0, held: Vec::new(), limit }
    }

    /// What was read before `at` passes; what follows waits. Nothing may wait already.
    #[inline]
    pub fn wait(&mut self, at: usize) {
        self.waiting = at;
        self.course = Course::Wait;
    }

    /// Where what waits begins, if it begins in this chunk.
    pub fn waits_from(&self) -> Option<usize> {
        (self.course == Course::Wait && self.held.is_empty()).then_some(self.waiting)
    }

    /// What follows this place waits; where there is none, everything passes. No bytes of an earlier chunk may wait.
    pub fn set_waiting(&mut self, from: Option<usize>) {
        self.course = if from.is_some() { Course::Wait } else { Course::Pass };
        self.waiting = from.unwrap_or_default();
    }

    /// What is before the place passes; what is in it goes.
    pub fn replace(&mut self, chunk: &[u8], place: Place, out: &mut Vec<u8>) {
        self.write(chunk, place.from, out);
        self.from = place.end;
    }

    /// The byte at `at` goes, alone.
    pub fn leave_out(&mut self, chunk: &[u8], at: usize, out: &mut Vec<u8>) {
        self.write(chunk, at, out);
        self.from = at + 1;
    }

    /// What waited passes, and what follows too.
    pub fn pass(&mut self, at: usize, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if self.passes(at, out) { Ok(()) } else { Err(Unmaskable::TokenTooLong { limit: self.limit }) }
    }

    /// The same; `false`, and nothing happens, when too much waits.
    #[inline]
    pub fn passes(&mut self, at: usize, out: &mut Vec<u8>) -> bool {
        if self.course == Course::Wait {
            if self.is_too_much(at) {
                return false;
            }
            // Nothing of this chunk can have been written before what an earlier one left.
            if !self.held.is_empty() {
                out.extend_from_slice(&self.held);
                self.held.clear();
            }
            self.course = Course::Pass;
        }
        true
    }

    /// What waited before `at` goes unless `spare` is set, and what follows goes in any case.
    pub fn drop(
        &mut self,
        chunk: &[u8],
        at: usize,
        spare: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unmaskable> {
        if self.course == Course::Wait && !spare {
            self.check_limit(at)?;
            self.held.clear();
            self.write(chunk, self.waiting, out);
        } else {
            self.pass(at, out)?;
            self.write(chunk, at, out);
        }
        self.course = Course::Drop;
        Ok(())
    }

    /// What follows `at` passes again, after what was dropped.
    pub fn resume(&mut self, at: usize) {
        self.from = at;
        self.course = Course::Pass;
    }

    /// Gives back the room for bytes that wait, when none do.
    pub fn release(&mut self) {
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    pub fn end_chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match self.course {
            Course::Pass => self.write(chunk, chunk.len(), out),
            Course::Wait => {
                self.check_limit(chunk.len())?;
                self.write(chunk, self.waiting, out);
                grow(&mut self.held, chunk.get(self.waiting..).unwrap_or_default(), self.limit);
            }
            Course::Drop => {}
        }
        (self.from, self.waiting) = (0, 0);
        Ok(())
    }

    fn write(&mut self, chunk: &[u8], until: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(chunk.get(self.from..until).unwrap_or_default());
        self.from = until;
    }

    fn check_limit(&self, at: usize) -> Result<(), Unmaskable> {
        if self.is_too_much(at) { Err(Unmaskable::TokenTooLong { limit: self.limit }) } else { Ok(()) }
    }

    #[inline]
    fn is_too_much(&self, at: usize) -> bool {
        self.held.len() + at.saturating_sub(self.waiting) > self.limit
    }
}
