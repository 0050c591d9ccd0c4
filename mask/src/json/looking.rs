//! Strings and numbers that stay, but for what detectors find in them.
//!
//! Detectors see a string decoded, so that no escape hides anything; what they don't take leaves as it was written. A
//! number is seen as it was written, and as the whole number that it means, if it means one.

use memchr::memchr2;

use crate::detect::{Finder, Glance, Piece};
use crate::json_string::{self, Fault, Scanner};
use crate::plan::Plan;

/// No name tells more about its value by being longer.
pub const NAME_BYTES: usize = 64;
/// No number that means anything to a detector is written in more bytes; a longer one is taken whole.
const NUMBER_BYTES: usize = 128;
const LONG_NUMBER: &[u8] = b"\"[number]\"";
/// Of a string so much is decoded at a time.
const BLOCK: usize = 2 << 10;

/// What looks into a document's values.
#[derive(Debug)]
pub struct Looking {
    finder: Finder,
    /// The reach for which the detectors were chosen last, if that makes a difference.
    reach: Option<Vec<u64>>,
    value: Value,
    spelled: Spelled,
    number: Vec<u8>,
    long_numbers: u64,
}

/// What is being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    None,
    String,
    Number,
}

impl Looking {
    /// `None` when no rule looks for anything.
    pub fn new(plan: &Plan) -> Option<Box<Self>> {
        if plan.detectors().is_empty() {
            return None;
        }
        Some(Box::new(Self {
            finder: Finder::new(plan.detectors().clone(), plan.key().clone()),
            // A reach that no value has, so that the detectors are chosen for the first.
            reach: plan.has_scopes().then(|| vec![0; plan.width() + 1]),
            value: Value::None,
            spelled: Spelled::default(),
            number: Vec::new(),
            long_numbers: 0,
        }))
    }

    /// Values are called this until the next name.
    #[inline]
    pub fn set_name(&mut self, name: &[u8]) {
        self.finder.name.clear();
        self.finder.name.extend_from_slice(name.get(..NAME_BYTES).unwrap_or(name));
    }

    /// Values are called as those of `other` are now.
    pub fn named_as(&mut self, other: &Self) {
        self.finder.name.clone_from(&other.finder.name);
    }

    /// Whether anything is looked for in a value that was reached so; an empty reach is one that no rule has.
    #[inline]
    pub fn applies(&mut self, plan: &Plan, reach: &[u64]) -> bool {
        if let Some(last) = &mut self.reach
            && last != reach
        {
            plan.activate(reach, &mut self.finder.active);
            last.clear();
            last.extend_from_slice(reach);
        }
        !self.finder.active.is_empty()
    }

    /// Whether a value without escapes, which begins with `first`, has nothing in it.
    #[inline]
    pub fn is_clear(&mut self, first: u8, text: &[u8]) -> bool {
        match first {
            b'"' => self.finder.is_clear(text),
            b'-' | b'0'..=b'9' => self.is_number_clear(text),
            _ => true,
        }
    }

    /// Whether a string that is written with escapes certainly has nothing in it.
    pub fn is_written_clear(&self, written: &[u8]) -> bool {
        Glance::new(&self.finder.active).is_some_and(|glance| glance.is_string_clear(written))
    }

    /// What one look can tell of every value, if that is the same everywhere.
    pub fn glance(&self) -> Option<Glance> {
        if self.reach.is_some() { None } else { Glance::new(&self.finder.active) }
    }

    pub fn begin_string(&mut self) {
        self.value = Value::String;
    }

    pub fn begin_number(&mut self) {
        self.value = Value::Number;
        self.number.clear();
    }

    #[inline]
    pub fn is_busy(&self) -> bool {
        self.value != Value::None
    }

