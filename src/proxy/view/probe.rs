//! Example calls: for each route one that policies need the body of and that takes it, if there is any, and one whose
//! response they mask.
//!
//! Calls are made of a policy's entry and of what the route and its virtual host match, and then routed as Envoy does:
//! by the best domain, then by the first route. What depends on more than method, host and path may match or not.

use super::matcher::{Answer, Call, Matcher};
use super::route::{Host, Table};
use crate::policy::{Entry, PathPattern, Segment};

mod domains;
mod reach;

use domains::Domains;
use reach::{Entries, Reach};

/// How many routes are asked in all. After that, calls are taken to come where they could: said too often, not too
/// seldom.
const TRIES: u64 = 5_000_000;
/// What stands for a segment that may be anything; the second suits expressions that want digits.
const FILLINGS: [&str; 2] = ["x", "1"];

/// Fills in each route's examples: a call of `bodies` and one of `masked`.
pub(super) fn routes(tables: &mut [Table<'_>], bodies: &[Entry], masked: &[Entry]) {
    let (mut bodies, mut masked) = (Prober::new(bodies), Prober::new(masked));
    for table in tables {
        let domains = Domains::of(table);
        let found: (Vec<_>, Vec<_>) = (bodies.table(table, &domains), masked.table(table, &domains));
        drop(domains);
        let routes = table.hosts.iter_mut().flat_map(|host| &mut host.routes);
        for (route, (body, masked)) in routes.zip(found.0.into_iter().zip(found.1)) {
            (route.body, route.masked) = (body, masked);
        }
    }
}

/// Looks for calls of these entries.
struct Prober<'e> {
    entries: Entries<'e>,
    /// How many routes may still be asked.
    left: u64,
}

impl<'e> Prober<'e> {
    fn new(entries: &'e [Entry]) -> Self {
        Self { entries: Entries::of(entries), left: TRIES }
    }

    /// An example for each route of a table, in their order.
    fn table(&mut self, table: &Table<'_>, domains: &Domains<'_>) -> Vec<Option<String>> {
        let reach = Reach::of(&self.entries, domains);
        let mut found = Vec::new();
        for (place, host) in table.hosts.iter().enumerate() {
            let reached = reach.of_host(place, host, domains);
            let entries = || reached.iter();
            found.extend((0..host.routes.len()).map(|route| example(host, route, entries(), &mut self.left)));
        }
        found
    }
}

/// A call of these entries, each with a host by which it comes to this virtual host, that takes this route.
fn example<'r>(
    host: &Host<'_>,
    place: usize,
    entries: impl Iterator<Item = (&'r Entry, &'r str)>,
    left: &mut u64,
) -> Option<String> {
    let route = host.routes.get(place).filter(|route| route.forwards())?;
    let before = host.routes.get(..place).unwrap_or_default();
    let mut possible = false;
    for (entry, name) in entries {
        if *left == 0 {
            return Some("perhaps: there are too many routes to try them all".to_owned());
        }
        *left -= 1;
        let paths = paths(entry, &route.matcher);
        possible |= route.matcher.is_opaque() && !paths.is_empty();
        for path in paths {
            for method in methods(entry, &route.matcher) {
                let call = Call { method: method.to_owned(), host: name.to_owned(), path: path.clone() };
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
