//! The calls and policies that are measured.

use std::fmt::Write as _;
use std::sync::Arc;

use portcullis::identity::{Identity, Method};
use portcullis::policy::{self, Options, PolicySet, SourceFile};
use portcullis::request::{Body, Header, Limits, Parts, Peer, Request};
use serde_json::json;

/// Method equals, path prefix, role in list, audience in list.
pub const CONDITION: &str = "request.method == 'GET' && request.url_path.startsWith('/v1/') \
     && 'orders-admin' in identity.claims.roles && 'orders' in identity.claims.aud";

/// The entry of `match` by which the n-th of many policies differs from the others.
pub type Rule = fn(usize) -> String;

pub fn by_path(n: usize) -> String {
    format!("{{paths: ['/v1/shop-{n}/orders/{{id}}'], methods: [GET, POST]}}")
}

pub fn by_host(n: usize) -> String {
    format!("{{hosts: ['shop-{n}.example.com'], paths: ['/v1/{{**}}'], methods: [GET, POST]}}")
}

pub fn by_destination(n: usize) -> String {
    format!("{{destinations: ['spiffe://example.com/ns/shop-{n}/sa/web'], methods: [GET, POST]}}")
}

/// `count` policies of one rule each, a file each.
pub fn texts(count: usize, entry: Rule) -> Vec<String> {
    let text = |n| {
        let mut text = String::new();
        header(&mut text, n, &entry(n));
        let _ = writeln!(text, "    - {{name: read, when: \"{CONDITION}\", allow: {{}}}}");
        text
    };
    (0..count).map(text).collect()
}

/// One policy of `count` rules; the last one allows.
pub fn with_rules(count: usize) -> String {
    let mut text = String::new();
    header(&mut text, 0, &by_path(0));
    for n in 0..count {
        let role = if n + 1 == count { "orders-admin".to_owned() } else { format!("role-{n}") };
        let condition = CONDITION.replace("orders-admin", &role);
        let _ = writeln!(text, "    - {{name: r{n}, when: \"{condition}\", allow: {{}}}}");
    }
    text
}

/// What `CONDITION` tests of a call before it looks at the caller.
pub const COMMON: &str = "request.method == 'GET' && request.url_path.startsWith('/v1/') && ";

/// The same without what its rules test alike, as if that cost nothing: the first rule alone tests it.
pub fn with_rules_apart(count: usize) -> String {
    let text = with_rules(count);
    let Some((first, others)) = text.split_once("r1,") else { return text };
    format!("{first}r1,{}", others.replace(COMMON, ""))
}

/// One policy of `count` rules with one condition.
pub fn with_equal_rules(count: usize) -> String {
    let mut text = String::new();
    header(&mut text, 0, &by_path(0));
    for n in 0..count {
        let _ = writeln!(text, "    - {{name: r{n}, when: \"{CONDITION}\", allow: {{}}}}");
    }
    text
}

/// One policy of `count` rules that each go over a list; the last one allows.
pub fn going_over_lists(count: usize) -> String {
    let mut text = String::new();
    header(&mut text, 0, &by_path(0));
    for n in 0..count {
        let role = if n + 1 == count { "orders-".to_owned() } else { format!("role-{n}-") };
        let condition = format!("identity.claims.roles.exists(role, role.startsWith('{role}'))");
        let _ = writeln!(text, "    - {{name: r{n}, when: \"{condition}\", allow: {{}}}}");
    }
    text
}

/// One policy that denies, in its own words.
pub fn denying() -> String {
    let mut text = String::new();
    header(&mut text, 0, &by_path(0));
    let deny = "deny: {status: 451, because: the law forbids it}";
    let _ = writeln!(text, "    - {{name: forbidden, when: \"{CONDITION}\", {deny}}}");
    text
}

fn header(text: &mut String, n: usize, entry: &str) {
    let _ = writeln!(
        text,
        "---\napiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{n}}}\nspec:\n  match: [{entry}]\n  rules:"
    );
}

pub fn set(count: usize, entry: Rule) -> Result<PolicySet, String> {
    compile(&texts(count, entry))
}

pub fn compile(texts: &[String]) -> Result<PolicySet, String> {
    let files: Vec<_> = texts
        .iter()
        .map(|text| SourceFile { file: "bench.yaml".into(), text: text.as_str().into() })
        .collect();
    let compiled = policy::compile(&files, &Options { gateway: true });
    compiled.set.ok_or_else(|| format!("the policies do not compile: {:?}", compiled.findings.first()))
}

/// A call that the n-th of many policies is about, whatever they differ by.
pub fn request_to(n: usize) -> Request {
    let path = format!("/v1/shop-{n}/orders/o-1001");
    assemble(&path, &format!("shop-{n}.example.com"), &format!("spiffe://example.com/ns/shop-{n}/sa/web"))
}

pub fn request(path: &str) -> Request {
    assemble(path, "shop-0.example.com", "spiffe://example.com/ns/shop-0/sa/web")
}

/// A call of about 1.1 kB with its identity.
fn assemble(path: &str, host: &str, destination: &str) -> Request {
    let headers = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://shop.example.com/orders?page=2"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "c40e9cc7-a4b0-4771-bf00-9cb57e9a186b"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("content-type", "application/json"),
    ];
    let parts = Parts {
        id: "c40e9cc7-a4b0-4771-bf00-9cb57e9a186b".into(),
        method: "GET".into(),
        scheme: "https".into(),
        host: host.into(),
        protocol: "HTTP/2".into(),
        path: path.into(),
        headers: headers.into_iter().map(|(name, value)| Header::new(name, value)).collect(),
        body: Body::Complete(Vec::new().into()),
        source: Peer {
            address: "10.0.0.7".into(),
            port: 41_002,
            principal: "spiffe://example.com/ns/edge/sa/gateway".into(),
        },
        destination: Peer { address: "10.0.3.9".into(), port: 8_443, principal: destination.into() },
        ..Parts::default()
    };
    Request::assemble(parts, &Limits::default())
}

pub fn identity() -> Identity {
    let claims = json!({
        "iss": "https://idp.example.com/realms/shop",
        "sub": "5f0c1a52-8f0e-4d4b-9b53-0a5d4e2f7c11",
        "aud": ["catalogue", "orders"],
        "exp": 1_795_000_000,
        "iat": 1_794_996_400,
        "jti": "0b6a8d4e-52a0-4a43-9d0f-3f3c7c7e0f4f",
        "azp": "shop-web",
        "scope": "openid profile email",
        "roles": ["staff", "support", "reports-reader", "orders-admin"],
        "email": "ana.torres@example.com",
    });
    let serde_json::Value::Object(claims) = claims else {
        return Arc::unwrap_or_clone(Identity::anonymous());
    };
    Identity {
        method: Method::Jwt,
        subject: "5f0c1a52-8f0e-4d4b-9b53-0a5d4e2f7c11".into(),
        issuer: "https://idp.example.com/realms/shop".into(),
        groups: vec!["staff".into(), "support".into()],
        email: "ana.torres@example.com".into(),
        claims,
        ..Arc::unwrap_or_clone(Identity::anonymous())
    }
}
