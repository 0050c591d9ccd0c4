//! Runs of strings, numbers, booleans and `null` that no rule is about: most of most documents.
//!
//! What is read next depends on where the last token ended, so the time that a token takes is that of one chain of
//! operations. The loop calls nothing and keeps little, so that all of it stays in registers. It stops before whatever
//! is not plain: an escape, an exponent, a name that may be in a rule, an object, an array, the chunk's last bytes, a fault.

use wide::u8x16;

use crate::detect::Glance;
use crate::plan::Names;

/// The bytes of one comparison.
const LANES: usize = 16;

/// A number of so many bytes means what is written.
const SHORT_NUMBER: usize = 8;

/// How far a run may go, and what it is in.
#[derive(Clone, Copy)]
pub struct Run<'r> {
    pub bytes: &'r [u8],
    /// Names that rules may want.
    pub names: Option<&'r Names>,
    /// A name's length, at most.
    pub name_bytes: usize,
    /// From a comma to its value, at most.
    pub step_bytes: usize,
    /// For strings and numbers that something is looked for in.
    pub glance: Glance,
}

/// Where a step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub at: usize,
    /// No comma stands before it.
    pub first: bool,
}

/// Where a run ended: before a step that is not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop<'r> {
    pub next: Start,
    /// The comma and the value of that step, if it is an object or array that no rule is about.
    pub opens: Option<(usize, usize)>,
    /// The last name that was read.
    pub name: Option<&'r [u8]>,
}

