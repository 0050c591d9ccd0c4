//! One pass over a stretch of text: where something may be, the detectors are asked.

use aho_corasick::Input;

use super::digits::{Digits, MOST_DIGITS};
use super::found::{AHEAD, BEHIND, Found, MAX_LENGTH, Tail, before, is_word, run};
use super::glance::Glance;
use super::key::{self, LITERALS, MAX_LITERAL, Secret};
use super::set::{Active, Set};
use super::{Kind, card, email, iban, ip, phone, ssn};

/// A value that a rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub start: usize,
    pub end: usize,
    pub tail: Option<Tail>,
    /// The number of the set's entry.
    pub entry: usize,
}

/// How far into the text each search has got that leaps over what it found.
#[derive(Clone, Debug, Default)]
pub struct Cursors {
    /// By the set's entries; 0 for those that aren't patterns.
    patterns: Vec<usize>,
    /// The end of the last run of letters in which a token was looked for.
    token: usize,
}

impl Cursors {
    /// `dropped` bytes at the text's beginning are no longer there.
    pub fn shift(&mut self, dropped: usize) {
        self.token = self.token.saturating_sub(dropped);
        self.patterns.iter_mut().for_each(|cursor| *cursor = cursor.saturating_sub(dropped));
    }

    pub fn clear(&mut self) {
        self.token = 0;
        self.patterns.clear();
    }
}

/// A text to look at, and what applies to it.
#[derive(Clone, Copy)]
pub struct Scan<'s> {
    pub set: &'s Set,
    pub active: &'s Active,
    pub text: &'s [u8],
    /// What the text is called, as the name of a JSON member.
    pub name: &'s [u8],
}

/// Signs are looked for in so many bytes at a time.
const BLOCK: usize = 32;
/// Digits of the shortest value that is made of them but for addresses, which have dots.
const FEWEST_DIGITS: usize = 7;
const NUMBERS: [Kind; 5] = [Kind::Card, Kind::Iban, Kind::Ssn, Kind::Phone, Kind::Ip];
const SECRETS: [Kind; 3] = [Kind::Jwt, Kind::ApiKey, Kind::PrivateKey];

