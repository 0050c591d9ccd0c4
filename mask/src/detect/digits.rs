//! Digits, alone or in groups: what card, social security and phone numbers are made of.

use super::found::{before, looked_at};

/// One more than the longest of them has.
pub const MOST_DIGITS: usize = 20;
const MOST_GROUPS: usize = 10;

/// Digits from the first of a group on, and the groups after it as long as the same sign stands between them.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    /// Their values, 0 to 9.
    values: [u8; MOST_DIGITS],
    count: usize,
    groups: [Group; MOST_GROUPS],
    group_count: usize,
    pub separator: Option<Separator>,
    /// Whether the same kind of number goes on before or after what was read.
    pub continues_before: bool,
    pub continues_after: bool,
}

/// A group of digits: how many digits there are up to its end, and where in the text that is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Group {
    pub digits: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Space,
    Hyphen,
    Dot,
    /// U+00A0 or U+202F.
    NoBreakSpace,
}

impl Digits {
    /// Reads from `at`, where a group of digits begins.
    pub fn read(text: &[u8], at: usize) -> Self {
        let mut digits = Self {
            values: [0; MOST_DIGITS],
            count: 0,
            groups: [Group::default(); MOST_GROUPS],
            group_count: 0,
            separator: None,
            continues_before: false,
            continues_after: false,
        };
        let mut place = at;
        loop {
            place = digits.group(text, place);
            let Some((sign, length)) = separator(text, place) else { break };
            let is_same = digits.separator.is_none_or(|separator| separator == sign);
            if !is_same || !text.get(place + length).is_some_and(u8::is_ascii_digit) {
                break;
            }
            if digits.group_count == MOST_GROUPS || digits.count == MOST_DIGITS {
                digits.continues_after = true;
                break;
            }
            digits.separator = Some(sign);
            place += length;
        }
        looked_at(place - at);
        digits.continues_before = digits.separator.map_or_else(
            || separator_before(text, at).is_some(),
            |sign| separator_before(text, at) == Some(sign),
        );
        digits
    }

    /// Reads a group's digits, and returns where it ends.
    fn group(&mut self, text: &[u8], at: usize) -> usize {
        let mut place = at;
        while let Some(digit) = text.get(place).filter(|byte| byte.is_ascii_digit()) {
            let Some(slot) = self.values.get_mut(self.count) else {
                self.continues_after = true;
                return place;
            };
            *slot = digit - b'0';
            self.count += 1;
            place += 1;
        }
        if let Some(slot) = self.groups.get_mut(self.group_count) {
            *slot = Group { digits: self.count, end: place };
            self.group_count += 1;
        }
        place
    }

    /// The complete groups.
    pub fn groups(&self) -> &[Group] {
        self.groups.get(..self.group_count).unwrap_or_default()
    }

    /// The values of the first `count` digits.
    pub fn first(&self, count: usize) -> &[u8] {
        self.values.get(..count.min(self.count)).unwrap_or_default()
    }

    /// Whether the first groups have these lengths.
    pub fn is_grouped(&self, lengths: &[usize]) -> bool {
        let mut before = 0;
        lengths.len() <= self.group_count
            && lengths.iter().zip(self.groups()).all(|(length, group)| {
                let same = group.digits - before == *length;
                before = group.digits;
                same
            })
    }
}

/// The number that these digits write.
pub fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number: u32, digit| number.saturating_mul(10).saturating_add(u32::from(*digit)))
}

/// Whether the last digit is the check digit of the others (ISO/IEC 7812-1, "Luhn").
pub fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, digit)| luhn_value(i, *digit)).sum();
    sum.is_multiple_of(10)
}

fn luhn_value(place: usize, digit: u8) -> u32 {
    let value = u32::from(digit) << (place % 2);
    if value > 9 { value - 9 } else { value }
}

/// The separator at a place, and its length.
pub fn separator(text: &[u8], at: usize) -> Option<(Separator, usize)> {
    Some(match text.get(at)? {
        b' ' => (Separator::Space, 1),
        b'-' => (Separator::Hyphen, 1),
        b'.' => (Separator::Dot, 1),
        0xc2 if text.get(at + 1) == Some(&0xa0) => (Separator::NoBreakSpace, 2),
        0xe2 if text.get(at + 1..at + 3) == Some(&[0x80, 0xaf]) => (Separator::NoBreakSpace, 3),
        _ => return None,
    })
}

/// The separator that stands between a digit and a place.
fn separator_before(text: &[u8], at: usize) -> Option<Separator> {
    let lengths = [(Separator::Space, 1), (Separator::NoBreakSpace, 2), (Separator::NoBreakSpace, 3)];
    lengths.iter().find_map(|(_, length)| {
        let start = at.checked_sub(*length)?;
        let (sign, found) = separator(text, start)?;
        (found == *length && before(text, start).is_some_and(|byte| byte.is_ascii_digit())).then_some(sign)
    })
}