impl<'r> Run<'r> {
    /// Reads on over members while they are plain.
    #[inline(never)]
    pub fn members<const LOOKS: bool>(&self, start: Start) -> Stop<'r> {
        self.steps::<LOOKS>(start, |at, last| {
            let (value, name) = self.member(at)?;
            if LOOKS {
                *last = Some(name);
            }
            Some(value)
        })
    }

    /// The same for elements.
    #[inline(never)]
    pub fn elements<const LOOKS: bool>(&self, start: Start) -> Stop<'r> {
        self.steps::<LOOKS>(start, |at, _| Some(at))
    }

    #[inline(always)]
    fn steps<const LOOKS: bool>(
        &self,
        start: Start,
        value: impl Fn(usize, &mut Option<&'r [u8]>) -> Option<usize>,
    ) -> Stop<'r> {
        let mut stop = Stop { next: start, opens: None, name: None };
        loop {
            let here = stop.next;
            let from = if here.first { Some(here.at) } else { self.sign(here.at, b',') };
            let at = from
                .and_then(|from| self.space(value(self.space(from)?, &mut stop.name)?))
                .filter(|at| at - here.at < self.step_bytes);
            let (Some(from), Some(at)) = (from, at) else { return stop };
            if matches!(self.bytes.get(at), Some(b'{' | b'[')) {
                stop.opens = from.checked_sub(1).map(|before| (before, at));
                return stop;
            }
            let end = self.scalar(at).filter(|end| !LOOKS || self.is_plain(at, *end));
            let Some(end) = end else { return stop };
            stop.next = Start { at: end, first: false };
        }
    }

    /// Whether nothing can be found in the value.
    #[inline(always)]
    fn is_plain(&self, at: usize, end: usize) -> bool {
        match self.bytes.get(at) {
            Some(b'"') => self.glance.is_clear_within(self.bytes, at + 1, end - 1),
            Some(b'-' | b'0'..=b'9') if end - at < Glance::SHORTEST_NUMBER => true,
            // A longer one may mean another than it is written as.
            Some(b'-' | b'0'..=b'9') => {
                end - at <= SHORT_NUMBER && self.glance.is_clear_within(self.bytes, at, end)
            }
            _ => true,
        }
    }

    /// Behind the colon of the member that begins at `at`, and its name.
    #[inline(always)]
    fn member(&self, at: usize) -> Option<(usize, &'r [u8])> {
        let end = self.string(at)?;
        let name = self.bytes.get(at + 1..end - 1)?;
        let may_matter = self.names.is_some_and(|names| names.may_know(name));
        if may_matter || name.len() > self.name_bytes {
            return None;
        }
        Some((self.sign(end, b':')?, name))
    }

    /// Behind the sign, which white space may stand before.
    #[inline(always)]
    fn sign(&self, at: usize, sign: u8) -> Option<usize> {
        if self.bytes.get(at) == Some(&sign) {
            return Some(at + 1);
        }
        let at = self.space(at)?;
        (self.bytes.get(at) == Some(&sign)).then_some(at + 1)
    }

    /// Behind white space.
    #[inline(always)]
    fn space(&self, mut at: usize) -> Option<usize> {
        while *self.bytes.get(at)? <= b' ' {
            let block = u8x16::from(*self.bytes.get(at..)?.first_chunk::<LANES>()?);
            let blank = block.simd_eq(u8x16::splat(b' '))
                | block.simd_eq(u8x16::splat(b'\n'))
                | block.simd_eq(u8x16::splat(b'\r'))
                | block.simd_eq(u8x16::splat(b'\t'));
            let count = (!blank.to_bitmask()).trailing_zeros() as usize;
            if count == 0 {
                return None;
            }
            at += count.min(LANES);
        }
        Some(at)
    }

    #[inline(always)]
    fn scalar(&self, at: usize) -> Option<usize> {
        match *self.bytes.get(at)? {
            b'"' => self.string(at),
            b'-' | b'0'..=b'9' => self.number(at),
            b'f' => (self.bytes.get(at + 1..)?.first_chunk()? == b"alse").then_some(at + 5),
            _ => {
                let word: &[u8; 4] = self.bytes.get(at..)?.first_chunk()?;
                (word == b"true" || word == b"null").then_some(at + 4)
            }
        }
    }

    /// Behind the string that begins at `at`.
    #[inline(always)]
    fn string(&self, at: usize) -> Option<usize> {
        if self.bytes.get(at) != Some(&b'"') {
            return None;
        }
        let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
        let mut at = at + 1;
        loop {
            let block = u8x16::from(*self.bytes.get(at..)?.first_chunk::<LANES>()?);
            let found = block.simd_eq(quote) | block.simd_eq(backslash) | block.min(control).simd_eq(block);
            match found.to_bitmask() {
                0 => at += LANES,
                found => {
                    at += found.trailing_zeros() as usize;
                    return (self.bytes.get(at) == Some(&b'"')).then_some(at + 1);
                }
            }
        }
    }

    /// Behind a number without an exponent.
    #[inline(always)]
    fn number(&self, at: usize) -> Option<usize> {
        let from = at + usize::from(self.bytes.get(at) == Some(&b'-'));
        let mut end = self.digits(from)?;
        let leading_zero = self.bytes.get(from) == Some(&b'0') && end > from + 1;
        if end == from || leading_zero {
            return None;
        }
        if self.bytes.get(end) == Some(&b'.') {
            let point = end;
            end = self.digits(point + 1)?;
            if end == point + 1 {
                return None;
            }
        }
        (!matches!(self.bytes.get(end)?, b'e' | b'E')).then_some(end)
    }

    /// Where the digits end that may stand at `at`. Eight are looked at together, since their number can't be foreseen.
    #[inline(always)]
    fn digits(&self, mut at: usize) -> Option<usize> {
        loop {
            let word = u64::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?);
            // The upper half of a digit's byte is 3, and stays so when 6 is added to the lower one.
            let upper = (word & 0xf0f0_f0f0_f0f0_f0f0) ^ 0x3030_3030_3030_3030;
            let lower = ((word & 0x0f0f_0f0f_0f0f_0f0f) + 0x0606_0606_0606_0606) & 0x1010_1010_1010_1010;
            match upper | lower {
                0 => at += 8,
                other => return Some(at + (other.trailing_zeros() / 8) as usize),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "                                ";

    fn run(bytes: &[u8]) -> Run<'_> {
        Run { bytes, names: None, name_bytes: 1_000, step_bytes: 10_000, glance: Glance::default() }
    }

    /// How far elements go from the first on.
    fn elements(text: &str) -> usize {
        run(format!("{text}]{ROOM}").as_bytes()).elements::<false>(Start { at: 0, first: true }).next.at
    }

    fn members(text: &str) -> usize {
        run(format!("{text}}}{ROOM}").as_bytes()).members::<false>(Start { at: 0, first: true }).next.at
    }

    #[test]
    fn plain_values_are_passed_whatever_their_length() {
        for length in 0..70 {
            let (text, digits) = ("é😀x".repeat(length), "1".repeat(length + 1));
            let space = " \n\t\r".repeat(length);
            for value in
                [format!("\"{text}\""), digits.clone(), format!("-{digits}.{digits}"), "false".to_owned()]
            {
                let list = format!("{space}{value}{space},{space}{value},0,null,true");
                assert_eq!(elements(&list), list.len(), "{list}");
                let object = format!("{space}\"{text}\"{space}:{space}{value}{space},\"\":{value}");
                assert_eq!(members(&object), object.len(), "{object}");
            }
        }
    }

    #[test]
    fn a_run_ends_before_what_is_not_plain() {
        for length in 0..40 {
            let text = "x".repeat(length);
            let others = [
                format!("\"{text}\\n\""),
                format!("\"{text}\u{1}\""),
                format!("\"{text}\n{text}\""),
                format!("1{}e5", "0".repeat(length)),
                format!("0{}", "0".repeat(length + 1)),
                format!("1{}.", "0".repeat(length)),
                format!("{}\u{b}1", " ".repeat(length)),
            ];
            let fixed = [
                "-",
                ".5",
                "-.5",
                "tru",
                "nul",
                "fals",
                "falsy",
                "truth",
                "{",
                "[1]",
                "",
                "1 2",
                "\"a\"\"b\"",
            ];
            for other in others.iter().map(String::as_str).chain(fixed) {
                // What stands before an end that is none was plain.
                let from = if ["1 2", "\"a\"\"b\"", "truth"].contains(&other) { None } else { Some(8) };
                let list = format!("1, \"2\" ,{other}");
                assert!(from.is_none() || elements(&list) == 6, "{list}");
                assert!(elements(&list) < list.len() || other.is_empty(), "{list}");
                let object = format!("\"a\":1,\"b\":{other}");
                assert!(from.is_none() || members(&object) == 5, "{object}");
            }
            let bad = format!("\"a\":1,\"{text}\\u0061\":1");
            assert_eq!(members(&bad), 5, "{bad}");
        }
        assert_eq!(members("\"a\" 1"), 0);
        assert_eq!(members("a:1"), 0);
    }

    #[test]
    fn a_run_ends_before_the_last_bytes_and_before_long_steps() {
        let text = "1,\"abc\",22,true,\"def\",-3.5,null,\"ghi\"";
        for length in 0..text.len() {
            let end = run(&text.as_bytes()[..length]).elements::<false>(Start { at: 0, first: true }).next;
            assert!(end.at <= length);
            assert!(end.at == 0 || text.as_bytes()[end.at] == b',', "{end:?} of {length}");
        }
        let spaced = format!("1,{}2]{ROOM}", " ".repeat(20));
        for (step_bytes, at) in [(21, 1), (22, 23)] {
            let run = Run { step_bytes, ..run(spaced.as_bytes()) };
            assert_eq!(run.elements::<false>(Start { at: 0, first: true }).next.at, at);
        }
        let named = format!("\"a\":1,\"bcd\":2}}{ROOM}");
        for (name_bytes, at) in [(2, 5), (3, 13)] {
            let run = Run { name_bytes, ..run(named.as_bytes()) };
            assert_eq!(run.members::<false>(Start { at: 0, first: true }).next.at, at);
        }
    }
}
