//! One look at a text that tells, for nearly all texts, that nothing is in them.
//!
//! The text is looked at in windows that overlap, each as bits for its bytes of a class. Whatever a detector finds has a
//! part that lies in one window and shows there; what shows a window may be nothing yet, so the detectors are asked.

use wide::u8x16;

use super::Kind;
use super::set::Active;

/// The bytes of one comparison, and of a window.
const LANES: usize = 16;
const WINDOW: usize = 64;
/// The windows overlap by what any part is long: seven digits lie within 21 bytes, an IPv4 address within 15.
const STRIDE: usize = 40;
/// The fewest digits of a card, social security or telephone number, and of one that begins with `+` or a zero. The first
/// seven lie within 21 bytes, or no detector is asked.
const DIGITS: u32 = 9;
const MARKED_DIGITS: u32 = 8;
const FIRST_DIGITS: u32 = 7;
/// No secret has fewer signs in a row of those that secrets are made of.
const SHORTEST_SECRET: u32 = 15;
/// How a PEM block begins.
const DASHES: u32 = 5;

/// What is looked for, as far as a look can tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    numbers: bool,
    accounts: bool,
    addresses: bool,
    emails: bool,
    secrets: bool,
}

/// A bit for each byte of a window.
#[derive(Clone, Copy, Default)]
struct Bits {
    digits: u64,
    letters: u64,
    dots: u64,
    colons: u64,
    dashes: u64,
    at_signs: u64,
    /// `/`, `+`, `=`, `~` and `_`.
    others: u64,
}

impl Glance {
    /// No number with fewer bytes has anything in it.
    pub const SHORTEST_NUMBER: usize = 7;

    /// `None` when patterns or words are looked for, which may be anything.
    pub fn new(active: &Active) -> Option<Self> {
        (!active.has_custom()).then(|| Self {
            numbers: active.has_any(&[Kind::Card, Kind::Ssn, Kind::Phone]),
            accounts: active.has(Kind::Iban),
            addresses: active.has(Kind::Ip),
            emails: active.has(Kind::Email),
            secrets: active.has_any(&[Kind::Jwt, Kind::ApiKey, Kind::PrivateKey]),
        })
    }

    /// Whether nothing is in the text. What this does not tell, a scan does.
    #[inline]
    pub fn is_clear(&self, text: &[u8]) -> bool {
        self.is_clear_within(text, 0, text.len())
    }

    /// The same for a text that stands among other bytes, which need not be copied then.
    #[inline]
    pub fn is_clear_within(&self, bytes: &[u8], from: usize, to: usize) -> bool {
        let mut at = from;
        loop {
            let left = to.saturating_sub(at);
            // The shortest value is `::`.
            if left < 2 {
                return true;
            }
            let cut = (at > from, left > WINDOW);
            let rest = bytes.get(at..).unwrap_or_default();
            let is_clear = match rest.first_chunk::<WINDOW>() {
                Some(window) => self.is_window_clear(window, left.min(WINDOW), cut),
                None => {
                    let mut window = [0; WINDOW];
                    if let Some(to) = window.get_mut(..rest.len()) {
                        to.copy_from_slice(rest);
                    }
                    self.is_window_clear(&window, left, cut)
                }
            };
            if !is_clear || left <= WINDOW {
                return is_clear;
            }
            at += STRIDE;
        }
    }

    /// The same for the text within a JSON string, as it is written there.
    pub fn is_string_clear(&self, mut written: &[u8]) -> bool {
        // No value has one of these escapes in a part that shows it.
        while let Some(at) = memchr::memchr(b'\\', written) {
            let (Some(ahead), Some(b'n' | b'r' | b't' | b'b' | b'f' | b'"' | b'\\'), Some(rest)) =
                (written.get(..at), written.get(at + 1), written.get(at + 2..))
            else {
                return false;
            };
            if !self.is_clear(ahead) {
                return false;
            }
            written = rest;
        }
        self.is_clear(written)
    }

