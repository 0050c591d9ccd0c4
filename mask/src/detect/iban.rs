//! International bank account numbers (ISO 13616): the country's length, and the check digits.

use super::found::{Confidence, Found, before, looked_at};

/// The countries of the registry that SWIFT keeps, with the lengths of their numbers.
const LENGTHS: [(&[u8; 2], usize); 89] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The account number whose check digits begin at `at`. Spaces or hyphens may stand between its characters, one at a
/// time.
pub fn find(text: &[u8], at: usize) -> Option<Found> {
    let start = at.checked_sub(2)?;
    let country: [u8; 2] = text.get(start..at)?.try_into().ok()?;
    if !country.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let in_word = before(text, start).is_some_and(|byte| byte.is_ascii_alphanumeric());
    if in_word || !text.get(at + 1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let upper = country.map(|byte| byte.to_ascii_uppercase());
    let known = LENGTHS.binary_search_by_key(&&upper, |(code, _)| code).ok()?;
    let (_, length) = LENGTHS.get(known)?;
    let mut place = at;
    let mut characters = 2;
    while characters < *length {
        let byte = text.get(place)?;
        if byte.is_ascii_alphanumeric() {
            characters += 1;
        } else if !matches!(byte, b' ' | b'-') || !before(text, place)?.is_ascii_alphanumeric() {
            return None;
        }
        place += 1;
    }
    looked_at(place - start);
    let goes_on = text.get(place).is_some_and(u8::is_ascii_alphanumeric);
    let number = text.get(start..place)?;
    let confidence = if country == upper { Confidence::High } else { Confidence::Medium };
    (!goes_on && is_checked(number)).then(|| Found::new(start, place, confidence))
}

/// Whether the number, its first four characters put last, is 1 modulo 97.
fn is_checked(number: &[u8]) -> bool {
    let characters = || number.iter().filter_map(|byte| char::from(*byte).to_digit(36));
    let moved = characters().skip(4).chain(characters().take(4));
    moved.fold(0, |rest, value| (rest * if value > 9 { 100 } else { 10 } + value) % 97) == 1
}
