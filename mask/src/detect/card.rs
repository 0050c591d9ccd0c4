//! Payment cards: the brands' numbers and lengths, and the check digit.

use super::digits::{Digits, number, passes_luhn};
use super::found::{Confidence, Found, before};

const FEWEST_DIGITS: usize = 12;

/// The groups that cards are printed in.
const PRINTED: [&[usize]; 7] = [
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 1],
];

/// The card number that begins with the group of digits at `at`.
pub fn find(text: &[u8], at: usize, digits: &Digits) -> Option<Found> {
    if digits.groups().last()?.digits < FEWEST_DIGITS {
        return None;
    }
    let alone = !digits.continues_before && !digits.continues_after;
    let ends = digits.groups().iter().enumerate();
    let cards = ends.filter_map(|(i, group)| {
        let is_card = is_card(digits.first(group.digits));
        let groups = i + 1;
        let confidence = is_card.then(|| confidence(text, at, digits, groups, group.end, alone)).flatten()?;
        Some(Found::new(at, group.end, confidence))
    });
    cards.max_by_key(|found| (found.confidence, found.end))
}

/// By how the first `groups` groups stand in the text, which end at `end`.
fn confidence(
    text: &[u8],
    at: usize,
    digits: &Digits,
    groups: usize,
    end: usize,
    alone: bool,
) -> Option<Confidence> {
    if groups > 1 {
        let is_printed = PRINTED.iter().any(|lengths| lengths.len() == groups && digits.is_grouped(lengths));
        let is_whole = alone && groups == digits.groups().len();
        return match is_printed {
            true => Some(Confidence::High),
            // Columns of numbers are digits with spaces between them too.
            false => is_whole.then_some(Confidence::Low),
        };
    }
    // The digits of a fraction are as random as any.
    let mut ahead = text.get(..at).unwrap_or_default().iter().rev();
    if matches!(ahead.next(), Some(b'.' | b',')) && ahead.next().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let touches_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic());
    let in_word = touches_letter(before(text, at)) || touches_letter(text.get(end).copied());
    Some(if in_word { Confidence::Low } else { Confidence::Medium })
}

/// Whether these digits, a number as written alone, are a card's.
pub fn is_card(digits: &[u8]) -> bool {
    is_issued(digits) && passes_luhn(digits)
}

/// Whether a brand gives out numbers that begin so and are as long.
fn is_issued(digits: &[u8]) -> bool {
    let first = |count: usize| number(digits.get(..count).unwrap_or_default());
    match digits.len() {
        // Maestro.
        12 => matches!(first(4), 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763),
        // Visa, as it once was, and Maestro.
        13 => first(1) == 4 || matches!(first(4), 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763),
        // Diners Club.
        14 => matches!(first(3), 300..=305 | 309) || matches!(first(2), 36 | 38 | 39),
        // American Express, UATP, and JCB as it once was.
        15 => matches!(first(2), 34 | 37) || first(1) == 1 || matches!(first(4), 1800 | 2131),
        16 => {
            // Visa; Mastercard and Maestro; Discover, UnionPay, RuPay and Maestro; Mastercard, Mir; Diners, JCB; RuPay;
            // Troy.
            matches!(first(1), 4..=6)
                || matches!(first(4), 2200..=2204 | 2221..=2720 | 3528..=3589 | 9792)
                || matches!(first(3), 300..=305 | 309)
                || matches!(first(2), 36 | 38 | 39 | 81 | 82)
        }
        17..=19 => {
            first(1) == 4
                || matches!(first(2), 50 | 56..=58 | 62 | 64 | 65 | 67 | 81 | 36 | 38 | 39)
                || matches!(first(4), 2200..=2204 | 3528..=3589 | 6011 | 6304)
                || matches!(first(3), 300..=305)
        }
        _ => false,
    }
}
