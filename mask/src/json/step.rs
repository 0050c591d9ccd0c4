//! A member or element that lies whole in the chunk: its comma, its name, its value.

use super::plain::{Run, Start};
use super::{Frame, scan};
use crate::plan::Table;

/// Where the walk is: behind a value, or behind the sign that opens an object or array.
pub struct Walk<'b, const WORDS: usize> {
    pub bytes: &'b [u8],
    pub at: usize,
    /// Nothing of the object or array has been read.
    pub first: bool,
    /// The object or array around, of which only `kept` changes.
    pub frame: Frame,
    /// The reach of that, or of its elements.
    pub here: [u64; WORDS],
    /// The name of the values to come, where it changed and something is looked for.
    pub name: Option<&'b [u8]>,
}

/// A value and what is before it.
pub struct Step<'b, const WORDS: usize> {
    /// The comma before it; the sign that opens what is around it, for the first.
    pub before: usize,
    pub at: usize,
    pub byte: u8,
    pub name: Option<&'b [u8]>,
    pub reach: [u64; WORDS],
}

impl<'b, const WORDS: usize> Walk<'b, WORDS> {
    /// Passes the members or elements that no rule is about, as far as they are plain. Returns the comma and the place of
    /// an object or array that follows them.
    #[inline(always)]
    pub fn run<const LOOKS: bool>(
        &mut self,
        run: &Run<'b>,
        table: &Table<'_, WORDS>,
    ) -> Option<(usize, usize)> {
        let Frame { is_object, indexed, kept, .. } = self.frame;
        // Behind what was removed, commas have to go too.
        let is_clean = WORDS == 0 || kept || self.first;
        let may_go_on = self.first || matches!(self.bytes.get(self.at), Some(b',' | ..=b' '));
        if !may_go_on || indexed || !is_clean || !table.is_quiet(&self.here, is_object) {
            return None;
        }
        let start = Start { at: self.at, first: self.first };
        let stop = if is_object { run.members::<LOOKS>(start) } else { run.elements::<LOOKS>(start) };
        self.frame.kept |= stop.next != start;
        (self.at, self.first) = (stop.next.at, stop.next.first);
        if LOOKS && stop.name.is_some() {
            self.name = stop.name;
        }
        stop.opens
    }

    /// The next member or element, which begins with `byte` at `token`: with a comma unless it is the first.
    #[inline(always)]
    pub fn step(
        &mut self,
        table: &Table<'_, WORDS>,
        limits: &crate::Limits,
        token: usize,
        byte: u8,
    ) -> Option<Step<'b, WORDS>> {
        let bytes = self.bytes;
        let (before, token, byte) = if self.first {
            (self.at.checked_sub(1)?, token, byte)
        } else if byte == b',' {
            let (next, byte) = scan::token(bytes, token + 1)?;
            (token, next, byte)
        } else {
            return None;
        };
        let step = if self.frame.is_object {
            self.member(table, limits, before, (token, byte))?
        } else {
            let mut reach = self.here;
            if WORDS > 0 && self.frame.indexed {
                let place = self.frame.elements.saturating_add(u32::from(!self.first));
                table.at_element(&mut reach, place);
            }
            Step { before, at: token, byte, name: None, reach }
        };
        // What a rule could have removed with the value.
        (WORDS == 0 || step.at - before <= limits.token_bytes).then_some(step)
    }

    #[inline(always)]
    fn member(
        &mut self,
        table: &Table<'_, WORDS>,
        limits: &crate::Limits,
        before: usize,
        (open, byte): (usize, u8),
    ) -> Option<Step<'b, WORDS>> {
        let bytes = self.bytes;
        if byte != b'"' {
            return None;
        }
        let end = scan::string(bytes, open + 1)?;
        let name = bytes.get(open + 1..end.at - 1)?;
        if end.escaped || name.len() > limits.key_bytes {
            return None;
        }
        let colon = match bytes.get(end.at)? {
            b':' => end.at,
            _ => scan::token(bytes, end.at).filter(|(_, byte)| *byte == b':')?.0,
        };
        let (at, byte) = scan::token(bytes, colon + 1)?;
        Some(Step { before, at, byte, name: Some(name), reach: table.at_member(&self.here, name) })
    }
}

/// The end of a string, number, boolean or `null`.
#[inline(always)]
pub fn scalar(bytes: &[u8], at: usize, first: u8) -> Option<usize> {
    match first {
        b'"' => scan::string(bytes, at + 1).map(|end| end.at),
        b'-' | b'0'..=b'9' => scan::number(bytes, at),
        _ => scan::literal(bytes, at),
    }
}
