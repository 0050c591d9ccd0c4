//! Which entries have a host by which calls come to a virtual host.
//!
//! Both are looked up by their hosts: there may be thousands of policies and thousands of virtual hosts, of which each
//! policy speaks of few.

use std::collections::HashMap;

use super::domains::Domains;
use crate::policy::{Entry, HostPattern};
use crate::proxy::view::route::Host;

/// Entries by the hosts that they ask for, each by its place.
pub(super) struct Entries<'e> {
    all: &'e [Entry],
    /// Those that ask for none.
    any: Vec<usize>,
    exact: HashMap<&'e str, Vec<usize>>,
    /// With the leading dot.
    suffixes: HashMap<&'e str, Vec<usize>>,
}

/// For one table: the hosts of entries, by the virtual host that they lead to.
pub(super) struct Reach<'r, 'e> {
    entries: &'r Entries<'e>,
    /// By the virtual host's place: entries by theirs, in their order, each with the first such host.
    led: HashMap<usize, Vec<(usize, String)>>,
}

/// Entries with a host by which their calls come to one virtual host, in their order.
pub(super) struct Reached<'r> {
    all: &'r [Entry],
    /// Hosts that the virtual host names, by which calls come to it.
    own: Vec<String>,
    /// Entries by their place, each with its host.
    found: Vec<(usize, Name<'r>)>,
}

/// A host by which calls of an entry come to a virtual host.
#[derive(Clone, Copy)]
enum Name<'r> {
    /// One that the entry names.
    Led(&'r str),
    /// The place of one of the virtual host's own.
    Own(usize),
}

impl<'e> Entries<'e> {
    pub fn of(all: &'e [Entry]) -> Self {
        let mut entries = Self { all, any: Vec::new(), exact: HashMap::new(), suffixes: HashMap::new() };
        for (place, entry) in all.iter().enumerate() {
            if entry.hosts.is_empty() || entry.hosts.contains(&HostPattern::Any) {
                entries.any.push(place);
                continue;
            }
            for pattern in &entry.hosts {
                match pattern {
                    HostPattern::Exact(name) => entries.exact.entry(name).or_default().push(place),
                    HostPattern::Suffix(suffix) => entries.suffixes.entry(suffix).or_default().push(place),
                    HostPattern::Any => {}
                }
            }
        }
        entries
    }

    /// The entries that ask for this host, or for a suffix of it.
    fn asking(&self, host: &str) -> impl Iterator<Item = usize> {
        let suffix = |(start, _): (usize, &str)| self.suffixes.get(host.get(start..)?).filter(|_| start > 0);
        let suffixes = host.match_indices('.').filter_map(suffix);
        self.exact.get(host).into_iter().chain(suffixes).flatten().copied()
    }
}

impl<'r, 'e> Reach<'r, 'e> {
    pub fn of(entries: &'r Entries<'e>, domains: &Domains<'_>) -> Self {
        let mut led: HashMap<usize, Vec<(usize, String)>> = HashMap::new();
        for (place, entry) in entries.all.iter().enumerate() {
            for pattern in &entry.hosts {
                let name = match pattern {
                    HostPattern::Exact(name) => name.clone(),
                    HostPattern::Suffix(suffix) => format!("x{suffix}"),
                    HostPattern::Any => continue,
                };
                let Some(host) = domains.leads_to(&name) else { continue };
                let led = led.entry(host).or_default();
                if led.last().is_none_or(|(last, _)| *last != place) {
                    led.push((place, name));
                }
            }
        }
        Self { entries, led }
    }

    /// The entries whose calls come to the virtual host at this place.
    pub fn of_host(&'r self, place: usize, host: &Host<'_>, domains: &Domains<'_>) -> Reached<'r> {
        let names = host.domains.iter().map(|domain| match *domain {
            "*" => "any.example".to_owned(),
            domain => domain.replace('*', "x").to_ascii_lowercase(),
        });
        let own: Vec<_> = names.filter(|name| domains.leads_to(name) == Some(place)).collect();
        // A host that the entry names goes before those of the virtual host, and of these the first that suits.
        let led = self.led.get(&place).into_iter().flatten();
        let mut found: Vec<_> = led.map(|(entry, name)| (*entry, Name::Led(name))).collect();
        for (name, host) in own.iter().enumerate() {
            let plain = host.split(':').next().unwrap_or(host);
            found.extend(self.entries.asking(plain).map(|entry| (entry, Name::Own(name))));
        }
        if !own.is_empty() {
            found.extend(self.entries.any.iter().map(|entry| (*entry, Name::Own(0))));
        }
        found.sort_by_key(|(entry, _)| *entry);
        found.dedup_by_key(|(entry, _)| *entry);
        Reached { all: self.entries.all, own, found }
    }
}

impl Reached<'_> {
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, &str)> {
        self.found.iter().filter_map(|(entry, name)| {
            let name = match name {
                Name::Led(name) => name,
                Name::Own(place) => self.own.get(*place)?.as_str(),
            };
            Some((self.all.get(*entry)?, name))
        })
    }
}
