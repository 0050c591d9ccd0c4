//! Internet addresses.

use std::net::Ipv6Addr;

use super::found::{Confidence, Found, before, run};

/// The IPv4 address that begins with the group of digits at `at`.
pub fn find_v4(text: &[u8], at: usize) -> Option<Found> {
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let after_dot = before(text, at) == Some(b'.');
    if after_dot || before(text, at).is_some_and(in_word) {
        return None;
    }
    let mut place = at;
    for part in 0..4 {
        if part > 0 {
            (text.get(place) == Some(&b'.')).then_some(())?;
            place += 1;
        }
        let length = run(text, place, 4, |byte| byte.is_ascii_digit());
        let digits = text.get(place..place + length)?;
        std::str::from_utf8(digits).ok()?.parse::<u8>().ok()?;
        if length > 1 && digits.first() == Some(&b'0') {
            return None;
        }
        place += length;
    }
    let next = text.get(place).copied();
    let longer = next == Some(b'.') && text.get(place + 1).is_some_and(u8::is_ascii_digit);
    (!longer && !next.is_some_and(in_word)).then(|| Found::new(at, place, Confidence::Medium))
}

/// The IPv6 address whose first colon is at `at`.
pub fn find_v6(text: &[u8], at: usize) -> Option<Found> {
    let ahead = text.get(..at)?;
    let digits = ahead.iter().rev().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = at - digits;
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.');
    if digits > 4 || before(text, start).is_some_and(in_word) {
        return None;
    }
    let of_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let length = run(text, start, 46, of_address);
    if length == 46 || text.get(start + length).is_some_and(|byte| in_word(*byte)) {
        return None;
    }
    // A sentence or a list may go on behind it by a sign that addresses have too.
    let written = std::str::from_utf8(text.get(start..start + length)?).ok()?;
    let trimmed = written.trim_end_matches('.');
    let one_less = trimmed.strip_suffix(':').filter(|rest| !rest.ends_with(':')).unwrap_or(trimmed);
    one_less.parse::<Ipv6Addr>().ok()?;
    let has_digit = one_less.bytes().any(|byte| byte.is_ascii_digit());
    let groups = one_less.split(':').filter(|group| !group.is_empty()).count();
    let confidence = match groups {
        3.. => Confidence::High,
        2 if has_digit => Confidence::Medium,
        _ => Confidence::Low,
    };
    Some(Found::new(start, start + one_less.len(), confidence))
}
