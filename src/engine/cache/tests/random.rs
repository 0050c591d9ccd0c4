//! Random policies and calls.

use serde_json::json;

use crate::identity::{Identity, Method};
use crate::policy::{Options, PolicySet, SourceFile, compile};
use crate::request::{Body, Connection, Header, Headers, Limits, Parts, Peer, Request};

/// SplitMix64: the same numbers on every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

const SHAREABLE: [&str; 44] = [
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
    "'staff' in identity.scopes",
    "identity.tenant == 'acme'",
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
    "connection.mtls",
    "connection.requested_server_name == 'sni'",
    "request.protocol == 'HTTP/2'",
    "source.port > 1000",
    "source.principal == 'spiffe://s'",
    "destination.address == '10.0.0.9'",
    "destination.principal.startsWith('spiffe://')",
    "grpc.method == '1'",
    "context.?other.orValue('') == 'b'",
    "context.route == 'a'",
    "metadata['ns'].k == 1",
    "grpc.service == 'a'",
];

/// One for each reason that a decision is not kept.
const UNSHAREABLE: [&str; 8] = [
    "request.time > timestamp('2026-01-01T00:00:00Z')",
    "request.id == 'id-1'",
    "request.body.amount > 3",
    "request.raw_body.size() > 3",
    "metadata.size() > 1",
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

/// A random condition; where `about` is not empty, half of its parts are about what is named so.
fn condition(random: &mut Random, depth: usize, captures: bool, about: &str) -> String {
    if depth > 0 && random.below(3) > 0 {
        let mut part = || condition(random, depth - 1, captures, about);
        let (a, b) = (part(), part());
        return match random.below(4) {
            0 => format!("({a}) && ({b})"),
            1 => format!("({a}) || ({b})"),
            2 => format!("!({a})"),
            _ => format!("({a}) ? ({b}) : {}", random.of(&SHAREABLE)),
        };
    }
    if !about.is_empty() && random.below(2) == 0 {
        let all = SHAREABLE.iter().chain(&UNSHAREABLE);
        let fitting: Vec<&str> = all.filter(|text| text.contains(about)).copied().collect();
        if !fitting.is_empty() {
            return random.of(&fitting).to_owned();
        }
    }
    match random.below(24) {
        0 => random.of(&UNSHAREABLE).to_owned(),
        1 | 2 if captures => "path.id == '1'".to_owned(),
        _ => random.of(&SHAREABLE).to_owned(),
    }
}

/// Some random policies; `None` when they have a mistake together.
pub fn policies(random: &mut Random, about: &str) -> Option<PolicySet> {
    let mut text = String::new();
    for policy in 0..=random.below(3) {
        let matches = random.of(&MATCHES);
        text.push_str(&format!(
            "---\napiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{policy}}}\nspec:\n  match: {matches}\n  rules:\n"
        ));
        for rule in 0..=random.below(3) {
            let depth = random.below(3);
            let condition = condition(random, depth, matches.contains("{id}"), about);
            let enforce = if random.below(5) == 0 { ", enforce: false" } else { "" };
            let effect = random.of(&EFFECTS);
            // A rule that reads nothing: which policies match is all that then tells two calls apart.
            let when =
                if random.below(6) == 0 { String::new() } else { format!("when: {}, ", json!(condition)) };
            text.push_str(&format!("    - {{name: r{rule}, {when}{effect}{enforce}}}\n"));
        }
    }
    compiled(text)
}

fn compiled(text: String) -> Option<PolicySet> {
    let files = [SourceFile { file: "random.yaml".into(), text: text.into() }];
    compile(&files, &Options { gateway: true }).set
}

/// A condition whose cost is about what one evaluation may cost: it counts what reading costs.
fn dear(random: &mut Random, captures: bool) -> String {
    let list: Vec<_> = (0..20 + random.below(100)).map(|item| item.to_string()).collect();
    let list = format!("[{}]", list.join(","));
    let often = |asked: &str| format!("{list}.all(x, {list}.all(y, {asked}))");
    match random.below(4) {
        0 if captures => often("path.id != 'z'"),
        0 | 1 => often("request.size >= 0"),
        2 => often("'x-a' in request.headers || true"),
        _ => format!("cel.bind(h, request.host, {})", often("h != 'z'")),
    }
}

/// One policy of one dear rule.
pub fn dear_policy(random: &mut Random) -> Option<PolicySet> {
    let captures = random.below(2) == 0;
    let matches = if captures { "[{paths: ['/x/{id}/{**}']}]" } else { "[{paths: ['/{**}']}]" };
    compiled(format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: dear}}\nspec:\n  match: {matches}\n  rules:\n    - {{name: r, when: {}, allow: {{}}}}\n",
        json!(dear(random, captures))
    ))
}

