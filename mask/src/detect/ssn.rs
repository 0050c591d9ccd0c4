//! Social security numbers of the United States.

use super::digits::{Digits, Separator, number};
use super::found::{Confidence, Found, before};

/// The number that begins with the group of digits at `at`.
pub fn find(text: &[u8], at: usize, digits: &Digits) -> Option<Found> {
    let first = digits.groups().first()?;
    let whole = digits.groups().last()?;
    if digits.continues_before || digits.continues_after || whole.digits != 9 {
        return None;
    }
    let confidence = match digits.separator {
        Some(_) if digits.groups().len() != 3 || !digits.is_grouped(&[3, 2, 4]) => return None,
        Some(Separator::Hyphen) => Confidence::Medium,
        Some(Separator::Dot) => return None,
        Some(Separator::Space | Separator::NoBreakSpace) => Confidence::Low,
        None if first.digits == 9 => Confidence::Low,
        None => return None,
    };
    let touches_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic());
    let in_word = touches_letter(before(text, at)) || touches_letter(text.get(whole.end).copied());
    (!in_word && is_issued(digits.first(9))).then(|| Found::new(at, whole.end, confidence))
}

/// Whether nine digits can be such a number: area, group and serial number are never zero, and areas end at 899,
/// without 666.
pub fn is_issued(digits: &[u8]) -> bool {
    let part = |from: usize, to: usize| number(digits.get(from..to).unwrap_or_default());
    digits.len() == 9 && !matches!(part(0, 3), 0 | 666 | 900..) && part(3, 5) != 0 && part(5, 9) != 0
}