impl Scan<'_> {
    /// Whether a look tells that nothing is in the text. What it does not tell, `scan` does.
    pub fn is_clear(&self) -> bool {
        Glance::new(self.active).is_some_and(|glance| glance.is_clear(self.text))
    }

    /// Adds the values that detectors find at the places from `from` to `until`. The text must go on for `AHEAD` bytes
    /// after `until`, or end.
    pub fn scan(&self, from: usize, until: usize, cursors: &mut Cursors, hits: &mut Vec<Hit>) {
        if self.active.has_any(&NUMBERS) || self.active.has(Kind::Email) {
            self.signs(from, until, hits);
        }
        if self.active.has_any(&SECRETS) {
            self.literals(from, until, cursors, hits);
        }
        if self.active.has_custom() {
            self.custom(from, until, cursors, hits);
        }
    }

    /// Values that begin with digits, or have a `@` or a colon in them.
    fn signs(&self, from: usize, until: usize, hits: &mut Vec<Hit>) {
        let mut at = from;
        while at < until {
            let block = self.text.get(at..until.min(at + BLOCK)).unwrap_or_default();
            let is_sign = |byte: &u8| byte.wrapping_sub(b'0') < 11 || *byte == b'@';
            // `0` to `9` and `:`. Without an early exit, so that it runs on many bytes at a time.
            if !block.iter().fold(false, |found, byte| found | is_sign(byte)) {
                at += block.len();
                continue;
            }
            let end = at + block.len();
            while at < end {
                match self.text.get(at).copied().unwrap_or_default() {
                    b'0'..=b'9' => at = self.digits(at, until, hits),
                    b'@' => {
                        self.ask(Kind::Email, at, hits, email::find);
                        at += 1;
                    }
                    b':' => {
                        if before(self.text, at) != Some(b':') {
                            self.ask(Kind::Ip, at, hits, ip::find_v6);
                        }
                        at += 1;
                    }
                    _ => at += 1,
                }
            }
        }
    }

    /// Asks about the digits at `at`, and returns where they end, `until` at most.
    fn digits(&self, at: usize, until: usize, hits: &mut Vec<Hit>) -> usize {
        let end = at + run(self.text, at, until - at, |byte| byte.is_ascii_digit());
        if before(self.text, at).is_some_and(|byte| byte.is_ascii_digit()) {
            return end;
        }
        let ahead = before(self.text, at);
        if ahead.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            self.ask(Kind::Iban, at, hits, iban::find);
        }
        let first = self.text.get(at).copied();
        let length = run(self.text, at, MOST_DIGITS, |byte| byte.is_ascii_digit());
        if length < 4 && self.text.get(at + length) == Some(&b'.') {
            self.ask(Kind::Ip, at, hits, ip::find_v4);
        }
        // What has too few digits in it is none of the others.
        let next = self.text.get(at..(at + 3 * FEWEST_DIGITS).min(self.text.len())).unwrap_or_default();
        let count = next.iter().fold(0u8, |sum, byte| sum + u8::from(byte.is_ascii_digit()));
        if usize::from(count) < FEWEST_DIGITS {
            return end;
        }
        if self.active.has(Kind::Card) || self.active.has(Kind::Ssn) {
            let (window, offset) = self.window(at);
            let digits = Digits::read(window, at - offset);
            self.ask(Kind::Card, at, hits, |text, at| card::find(text, at, &digits));
            self.ask(Kind::Ssn, at, hits, |text, at| ssn::find(text, at, &digits));
        }
        let signed = matches!(ahead, Some(b'+' | b'('));
        if signed || first == Some(b'0') || matches!((first, length), (_, 3 | 10) | (Some(b'1'), 1)) {
            self.ask(Kind::Phone, at, hits, phone::find);
        }
        end
    }

    /// Values that begin with a literal.
    fn literals(&self, from: usize, until: usize, cursors: &mut Cursors, hits: &mut Vec<Hit>) {
        let Some(literals) = LITERALS.as_ref() else { return };
        let mut from = from;
        let last = (until + MAX_LITERAL).min(self.text.len());
        while from < until {
            let Some(found) = literals.find(Input::new(self.text).range(from..last)) else { break };
            let at = found.start();
            if at >= until {
                break;
            }
            // On from the next byte: what begins within this literal is found too, wherever the text was cut.
            from = at + 1;
            let number = found.pattern().as_usize();
            let kind = match key::secret(number) {
                // One run of letters is looked through once, however often it says `eyJ`.
                Secret::Jwt if at < cursors.token => continue,
                Secret::Jwt => {
                    cursors.token = at + run(self.text, at, AHEAD, is_word);
                    Kind::Jwt
                }
                Secret::PrivateKey => Kind::PrivateKey,
                Secret::ApiKey => Kind::ApiKey,
            };
            self.ask(kind, at, hits, |text, at| key::find(text, at, number));
        }
    }

    /// Patterns and words.
    fn custom(&self, from: usize, until: usize, cursors: &mut Cursors, hits: &mut Vec<Hit>) {
        let entries = self.set.entries().iter().enumerate();
        cursors.patterns.resize(self.set.entries().len(), 0);
        for ((number, entry), cursor) in entries.zip(&mut cursors.patterns) {
            if !self.active.entry(number) {
                continue;
            }
            let mut hit = |start: usize, end: usize| {
                let offset = start.saturating_sub(BEHIND);
                let window = self.text.get(offset..(start + AHEAD).min(self.text.len())).unwrap_or_default();
                let found = Found::new(start - offset, end - offset, entry.custom_confidence());
                if entry.accepts(window, &found, self.name) {
                    hits.push(Hit { start, end, tail: None, entry: number });
                }
            };
            if let Some(pattern) = entry.pattern() {
                let mut at = (*cursor).max(from);
                // Some bytes more: a pattern may look at the character after its match.
                let last = (until + MAX_LENGTH + 8).min(self.text.len());
                while at < until {
                    let input = regex_automata::Input::new(self.text).range(at..last);
                    let Some(found) = pattern.regex().find(input).filter(|found| found.start() < until)
                    else {
                        break;
                    };
                    hit(found.start(), found.end());
                    at = found.end().max(at + 1);
                    *cursor = at;
                }
            } else if let Some(words) = entry.words() {
                words.all(self.text, from, until).for_each(|(start, end)| hit(start, end));
            }
        }
    }

    /// Asks one detector about a place; it is shown the text around it, and no more.
    fn ask(
        &self,
        kind: Kind,
        at: usize,
        hits: &mut Vec<Hit>,
        find: impl FnOnce(&[u8], usize) -> Option<Found>,
    ) {
        if !self.active.has(kind) {
            return;
        }
        let (window, offset) = self.window(at);
        let Some(found) = find(window, at - offset) else { return };
        let whole = found.shifted(offset);
        for entry in self.set.accepting(self.active, kind, window, &found, self.name) {
            hits.push(Hit { start: whole.start, end: whole.end, tail: found.tail, entry });
        }
    }

    /// What a detector sees of the text, and where that begins.
    fn window(&self, at: usize) -> (&[u8], usize) {
        let offset = at.saturating_sub(BEHIND);
        (self.text.get(offset..(at + AHEAD).min(self.text.len())).unwrap_or_default(), offset)
    }
}
