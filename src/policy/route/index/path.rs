//! The level of paths: a trie over their segments.

use super::level::{Asked, Keys, Level, Matching, Names, Search};
use crate::policy::route::pattern::Segment;

/// Entries by their path.
#[derive(Debug, Default)]
pub struct Paths<L> {
    root: Node<L>,
    /// Entries without a path.
    any: Option<L>,
}

/// Where some segments lead.
#[derive(Debug)]
struct Node<L> {
    literal: Names<Node<L>>,
    one: Option<Box<Node<L>>>,
    /// Patterns that end here, and those whose `**` takes the rest.
    ends: Option<Box<L>>,
    rests: Option<Box<L>>,
}

impl<L> Default for Node<L> {
    fn default() -> Self {
        Self { literal: Names::default(), one: None, ends: None, rests: None }
    }
}

impl<L: Level> Level for Paths<L> {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching) {
        let next = match keys.path {
            Some(pattern) => self.root.at(&pattern.segments),
            None => self.any.get_or_insert_default(),
        };
        next.add(keys, matching);
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        if let Some(any) = &self.any {
            any.find(asked, search);
        }
        self.root.find(asked.path, asked, search);
    }
}

impl<L: Level> Node<L> {
    /// Where patterns of these segments are kept.
    fn at(&mut self, segments: &[Segment]) -> &mut L {
        match segments {
            [] => self.ends.get_or_insert_default(),
            [Segment::Rest(_), ..] => self.rests.get_or_insert_default(),
            [Segment::One(_), rest @ ..] => self.one.get_or_insert_default().at(rest),
            [Segment::Literal(text), rest @ ..] => {
                self.literal.entry(text.as_str().into()).or_default().at(rest)
            }
        }
    }

    /// `path` is what is left of it; `None` when nothing is, not even an empty segment.
    fn find(&self, path: Option<&str>, asked: &Asked<'_>, search: &mut Search<'_>) {
        search.visit();
        if let Some(rests) = &self.rests {
            rests.find(asked, search);
        }
        let Some(path) = path else {
            if let Some(ends) = &self.ends {
                ends.find(asked, search);
            }
            return;
        };
        // Segments are short: this takes less than a search that is made for long texts.
        let slash = path.bytes().position(|byte| byte == b'/');
        let (first, rest) = match slash.and_then(|slash| path.split_at_checked(slash)) {
            Some((first, rest)) => (first, rest.get(1..)),
            None => (path, None),
        };
        if !self.literal.is_empty()
            && let Some(node) = self.literal.get(first)
        {
            node.find(rest, asked, search);
        }
        if let Some(node) = self.one.as_deref().filter(|_| !first.is_empty()) {
            node.find(rest, asked, search);
        }
    }
}