    /// Looks at the first `length` bytes, of a text that was `cut` before and after them, or was not.
    #[inline]
    fn is_window_clear(&self, window: &[u8; WINDOW], length: usize, cut: (bool, bool)) -> bool {
        // Three classes tell of most windows that the others need no look.
        let (mut signs, mut visible, mut dashes) = (0, 0, 0);
        for (i, lanes) in window.as_chunks::<LANES>().0.iter().enumerate().take(length.div_ceil(LANES)) {
            let block = u8x16::from(*lanes);
            let put = |found: u8x16| u64::from(found.to_bitmask()) << (LANES * i);
            signs |= put(within(block, b'0', b'@'));
            visible |= put(within(block, b'!', b'~'));
            dashes |= put(block.simd_eq(u8x16::splat(b'-')));
        }
        let valid = first(length);
        (signs, visible, dashes) = (signs & valid, visible & valid, dashes & valid);
        let may_be_secret = self.secrets && (has_run(visible, SHORTEST_SECRET) || has_run(dashes, DASHES));
        signs == 0 && !may_be_secret || self.is_busy_window_clear(window, length, cut)
    }

    #[inline(never)]
    fn is_busy_window_clear(&self, window: &[u8; WINDOW], length: usize, cut: (bool, bool)) -> bool {
        let Bits { digits, letters, dots, colons, dashes, at_signs, others } = Bits::of(window, length);
        let count = u64::count_ones;
        let numbers = self.numbers
            && digits != 0
            && count(digits) >= FIRST_DIGITS
            && has_number(window, length, digits, cut);
        // Two letters and two digits.
        let accounts = self.accounts && digits & digits >> 1 & letters << 1 & letters << 2 != 0;
        // An address has two colons side by side, or seven, of which a window that cuts it shows three.
        let groups = colons & colons >> 1 != 0 || colons != 0 && count(colons) > 2;
        let addresses = self.addresses && (groups || dots != 0 && count(dots) > 2 && count(digits) > 3);
        let emails = self.emails && at_signs != 0;
        let secrets = self.secrets
            && (has_run(digits | letters | dots | dashes | others, SHORTEST_SECRET)
                || has_run(dashes, DASHES));
        !(numbers || accounts || addresses || emails || secrets)
    }
}

/// Whether enough digits for a number stand together, with nothing between them but signs that numbers have.
#[inline(never)]
fn has_number(window: &[u8; WINDOW], length: usize, digits: u64, (before, after): (bool, bool)) -> bool {
    let (mut signs, mut zeros, mut plus) = (0u64, 0u64, false);
    for (i, byte) in window.iter().enumerate().take(length) {
        // Spaces that don't break are not of ASCII.
        let is_sign = matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | 0x80..);
        signs |= u64::from(is_sign) << i;
        zeros |= u64::from(*byte == b'0') << i;
        plus |= *byte == b'+';
    }
    let mut rest = digits | signs;
    while rest != 0 {
        let from = rest.trailing_zeros();
        let length = (!(rest >> from)).trailing_zeros();
        let run = if length < 64 { ((1 << length) - 1) << from } else { u64::MAX };
        let count = (digits & run).count_ones();
        let is_cut = before && from == 0 || after && from + length == 64;
        let first_zero = zeros & run & !(digits << 1);
        let after_zero = !(first_zero & first_zero.wrapping_neg()).wrapping_sub(1);
        let marked = if plus { count } else { (digits & run & after_zero).count_ones() };
        let is_marked = (plus || first_zero != 0) && marked >= MARKED_DIGITS;
        if count >= DIGITS || is_marked || is_cut && count >= FIRST_DIGITS {
            return true;
        }
        rest &= !run;
    }
    false
}

/// The first bits of a window.
#[inline]
fn first(length: usize) -> u64 {
    if length < WINDOW { (1 << length) - 1 } else { u64::MAX }
}

/// Whether so many bits, 4 to 16, stand side by side.
#[inline]
fn has_run(bits: u64, length: u32) -> bool {
    let four = bits & bits >> 1;
    let four = four & four >> 2;
    let rest = if length > 8 {
        let eight = four & four >> 4;
        eight & eight >> (length - 8)
    } else {
        four & four >> (length - 4)
    };
    rest != 0
}

/// The bytes from `first` to `last`.
#[inline(always)]
fn within(block: u8x16, first: u8, last: u8) -> u8x16 {
    let (first, last) = (u8x16::splat(first), u8x16::splat(last));
    block.max(first).simd_eq(block) & block.min(last).simd_eq(block)
}

