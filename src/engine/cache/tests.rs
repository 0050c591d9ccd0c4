//! A kept decision is the decision: random policies and calls, each decided with and without the cache.
//!
//! `PORTCULLIS_CACHE_PAIRS` and `PORTCULLIS_CACHE_KEYS` say how many pairs and keys are tried: for a run of hours, or
//! as many as CI has time for.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::identity::{Identity, Method};
use crate::policy::{Options, SourceFile, compile};
use crate::request::{Body, Connection, Header, Headers, Limits, Parts, Peer, Request};

/// SplitMix64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

const SHAREABLE: [&str; 34] = [
    "request.method == 'GET'",
    "request.host == 'a.example'",
    "request.url_path.startsWith('/a')",
    "request.path.contains('x=1')",
    "request.query != ''",
    "'x' in request.params && request.params['x'][0] == '1'",
    "request.params.size() > 1",
    "request.scheme == 'https'",
    "request.size > 3",
    "request.headers['x-a'] == '1'",
    "request.headers['x-a'].size() > 1",
    "has(request.headers.x_b)",
    "'x-b' in request.headers",
    "request.headers['X-C'] in ['1', '1,1']",
    "request.headers[?'x-a'].orValue('1') == '1'",
    "identity.subject == 'ana'",
    "identity.issuer != ''",
    "identity.method == 'jwt'",
    "identity.email.endsWith('@example.com')",
    "identity.spiffe.startsWith('spiffe://a')",
    "'staff' in identity.groups",
    "identity.groups.exists(g, g.startsWith('s'))",
    "identity.claims.tier == 'gold'",
    "identity.claims['level'] > 3",
    "has(identity.claims.deep) && identity.claims.deep.a == 1",
    "'tier' in identity.claims",
    "identity.claims.?tier.orValue('none') == 'none'",
    "identity.claims.list.exists(x, x == 1)",
    "source.address == '10.0.0.1'",
    "destination.port == 443",
    "connection.mtls || connection.requested_server_name == 'sni'",
    "context.route == 'a'",
    "metadata['ns'].k == 1",
    "grpc.service == 'a'",
];

/// One for each reason that a decision is not kept.
const UNSHAREABLE: [&str; 6] = [
    "request.time > timestamp('2026-01-01T00:00:00Z')",
    "request.id == 'id-1'",
    "request.body.amount > 3",
    "request.headers.exists(name, name == 'x-a')",
    "identity.claims.size() > 2",
    "context[request.method] == 'a'",
];

const EFFECTS: [&str; 9] = [
    "allow: {}",
    "allow: {}, headers: {request: {set: {x-who: '${identity.subject}'}, remove: [x-b]}}",
    "allow: {}, headers: {request: {append: {x-tier: 't-${string(identity.claims.tier)}'}}}",
    "allow: {}, headers: {response: {set: {x-a: '${request.headers[\"x-a\"]}'}}}",
    "deny: {}",
    "deny: {status: 404, because: 'not here'}",
    "hold: {approvers: {groups: [ops]}, wait: 1s}",
    "mask: [{field: '**.card', with: last4}]",
    "mask: [{field: '**.iban', with: remove}], headers: {response: {set: {x-m: '${request.host}'}}}",
];

const MATCHES: [&str; 5] = [
    "[{paths: ['/{**}']}]",
    "[{paths: ['/a/{id}', '/{id}/b']}]",
    "[{methods: [GET]}]",
    "[{paths: ['/a/{**}'], destinations: ['*']}]",
    "[{paths: ['/{id}', '/a/{id}', '/a/{id}/c']}]",
];

fn condition(random: &mut Random, depth: usize, captures: bool) -> String {
    if depth > 0 && random.below(3) > 0 {
        let (a, b) = (condition(random, depth - 1, captures), condition(random, depth - 1, captures));
        return match random.below(4) {
            0 => format!("({a}) && ({b})"),
            1 => format!("({a}) || ({b})"),
            2 => format!("!({a})"),
            _ => format!("({a}) ? ({b}) : {}", random.of(&SHAREABLE)),
        };
    }
    match random.below(24) {
        0 => random.of(&UNSHAREABLE).to_owned(),
        1 | 2 if captures => "path.id == '1'".to_owned(),
        _ => random.of(&SHAREABLE).to_owned(),
    }
}

/// Some random policies; `None` when they have a mistake together.
fn policies(random: &mut Random) -> Option<PolicySet> {
    let mut text = String::new();
    for policy in 0..=random.below(3) {
        let matches = random.of(&MATCHES);
        text.push_str(&format!(
            "---\napiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{policy}}}\nspec:\n  match: {matches}\n  rules:\n"
        ));
        for rule in 0..=random.below(3) {
            let depth = random.below(3);
            let condition = condition(random, depth, matches.contains("{id}"));
            let enforce = if random.below(5) == 0 { ", enforce: false" } else { "" };
            let effect = random.of(&EFFECTS);
            text.push_str(&format!(
                "    - {{name: r{rule}, when: {}, {effect}{enforce}}}\n",
                json!(condition)
            ));
        }
    }
    let files = [SourceFile { file: "random.yaml".into(), text: text.into() }];
    compile(&files, &Options { gateway: true }).set
}

