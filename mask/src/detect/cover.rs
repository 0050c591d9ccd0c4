//! The stretches of a text that are taken, and what takes their place.
//!
//! Stretches that overlap are one. Where their rules agree about the method it is applied to the whole; where they don't,
//! the whole is redacted, or removed when one of them wants that: whatever came first, and whatever was seen first.

use super::scan::Hit;
use super::set::{Entry, Set};
use crate::hash::HashKey;
use crate::json::ValueKind;
use crate::json::replacement::Replacement;
use crate::json_string::Scanner;
use crate::method::Method;
use crate::plan::Action;

/// A stretch that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub start: usize,
    pub end: usize,
    /// The first of the set's entries that want it.
    entry: usize,
    /// Whether they want different things.
    mixed: bool,
    /// Whether one of them wants it to be removed.
    removed: bool,
}

impl Stretch {
    pub fn of(hit: &Hit, set: &Set) -> Self {
        let removed = set.entries().get(hit.entry).is_some_and(|entry| entry.method == Method::Remove);
        Self { start: hit.start, end: hit.end, entry: hit.entry, mixed: false, removed }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn join(&mut self, other: &Self, set: &Set) {
        let method = |stretch: &Self| set.entries().get(stretch.entry).map(kind_of_method);
        self.mixed |= other.mixed || method(self) != method(other);
        self.removed |= other.removed;
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.entry = self.entry.min(other.entry);
    }

    /// Begins what takes its place, for a method that looks at the value.
    pub fn begin(&self, set: &Set, key: &HashKey) -> Option<Replacement> {
        let method = &set.entries().get(self.entry)?.method;
        Some(start(method, key))
    }

    /// The text in its place. `begun` was fed the whole stretch, and counts if all still agree.
    pub fn text(&self, begun: Option<Replacement>, set: &Set, key: &HashKey) -> Vec<u8> {
        let Some(entry) = set.entries().get(self.entry) else { return Vec::new() };
        if self.removed {
            return Vec::new();
        }
        let replacement = match (&entry.method, begun) {
            (Method::Redact { .. }, _) | (_, None) => start(&entry.redaction(), key),
            _ if self.mixed => start(&entry.redaction(), key),
            (_, Some(begun)) => begun,
        };
        finish(replacement)
    }
}

/// Two redactions are one method, whatever text they leave.
fn kind_of_method(entry: &Entry) -> Method {
    match &entry.method {
        Method::Redact { .. } => Method::redact(),
        method => method.clone(),
    }
}

fn start(method: &Method, key: &HashKey) -> Replacement {
    // Part of a text is never a whole document.
    Replacement::start(&Action::of(method), ValueKind::String, false, key)
}

/// Replacements are written as JSON; the text is what that says.
fn finish(replacement: Replacement) -> Vec<u8> {
    let (mut json, mut text) = (Vec::new(), Vec::new());
    replacement.finish(&mut json);
    if let Some((b'"', rest)) = json.split_first() {
        // It was written a line above, and holds no mistake.
        let _ = Scanner::default().scan(rest, |piece| text.extend_from_slice(piece));
    }
    text
}

/// Stretches in order, none of which overlap.
#[derive(Debug, Default)]
pub struct Stretches {
    list: Vec<Stretch>,
}

impl Stretches {
    /// Adds one, and joins it with those that it overlaps.
    pub fn add(&mut self, stretch: Stretch, set: &Set) {
        let from = self.list.partition_point(|known| known.end <= stretch.start);
        let mut joined = stretch;
        let mut to = from;
        while let Some(known) = self.list.get(to).filter(|known| known.overlaps(&stretch)) {
            joined.join(known, set);
            to += 1;
        }
        self.list.splice(from..to, [joined]);
    }

    pub fn first(&self) -> Option<&Stretch> {
        self.list.first()
    }

    pub fn remove_first(&mut self) {
        if !self.list.is_empty() {
            self.list.remove(0);
        }
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.list.capacity() * size_of::<Stretch>()
    }

    /// `dropped` bytes at the text's beginning are no longer there.
    pub fn shift(&mut self, dropped: usize) {
        for stretch in &mut self.list {
            stretch.start = stretch.start.saturating_sub(dropped);
            stretch.end = stretch.end.saturating_sub(dropped);
        }
    }
}
