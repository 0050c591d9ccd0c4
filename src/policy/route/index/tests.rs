use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::policy::route::entries;
use crate::request::{Limits, Parts, Peer};

/// An entry as written in a policy.
fn entry(text: &str) -> Entry {
    let document = crate::document::Document::parse(&"e.yaml".into(), &text.into()).unwrap();
    let mut reader = crate::document::Reader::new(&"e.yaml".into());
    let entries = entries(&document.roots[0], true, &mut reader);
    entries.unwrap_or_else(|| panic!("{text}: {:?}", reader.findings)).remove(0)
}

/// An index of policies with one entry each.
fn index(policies: &[Vec<Entry>]) -> Index {
    Index::new(policies.iter().map(|entries| (entries.as_slice(), &[][..])))
}

fn call(method: &str, host: &str, path: &str, principal: &str, port: u16, route: &str) -> Request {
    let parts = Parts {
        method: method.into(),
        host: host.into(),
        path: path.into(),
        destination: Peer { principal: principal.into(), port, ..Peer::default() },
        context: [("cluster".to_owned(), "prod".to_owned()), ("route".to_owned(), route.to_owned())].into(),
        ..Parts::default()
    };
    Request::assemble(parts, &Limits::default())
}

/// One way in which many entries differ: the n-th of them, and a call that matches no other.
type Way = (fn(usize) -> Entry, fn(usize) -> Request);

const WAYS: [(&str, Way); 10] = [
    ("paths", (|n| path(&format!("/v1/shop-{n}/orders")), |n| get(&format!("/v1/shop-{n}/orders")))),
    ("inner segments", (|n| path(&format!("/*/shop-{n}/**")), |n| get(&format!("/v1/shop-{n}/orders")))),
    ("hosts", (|n| host(HostPattern::Exact(format!("s{n}.example"))), |n| to_host(&format!("s{n}.example")))),
    (
        "domains",
        (|n| host(HostPattern::Suffix(format!(".{n}.example"))), |n| to_host(&format!("a.{n}.example"))),
    ),
    (
        "destinations",
        (|n| peer(TextPattern::Exact(format!("ns/{n}/web"))), |n| to_peer(&format!("ns/{n}/web"))),
    ),
    ("prefixes", (|n| peer(TextPattern::Prefix(format!("ns/{n}/"))), |n| to_peer(&format!("ns/{n}/web")))),
    ("suffixes", (|n| peer(TextPattern::Suffix(format!("/{n}/web"))), |n| to_peer(&format!("ns/{n}/web")))),
    (
        "ports",
        (|n| Entry { ports: vec![port(n)], ..Entry::default() }, |n| call("GET", "a", "/", "", port(n), "")),
    ),
    (
        "methods",
        (
            |n| Entry { methods: vec![method(n)], ..Entry::default() },
            |n| call(&method(n), "a", "/", "", 1, ""),
        ),
    ),
    ("context", (in_context, |n| call("GET", "a", "/", "", 1, &n.to_string()))),
];

fn path(pattern: &str) -> Entry {
    Entry { paths: vec![PathPattern::parse(pattern).unwrap()], ..Entry::default() }
}

fn host(pattern: HostPattern) -> Entry {
    Entry { hosts: vec![pattern], ..Entry::default() }
}

fn peer(pattern: TextPattern) -> Entry {
    Entry { destinations: vec![pattern], ..path("/**") }
}

fn in_context(n: usize) -> Entry {
    let context = [("cluster".to_owned(), "prod".to_owned()), ("route".to_owned(), n.to_string())].into();
    Entry { context, ..Entry::default() }
}

fn get(path: &str) -> Request {
    call("GET", "a", path, "", 1, "")
}

fn to_host(host: &str) -> Request {
    call("GET", host, "/", "", 1, "")
}

fn to_peer(principal: &str) -> Request {
    call("GET", "a", "/v1/orders", principal, 1, "")
}

fn port(n: usize) -> u16 {
    u16::try_from(n + 1).unwrap()
}

#[test]
fn a_search_visits_what_matches_however_many_policies_there_are() {
    for (name, (entry, request)) in WAYS {
        let visited = |count: usize| {
            let policies: Vec<_> = (0..count).map(|n| vec![entry(n)]).collect();
            let index = index(&policies);
            let visits = [0, 7, count - 1].map(|n| {
                let mut found = Candidates::default();
                let mut search = Search::new(&mut found);
                index.search(&request(n), true, &mut search);
                let visited = search.visited;
                assert_eq!(found.iter().map(|found| found.place()).collect::<Vec<_>>(), [n], "{name}");
                visited
            });
            visits.into_iter().max().unwrap()
        };
        let (few, many) = (visited(10), visited(10_000));
        // Prefixes and suffixes are looked up once for each length that they have: here 1 to 4 digits.
        assert!(many <= few + 3 && few < 40, "{name}: {few} visits among 10 policies, {many} among 10,000");
    }
}

