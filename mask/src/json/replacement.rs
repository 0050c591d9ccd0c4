//! What takes one value's place, made while the value passes by: nothing of it is kept but what will be shown.

use std::sync::Arc;

use super::ValueKind;
use crate::hash::{Digest, HashKey};
use crate::json_string;
use crate::plan::Action;

#[derive(Debug)]
pub enum Replacement {
    Nothing,
    /// Ready JSON.
    Fixed(Arc<[u8]>),
    Digest(Box<Digest>),
    Tail(Tail),
}

impl Replacement {
    /// The replacement of a value of that kind; `is_document` for the value that is a whole document, which can't
    /// be removed.
    pub fn start(action: &Action, kind: ValueKind, is_document: bool, key: &HashKey) -> Self {
        match action {
            Action::Remove if is_document => Self::Fixed(Arc::from(&b"null"[..])),
            Action::Remove => Self::Nothing,
            Action::Write(json) => Self::Fixed(json.clone()),
            Action::Hash => Self::Digest(Box::new(key.digest())),
            Action::Last4 if matches!(kind, ValueKind::String | ValueKind::Number) => {
                Self::Tail(Tail::default())
            }
            Action::Last4 => Self::Fixed(Arc::from(&b"\"****\""[..])),
        }
    }

    /// Whether it depends on what the value says.
    pub fn reads(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Fixed(_))
    }

    /// The value's next bytes: a string's decoded, everything else's as written, without white space.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing | Self::Fixed(_) => {}
            Self::Digest(digest) => digest.update(bytes),
            Self::Tail(tail) => tail.feed(bytes),
        }
    }

    /// Writes the replacement; tells whether there was one.
    pub fn finish(self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Nothing => return false,
            Self::Fixed(json) => out.extend_from_slice(&json),
            Self::Digest(digest) => json_string::write(digest.text().as_bytes(), out),
            Self::Tail(tail) => json_string::write(&tail.text(), out),
        }
        true
    }
}

const SHOWN: u64 = 4;
/// However long the hidden text is, its place takes no more than this.
const MAX_STARS: usize = 64;
/// Four characters of at most four bytes.
const KEPT_BYTES: usize = 16;

/// The last characters of a text that arrives in pieces.
#[derive(Debug, Default)]
pub struct Tail {
    characters: u64,
    /// The text's last bytes, at least `KEPT_BYTES` of them if there are so many.
    bytes: Vec<u8>,
}

impl Tail {
    fn feed(&mut self, bytes: &[u8]) {
        let first_bytes = bytes.iter().filter(|byte| is_first(byte)).count();
        self.characters += u64::try_from(first_bytes).unwrap_or(u64::MAX);
        let fresh = bytes.get(bytes.len().saturating_sub(KEPT_BYTES)..).unwrap_or(bytes);
        self.bytes.extend_from_slice(fresh);
        self.bytes.drain(..self.bytes.len().saturating_sub(KEPT_BYTES));
    }

    /// A `*` for each hidden character, and as many characters as may be shown.
    fn text(&self) -> Vec<u8> {
        let shown = usize::try_from(SHOWN.min(self.characters / 3)).unwrap_or_default();
        let firsts = self.bytes.iter().enumerate().rev().filter(|(_, byte)| is_first(byte)).map(|(at, _)| at);
        let start = firsts.take(shown).last().unwrap_or(self.bytes.len());
        let hidden = usize::try_from(self.characters).unwrap_or(usize::MAX).saturating_sub(shown);
        let mut text = vec![b'*'; hidden.min(MAX_STARS)];
        text.extend_from_slice(self.bytes.get(start..).unwrap_or_default());
        text
    }
}

/// Whether a character begins at this byte of UTF-8.
fn is_first(byte: &u8) -> bool {
    byte & 0xc0 != 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail(pieces: &[&[u8]]) -> String {
        let mut tail = Tail::default();
        pieces.iter().for_each(|piece| tail.feed(piece));
        String::from_utf8(tail.text()).unwrap()
    }

    #[test]
    fn shows_four_characters_at_most_and_a_third_at_most() {
        let table = [
            ("", ""),
            ("ab", "**"),
            ("abc", "**c"),
            ("abcdef", "****ef"),
            ("abcdefghijk", "********ijk"),
            ("abcdefghijkl", "********ijkl"),
            ("4111111111111234", "************1234"),
            ("😀😀😀😀😀😀😀😀😀é€𝄞ß", "*********é€𝄞ß"),
        ];
        for (text, shown) in table {
            assert_eq!(tail(&[text.as_bytes()]), shown);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "\\PC{0,40}", piece in 1usize..20) {
            let pieces: Vec<_> = text.as_bytes().chunks(piece).collect();
            let whole = tail(&[text.as_bytes()]);
            prop_assert_eq!(&tail(&pieces), &whole);
            let (length, may_show) = (text.chars().count(), 4.min(text.chars().count() / 3));
            prop_assert_eq!(whole.chars().count(), length);
            let shown: String = whole.chars().skip(length - may_show).collect();
            prop_assert!(text.ends_with(&shown));
            prop_assert!(whole.chars().take(length - may_show).all(|star| star == '*'));
        }
    }
}