    /// A string's next bytes: like `Scanner::scan`.
    pub fn string(
        &mut self,
        scanner: &mut Scanner,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), Fault> {
        let Self { finder, spelled, .. } = self;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // What is plain as far as it goes; an escape byte by byte.
            let plain = if spelled.is_whole() { memchr2(b'"', b'\\', rest).unwrap_or(rest.len()) } else { 0 };
            let piece = rest.get(..plain.clamp(1, BLOCK)).unwrap_or(rest);
            spelled.read(piece);
            let scanned = scanner.scan(piece, |text| spelled.decoded(text));
            let (taken, closed) = scanned.map_err(|fault| Fault { at: at + fault.at, ..fault })?;
            if closed {
                spelled.leave_out_quote();
            }
            let text = std::mem::take(&mut spelled.text);
            finder.push(&text, &mut |piece| spelled.write(piece, out));
            spelled.reuse(text);
            at += taken;
            if closed {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// A number's next bytes.
    pub fn number(&mut self, bytes: &[u8]) {
        // One byte more than allowed is enough to tell.
        let room = (NUMBER_BYTES + 1).saturating_sub(self.number.len()).min(bytes.len());
        self.number.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The value ends: writes what is left of it. Tells whether it was a string, whose quotes are not written here.
    pub fn end(&mut self, out: &mut Vec<u8>) -> bool {
        let value = std::mem::replace(&mut self.value, Value::None);
        if value == Value::String {
            let Self { finder, spelled, .. } = self;
            finder.finish(&mut |piece| spelled.write(piece, out));
            spelled.forget();
            return true;
        }
        let number = std::mem::take(&mut self.number);
        self.write_number(&number, out);
        self.number = number;
        false
    }

    pub fn masked(&self) -> u64 {
        self.finder.masked() + self.long_numbers
    }

    fn is_number_clear(&mut self, number: &[u8]) -> bool {
        number.len() <= NUMBER_BYTES
            && self.finder.is_clear(number)
            && whole_number(number).is_none_or(|digits| self.finder.is_clear(&digits))
    }

    /// Writes a number, or the string that takes its place.
    fn write_number(&mut self, number: &[u8], out: &mut Vec<u8>) {
        if number.len() > NUMBER_BYTES {
            out.extend_from_slice(LONG_NUMBER);
            self.long_numbers += 1;
            return;
        }
        for text in std::iter::once(number.to_vec()).chain(whole_number(number)) {
            if self.finder.is_clear(&text) {
                continue;
            }
            let mut masked = Vec::new();
            let mut sink = |piece: Piece<'_>| match piece {
                Piece::Plain(text) | Piece::InPlace(text) => masked.extend_from_slice(text),
                Piece::Hidden(_) => {}
            };
            self.finder.push(&text, &mut sink);
            self.finder.finish(&mut sink);
            json_string::write(&masked, out);
            return;
        }
        out.extend_from_slice(number);
    }
}

/// The digits of the whole number that a number with a fraction or an exponent means, `4111111111111111` for
/// `4.111111111111111e15`, if it means one that is not too large.
fn whole_number(number: &[u8]) -> Option<Vec<u8>> {
    const MOST_DIGITS: usize = 40;
    const FEWEST_BYTES: usize = 9;
    let number = number.strip_prefix(b"-").unwrap_or(number);
    let place = |number: &[u8], sign: u8| number.iter().position(|byte| byte.to_ascii_lowercase() == sign);
    let (mantissa, exponent) = match (place(number, b'e'), place(number, b'.')) {
        // Written in so few bytes it means no number that anybody was given.
        _ if number.len() < FEWEST_BYTES => return None,
        (Some(at), _) => {
            (number.get(..at)?, std::str::from_utf8(number.get(at + 1..)?).ok()?.parse::<i32>().ok()?)
        }
        // Most numbers that have a point are no whole ones.
        (None, Some(point)) if number.get(point + 1..)?.iter().all(|digit| *digit == b'0') => (number, 0),
        (None, _) => return None,
    };
    let point = place(mantissa, b'.').unwrap_or(mantissa.len());
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let length = usize::try_from(i32::try_from(point).ok()?.checked_add(exponent)?).ok()?;
    if length > digits.len() {
        digits.resize(length.min(MOST_DIGITS + 1), b'0');
    }
    let fraction = digits.split_off(length.min(digits.len()));
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.split_off(zeros);
    let is_whole = fraction.iter().all(|digit| *digit == b'0');
    (is_whole && digits.len() <= MOST_DIGITS).then_some(digits)
}

/// How a string's decoded bytes were written.
#[derive(Debug, Default)]
struct Spelled {
    /// The bytes as written, of what was not handed out.
    written: Vec<u8>,
    /// For each decoded byte, how many bytes were written for it: those of a character at its first byte.
    lengths: Vec<u8>,
    /// How much of both was handed out.
    gone: (usize, usize),
    /// Bytes written that have not been decoded: the beginning of an escape, or half of a character.
    open: usize,
    /// What was decoded, and not looked at.
    text: Vec<u8>,
}

impl Spelled {
    /// Whether no escape is open.
    fn is_whole(&self) -> bool {
        self.open == 0
    }

    fn read(&mut self, piece: &[u8]) {
        self.written.drain(..self.gone.0.min(self.written.len()));
        self.lengths.drain(..self.gone.1.min(self.lengths.len()));
        self.gone = (0, 0);
        self.written.extend_from_slice(piece);
        self.open += piece.len();
    }

    /// What the bytes that are open mean, or the first of them.
    fn decoded(&mut self, text: &[u8]) {
        const ESCAPED: usize = 6;
        // Half of a character, alone, is told only when something else follows.
        let is_surrogate = matches!(text, [0xed, 0xa0..=0xbf, _]);
        if text.len() == self.open {
            self.lengths.resize(self.lengths.len() + text.len(), 1);
            self.open = 0;
        } else {
            let length = if is_surrogate { ESCAPED.min(self.open) } else { self.open };
            self.lengths.push(u8::try_from(length).unwrap_or(u8::MAX));
            self.lengths.resize(self.lengths.len() + text.len().saturating_sub(1), 0);
            self.open -= length;
        }
        self.text.extend_from_slice(text);
    }

    /// The last byte read was the closing quote, which is no part of the text.
    fn leave_out_quote(&mut self) {
        self.written.pop();
        self.open = self.open.saturating_sub(1);
    }

    fn write(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) {
        let (Piece::Plain(text) | Piece::Hidden(text)) = piece else {
            if let Piece::InPlace(text) = piece {
                write_within(text, out);
            }
            return;
        };
        let (written, decoded) = self.gone;
        let lengths = self.lengths.get(decoded..decoded + text.len()).unwrap_or_default();
        let length: usize = lengths.iter().map(|length| usize::from(*length)).sum();
        if matches!(piece, Piece::Plain(_)) {
            out.extend_from_slice(self.written.get(written..written + length).unwrap_or_default());
        }
        self.gone = (written + length, decoded + text.len());
    }

    /// Takes its buffer back.
    fn reuse(&mut self, mut text: Vec<u8>) {
        text.clear();
        self.text = text;
    }

    fn forget(&mut self) {
        self.written.clear();
        self.lengths.clear();
        self.gone = (0, 0);
        self.open = 0;
    }
}

/// Text within a string, without the quotes around it.
fn write_within(text: &[u8], out: &mut Vec<u8>) {
    let mut json = Vec::new();
    json_string::write(text, &mut json);
    out.extend_from_slice(json.get(1..json.len().saturating_sub(1)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_a_whole_one_however_it_is_written() {
        let table: [(&str, Option<&str>); 13] = [
            ("4111111111111111", None),
            ("-4111111111111111", None),
            ("4111111111111111.0", Some("4111111111111111")),
            ("4.111111111111111e15", Some("4111111111111111")),
            ("-4.111111111111111E+15", Some("4111111111111111")),
            ("41111111111111110e-1", Some("4111111111111111")),
            ("0.0004111e7", Some("4111")),
            ("5.00000000", Some("5")),
            ("4.5", None),
            ("1e400", None),
            ("1e99999999999", None),
            ("5e3", None),
            ("1.5000000e-3", None),
        ];
        for (number, digits) in table {
            let expected = digits.map(|digits| digits.as_bytes().to_vec());
            assert_eq!(whole_number(number.as_bytes()), expected, "{number}");
        }
    }
}
