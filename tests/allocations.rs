//! Deciding takes no memory from the heap, whatever few rules say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests panic")]

use std::hint::black_box;
use std::sync::Arc;

use portcullis::identity::{Identity, Method};
use portcullis::policy::{self, Call, PolicySet, SourceFile};
use portcullis::request::{Body, Header, Limits, Parts, Request};
use serde_json::json;

fn set(policies: &[(&str, &[&str])]) -> PolicySet {
    let policy = |(n, (entry, rules)): (usize, &(&str, &[&str]))| {
        let rules: String = rules.iter().map(|rule| format!("    - {{{rule}}}\n")).collect();
        format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{n}}}\nspec:\n  match: [{entry}]\n  rules:\n{rules}"
        )
    };
    let file = |text: String| SourceFile { file: "p.yaml".into(), text: text.into() };
    let files: Vec<_> = policies.iter().enumerate().map(policy).map(file).collect();
    let compiled = policy::compile(&files, &policy::Options { gateway: true });
    compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.findings))
}

fn request(path: &str) -> Request {
    let parts = Parts {
        method: "GET".into(),
        host: "shop.example.com:443".into(),
        path: path.into(),
        headers: vec![Header::new("x-tenant", "blue")].into(),
        body: Body::Complete(Vec::new().into()),
        ..Parts::default()
    };
    Request::assemble(parts, &Limits::default())
}

fn identity() -> Identity {
    let claims = json!({"aud": ["orders"], "org": {"team": "shop"}, "level": 3});
    Identity {
        method: Method::Jwt,
        subject: "ana".into(),
        groups: vec!["staff".into(), "support".into()],
        claims: claims.as_object().unwrap().clone(),
        ..Arc::unwrap_or_clone(Identity::anonymous())
    }
}

const PATHS: &str = "{hosts: ['*.example.com'], paths: ['/v1/{kind}/{id}', '/v1/**'], methods: [GET]}";
const ALLOW: &str =
    "name: a, when: \"'staff' in identity.groups && 'orders' in identity.claims.aud\", allow: {}";

/// What one decision says, and how often it allocates.
fn decide(set: &PolicySet, path: &str) -> (String, u64) {
    let (request, identity) = (request(path), identity());
    let call = Call { request: &request, identity: &identity, response: None };
    let decision = || set.decide(&set.candidates(&request, true), &call);
    let said = decision();
    let allocated = allocation_counter::measure(|| {
        black_box(decision());
    });
    (format!("{} {}", said.outcome.as_str(), said.rule.as_deref().unwrap_or("-")), allocated.count_total)
}

#[test]
fn a_decision_allocates_nothing() {
    let deny = "name: d, when: request.method == 'GET', deny: {status: 451, because: law}";
    let conditions = [
        "request.url_path.startsWith('/v1/') && !(request.method in ['PUT', 'POST'])",
        "request.headers['x-tenant'] == 'blue' && identity.claims.org.team == 'shop'",
        "request.host.endsWith('.example.com') && identity.claims.level >= 3",
        "identity.subject.matches('^[a-z]+$') || size(identity.subject) > 100",
        "has(identity.claims.org) && has(context.route) || identity.issuer == ''",
    ];
    let twenty: Vec<_> =
        (0..20).map(|n| format!("name: r{n}, when: \"{}\", allow: {{}}", conditions[n % 5])).collect();
    let twenty: Vec<_> = twenty.iter().map(String::as_str).collect();
    let captures = ["name: c, when: \"path.id == 'o-1' && path.kind != 'x'\", allow: {}"];
    let capturing = ("{paths: ['/v1/{kind}/{id}']}", &captures[..]);
    let several: Vec<_> = (0..16).map(|_| (PATHS, &[ALLOW][..])).collect();
    for (said, set) in [
        ("allow p0/a", set(&[(PATHS, &[ALLOW])])),
        ("deny p0/d", set(&[(PATHS, &[ALLOW, deny])])),
        ("deny -", set(&[("{paths: [/v2]}", &[ALLOW])])),
        ("deny -", set(&[(PATHS, &["name: a, when: identity.subject == 'bob', allow: {}"])])),
        ("allow p0/r0", set(&[(PATHS, &twenty)])),
        ("allow p0/c", set(&[capturing])),
        ("allow p0/a", set(&several)),
    ] {
        assert_eq!(decide(&set, "/v1/orders/o-1"), (said.to_owned(), 0));
    }
}

#[test]
fn the_counter_counts() {
    let captures = ["name: c, when: \"path.id == 'ü'\", allow: {}"];
    let set = set(&[("{paths: ['/v1/{kind}/{id}']}", &captures)]);
    let (said, allocated) = decide(&set, "/v1/orders/%C3%BC");
    assert_eq!(said, "allow p0/c");
    assert!(allocated > 0, "an encoded capture is decoded into a text of its own");
}