/// A call, each part of it one of few.
#[derive(Clone)]
struct Drawn(BTreeMap<&'static str, usize>);

const PARTS: [&str; 24] = [
    "method",
    "host",
    "path",
    "query",
    "scheme",
    "x-a",
    "x-b",
    "x-c",
    "grpc",
    "body",
    "id",
    "time",
    "subject",
    "issuer",
    "email",
    "spiffe",
    "groups",
    "tier",
    "level",
    "deep",
    "list",
    "source",
    "destination",
    "rest",
];

impl Drawn {
    fn draw(random: &mut Random) -> Self {
        Self(PARTS.into_iter().map(|part| (part, random.below(8))).collect())
    }

    /// The same in all parts but one.
    fn changed(&self, random: &mut Random) -> Self {
        let mut changed = self.clone();
        changed.0.insert(random.of(&PARTS), random.below(8));
        changed
    }

    fn of<T: Clone>(&self, part: &str, choices: &[T]) -> T {
        choices[self.0[part] % choices.len()].clone()
    }

    fn call(&self) -> (Request, Identity) {
        let copies: [&[&str]; 5] = [&[], &["1"], &["1", "1"], &["2"], &[""]];
        let mut headers = vec![Header::new("content-length", self.of("body", &["2", "5", "7", "x"]))];
        for name in ["x-a", "x-b", "x-c"] {
            headers.extend(self.of(name, &copies).iter().map(|value| Header::new(name, *value)));
        }
        if self.0["x-a"] == 7 {
            headers.push(Header::new("x-a", vec![0xFF]));
        }
        headers.push(Header::new("x-rest", self.of("rest", &["1", "2", "3"])));
        headers.extend(
            self.of("grpc", &[None, Some("application/grpc")]).map(|t| Header::new("content-type", t)),
        );
        let path = self.of("path", &["/", "/a", "/a/1", "/a/2", "/1/b", "/a/1/c", "/a/%31"]);
        let query = self.of("query", &["", "?x=1", "?x=2", "?x=1&y", "?%zz"]);
        let body = [Body::Complete("{\"amount\": 5}".into()), Body::Complete("".into()), Body::Absent];
        let parts = Parts {
            id: self.of("id", &["id-1", "id-2"]).into(),
            time: jiff::Timestamp::from_second(self.of("time", &[0, 1_800_000_000])).unwrap(),
            method: self.of("method", &["GET", "POST"]).into(),
            scheme: self.of("scheme", &["http", "https"]).into(),
            host: self.of("host", &["a.example", "A.example:80", "b.example"]).into(),
            protocol: "HTTP/2".into(),
            path: format!("{path}{query}"),
            headers: Headers::from(headers),
            body: self.of("body", &body),
            source: Peer {
                address: self.of("source", &["10.0.0.1", "10.0.0.2", ""]).into(),
                ..Peer::default()
            },
            destination: Peer {
                port: self.of("destination", &[443, 80]),
                principal: self.of("destination", &["spiffe://d", "", "x"]).into(),
                ..Peer::default()
            },
            connection: Connection {
                mtls: self.of("rest", &[true, false]),
                requested_server_name: self.of("source", &["sni", ""]).into(),
            },
            context: self
                .of("grpc", &[vec![], vec![("route", "a")], vec![("GET", "a"), ("route", "b")]])
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            metadata: self
                .of("rest", &[json!({}), json!({"ns": {"k": 1}}), json!({"ns": {"k": 1.5}, "other": 1})])
                .as_object()
                .unwrap()
                .clone(),
        };
        (Request::assemble(parts, &Limits::default()), self.identity())
    }

    fn identity(&self) -> Identity {
        let mut claims = serde_json::Map::new();
        let mut claim = |name: &str, choices: &[serde_json::Value]| {
            let value = self.of(name, choices);
            if value != json!("absent") {
                claims.insert(name.to_owned(), value);
            }
        };
        claim("tier", &[json!("absent"), json!("gold"), json!("none"), json!(null), json!("1")]);
        claim("level", &[json!("absent"), json!(3), json!(4), json!(4.0), json!("4")]);
        claim("deep", &[json!("absent"), json!({"a": 1}), json!({"a": 2}), json!([1]), json!({})]);
        claim("list", &[json!("absent"), json!([1, 2]), json!([2]), json!(["1"])]);
        claim("rest", &[json!(1), json!(2), json!("absent")]);
        let subject = self.of("subject", &["", "ana", "bob"]);
        let groups: [&[&str]; 4] = [&[], &["staff"], &["sta", "ff"], &["ops", "staff"]];
        Identity {
            method: if subject.is_empty() {
                Method::Anonymous
            } else {
                self.of("issuer", &[Method::Jwt, Method::Mtls])
            },
            subject: subject.into(),
            issuer: self.of("issuer", &["", "https://i"]).into(),
            groups: self.of("groups", &groups).iter().map(|group| (*group).to_owned()).collect(),
            email: self.of("email", &["", "ana@example.com"]).into(),
            person: None,
            claims,
            spiffe: self.of("spiffe", &["", "spiffe://a/b", "spiffe://b"]).into(),
            expires: None,
            token_id: String::new(),
        }
    }
}

fn how_many(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_kept_decision_is_the_one_that_deciding_makes() {
    let pairs = how_many("PORTCULLIS_CACHE_PAIRS", 100_000);
    let mut random = Random(20_261_121);
    let cache = Decisions::of_everything(64 << 20);
    let kept = cache.0.as_ref().unwrap();
    let (mut tried, mut hits, mut misses) = (0, 0, BTreeMap::new());
    let mut outcomes = BTreeMap::new();
    while tried < pairs {
        let Some(set) = policies(&mut random) else { continue };
        let mut pool: Vec<Drawn> = (0..12).map(|_| Drawn::draw(&mut random)).collect();
        for _ in 0..400 {
            let place = random.below(pool.len());
            let drawn = pool[place].changed(&mut random);
            let (request, identity) = drawn.call();
            if random.below(8) == 0 {
                pool[place] = drawn;
            }
            let call = Call { request: &request, identity: &identity, response: None };
            let candidates = set.candidates(&request, true);
            let (decision, miss) = kept.decide(&set, &candidates, &call);
            let decided = set.decide(&candidates, &call);
            assert_eq!(decision, decided, "miss: {miss:?}, {request:#?} {identity:#?}");
            tried += 1;
            match miss {
                None => {
                    hits += 1;
                    *outcomes.entry(decision.reason.as_str()).or_insert(0) += 1;
                    *outcomes.entry("headers").or_insert(0) +=
                        usize::from(*decision.headers() != Default::default());
                    *outcomes.entry("shadow").or_insert(0) += usize::from(!decision.shadow().is_empty());
                    *outcomes.entry("errors").or_insert(0) += usize::from(!decision.errors().is_empty());
                }
                Some(miss) => *misses.entry(miss.as_str()).or_insert(0) += 1,
            }
        }
    }
    println!("{tried} pairs, {hits} hits {outcomes:?}, misses {misses:?}");
    assert!(hits * 5 > tried, "{hits} hits of {tried}");
    for wanted in
        ["allowed", "denied_by_rule", "approval_pending", "condition_error", "headers", "shadow", "errors"]
    {
        assert!(outcomes.get(wanted).is_some_and(|count| *count > tried / 2_000), "{wanted}: {outcomes:?}");
    }
    for wanted in ["absent", "time", "id", "body", "headers", "map"] {
        assert!(misses.contains_key(wanted), "{wanted}: {misses:?}");
    }
}

const READER: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - name: r
      when: >-
        request.headers['x-a'] == request.headers['x-b'] || identity.claims.c == identity.subject
        || request.query == 'a'
      allow: {}
";

/// The `number`-th of calls that differ in what `READER` reads, with texts that run together alike.
fn distinct(mut number: usize) -> (Request, Identity) {
    const PIECES: [&str; 10] = ["", "a", "b", "aa", "ab", "ba", "bb", "a\u{0}", "\u{1}", "aaa"];
    let mut digit = |base: usize| {
        let digit = number % base;
        number /= base;
        digit
    };
    let copies = |digit: usize| match digit {
        0 => vec![],
        1..=10 => vec![PIECES[digit - 1]],
        _ => vec![PIECES[(digit - 11) / 10], PIECES[(digit - 11) % 10]],
    };
    let mut headers = Vec::new();
    for name in ["x-a", "x-b"] {
        headers.extend(copies(digit(111)).into_iter().map(|value| Header::new(name, value)));
    }
    let claim = match digit(25) {
        0 => None,
        1 => Some(json!(null)),
        2 => Some(json!(1)),
        3 => Some(json!(1.0)),
        4 => Some(json!(-1)),
        at @ 5..15 => Some(json!(PIECES[at - 5])),
        at => Some(json!([PIECES[at - 15]])),
    };
    let mut identity = (*Identity::anonymous()).clone();
    identity.claims.extend(claim.map(|claim| ("c".to_owned(), claim)));
    identity.subject = PIECES[digit(10)].into();
    let query = ["", "?a", "?b", "?aa", "?ab"][digit(5)];
    let parts = Parts {
        method: "GET".into(),
        host: "h".into(),
        path: format!("/{query}"),
        headers: Headers::from(headers),
        ..Parts::default()
    };
    (Request::assemble(parts, &Limits::default()), identity)
}

#[test]
fn calls_that_differ_in_what_is_read_never_share_a_key() {
    let count = how_many("PORTCULLIS_CACHE_KEYS", 100_000);
    assert!(count <= 111 * 111 * 25 * 10 * 5);
    let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
    let compiled = compile(&files, &Options::default());
    let set = compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.findings));
    let mut key = Vec::new();
    // Spread over the whole range, so that every digit moves.
    let stride = 111 * 111 * 25 * 10 * 5 / count;
    let digest = |number: usize| {
        let (request, identity) = distinct(number * stride);
        let call = Call { request: &request, identity: &identity, response: None };
        set.key(&set.candidates(&request, false), &call, &mut key).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
        u128::from_be_bytes(digest.as_ref()[..16].try_into().unwrap())
    };
    let mut digests: Vec<u128> = (0..count).map(digest).collect();
    digests.sort_unstable();
    assert!(digests.windows(2).all(|pair| pair[0] != pair[1]));
    println!("{count} keys, all different");
}

