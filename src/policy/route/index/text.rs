//! The levels of hosts, methods, destinations, ports and context.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::level::{Asked, Keys, Level, Matching, Names, Search};
use crate::policy::route::{HostPattern, TextPattern};

/// Entries by host.
#[derive(Debug, Default)]
pub struct Hosts<L> {
    exact: Names<L>,
    /// With their leading dots.
    suffixes: Names<L>,
    any: Option<L>,
}

impl<L: Level> Level for Hosts<L> {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching) {
        if keys.hosts.is_empty() {
            self.any.get_or_insert_default().add(keys, matching);
        }
        for host in keys.hosts {
            let next = match host {
                HostPattern::Exact(name) => self.exact.entry(name.as_str().into()).or_default(),
                HostPattern::Suffix(suffix) => self.suffixes.entry(suffix.as_str().into()).or_default(),
                HostPattern::Any => self.any.get_or_insert_default(),
            };
            next.add(keys, matching);
        }
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        search.visit();
        if let Some(any) = &self.any {
            any.find(asked, search);
        }
        if !self.exact.is_empty()
            && let Some(next) = self.exact.get(asked.host)
        {
            next.find(asked, search);
        }
        if !self.suffixes.is_empty() {
            // At least one character stands before the dot.
            for (dot, _) in asked.host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                search.visit();
                let suffix = asked.host.get(dot..).and_then(|suffix| self.suffixes.get(suffix));
                if let Some(next) = suffix {
                    next.find(asked, search);
                }
            }
        }
    }
}

/// Entries by method.
#[derive(Debug, Default)]
pub struct Methods<L> {
    exact: Names<L>,
    any: Option<L>,
}

impl<L: Level> Level for Methods<L> {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching) {
        if keys.methods.is_empty() {
            self.any.get_or_insert_default().add(keys, matching);
        }
        for method in keys.methods {
            self.exact.entry(method.as_str().into()).or_default().add(keys, matching);
        }
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        search.visit();
        if let Some(any) = &self.any {
            any.find(asked, search);
        }
        if !self.exact.is_empty()
            && let Some(next) = self.exact.get(asked.request.method.as_str())
        {
            next.find(asked, search);
        }
    }
}

/// Entries by the destination's principal.
#[derive(Debug, Default)]
pub struct Destinations<L> {
    exact: Names<L>,
    prefixes: Affixes<L>,
    suffixes: Affixes<L>,
    /// Any that is there.
    present: Option<Box<L>>,
    any: Option<L>,
}

/// Prefixes or suffixes by their length in bytes. A text has no more of them than it has bytes.
type Affixes<L> = BTreeMap<usize, Names<L>>;

impl<L: Level> Level for Destinations<L> {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching) {
        if keys.destinations.is_empty() {
            self.any.get_or_insert_default().add(keys, matching);
        }
        for destination in keys.destinations {
            let next = match destination {
                TextPattern::Exact(text) => self.exact.entry(text.as_str().into()).or_default(),
                TextPattern::Prefix(text) => affixed(&mut self.prefixes, text),
                TextPattern::Suffix(text) => affixed(&mut self.suffixes, text),
                TextPattern::Present => self.present.get_or_insert_default(),
            };
            next.add(keys, matching);
        }
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        search.visit();
        if let Some(any) = &self.any {
            any.find(asked, search);
        }
        let text = asked.request.destination.principal.as_str();
        if !self.exact.is_empty()
            && let Some(next) = self.exact.get(text)
        {
            next.find(asked, search);
        }
        for (len, entries) in &self.prefixes {
            search.visit();
            if let Some(next) = text.get(..*len).and_then(|prefix| entries.get(prefix)) {
                next.find(asked, search);
            }
        }
        for (len, entries) in &self.suffixes {
            search.visit();
            let suffix = text.len().checked_sub(*len).and_then(|from| text.get(from..));
            if let Some(next) = suffix.and_then(|suffix| entries.get(suffix)) {
                next.find(asked, search);
            }
        }
        if let Some(present) = self.present.as_ref().filter(|_| !text.is_empty()) {
            present.find(asked, search);
        }
    }
}

fn affixed<'l, L: Level>(affixes: &'l mut Affixes<L>, text: &str) -> &'l mut L {
    affixes.entry(text.len()).or_default().entry(text.into()).or_default()
}

/// Entries by the destination's port.
#[derive(Debug, Default)]
pub struct Ports<L> {
    exact: FxHashMap<u16, L>,
    any: Option<L>,
}

impl<L: Level> Level for Ports<L> {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching) {
        if keys.ports.is_empty() {
            self.any.get_or_insert_default().add(keys, matching);
        }
        for port in keys.ports {
            self.exact.entry(*port).or_default().add(keys, matching);
        }
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        search.visit();
        if let Some(any) = &self.any {
            any.find(asked, search);
        }
        if !self.exact.is_empty()
            && let Some(next) = self.exact.get(&asked.request.destination.port)
        {
            next.find(asked, search);
        }
    }
}

/// Entries by one key of the context and its value.
#[derive(Debug, Default)]
pub struct Contexts<L> {
    exact: Names<Names<L>>,
    any: Option<L>,
}

impl<L: Level> Level for Contexts<L> {
    fn add(&mut self, keys: &Keys<'_>, matching: &Matching) {
        let next = match keys.context {
            Some((key, value)) => self.exact.entry(key.into()).or_default().entry(value.into()).or_default(),
            None => self.any.get_or_insert_default(),
        };
        next.add(keys, matching);
    }

    fn find(&self, asked: &Asked<'_>, search: &mut Search<'_>) {
        search.visit();
        if let Some(any) = &self.any {
            any.find(asked, search);
        }
        if self.exact.is_empty() {
            return;
        }
        for (key, value) in &asked.request.context {
            search.visit();
            let next = self.exact.get(key.as_str()).and_then(|values| values.get(value.as_str()));
            if let Some(next) = next {
                next.find(asked, search);
            }
        }
    }
}
