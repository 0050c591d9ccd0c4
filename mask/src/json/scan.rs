//! Where a token ends, when all of it is at hand: many bytes at a time.
//!
//! Each function gives up (`None`) on what is cut short or not in order, and leaves it to the machine that reads byte
//! by byte: that one knows how to go on in the next chunk, and what to say.

use wide::u8x16;

/// The bytes of one comparison.
const LANES: usize = 16;
/// Digits of an escaped UTF-16 code unit.
const HEX_DIGITS: usize = 4;

/// Where a string ends, behind its closing quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringEnd {
    pub at: usize,
    /// Its text is not its bytes.
    pub escaped: bool,
}

/// The end of the string whose opening quote stands before `at`. The bytes must be UTF-8.
#[inline(always)]
pub fn string(bytes: &[u8], at: usize) -> Option<StringEnd> {
    // Most strings end within the first comparison.
    if let Some(block) = bytes.get(at..)?.first_chunk::<LANES>() {
        match specials(block) {
            0 => {}
            found => {
                let end = at + found.trailing_zeros() as usize;
                if bytes.get(end) == Some(&b'"') {
                    return Some(StringEnd { at: end + 1, escaped: false });
                }
            }
        }
    }
    longer_string(bytes, at)
}

#[inline(never)]
fn longer_string(bytes: &[u8], mut at: usize) -> Option<StringEnd> {
    let mut escaped = false;
    loop {
        at = special(bytes, at)?;
        match bytes.get(at) {
            Some(b'"') => return Some(StringEnd { at: at + 1, escaped }),
            Some(b'\\') => at = escape(bytes, at + 1)?,
            _ => return None,
        }
        escaped = true;
    }
}

/// A bit for each byte that ends a run of plain characters in a string: a quote, a backslash or a control character.
#[inline(always)]
fn specials(block: &[u8; LANES]) -> u32 {
    let block = u8x16::from(*block);
    special_lanes(block).to_bitmask()
}

#[inline(always)]
fn special_lanes(block: u8x16) -> u8x16 {
    let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    block.simd_eq(quote) | block.simd_eq(backslash) | block.min(control).simd_eq(block)
}

/// The first such byte from `at` on.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    // Long texts have long runs.
    while let Some(block) = bytes.get(at..)?.first_chunk::<{ 4 * LANES }>() {
        let found = block
            .as_chunks::<LANES>()
            .0
            .iter()
            .fold(u8x16::splat(0), |found, lanes| found | special_lanes(u8x16::from(*lanes)));
        if found.to_bitmask() != 0 {
            break;
        }
        at += 4 * LANES;
    }
    loop {
        let rest = bytes.get(at..)?;
        let Some(block) = rest.first_chunk::<LANES>() else {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            return rest.iter().position(special).map(|found| at + found);
        };
        match specials(block) {
            0 => at += LANES,
            found => return Some(at + found.trailing_zeros() as usize),
        }
    }
}

/// The end of the escape whose backslash stands before `at`.
#[inline]
fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = bytes.get(at + 1..)?.first_chunk::<HEX_DIGITS>()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 1 + HEX_DIGITS)
        }
        _ => None,
    }
}

/// The end of the number that begins at `at`; `None` also when the bytes end with it, since it may go on.
#[inline(always)]
pub fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    at = match bytes.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => digits(bytes, at + 1),
        _ => return None,
    };
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at)?, b'e' | b'E') {
        at += 1;
        at += usize::from(matches!(bytes.get(at)?, b'+' | b'-'));
        at = some_digits(bytes, at)?;
    }
    (at < bytes.len()).then_some(at)
}

/// Where the digits end that may stand at `at`: up to eight are counted at once, since their number can't be foreseen.
#[inline(always)]
fn digits(bytes: &[u8], at: usize) -> usize {
    let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
        return more_digits(bytes, at);
    };
    let word = u64::from_le_bytes(*block);
    // The upper half of a byte is 3, and stays so with 6 added.
    let odd = (word & 0xf0f0_f0f0_f0f0_f0f0) ^ 0x3030_3030_3030_3030;
    let above = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_add(0x0606_0606_0606_0606) & 0x1010_1010_1010_1010;
    match odd | above {
        0 => more_digits(bytes, at + 8),
        other => at + (other.trailing_zeros() / 8) as usize,
    }
}

#[inline(never)]
fn more_digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

#[inline(always)]
fn some_digits(bytes: &[u8], at: usize) -> Option<usize> {
    let end = digits(bytes, at);
    (end > at).then_some(end)
}

/// The end of `true`, `false` or `null` that begins at `at`.
#[inline(always)]
pub fn literal(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    match rest.first_chunk::<4>()? {
        b"true" | b"null" => Some(at + 4),
        b"fals" if rest.get(4) == Some(&b'e') => Some(at + 5),
        _ => None,
    }
}