#[test]
fn sets_of_the_same_texts_and_other_sets_share_nothing() {
    let set = || {
        let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
        compile(&files, &Options::default()).set.unwrap()
    };
    let (one, same) = (set(), set());
    let (request, identity) = distinct(0);
    let call = Call { request: &request, identity: &identity, response: None };
    let key = |set: &PolicySet| {
        let mut key = Vec::new();
        set.key(&set.candidates(&request, false), &call, &mut key).unwrap();
        key
    };
    // Policies are numbered in the order of their files, which the revision does not tell.
    assert_eq!(one.revision(), same.revision());
    assert_ne!(key(&one), key(&same));
    assert_eq!(key(&one), key(&one));
}

#[test]
fn the_cache_stays_within_its_bytes_and_forgets_when_told() {
    let cache = Decisions::of_everything(64 << 10);
    let kept = cache.0.as_ref().unwrap();
    let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
    let set = compile(&files, &Options::default()).set.unwrap();
    let decide = |number: usize| {
        let (request, identity) = distinct(number);
        let call = Call { request: &request, identity: &identity, response: None };
        kept.decide(&set, &set.candidates(&request, false), &call).1
    };
    (0..2_000).for_each(|number| {
        decide(number);
    });
    kept.decisions.run_pending_tasks();
    assert!(kept.decisions.weighted_size() <= 64 << 10, "{}", kept.decisions.weighted_size());
    assert!(kept.decisions.entry_count() > 20);
    let last = (0..2_000).rev().find(|number| decide(*number).is_none());
    assert!(last.is_some(), "something is kept");
    cache.clear();
    assert_eq!(decide(last.unwrap()), Some(Miss::Absent));
}

