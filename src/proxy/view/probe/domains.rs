//! Which virtual host takes which host.

use std::collections::BTreeMap;

use crate::proxy::view::route::Table;

/// Which virtual host a host leads to.
pub(super) struct Domains<'a> {
    exact: BTreeMap<String, usize>,
    /// `*.example.com` without the star, and its virtual host.
    suffixes: BTreeMap<&'a str, usize>,
    /// `example.*` without the star.
    prefixes: BTreeMap<&'a str, usize>,
    any: Option<usize>,
}

impl<'a> Domains<'a> {
    pub fn of(table: &Table<'a>) -> Self {
        let mut domains =
            Self { exact: BTreeMap::new(), suffixes: BTreeMap::new(), prefixes: BTreeMap::new(), any: None };
        for (place, host) in table.hosts.iter().enumerate() {
            for domain in &host.domains {
                match (*domain, domain.strip_prefix('*'), domain.strip_suffix('*')) {
                    ("*", _, _) => domains.any = Some(place),
                    (_, Some(suffix), _) => drop(domains.suffixes.insert(suffix, place)),
                    (_, _, Some(prefix)) => drop(domains.prefixes.insert(prefix, place)),
                    _ => {
                        domains.exact.entry(domain.to_ascii_lowercase()).or_insert(place);
                    }
                }
            }
        }
        domains
    }

    /// The place of the virtual host that takes calls of this host; `None` when none does.
    pub fn leads_to(&self, host: &str) -> Option<usize> {
        // The longest part of the host that a domain names; never all of it, since the star takes something.
        let suffix = || (1..host.len()).find_map(|start| self.suffixes.get(host.get(start..)?));
        let prefix = || (1..host.len()).rev().find_map(|end| self.prefixes.get(host.get(..end)?));
        let wild = || suffix().or_else(prefix).copied();
        self.exact.get(host).copied().or_else(wild).or(self.any)
    }
}
