//! Which calls a policy is about: hosts, paths, methods, destinations, ports and context.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::request::Request;

mod index;
mod pattern;
mod read;

pub use index::Index;
pub use pattern::{PathPattern, Segment};
pub use read::entries;

/// One entry of `match`: every list that is not empty must have an element that matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub hosts: Vec<HostPattern>,
    pub paths: Vec<PathPattern>,
    pub methods: Vec<String>,
    pub destinations: Vec<TextPattern>,
    pub ports: Vec<u16>,
    pub context: BTreeMap<String, String>,
}

/// `api.example.com`, `*.example.com` (any number of labels before it) or `*`; in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Exact(String),
    /// With its leading dot.
    Suffix(String),
    Any,
}

/// A text with at most one `*`, first or last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    /// `*`: any that is there.
    Present,
}

impl Entry {
    /// Whether only the caller's word says that the call is meant for this host.
    pub fn trusts_host(&self) -> bool {
        !self.hosts.is_empty()
            && self.destinations.is_empty()
            && self.ports.is_empty()
            && self.context.is_empty()
    }

    /// Everything but the path, which the index has matched.
    pub fn matches(&self, request: &Request, host: &str) -> bool {
        let destination = &request.destination;
        any(&self.methods, |method| *method == request.method)
            && any(&self.hosts, |pattern| pattern.matches(host))
            && any(&self.destinations, |pattern| pattern.matches(&destination.principal))
            && any(&self.ports, |port| *port == destination.port)
            && self.context.iter().all(|(key, value)| request.context.get(key) == Some(value))
    }
}

fn any<T>(patterns: &[T], matches: impl Fn(&T) -> bool) -> bool {
    patterns.is_empty() || patterns.iter().any(matches)
}

impl HostPattern {
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Any => true,
        }
    }
}

impl TextPattern {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Present => !text.is_empty(),
        }
    }
}

/// A policy whose route matches one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its place in the set.
    policy: u32,
    /// What its path pattern captured: see [`Index::captures`].
    captures: u32,
}

/// Candidates of one call; that many are kept without allocating.
pub type Candidates = SmallVec<[Candidate; 16]>;

impl Candidate {
    /// The place of its policy, to index with.
    pub fn place(self) -> usize {
        usize::try_from(self.policy).unwrap_or(usize::MAX)
    }
}