/// The next byte from `at` on that is no white space, and where it stands.
#[inline(always)]
pub fn token(bytes: &[u8], at: usize) -> Option<(usize, u8)> {
    let byte = *bytes.get(at)?;
    if byte > b' ' {
        return Some((at, byte));
    }
    spaced(bytes, at)
}

/// The same where white space is likely.
fn spaced(bytes: &[u8], mut at: usize) -> Option<(usize, u8)> {
    // One blank, or the end of a line, comes first.
    at += usize::from(matches!(bytes.get(at), Some(b' ' | b'\n')));
    while let Some(block) = bytes.get(at..)?.first_chunk::<LANES>() {
        let blank = u8x16::from(*block).simd_eq(u8x16::splat(b' '));
        let other = !blank.to_bitmask() & 0xffff;
        if other == 0 {
            at += LANES;
            continue;
        }
        at += other.trailing_zeros() as usize;
        match bytes.get(at)? {
            b'\t' | b'\n' | b'\r' => at += 1,
            byte => return Some((at, *byte)),
        }
    }
    let rest = bytes.get(at..)?;
    let space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
    rest.get(space).map(|byte| (at + space, *byte))
}

/// From where to where the bytes of a chunk are UTF-8: the rest of a character that began before it, and the beginning
/// of one that ends after it, are left out. Up to the first byte that is none.
pub fn utf8(chunk: &[u8]) -> (usize, usize) {
    let is_inner = |byte: &&u8| **byte & 0xc0 == 0x80;
    let start = chunk.iter().take(3).take_while(is_inner).count();
    let rest = chunk.get(start..).unwrap_or_default();
    match simdutf8::compat::from_utf8(rest) {
        Ok(_) => (start, chunk.len()),
        Err(error) => (start, start + error.valid_up_to()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_stands() {
        for length in 0..50 {
            let text = format!("{}\" and more that follows it", "x".repeat(length));
            let end = Some(StringEnd { at: length + 1, escaped: false });
            assert_eq!(string(text.as_bytes(), 0), end);
            assert_eq!(string(&text.as_bytes()[..length + 1], 0), end);
            assert_eq!(string(&text.as_bytes()[..length], 0), None);
            for bad in ["\n", "\0", "\u{1f}", "\\x", "\\u00g0", "\\u12"] {
                let text = format!("{}{bad}\" and more that follows it", "x".repeat(length));
                assert_eq!(string(text.as_bytes(), 0), None, "{text}");
            }
            for good in ["\\\"", "\\\\", "\\u00e9", "\\ud800", "\\/"] {
                let text = format!("{}{good}\" and \" more", "x".repeat(length));
                let end = StringEnd { at: length + good.len() + 1, escaped: true };
                assert_eq!(string(text.as_bytes(), 0), Some(end), "{text}");
            }
        }
        assert_eq!(string("é😀\u{7f}\"".as_bytes(), 0), Some(StringEnd { at: 8, escaped: false }));
    }

    #[test]
    fn white_space_is_passed_however_much_there_is() {
        for length in 0..50 {
            for space in [" ", "\n", "\t", "\r\n ", "\n    "] {
                let text = format!("{}1", space.repeat(length));
                assert_eq!(token(text.as_bytes(), 0), Some((space.len() * length, b'1')));
                assert_eq!(token(&text.as_bytes()[..text.len() - 1], 0), None);
            }
            let text = format!("{}\u{b}{}", " ".repeat(length), " ".repeat(20));
            assert_eq!(token(text.as_bytes(), 0), Some((length, 0xb)));
        }
    }

    #[test]
    fn numbers_and_literals_end_where_the_grammar_says() {
        for good in ["0", "-0", "12", "-12", "0.5", "10.05", "1e5", "1E+5", "0e-00", "-1.25e10", "1e400"] {
            assert_eq!(number(format!("{good},").as_bytes(), 0), Some(good.len()), "{good}");
            assert_eq!(number(good.as_bytes(), 0), None, "{good} may go on");
        }
        for bad in ["-,", "1.,", "1.e5,", "1e,", "1e+,", "--1,", "-a,"] {
            assert_eq!(number(bad.as_bytes(), 0), None, "{bad}");
        }
        for (text, end) in
            [("true", Some(4)), ("false", Some(5)), ("null,", Some(4)), ("falsy", None), ("tru", None)]
        {
            assert_eq!(literal(text.as_bytes(), 0), end, "{text}");
        }
    }

    #[test]
    fn utf8_begins_and_ends_with_whole_characters() {
        let text = "é😀x".as_bytes();
        assert_eq!(utf8(text), (0, 7));
        assert_eq!(utf8(&text[1..]), (1, 6));
        assert_eq!(utf8(&text[3..]), (3, 4));
        assert_eq!(utf8(&text[..4]), (0, 2));
        assert_eq!(utf8(b"ab\xffcd"), (0, 2));
        assert_eq!(utf8(b""), (0, 0));
    }
}
