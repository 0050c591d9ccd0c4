//! E-mail addresses.

use super::found::{Confidence, Found, looked_at, run};

/// RFC 5321, 4.5.3.1: bytes before the `@`.
const MAX_LOCAL: usize = 64;
/// And after it.
const MAX_DOMAIN: usize = 255;

/// The address whose `@` is at `at`.
pub fn find(text: &[u8], at: usize) -> Option<Found> {
    let ahead = text.get(..at)?;
    let local = ahead.iter().rev().take(MAX_LOCAL).take_while(|byte| is_local(**byte)).count();
    looked_at(local);
    let mut start = at - local;
    // Quotes and dots may stand before an address; and the middle of a character is no place to begin.
    while start < at && text.get(start).is_some_and(|byte| !begins_local(*byte)) {
        start += 1;
    }
    let length = run(text, at + 1, MAX_DOMAIN, |byte| is_label(byte) || byte == b'.');
    let domain = text.get(at + 1..at + 1 + length)?;
    // What is cut off ends nowhere, perhaps in the middle of a character.
    let domain = if length < MAX_DOMAIN {
        domain
    } else {
        domain.get(..domain.iter().rposition(|byte| *byte == b'.')?)?
    };
    let end = domain_end(domain)?;
    (start < at).then(|| Found::new(start, at + 1 + end, Confidence::High))
}

/// How much of it is a domain name with at least two labels.
fn domain_end(domain: &[u8]) -> Option<usize> {
    let mut end = None;
    let mut from = 0;
    for (i, label) in domain.split(|byte| *byte == b'.').enumerate() {
        let trimmed = label.len() - label.iter().rev().take_while(|byte| **byte == b'-').count();
        let is_last_label = (2..=63).contains(&trimmed) && !label.starts_with(b"-");
        let name = label.get(..trimmed).unwrap_or_default();
        let is_name = name.iter().all(|byte| !byte.is_ascii_digit()) || name.starts_with(b"xn--");
        if i > 0 && is_last_label && is_name {
            end = Some(from + trimmed);
        }
        if label.is_empty() {
            break;
        }
        from += label.len() + 1;
    }
    end
}

/// Letters of two bytes, as European languages, Greek, Cyrillic, Hebrew and Arabic have them, are taken along; those of
/// three are not, because in scripts that write no spaces the words before an address would be.
fn is_letter_of_two_bytes(byte: u8) -> bool {
    matches!(byte, 0x80..=0xbf | 0xc3..=0xdf)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+'~-".contains(&byte) || is_letter_of_two_bytes(byte)
}

fn begins_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | 0xc3..=0xdf)
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || is_letter_of_two_bytes(byte)
}