/// A call, each part of it one of few.
#[derive(Clone, PartialEq)]
pub struct Drawn([u8; PARTS.len()]);

const PARTS: [&str; 33] = [
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
    "scopes",
    "tenant",
    "tier",
    "level",
    "deep",
    "list",
    "source",
    "destination",
    "rest",
    "protocol",
    "sni",
    "source principal",
    "mtls",
    "context",
    "many headers",
    "port",
];

impl Drawn {
    pub fn draw(random: &mut Random) -> Self {
        Self(PARTS.map(|_| u8::try_from(random.below(8)).unwrap()))
    }

    /// A call that differs from others of its kind in what reading costs alone.
    pub fn dear(random: &mut Random) -> Self {
        let mut drawn = Self(PARTS.map(|_| 0));
        for (part, choices) in [("many headers", [0, 3]), ("host", [3, 4]), ("path", [1, 2])] {
            let place = PARTS.iter().position(|known| *known == part).unwrap();
            drawn.0[place] = random.of(&choices);
        }
        drawn
    }

    /// The same in all parts but one.
    pub fn changed(&self, random: &mut Random) -> Self {
        let mut changed = self.clone();
        changed.0[random.below(PARTS.len())] = u8::try_from(random.below(8)).unwrap();
        changed
    }

    fn at(&self, part: &str) -> usize {
        self.0[PARTS.iter().position(|known| *known == part).unwrap()].into()
    }

    fn of<T: Clone>(&self, part: &str, choices: &[T]) -> T {
        choices[self.at(part) % choices.len()].clone()
    }

    pub fn call(&self) -> (Request, Identity) {
        let copies: [&[&str]; 5] = [&[], &["1"], &["1", "1"], &["2"], &[""]];
        let mut headers = vec![Header::new("content-length", self.of("body", &["2", "5", "7", "x"]))];
        for name in ["x-a", "x-b", "x-c"] {
            headers.extend(self.of(name, &copies).iter().map(|value| Header::new(name, *value)));
        }
        if self.at("x-a") == 7 {
            headers.push(Header::new("x-a", vec![0xFF]));
        }
        headers.push(Header::new("x-rest", self.of("rest", &["1", "2", "3"])));
        headers.extend(
            self.of("grpc", &[None, Some("application/grpc")]).map(|t| Header::new("content-type", t)),
        );
        let many = self.of("many headers", &[0, 0, 0, 40]);
        headers.extend((0..many).map(|_| Header::new("x-many", "1")));
        let long = format!("/x/1/{}", "l".repeat(200));
        let host = "Subdomain-of-Some-Length.".repeat(8);
        let path = self.of("path", &["/", "/x/1/c", &long, "/a", "/a/1", "/a/2", "/1/b", "/a/1/c", "/a/%31"]);
        let query = self.of("query", &["", "?x=1", "?x=2", "?x=1&y", "?%zz"]);
        let body = [Body::Complete("{\"amount\": 5}".into()), Body::Complete("".into()), Body::Absent];
        let parts = Parts {
            id: self.of("id", &["id-1", "id-2"]).into(),
            time: jiff::Timestamp::from_second(self.of("time", &[0, 1_800_000_000])).unwrap(),
            method: self.of("method", &["GET", "POST"]).into(),
            scheme: self.of("scheme", &["http", "https"]).into(),
            host: self
                .of("host", &["a.example", "A.example:80", "b.example", &host, &host.to_lowercase()])
                .into(),
            protocol: self.of("protocol", &["HTTP/2", "HTTP/1.1"]).into(),
            path: format!("{path}{query}"),
            headers: Headers::from(headers),
            body: self.of("body", &body),
            source: Peer {
                address: self.of("source", &["10.0.0.1", "10.0.0.2", ""]).into(),
                port: self.of("port", &[80, 40_000]),
                principal: self.of("source principal", &["", "spiffe://s"]).into(),
            },
            destination: Peer {
                port: self.of("destination", &[443, 80]),
                principal: self.of("destination", &["spiffe://d", "", "x"]).into(),
                address: self.of("port", &["10.0.0.8", "10.0.0.9"]).into(),
            },
            connection: Connection {
                mtls: self.of("mtls", &[true, false]),
                requested_server_name: self.of("sni", &["sni", ""]).into(),
                certificate: String::new(),
            },
            context: self
                .of(
                    "context",
                    &[vec![], vec![("route", "a")], vec![("GET", "a"), ("route", "b")], vec![("other", "b")]],
                )
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
            scopes: self.of("scopes", &groups).iter().map(|scope| (*scope).to_owned()).collect(),
            tenant: self.of("tenant", &["", "acme"]).into(),
            person: None,
            claims,
            spiffe: self.of("spiffe", &["", "spiffe://a/b", "spiffe://b"]).into(),
            ..Identity::clone(&Identity::anonymous())
        }
    }
}
