//! Finds every policy entry that a call matches: a trie over hosts, path segments and the rest of what entries ask
//! for. The cost grows with the call and with what matches it, not with the number of policies.

use std::sync::Arc;

use super::{Candidate, Candidates, Entry, HostPattern, PathPattern, TextPattern};
use crate::request::{Part, Request};
use level::{Asked, Keys, Leaf, Level, Matching, Search};
use rustc_hash::FxHashMap;

mod level;
mod path;
mod text;

use path::Paths;
use text::{Contexts, Destinations, Hosts, Methods, Ports};

/// How many places of the trie one entry may stand at. What would take more is compared when the rest has matched.
const MOST_PLACES: usize = 1_024;

type Root = Hosts<Paths<Methods<Destinations<Ports<Contexts<Leaf>>>>>>;

/// Which policies are about which calls.
#[derive(Debug, Default)]
pub struct Index {
    everywhere: Root,
    /// Entries that match on gateways only, when there are any.
    gateways: Option<Root>,
    /// Whether any entry names hosts.
    hosts: bool,
    /// What patterns capture for the conditions of their policies; the first captures nothing.
    captures: Vec<Box<[Part]>>,
}

/// The entries of `match` and the captures that conditions read, of one policy.
pub type Route<'p> = (&'p [Entry], &'p [String]);

impl Index {
    /// An index of policies, which are named by their place in `routes`.
    pub fn new<'p>(routes: impl Iterator<Item = Route<'p>> + Clone) -> Self {
        let rarity = Rarity::of(routes.clone());
        let mut index = Self { captures: vec![Box::default()], ..Self::default() };
        let mut known: FxHashMap<Box<[Part]>, u32> = FxHashMap::default();
        known.insert(Box::default(), 0);
        for (policy, (entries, names)) in (0..).zip(routes) {
            if entries.is_empty() {
                let leaf = Matching { candidate: Candidate { policy, captures: 0 }, rest: None };
                index.everywhere.add(&Keys::default(), &leaf);
            }
            for entry in entries {
                index.hosts |= !entry.hosts.is_empty();
                let (keys, complete) = keys(entry, &rarity);
                let rest = (!complete).then(|| Arc::new(entry.clone()));
                let root = if entry.trusts_host() {
                    index.gateways.get_or_insert_default()
                } else {
                    &mut index.everywhere
                };
                let mut add = |path: Option<&PathPattern>, captures| {
                    let leaf = Matching { candidate: Candidate { policy, captures }, rest: rest.clone() };
                    root.add(&Keys { path, ..keys }, &leaf);
                };
                if entry.paths.is_empty() {
                    add(None, 0);
                }
                for path in &entry.paths {
                    let parts = path.parts(names);
                    let captures = *known.entry(parts.clone()).or_insert_with(|| {
                        index.captures.push(parts);
                        u32::try_from(index.captures.len() - 1).unwrap_or(0)
                    });
                    add(Some(path), captures);
                }
            }
        }
        index
    }

    /// The policies that are about `request`, in order; one whose patterns capture differently comes twice.
    pub fn candidates(&self, request: &Request, gateway: bool) -> Candidates {
        let mut found = Candidates::default();
        self.search(request, gateway, &mut Search::new(&mut found));
        level::tidy(&mut found);
        found
    }

    fn search(&self, request: &Request, gateway: bool, search: &mut Search<'_>) {
        let host = if self.hosts { request.host_name() } else { "".into() };
        let asked = Asked { request, host: &host, path: request.path.inner() };
        self.everywhere.find(&asked, search);
        if let Some(gateways) = self.gateways.as_ref().filter(|_| gateway) {
            gateways.find(&asked, search);
        }
    }

    /// What a candidate's path pattern captured.
    pub fn captures(&self, candidate: Candidate) -> &[Part] {
        let number = usize::try_from(candidate.captures).unwrap_or(usize::MAX);
        self.captures.get(number).map_or(&[], |parts| parts)
    }
}

/// How many entries ask for one value of one key of the context.
struct Rarity<'p>(FxHashMap<(&'p str, &'p str), usize>);

impl<'p> Rarity<'p> {
    fn of(routes: impl Iterator<Item = Route<'p>>) -> Self {
        let mut counted = FxHashMap::default();
        for (key, value) in routes.flat_map(|(entries, _)| entries).flat_map(|entry| &entry.context) {
            *counted.entry((key.as_str(), value.as_str())).or_default() += 1;
        }
        Self(counted)
    }

    /// Of what the entry asks of the context, that which fewest others ask for: it tells most.
    fn rarest<'e>(&self, entry: &'e Entry) -> Option<(&'e str, &'e str)> {
        let pairs = entry.context.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        pairs.min_by_key(|pair| self.0.get(pair).copied())
    }
}

/// By what an entry is found, its path left out, and whether that is all that it asks for.
fn keys<'e>(entry: &'e Entry, rarity: &Rarity<'_>) -> (Keys<'e>, bool) {
    let mut places = entry.paths.len().max(1);
    let mut complete = entry.context.len() <= 1;
    let mut within = |values: usize| {
        let product = places.saturating_mul(values.max(1));
        let fits = product <= MOST_PLACES || values <= 1;
        if fits {
            places = product;
        }
        complete &= fits;
        fits
    };
    // What tells most comes first.
    let hosts: &[HostPattern] = if within(entry.hosts.len()) { &entry.hosts } else { &[] };
    let destinations: &[TextPattern] =
        if within(entry.destinations.len()) { &entry.destinations } else { &[] };
    let ports: &[u16] = if within(entry.ports.len()) { &entry.ports } else { &[] };
    let methods: &[String] = if within(entry.methods.len()) { &entry.methods } else { &[] };
    let keys = Keys { hosts, path: None, methods, destinations, ports, context: rarity.rarest(entry) };
    (keys, complete)
}

#[cfg(test)]
mod tests;