impl Bits {
    #[inline]
    fn of(window: &[u8; WINDOW], length: usize) -> Self {
        let mut bits = Self::default();
        let blocks = window.as_chunks::<LANES>().0.iter();
        for (i, lanes) in blocks.enumerate().take(length.div_ceil(LANES)) {
            let block = u8x16::from(*lanes);
            let put = |found: u8x16| u64::from(found.to_bitmask()) << (LANES * i);
            let is = |byte: u8| block.simd_eq(u8x16::splat(byte));
            bits.digits |= put(within(block, b'0', b'9'));
            bits.letters |= put(within(block | u8x16::splat(0x20), b'a', b'z'));
            bits.dots |= put(is(b'.'));
            bits.colons |= put(is(b':'));
            bits.dashes |= put(is(b'-'));
            bits.at_signs |= put(is(b'@'));
            bits.others |= put(is(b'/') | is(b'+') | is(b'=') | is(b'~') | is(b'_'));
        }
        let valid = first(length);
        let Self { digits, letters, dots, colons, dashes, at_signs, others } = &mut bits;
        for class in [digits, letters, dots, colons, dashes, at_signs, others] {
            *class &= valid;
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Glance {
        Glance { numbers: true, accounts: true, addresses: true, emails: true, secrets: true }
    }

    #[test]
    fn runs_are_found_at_every_place() {
        for length in [DASHES, SHORTEST_SECRET] {
            for at in 0..=64 - length {
                let run = ((1u64 << length) - 1) << at;
                assert!(has_run(run, length), "{length} at {at}");
                assert!(!has_run(run & (run - 1), length), "{length} at {at}");
            }
        }
    }

    #[test]
    fn what_is_looked_for_shows_wherever_it_stands() {
        let values = [
            "4111111111111111",
            "4111 1111 1111 1111",
            "DE89370400440532013000",
            "123-45-6789",
            "a@b.cd",
            "10.0.0.17",
            "::",
            "::1",
            "1:2:3:4:5:6:7:8",
            "2001:1111:2222:3333:4444:5555:6666:7777",
            "1111:2222:3333:4444:5555:6666:101.102.103.104",
            "+49 (0) 170-12 34 56",
            "+1234 5678",
            "0123-4567",
            "(212) 555 1234",
            "2125551234",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
            "123456789",
            "xoxb-1234567890",
            "-----BEGIN PRIVATE KEY-----",
        ];
        for value in values {
            for ahead in 0..200 {
                for behind in [0, 1, 70] {
                    let text = format!("{}{value}{}", " ".repeat(ahead), " ".repeat(behind));
                    assert!(!all().is_clear(text.as_bytes()), "{value} behind {ahead}");
                }
            }
        }
    }

    #[test]
    fn what_stands_around_a_text_is_no_part_of_it() {
        let other = "4111111111111111 a@b.cd ::1 -----BEGIN ";
        for length in 0..150 {
            let text = "quick lamp ".repeat(20);
            let bytes = format!("{other}{}{}", &text[..length], other.repeat(3));
            assert!(all().is_clear_within(bytes.as_bytes(), other.len(), other.len() + length), "{length}");
            assert!(
                !all().is_clear_within(bytes.as_bytes(), other.len(), other.len() + length + 17),
                "{length}"
            );
        }
    }

    #[test]
    fn escapes_part_what_is_looked_at_and_hide_nothing() {
        for written in [r"\u0040", r"a\/b", r"4111\u0020", r"\", r"\x"] {
            assert!(!all().is_string_clear(written.as_bytes()), "{written}");
        }
        for value in ["4111111111111111", "a@b.cd", "::", "xoxb-1234567890"] {
            for written in
                [format!(r"\n{value}\n"), format!(r#"he said \"{value}\""#), format!(r"\\\\{value}")]
            {
                assert!(!all().is_string_clear(written.as_bytes()), "{written}");
            }
        }
        assert!(all().is_string_clear(br#"one line\nanother \"line\"\\ of 12\t34"#));
    }

    #[test]
    fn plain_text_is_clear() {
        let plain = [
            "",
            "a",
            "north river",
            "Größe 12, 3.5 kg",
            "заказ 注文",
            "blue-green",
            "2026-11",
            "10:30",
            "sku-1234",
            "2026-01-14T10:18:00Z",
            "12.34567",
            "c-513351",
            "2026-11-21",
        ];
        for text in plain {
            assert!(all().is_clear(text.as_bytes()), "{text}");
        }
        assert!(all().is_clear("the lamp of a quick garden, ".repeat(100).as_bytes()));
    }
}
