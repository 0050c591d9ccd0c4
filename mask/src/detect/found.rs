//! What a detector says of a place in a text.
//!
//! A detector is asked about one place, and is shown a window of the text around it: `BEHIND` bytes before and
//! `AHEAD` bytes after. What it says can depend on nothing else, so that it is the same however the text arrives.

/// How sure a detector is, by what a value looks like and the words around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Many other things look like it.
    Low,
    /// Its form, and its check digits where it has some.
    Medium,
    /// A form that hardly anything else has, or one of the words that stand near such values.
    High,
}

/// Bytes of the text before a place that a detector is shown.
pub const BEHIND: usize = 320;
/// Bytes of the text from a place on that a detector is shown.
pub const AHEAD: usize = 1024;
/// How far before the place that it is asked about a value may begin.
pub const MAX_BACK: usize = 72;
/// How far from that place the known part of a value may reach; what goes on after that is its [`Tail`].
pub const MAX_LENGTH: usize = 512;
/// How far from a value the words may stand that make it more likely.
pub const MAX_WITHIN: usize = 128;

// A place, the value that begins before it, the words around that: all of it lies in the window.
const _: () = assert!(MAX_BACK + MAX_WITHIN < BEHIND && MAX_LENGTH + MAX_WITHIN < AHEAD);

/// A value in a window of text, as offsets in that window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub start: usize,
    pub end: usize,
    pub confidence: Confidence,
    /// How the value goes on after `end`, where no window is long enough for it.
    pub tail: Option<Tail>,
}

/// Values without a longest length. Everything that goes on so is taken, however much it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Letters, digits, `_` and `-`.
    Word,
    /// The same, `.` and `=`.
    Token,
    /// The same as a word, `+`, `/` and `=`.
    Base64,
    /// To the end line of a PEM block; without one, to the end of the text.
    Pem,
}

impl Tail {
    /// Whether the byte goes on the value; a PEM block ends by its own rule.
    pub fn takes(self, byte: u8) -> bool {
        match self {
            Self::Word => is_word(byte),
            Self::Token => is_word(byte) || matches!(byte, b'.' | b'='),
            Self::Base64 => is_word(byte) || matches!(byte, b'+' | b'/' | b'='),
            Self::Pem => true,
        }
    }
}

impl Found {
    pub fn new(start: usize, end: usize, confidence: Confidence) -> Self {
        Self { start, end, confidence, tail: None }
    }

    /// The same place in a text where the window begins at `offset`.
    pub fn shifted(self, offset: usize) -> Self {
        Self { start: self.start + offset, end: self.end + offset, ..self }
    }
}

/// Letters, digits, `_` and `-`: what keys are made of.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The byte before a place.
pub fn before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

/// How many bytes from `at` on are such bytes, `most` at most.
pub fn run(text: &[u8], at: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let length = text.get(at..).unwrap_or_default().iter().take(most).take_while(|byte| is(**byte)).count();
    looked_at(length + 1);
    length
}

/// Counts the work in tests: so many bytes were looked at.
pub fn looked_at(_bytes: usize) {
    #[cfg(test)]
    LOOKED_AT.with(|sum| sum.set(sum.get() + _bytes));
}

#[cfg(test)]
thread_local! {
    pub static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
