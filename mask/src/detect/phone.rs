//! Telephone numbers: international ones (E.164) by their form, those of North America by theirs, national ones with
//! a leading zero by the words around them.

use super::found::{Confidence, Found, before, looked_at};

/// Digits of an international number, with the country's code.
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of a national number, with the leading zero.
const NATIONAL: std::ops::RangeInclusive<usize> = 8..=12;
/// The longest number with the signs between its digits.
const LONGEST: usize = 40;

/// The number that begins with the group of digits at `at`, or with the `+` or `(` before it.
pub fn find(text: &[u8], at: usize) -> Option<Found> {
    let (start, plus) = beginning(text, at);
    let in_word = before(text, start)
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/' | b'_'));
    if in_word {
        return None;
    }
    let number = Number::read(text, at)?;
    let confidence = match (plus, number.first()) {
        (true, 1..) if INTERNATIONAL.contains(&number.count) => Confidence::High,
        (true, _) => return None,
        (false, 0) if number.begins(&[0, 0]) && (10..=17).contains(&number.count) => Confidence::Low,
        (false, 0) if number.groups > 1 && NATIONAL.contains(&number.count) => Confidence::Low,
        (false, _) => number.in_north_america(start < at)?,
    };
    Some(Found::new(start, number.end, confidence))
}

/// Where the number begins whose first digit is at `at`, and whether by `+`.
fn beginning(text: &[u8], at: usize) -> (usize, bool) {
    let ahead = text.get(..at).unwrap_or_default();
    for (sign, plus) in [(&b"+"[..], true), (b"+(", true), (b"(+", true), (b"(", false)] {
        if let Some(rest) = ahead.strip_suffix(sign)
            && (sign != b"(" || !rest.ends_with(b"+"))
            && (sign != b"+" || !rest.ends_with(b"("))
        {
            return (rest.len(), plus);
        }
    }
    (at, false)
}

/// Digits with spaces, hyphens, dots, slashes and parentheses between them, two such signs at most.
struct Number {
    values: [u8; 18],
    count: usize,
    groups: usize,
    /// The lengths of the first groups.
    lengths: [usize; 4],
    /// Whether spaces alone stand between the groups.
    spaced: bool,
    end: usize,
}

impl Number {
    fn read(text: &[u8], at: usize) -> Option<Self> {
        let mut number =
            Self { values: [0; 18], count: 0, groups: 0, lengths: [0; 4], spaced: true, end: at };
        let mut place = at;
        loop {
            let byte = text.get(place).copied();
            if byte.is_some_and(|byte| byte.is_ascii_digit()) {
                number.group(text, &mut place)?;
                number.end = place;
                continue;
            }
            let signs = text.get(place..).unwrap_or_default().iter().take(3);
            let length =
                signs.take_while(|sign| matches!(sign, b' ' | b'-' | b'.' | b'/' | b'(' | b')')).count();
            let goes_on = text.get(place + length).is_some_and(u8::is_ascii_digit);
            if !matches!(length, 1 | 2) || !goes_on || place - at > LONGEST {
                break;
            }
            number.spaced &= text.get(place..place + length)? == b" ";
            place += length;
        }
        looked_at(place - at);
        let in_word = text.get(number.end).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        (!in_word).then_some(number)
    }

    /// Reads one group; `None` when there are more digits than any number has.
    fn group(&mut self, text: &[u8], place: &mut usize) -> Option<()> {
        let from = self.count;
        while let Some(digit) = text.get(*place).filter(|byte| byte.is_ascii_digit()) {
            *self.values.get_mut(self.count)? = digit - b'0';
            self.count += 1;
            *place += 1;
        }
        if let Some(slot) = self.lengths.get_mut(self.groups) {
            *slot = self.count - from;
        }
        self.groups += 1;
        Some(())
    }

    fn first(&self) -> u8 {
        self.values.first().copied().unwrap_or_default()
    }

    fn begins(&self, digits: &[u8]) -> bool {
        self.values.starts_with(digits)
    }

    /// NXX-NXX-XXXX, where N is 2 to 9, and neither part ends in 11; a leading 1 may stand before it.
    fn in_north_america(&self, in_parentheses: bool) -> Option<Confidence> {
        let lengths = self.lengths.get(..self.groups)?;
        let (skipped, grouped) = match (self.count, lengths) {
            (10, [3, 3, 4]) => (0, true),
            (11, [1, 3, 3, 4]) if self.first() == 1 => (1, true),
            (10, [10]) => (0, false),
            (10, [3, 7] | [6, 4]) if in_parentheses => (0, true),
            _ => return None,
        };
        let digits = self.values.get(skipped..)?;
        let is_part = |from: usize| {
            let (first, rest) = (digits.get(from), digits.get(from + 1..from + 3));
            first.is_some_and(|first| *first > 1) && rest != Some(&[1, 1])
        };
        let is_number = is_part(0) && is_part(3);
        let formed = grouped && (!self.spaced || in_parentheses);
        is_number.then_some(if formed { Confidence::Medium } else { Confidence::Low })
    }
}
