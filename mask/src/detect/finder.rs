//! Goes over one text as it arrives, and says which of its bytes pass and what takes the place of the others.
//!
//! A value may begin in one chunk and end in another, so the last bytes are held back until enough of the text has come to
//! ask about them: never more than `BLOCK` and two windows. What is decided about a place depends on the window around it,
//! and on nothing else: the result is the same for every chunking.

use std::sync::Arc;

use memchr::memmem;

use super::cover::{Stretch, Stretches};
use super::found::{AHEAD, BEHIND, MAX_BACK, Tail, run};
use super::scan::{Cursors, Hit, Scan};
use super::set::{Active, Set};
use crate::hash::HashKey;
use crate::json::replacement::Replacement;

/// What becomes of the text's next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// They pass.
    Plain(&'t [u8]),
    /// They go.
    Hidden(&'t [u8]),
    /// All of a value has gone; this takes its place.
    InPlace(&'t [u8]),
}

/// The state of one text after the other.
#[derive(Debug)]
pub struct Finder {
    set: Arc<Set>,
    key: HashKey,
    /// What applies to the text.
    pub active: Active,
    /// What the text is called.
    pub name: Vec<u8>,
    /// What has not been handed out, and before it as much as detectors look back.
    buffer: Vec<u8>,
    /// Where in the buffer the bytes begin that have not been handed out.
    written: usize,
    /// Up to here the detectors have been asked.
    scanned: usize,
    stretches: Stretches,
    /// Values that may go on.
    tails: Vec<Open>,
    /// For the first stretch, while it is handed out.
    begun: Option<Replacement>,
    cursors: Cursors,
    hits: Vec<Hit>,
    masked: u64,
}

/// A value whose end has not been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    tail: Tail,
    hit: Hit,
    /// Up to here it goes on.
    at: usize,
}

/// The detectors are asked about so many bytes at a time, unless the text ends.
const STEP: usize = 1024;
/// Of a large chunk so much is looked at at a time.
const BLOCK: usize = 8 << 10;
/// How an end line of a PEM block begins.
const PEM_END: &[u8] = b"-----END ";

impl Finder {
    /// For texts to which all of the set applies, until `active` is set.
    pub fn new(set: Arc<Set>, key: HashKey) -> Self {
        let mut active = Active::default();
        set.activate(|_| true, &mut active);
        Self {
            set,
            key,
            active,
            name: Vec::new(),
            buffer: Vec::new(),
            written: 0,
            scanned: 0,
            stretches: Stretches::default(),
            tails: Vec::new(),
            begun: None,
            cursors: Cursors::default(),
            hits: Vec::new(),
            masked: 0,
        }
    }

    /// Whether a text that is given whole, before any of it was pushed, has nothing in it.
    pub fn is_clear(&mut self, text: &[u8]) -> bool {
        let scan = Scan { set: &self.set, active: &self.active, text, name: &self.name };
        if scan.is_clear() {
            return true;
        }
        self.hits.clear();
        scan.scan(0, text.len(), &mut self.cursors, &mut self.hits);
        self.cursors.clear();
        self.hits.is_empty()
    }

    /// Takes the text's next bytes, and hands out what is decided.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        for block in bytes.chunks(BLOCK) {
            self.buffer.extend_from_slice(block);
            self.go_over(AHEAD + STEP, sink);
            self.drop_written();
        }
    }

    /// The text ends here: hands out the rest. The next bytes are another text's.
    pub fn finish(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        self.go_over(STEP, sink);
        self.advance(self.buffer.len());
        self.hand_out(self.buffer.len(), sink);
        self.buffer.clear();
        self.written = 0;
        self.scanned = 0;
        self.tails.clear();
        self.stretches.clear();
        self.cursors.clear();
        self.begun = None;
    }

    /// How many values were found in all texts.
    pub fn masked(&self) -> u64 {
        self.masked
    }

    /// Goes on step by step, as long as `least` bytes of the buffer have not been looked at.
    fn go_over(&mut self, least: usize, sink: &mut impl FnMut(Piece<'_>)) {
        while self.buffer.len() - self.scanned >= least {
            self.advance(self.scanned + STEP);
            self.hand_out(self.scanned.saturating_sub(MAX_BACK), sink);
        }
    }

    /// Asks the detectors about everything before `until`.
    fn advance(&mut self, until: usize) {
        self.hits.clear();
        let scan = Scan { set: &self.set, active: &self.active, text: &self.buffer, name: &self.name };
        scan.scan(self.scanned, until, &mut self.cursors, &mut self.hits);
        for hit in &self.hits {
            self.stretches.add(Stretch::of(hit, &self.set), &self.set);
            if let Some(tail) = hit.tail {
                self.tails.push(Open { tail, hit: *hit, at: hit.end });
            }
        }
        self.go_on(until);
        self.scanned = until;
    }

    /// Lets values go on that may, as far as `until`.
    fn go_on(&mut self, until: usize) {
        let Self { set, buffer, stretches, tails, .. } = self;
        tails.retain_mut(|open| {
            let end = if open.tail == Tail::Pem { pem_end(buffer, open.at, until) } else { None };
            let takes = |byte| open.tail.takes(byte);
            let reached =
                end.unwrap_or_else(|| open.at + run(buffer, open.at, until.saturating_sub(open.at), takes));
            // Joined with the stretch that it goes on, of which a part may be written and gone.
            let start = open.hit.start.min(open.at.saturating_sub(1));
            let hit = Hit { start, end: reached, ..open.hit };
            if reached > start {
                stretches.add(Stretch::of(&hit, set), set);
            }
            open.at = reached;
            end.is_none() && reached >= until
        });
        // All that go on in the same way end at the same place.
        tails.sort_by_key(|open| (open.tail as u8, open.hit.entry));
        tails.dedup_by_key(|open| (open.tail, open.hit.entry, open.at));
    }

    /// Hands out what is before `until`, where everything is known that begins before it.
    fn hand_out(&mut self, until: usize, sink: &mut impl FnMut(Piece<'_>)) {
        while self.written < until {
            let Some(stretch) = self.stretches.first().filter(|stretch| stretch.start < until).copied()
            else {
                sink(Piece::Plain(self.buffer.get(self.written..until).unwrap_or_default()));
                self.written = until;
                break;
            };
            if self.written < stretch.start {
                sink(Piece::Plain(self.buffer.get(self.written..stretch.start).unwrap_or_default()));
                self.written = stretch.start;
            }
            if self.begun.is_none() {
                self.begun = stretch.begin(&self.set, &self.key);
            }
            let end = stretch.end.min(until);
            let hidden = self.buffer.get(self.written..end).unwrap_or_default();
            if let Some(begun) = &mut self.begun {
                begun.feed(hidden);
            }
            sink(Piece::Hidden(hidden));
            self.written = end;
            if stretch.end > until {
                break;
            }
            let text = stretch.text(self.begun.take(), &self.set, &self.key);
            sink(Piece::InPlace(&text));
            self.masked += 1;
            self.stretches.remove_first();
        }
    }

    /// The bytes that are kept between two calls.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.buffer.capacity()
            + self.hits.capacity() * size_of::<Hit>()
            + self.tails.capacity() * size_of::<Open>()
            + self.stretches.kept()
    }

    /// Forgets what was handed out and is no longer looked back at.
    fn drop_written(&mut self) {
        let dropped = self.written.min(self.scanned.saturating_sub(BEHIND));
        self.buffer.drain(..dropped);
        self.written -= dropped;
        self.scanned -= dropped;
        self.stretches.shift(dropped);
        self.cursors.shift(dropped);
        for open in &mut self.tails {
            open.at = open.at.saturating_sub(dropped);
            open.hit.start = open.hit.start.saturating_sub(dropped);
            open.hit.end = open.hit.end.saturating_sub(dropped);
        }
    }
}

/// Where the PEM block ends that goes on at `at`, if its end line begins before `until`.
fn pem_end(text: &[u8], at: usize, until: usize) -> Option<usize> {
    const LONGEST_LABEL: usize = 64;
    let last = (until + PEM_END.len()).min(text.len());
    let found = memmem::find(text.get(at..last)?, PEM_END)?;
    let label = at + found + PEM_END.len();
    (at + found < until).then_some(())?;
    let end = label + run(text, label, LONGEST_LABEL, |byte| byte.is_ascii_alphanumeric() || byte == b' ');
    Some(end + run(text, end, 5, |byte| byte == b'-'))
}
