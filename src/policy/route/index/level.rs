//! What the levels of the index have in common: each tells entries apart by one thing that they ask for, and passes
//! a call on to every part of itself that matches.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::policy::route::{Candidate, Candidates, Entry, HostPattern, PathPattern, TextPattern};
use crate::request::Request;

/// By what one entry is found. What is empty or absent matches everything at its level.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys<'e> {
    pub hosts: &'e [HostPattern],
    pub path: Option<&'e PathPattern>,
    pub methods: &'e [String],
    pub destinations: &'e [TextPattern],
    pub ports: &'e [u16],
    pub context: Option<(&'e str, &'e str)>,
}

/// What is looked up of one call.
pub struct Asked<'r> {
    pub request: &'r Request,
    /// In lower case, without port.
    pub host: &'r str,
    /// Without the first `/`; `None` for `/`.
    pub path: Option<&'r str>,
}

/// What is found by a name. Most parts of the index hold one, which this compares without hashing what is sought.
pub type Names<L> = IndexMap<Box<str>, L, FxBuildHasher>;

/// One level of the index.
pub trait Level: Default + fmt::Debug {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching);

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>);
}

/// An entry, found by all of its keys.
#[derive(Clone, Debug)]
pub struct Matching {
    pub candidate: Candidate,
    /// The entry, where it asks for more than its keys say.
    pub rest: Option<Arc<Entry>>,
}

/// The last level: what is left has matched.
#[derive(Debug, Default)]
pub struct Leaf(Vec<Matching>);

impl Level for Leaf {
    fn add(&mut self, _: &Keys<'_>, matching: &Matching) {
        self.0.push(matching.clone());
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        for matching in &self.0 {
            search.visit();
            if matching.rest.as_ref().is_none_or(|entry| entry.matches(asked.request, asked.host)) {
                search.push(matching.candidate);
            }
        }
    }
}

/// What one search has found: in no order, and some several times.
#[derive(Debug)]
pub struct Search<'f> {
    found: &'f mut Candidates,
    /// Entries, and parts of the trie that hold any, that were looked at.
    #[cfg(test)]
    pub visited: usize,
}

impl<'f> Search<'f> {
    pub fn new(found: &'f mut Candidates) -> Self {
        Self {
            found,
            #[cfg(test)]
            visited: 0,
        }
    }

    /// What was found several times is not to cost an allocation.
    fn push(&mut self, candidate: Candidate) {
        if self.found.len() == self.found.inline_size() {
            tidy(self.found);
            if self.found.contains(&candidate) {
                return;
            }
        }
        self.found.push(candidate);
    }

    /// Counts one step of the search, for tests.
    #[inline]
    pub fn visit(&mut self) {
        #[cfg(test)]
        {
            self.visited += 1;
        }
    }
}

/// Puts candidates in order, each once.
pub fn tidy(found: &mut Candidates) {
    if found.len() > 1 {
        found.sort_unstable();
        found.dedup();
    }
}