#[test]
fn without_bytes_nothing_is_kept_or_counted() {
    let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
    let set = compile(&files, &Options::default()).set.unwrap();
    let (request, identity) = distinct(5);
    let call = Call { request: &request, identity: &identity, response: None };
    let metrics = Metrics::new().unwrap();
    let candidates = set.candidates(&request, false);
    let decision = Decisions::new(0).decide(&set, &candidates, &call, &metrics);
    assert_eq!(decision, set.decide(&candidates, &call));
    assert!(
        metrics
            .render()
            .lines()
            .filter(|line| line.starts_with("portcullis_cache_"))
            .all(|line| line.ends_with(" 0"))
    );
}

#[test]
fn plain_conditions_are_not_kept() {
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec: {rules: [{name: r, when: request.method == 'GET', allow: {}}]}\n";
    let files = [SourceFile { file: "p.yaml".into(), text: text.into() }];
    let set = compile(&files, &Options::default()).set.unwrap();
    // A look-up that takes a second: nothing is dearer.
    let kept = Kept { decisions: kept(1 << 20), costs: Costs::new(std::time::Duration::from_secs(1)) };
    let (request, identity) = distinct(5);
    let call = Call { request: &request, identity: &identity, response: None };
    let candidates = set.candidates(&request, false);
    let misses: Vec<_> = (0..100).map(|_| kept.decide(&set, &candidates, &call).1.unwrap()).collect();
    assert_eq!(misses.iter().filter(|miss| **miss == Miss::Unmeasured).count(), 8);
    assert_eq!(misses.iter().filter(|miss| **miss == Miss::Cheap).count(), 92);
    kept.decisions.run_pending_tasks();
    assert_eq!(kept.decisions.entry_count(), 0);
}
