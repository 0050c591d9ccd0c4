//! Detectors that people write themselves: patterns and lists of words.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::found::{MAX_LENGTH, before};

/// Memory for a compiled pattern, and for the states that a search finds on its way.
const PATTERN_BYTES: usize = 1 << 20;
const CACHE_BYTES: usize = 1 << 18;
const MAX_WORDS: usize = 10_000;
const MAX_WORD: usize = 128;

/// Why a pattern or a list of words can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomError {
    #[error("the pattern can't be read: {0}")]
    Syntax(String),
    #[error("the pattern matches the empty text")]
    Empty,
    #[error(
        "what the pattern matches has no longest length: bound its repetitions, as in `{{1,{MAX_LENGTH}}}`"
    )]
    Unbounded,
    #[error("what the pattern matches may take {0} bytes, and {MAX_LENGTH} is the most")]
    TooLong(usize),
    #[error("the pattern is too large once compiled: write fewer or smaller repetitions")]
    TooLarge,
    #[error("the list has no words")]
    NoWords,
    #[error("the list has more than {MAX_WORDS} words")]
    TooManyWords,
    #[error("the word `{0}` is shorter than 2 bytes or longer than {MAX_WORD}")]
    WordLength(String),
}

/// A regular expression, as the `regex` crate writes them, whose matches are neither empty nor longer than
/// `MAX_LENGTH` bytes.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    regex: Arc<Regex>,
}

impl Pattern {
    pub fn new(source: &str) -> Result<Self, CustomError> {
        let config = syntax::Config::new();
        let hir = syntax::parse_with(source, &config)
            .map_err(|error| CustomError::Syntax(first_line(&error.to_string())))?;
        let properties = hir.properties();
        if properties.minimum_len().is_none_or(|least| least == 0) {
            return Err(CustomError::Empty);
        }
        match properties.maximum_len() {
            None => return Err(CustomError::Unbounded),
            Some(most) if most > MAX_LENGTH => return Err(CustomError::TooLong(most)),
            Some(_) => {}
        }
        let limits = Regex::config()
            .nfa_size_limit(Some(PATTERN_BYTES))
            .onepass_size_limit(Some(PATTERN_BYTES))
            .dfa_size_limit(Some(PATTERN_BYTES))
            .hybrid_cache_capacity(CACHE_BYTES);
        let regex = Regex::builder().configure(limits).build_from_hir(&hir);
        let regex = regex.map_err(|_| CustomError::TooLarge)?;
        Ok(Self { source: source.to_owned(), regex: Arc::new(regex) })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }
}

/// The explanation without the drawing that comes before it.
fn first_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// A list of words, found as whole words, in upper and lower case (of ASCII letters).
#[derive(Clone)]
pub struct Words {
    words: Vec<String>,
    search: Arc<AhoCorasick>,
}

impl Words {
    pub fn new(words: Vec<String>) -> Result<Self, CustomError> {
        if words.is_empty() {
            return Err(CustomError::NoWords);
        }
        if words.len() > MAX_WORDS {
            return Err(CustomError::TooManyWords);
        }
        if let Some(word) = words.iter().find(|word| !(2..=MAX_WORD).contains(&word.len())) {
            return Err(CustomError::WordLength(word.clone()));
        }
        // All matches are looked at, also those within others: of `New York` and `York`, either may be the whole word.
        let search = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(&words)
            .map_err(|_| CustomError::TooManyWords)?;
        Ok(Self { words, search: Arc::new(search) })
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether one of the words stands in the text, with no letter at either side.
    pub(super) fn stand_in(&self, text: &[u8]) -> bool {
        let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic());
        self.search.find_overlapping_iter(text).any(|found| {
            !is_letter(before(text, found.start())) && !is_letter(text.get(found.end()).copied())
        })
    }

    /// Whether one of the words is a part of the text, as `card` is of `cardNumber`.
    pub(super) fn are_part_of(&self, text: &[u8]) -> bool {
        self.search.is_match(text)
    }

    /// Every whole word that begins within `from..until`, as its start and end.
    pub(super) fn all(&self, text: &[u8], from: usize, until: usize) -> impl Iterator<Item = (usize, usize)> {
        let last = until.saturating_add(MAX_WORD).min(text.len());
        let is_letter =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let range = aho_corasick::Input::new(text).range(from.min(last)..last);
        self.search
            .find_overlapping_iter(range)
            .filter(move |found| {
                let alone =
                    !is_letter(before(text, found.start())) && !is_letter(text.get(found.end()).copied());
                alone && found.start() < until
            })
            .map(|found| (found.start(), found.end()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Words {}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Words").field(&self.words).finish()
    }
}
