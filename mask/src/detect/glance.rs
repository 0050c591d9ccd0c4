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
/// Digits of the shortest value that is made of them but for addresses, which have dots.
const FEWEST_DIGITS: u32 = 7;
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
        // Nothing that is looked for is shorter, but for addresses of six bytes, as `a@b.cd` and `::1`.
        if text.len() < 3 {
            return true;
        }
        let mut from = 0;
        while let Some(window) = text.get(from..).and_then(|rest| rest.first_chunk::<WINDOW>()) {
            if !self.is_window_clear(window) {
                return false;
            }
            from += STRIDE;
        }
        let rest = text.get(from..).unwrap_or_default();
        let mut window = [b' '; WINDOW];
        if let Some(to) = window.get_mut(..rest.len()) {
            to.copy_from_slice(rest);
        }
        self.is_window_clear(&window)
    }

    #[inline]
    fn is_window_clear(&self, window: &[u8; WINDOW]) -> bool {
        let bits = Bits::of(window);
        let Bits { digits, letters, dots, colons, dashes, at_signs, others } = bits;
        let count = u64::count_ones;
        let numbers = self.numbers && count(digits) >= FEWEST_DIGITS;
        // Two letters and two digits.
        let accounts = self.accounts && digits & digits >> 1 & letters << 1 & letters << 2 != 0;
        let addresses = self.addresses
            && (colons != 0 && count(colons) > 1 || dots != 0 && count(dots) > 2 && count(digits) > 3);
        let emails = self.emails && at_signs != 0;
        let secrets = self.secrets
            && (has_run(digits | letters | dots | dashes | others, SHORTEST_SECRET) || has_run(dashes, DASHES));
        !(numbers || accounts || addresses || emails || secrets)
    }
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

impl Bits {
    #[inline]
    fn of(window: &[u8; WINDOW]) -> Self {
        let mut bits = Self::default();
        for (i, lanes) in window.as_chunks::<LANES>().0.iter().enumerate() {
            let block = u8x16::from(*lanes);
            let put = |found: u8x16| u64::from(found.to_bitmask()) << (LANES * i);
            let is = |byte: u8| block.simd_eq(u8x16::splat(byte));
            let within = |bytes: u8x16, first: u8, last: u8| {
                let (first, last) = (u8x16::splat(first), u8x16::splat(last));
                bytes.max(first).simd_eq(bytes) & bytes.min(last).simd_eq(bytes)
            };
            bits.digits |= put(within(block, b'0', b'9'));
            bits.letters |= put(within(block | u8x16::splat(0x20), b'a', b'z'));
            bits.dots |= put(is(b'.'));
            bits.colons |= put(is(b':'));
            bits.dashes |= put(is(b'-'));
            bits.at_signs |= put(is(b'@'));
            bits.others |= put(is(b'/') | is(b'+') | is(b'=') | is(b'~') | is(b'_'));
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
            "::1",
            "+49 (0) 170-12 34 56",
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
    fn plain_text_is_clear() {
        let plain = ["", "a", "north river", "Größe 12, 3.5 kg", "заказ 注文", "blue-green", "2026-11", "10:30", "sku-1234"];
        for text in plain {
            assert!(all().is_clear(text.as_bytes()), "{text}");
        }
        assert!(all().is_clear("the lamp of a quick garden, ".repeat(100).as_bytes()));
    }
}
