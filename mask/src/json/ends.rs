//! The beginning and the end of a text that arrives in pieces, with stars between them.

/// However long the hidden text is, its place takes no more than this.
const MAX_STARS: usize = 64;
/// The longest character of UTF-8.
const CHARACTER_BYTES: usize = 4;

#[derive(Debug)]
pub struct Ends {
    /// How many characters to show at either end, at most.
    first: u8,
    last: u8,
    characters: u64,
    /// The text's first bytes, at least `first` characters of them if there are so many.
    head: Vec<u8>,
    /// Its last bytes, at least `last` characters of them if there are so many.
    tail: Vec<u8>,
}

impl Ends {
    pub fn new(first: u8, last: u8) -> Self {
        Self { first, last, characters: 0, head: Vec::new(), tail: Vec::new() }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let first_bytes = bytes.iter().filter(|byte| is_first(byte)).count();
        self.characters += u64::try_from(first_bytes).unwrap_or(u64::MAX);
        let (head, tail) = (room(self.first), room(self.last));
        let missing = head.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..missing).unwrap_or_default());
        let fresh = bytes.get(bytes.len().saturating_sub(tail)..).unwrap_or(bytes);
        self.tail.extend_from_slice(fresh);
        self.tail.drain(..self.tail.len().saturating_sub(tail));
    }

    /// What is shown of a text that is known whole.
    pub fn of(first: u8, last: u8, text: &[u8]) -> Vec<u8> {
        shown(first, last, text.iter().filter(|byte| is_first(byte)).count() as u64, text, text)
    }

    /// A `*` for each hidden character, and around them as many characters as may be shown: a third of all.
    pub fn text(&self) -> Vec<u8> {
        shown(self.first, self.last, self.characters, &self.head, &self.tail)
    }
}

/// Of a text of so many characters, which begins with `head` and ends with `tail`.
fn shown(first: u8, last: u8, characters: u64, head: &[u8], tail: &[u8]) -> Vec<u8> {
    let may_show = characters / 3;
    let last = u64::from(last).min(may_show);
    let first = u64::from(first).min(may_show - last);
    let firsts = tail.iter().enumerate().rev().filter(|(_, byte)| is_first(byte)).map(|(at, _)| at);
    let from = firsts.take(usize::try_from(last).unwrap_or(0)).last().unwrap_or(tail.len());
    let mut firsts = head.iter().enumerate().filter(|(_, byte)| is_first(byte)).map(|(at, _)| at);
    let until = firsts.nth(usize::try_from(first).unwrap_or(0)).unwrap_or(head.len());
    let hidden = usize::try_from(characters - last - first).unwrap_or(usize::MAX).min(MAX_STARS);
    let (head, tail) = (head.get(..until).unwrap_or_default(), tail.get(from..).unwrap_or_default());
    let head = if first == 0 { &[] } else { head };
    let mut text = Vec::with_capacity(head.len() + hidden + tail.len());
    text.extend_from_slice(head);
    text.resize(head.len() + hidden, b'*');
    text.extend_from_slice(tail);
    text
}

/// The bytes that so many characters may take.
fn room(characters: u8) -> usize {
    CHARACTER_BYTES * usize::from(characters)
}

/// Whether a character begins at this byte of UTF-8.
fn is_first(byte: &u8) -> bool {
    byte & 0xc0 != 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(first: u8, last: u8, pieces: &[&[u8]]) -> String {
        let mut ends = Ends::new(first, last);
        pieces.iter().for_each(|piece| ends.feed(piece));
        String::from_utf8(ends.text()).unwrap()
    }

    #[test]
    fn shows_as_many_as_asked_for_and_a_third_at_most() {
        let table = [
            (0, 4, "", ""),
            (0, 4, "ab", "**"),
            (0, 4, "abc", "**c"),
            (0, 4, "abcdef", "****ef"),
            (0, 4, "abcdefghijk", "********ijk"),
            (0, 4, "abcdefghijkl", "********ijkl"),
            (0, 4, "4111111111111234", "************1234"),
            (0, 4, "😀😀😀😀😀😀😀😀😀é€𝄞ß", "*********é€𝄞ß"),
            (2, 0, "abcdef", "ab****"),
            (2, 0, "abcde", "a****"),
            (2, 2, "abcdefghijkl", "ab********kl"),
            (2, 2, "abcdefghi", "a******hi"),
            (6, 4, "4111111111111234", "4***********1234"),
            (0, 0, "abcdef", "******"),
            (1, 1, "é€😀ßßß", "é****ß"),
        ];
        for (first, last, text, shown) in table {
            assert_eq!(ends(first, last, &[text.as_bytes()]), shown, "{first} {last} {text}");
            assert_eq!(Ends::of(first, last, text.as_bytes()), shown.as_bytes(), "{first} {last} {text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "\\PC{0,40}", piece in 1usize..20, first in 0u8..7, last in 0u8..7) {
            let pieces: Vec<_> = text.as_bytes().chunks(piece).collect();
            let whole = ends(first, last, &[text.as_bytes()]);
            prop_assert_eq!(&ends(first, last, &pieces), &whole);
            let length = text.chars().count();
            prop_assert_eq!(whole.chars().count(), length);
            let end = usize::from(last).min(length / 3);
            let start = usize::from(first).min(length / 3 - end);
            let (text, whole): (Vec<_>, Vec<_>) = (text.chars().collect(), whole.chars().collect());
            prop_assert_eq!(&whole[..start], &text[..start]);
            prop_assert_eq!(&whole[length - end..], &text[length - end..]);
            prop_assert!(whole[start..length - end].iter().all(|star| *star == '*'));
        }
    }
}
