//! A trie over path segments that finds every policy entry whose path matches: the cost grows with the path and
//! with what matches it, not with the number of policies.

use std::collections::HashMap;

use super::pattern::{PathPattern, Segment};
use super::{Candidate, Entry};
use crate::request::Request;

#[derive(Debug, Default)]
pub struct Index {
    root: Node,
    entries: Vec<Indexed>,
    /// Entries without `paths`, and policies without `match`.
    anywhere: Vec<usize>,
}

#[derive(Debug, Default)]
struct Node {
    literal: HashMap<String, Node>,
    one: Option<Box<Node>>,
    /// Patterns that end here, and those whose `**` takes the rest.
    ends: Vec<usize>,
    rests: Vec<usize>,
}

/// One path of one entry.
#[derive(Debug)]
struct Indexed {
    policy: usize,
    entry: Option<Entry>,
    path: Option<PathPattern>,
    /// The captures that the policy's conditions read.
    captures: Vec<String>,
}

impl Index {
    /// Adds a policy; without entries it is about every call.
    pub fn add(&mut self, policy: usize, entries: &[Entry], captures: &[String]) {
        if entries.is_empty() {
            self.anywhere.push(self.entries.len());
            self.entries.push(Indexed { policy, entry: None, path: None, captures: Vec::new() });
        }
        for entry in entries {
            if entry.paths.is_empty() {
                self.anywhere.push(self.entries.len());
                let entry = Some(entry.clone());
                self.entries.push(Indexed { policy, entry, path: None, captures: Vec::new() });
            }
            for path in &entry.paths {
                let id = self.entries.len();
                self.root.insert(&path.segments, id);
                let (entry, path, captures) = (Some(entry.clone()), Some(path.clone()), captures.to_vec());
                self.entries.push(Indexed { policy, entry, path, captures });
            }
        }
    }

    /// The policies that are about `request`, in order; one that its patterns capture differently comes twice.
    pub fn candidates(&self, request: &Request, gateway: bool) -> Vec<Candidate> {
        let path: Vec<&str> = request.path.segments().collect();
        let mut found = self.anywhere.clone();
        self.root.collect(&path, &mut found);
        found.sort_unstable();
        let host = request.host_name();
        let mut candidates: Vec<Candidate> = Vec::new();
        for indexed in found.into_iter().filter_map(|id| self.entries.get(id)) {
            let applies = indexed
                .entry
                .as_ref()
                .is_none_or(|entry| (gateway || !entry.trusts_host()) && entry.matches(request, &host));
            if !applies {
                continue;
            }
            let captured = indexed.path.as_ref().map(|pattern| pattern.capture(&indexed.captures, &path));
            // What does not decode is captured as absent: the conditions that read it can't be evaluated.
            let captures = captured.flatten().unwrap_or_default();
            let candidate = Candidate { policy: indexed.policy, captures };
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        candidates
    }
}

impl Node {
    fn insert(&mut self, segments: &[Segment], id: usize) {
        match segments {
            [] => self.ends.push(id),
            [Segment::Rest(_), ..] => self.rests.push(id),
            [Segment::One(_), rest @ ..] => self.one.get_or_insert_default().insert(rest, id),
            [Segment::Literal(text), rest @ ..] => {
                self.literal.entry(text.clone()).or_default().insert(rest, id);
            }
        }
    }

    fn collect(&self, path: &[&str], found: &mut Vec<usize>) {
        found.extend(&self.rests);
        let Some((first, rest)) = path.split_first() else {
            found.extend(&self.ends);
            return;
        };
        if let Some(node) = self.literal.get(*first) {
            node.collect(rest, found);
        }
        if let Some(node) = self.one.as_deref().filter(|_| !first.is_empty()) {
            node.collect(rest, found);
        }
    }
}
