//! Example calls: for each route one that policies need the body of and that takes it, if there is any.
//!
//! Calls are made of a policy's entry and of what the route and its virtual host match, and then routed as Envoy does:
//! by the best domain, then by the first route. What depends on more than method, host and path may match or not.

use std::collections::BTreeMap;

use super::matcher::{Answer, Call, Matcher};
use super::route::{Host, Table};
use crate::policy::{Entry, HostPattern, PathPattern, Segment};

/// How many routes are asked in all. After that, calls are taken to come where they could: said too often, not too
/// seldom.
const TRIES: u64 = 5_000_000;
/// What stands for a segment that may be anything; the second suits expressions that want digits.
const FILLINGS: [&str; 2] = ["x", "1"];

pub(super) fn routes(tables: &mut [Table<'_>], entries: &[Entry]) {
    let mut left = TRIES;
    for table in tables {
        let domains = Domains::of(table);
        let hosts: Vec<_> = (0..table.hosts.len()).collect();
        for place in hosts {
            let found: Vec<_> = match table.hosts.get(place) {
                Some(host) => {
                    let reached: Vec<_> =
                        entries.iter().map(|entry| (entry, domains.example(place, host, entry))).collect();
                    (0..host.routes.len()).map(|route| example(host, route, &reached, &mut left)).collect()
                }
                None => continue,
            };
            let routes = table.hosts.get_mut(place).into_iter().flat_map(|host| &mut host.routes);
            for (route, body) in routes.zip(found) {
                route.body = body;
            }
        }
    }
}

/// A call of these entries, each with a host by which it comes to this virtual host, that takes this route.
fn example(
    host: &Host<'_>,
    place: usize,
    entries: &[(&Entry, Option<String>)],
    left: &mut u64,
) -> Option<String> {
    let route = host.routes.get(place).filter(|route| route.forwards())?;
    let before = host.routes.get(..place).unwrap_or_default();
    let mut possible = false;
    for (entry, name) in entries {
        let Some(name) = name else { continue };
        if *left == 0 {
            return Some("perhaps: there are too many routes to try them all".to_owned());
        }
        *left -= 1;
        let paths = paths(entry, &route.matcher);
        possible |= route.matcher.is_opaque() && !paths.is_empty();
        for path in paths {
            for method in methods(entry, &route.matcher) {
                let call = Call { method: method.to_owned(), host: name.clone(), path: path.clone() };
                if route.matcher.takes(&call) == Answer::No {
                    continue;
                }
                let asked = u64::try_from(before.len()).unwrap_or(u64::MAX);
                let tried = *left >= asked;
                *left = left.saturating_sub(asked);
                if !tried || !before.iter().any(|route| route.matcher.takes(&call) == Answer::Yes) {
                    return Some(format!("for example `{method} {name}{path}`"));
                }
                // Another route's call all the same: no sign that this one is out of reach.
                possible = false;
            }
        }
    }
    possible.then(|| "perhaps: which paths its expression takes was not worked out".to_owned())
}

fn methods<'m>(entry: &'m Entry, matcher: &Matcher<'m>) -> Vec<&'m str> {
    let mut methods: Vec<&str> = matcher.methods().collect();
    if methods.is_empty() {
        methods.push("POST");
    }
    match entry.methods.is_empty() {
        true => methods,
        false => entry.methods.iter().map(String::as_str).collect(),
    }
}

/// Paths of the entry that the route may take.
fn paths(entry: &Entry, matcher: &Matcher<'_>) -> Vec<String> {
    let literal = matcher.literal();
    let open = matcher.is_exact();
    let any = [PathPattern { segments: vec![Segment::Rest(None)] }];
    let patterns = if entry.paths.is_empty() { any.as_slice() } else { &entry.paths };
    let mut paths: Vec<_> = patterns
        .iter()
        .flat_map(|pattern| FILLINGS.iter().filter_map(|filling| overlay(pattern, literal, open, filling)))
        .collect();
    paths.dedup();
    paths
}

/// A path of the pattern that begins with the literal; exactly it where `exact`. `None` when there is none.
fn overlay(pattern: &PathPattern, literal: &str, exact: bool, filling: &str) -> Option<String> {
    let mut given = literal.strip_prefix('/').unwrap_or(literal).split('/').peekable();
    let mut path = String::new();
    for segment in &pattern.segments {
        let here = given.next();
        // The last segment of a prefix may go on; an empty one may be anything.
        let last = given.peek().is_none() && !exact;
        path.push('/');
        match (segment, here) {
            (Segment::Literal(text), None) => path.push_str(text),
            (Segment::Literal(text), Some(here)) if *text == here || (last && text.starts_with(here)) => {
                path.push_str(text)
            }
            (Segment::Literal(_), Some(_)) => return None,
            (Segment::One(_), Some(here)) if !here.is_empty() => path.push_str(here),
            (Segment::One(_), Some(_)) if exact => return None,
            (Segment::One(_), _) => path.push_str(filling),
            (Segment::Rest(_), None) => path.push_str(filling),
            (Segment::Rest(_), Some(here)) => {
                path.push_str(here);
                for more in given.by_ref() {
                    path.push('/');
                    path.push_str(more);
                }
                if path.ends_with('/') && path.len() > 1 && !exact {
                    path.push_str(filling);
                }
            }
        }
    }
    let rest: Vec<_> = given.filter(|rest| exact || !rest.is_empty()).collect();
    if path.is_empty() {
        path.push('/');
    }
    rest.is_empty().then_some(path)
}

/// Which virtual host a host leads to.
struct Domains<'a> {
    exact: BTreeMap<String, usize>,
    /// `*.example.com` without the star, and its virtual host.
    suffixes: BTreeMap<&'a str, usize>,
    /// `example.*` without the star.
    prefixes: BTreeMap<&'a str, usize>,
    any: Option<usize>,
}

impl<'a> Domains<'a> {
    fn of(table: &Table<'a>) -> Self {
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

    fn leads_to(&self, host: &str) -> Option<usize> {
        // The longest part of the host that a domain names; never all of it, since the star takes something.
        let suffix = || (1..host.len()).find_map(|start| self.suffixes.get(host.get(start..)?));
        let prefix = || (1..host.len()).rev().find_map(|end| self.prefixes.get(host.get(..end)?));
        let wild = || suffix().or_else(prefix).copied();
        self.exact.get(host).copied().or_else(wild).or(self.any)
    }

    /// A host of the entry by which calls come to this virtual host.
    fn example(&self, place: usize, host: &Host<'_>, entry: &Entry) -> Option<String> {
        let of_entry = entry.hosts.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => Some(name.clone()),
            HostPattern::Suffix(suffix) => Some(format!("x{suffix}")),
            HostPattern::Any => None,
        });
        let of_host = host.domains.iter().map(|domain| match *domain {
            "*" => "any.example".to_owned(),
            domain => domain.replace('*', "x").to_ascii_lowercase(),
        });
        let suits = |name: &str| {
            let plain = name.split(':').next().unwrap_or(name);
            entry.hosts.is_empty() || entry.hosts.iter().any(|pattern| pattern.matches(plain))
        };
        let mut candidates = of_entry.chain(of_host);
        candidates.find(|name| suits(name) && self.leads_to(name) == Some(place))
    }
}