/// A method of letters, different for every number.
fn method(n: usize) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'A')).collect()
}

#[test]
fn an_entry_with_very_many_places_is_compared_instead() {
    let mut text = "[{hosts: [".to_owned();
    (0..100).for_each(|n| write!(text, "h{n}.example, ").unwrap());
    text.push_str("], ports: [");
    (1..100).for_each(|n| write!(text, "{n}, ").unwrap());
    text.push_str("], methods: [GET, PUT], paths: ['/v1/**', '/v2/**']}]");
    let policies = [vec![entry(&text)]];
    let index = index(&policies);
    for (method, host, path, port, wanted) in [
        ("GET", "h7.example", "/v2/x", 99, 1),
        ("PUT", "H99.example:80", "/v1", 1, 1),
        ("POST", "h7.example", "/v2/x", 99, 0),
        ("GET", "h7.example", "/v2/x", 100, 0),
        ("GET", "other.example", "/v2/x", 99, 0),
    ] {
        let request = call(method, host, path, "", port, "");
        assert_eq!(index.candidates(&request, false).len(), wanted, "{method} {host} {path} {port}");
    }
}

#[test]
fn a_policy_is_found_once_however_many_of_its_entries_match() {
    let both = vec![entry("[{paths: ['/v1/**', '/**']}]"), entry("[{methods: [GET]}]")];
    let request = call("GET", "a", "/v1/x", "", 1, "");
    assert_eq!(index(&[both]).candidates(&request, false).len(), 1);
}

/// Some of `values`, as a field of a flow map; none leaves the field out.
fn field(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::collection::vec(select(values), 0..3).prop_map(move |mut chosen| {
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.is_empty() { String::new() } else { format!("{name}: [{}], ", chosen.join(", ")) }
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    const CONTEXTS: [&str; 4] =
        ["", "context: {route: a}, ", "context: {cluster: prod, route: b}, ", "context: {x: a}, "];
    let fields = (
        field("hosts", &["a.example", "'*.example'", "'*.b.example'", "'*'", "example"]),
        field("paths", &["'/'", "/a", "'/{*}/b'", "'/a/{**}'", "'/**'", "'/{*}'", "/a/b/"]),
        field("methods", &["GET", "PUT"]),
        field("destinations", &["p/a", "'p/*'", "'*/b'", "'*'", "'p/a*'"]),
        field("ports", &["1", "2"]),
        select(&CONTEXTS[..]),
    );
    let written = fields.prop_map(|(a, b, c, d, e, f)| format!("{a}{b}{c}{d}{e}{f}"));
    written
        .prop_filter("asks for something", |text| !text.is_empty())
        .prop_map(|text| entry(&format!("[{{{text}}}]")))
}

fn any_call() -> impl Strategy<Value = Request> {
    (
        select(&["GET", "PUT", "POST"][..]),
        select(
            &["a.example", "A.Example:80", "x.b.example", "b.example", ".example", "example", "other"][..],
        ),
        select(&["/", "/a", "/a/", "/a/b", "/a/b/", "/b", "/a/b/c"][..]),
        select(&["", "p/a", "p/b", "p", "q/b", "p/ab"][..]),
        1..4_u16,
        select(&["a", "b", "c"][..]),
    )
        .prop_map(|(method, host, path, principal, port, route)| {
            call(method, host, path, principal, port, route)
        })
}

proptest! {
    /// The index finds what comparing every entry of every policy finds.
    #[test]
    fn what_the_index_finds_is_what_matches(
        policies in proptest::collection::vec(proptest::collection::vec(any_entry(), 0..3), 0..8),
        request in any_call(),
        gateway in any::<bool>(),
    ) {
        let host = request.host_name();
        let path: Vec<_> = request.path.segments().collect();
        let matches = |entry: &Entry| {
            let paths = entry.paths.is_empty() || entry.paths.iter().any(|pattern| matches_path(pattern, &path));
            paths && entry.matches(&request, &host) && (gateway || !entry.trusts_host())
        };
        let wanted: Vec<_> = (0..policies.len())
            .filter(|n| policies[*n].is_empty() || policies[*n].iter().any(matches))
            .collect();
        let found: Vec<_> =
            index(&policies).candidates(&request, gateway).iter().map(|candidate| candidate.place()).collect();
        prop_assert_eq!(found, wanted);
    }
}

/// Plainly: segment by segment.
fn matches_path(pattern: &PathPattern, path: &[&str]) -> bool {
    use crate::policy::route::pattern::Segment;
    let mut rest = path;
    for segment in &pattern.segments {
        match (segment, rest) {
            (Segment::Rest(_), _) => return true,
            (Segment::One(_), [first, others @ ..]) if !first.is_empty() => rest = others,
            (Segment::Literal(text), [first, others @ ..]) if text == first => rest = others,
            _ => return false,
        }
    }
    rest.is_empty()
}
