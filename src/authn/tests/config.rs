use std::path::Path;

use super::*;
use crate::document::{Document, Reader};

fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let document = Document::parse(&"conf/portcullis.yaml".into(), &text.into()).unwrap();
    let mut reader = Reader::new(&document.file);
    let config = Config::read(&document.roots[0], Path::new("conf"), &mut reader);
    (config, reader.findings.iter().map(ToString::to_string).collect())
}

const FULL: &str = "\
mtls: true
jwt:
  - issuer: https://idp.example.com
    audiences: [api]
    algorithms: [RS256, EdDSA]
    jwks: {url: 'https://idp.example.com/keys', refresh: 1m, max_stale: 2h}
    claims: {groups: realm_access.roles, person: employee}
    leeway: 10s
  - {issuer: b, audiences: [api], algorithms: [ES256], jwks: {file: keys.json}}
";

#[test]
fn a_whole_section() {
    let (config, findings) = read(FULL);
    assert_eq!(findings, [""; 0]);
    let config = config.unwrap();
    assert_eq!(config.mtls, Some(PeerConfig::default()));
    assert_eq!(config.order, [Scheme::Jwt, Scheme::Mtls], "whatever their order in the file");
    let [first, second] = &config.issuers[..] else { panic!("two issuers") };
    assert_eq!(first.algorithms, [Algorithm::Rs256, Algorithm::EdDsa]);
    let JwksSource::Remote(remote) = &first.jwks else { panic!("a URL") };
    assert_eq!((&*remote.url, &remote.discovery_of), ("https://idp.example.com/keys", &None));
    assert_eq!(first.places, [Place::Authorization]);
    assert!(first.forward_token);
    assert_eq!((first.refresh, first.max_stale), (Duration::from_secs(60), Duration::from_secs(7_200)));
    assert_eq!(first.claims.person.as_deref(), Some("employee"));
    assert_eq!((&*first.claims.groups, &*first.claims.email), ("realm_access.roles", "email"));
    assert_eq!(second.jwks, JwksSource::File("conf/keys.json".into()));
    assert_eq!((second.leeway, second.refresh), (Duration::from_secs(30), Duration::from_secs(300)));
}

#[test]
fn every_mistake_is_named_with_its_place() {
    for (from, to, place, code) in [
        ("[api]\n    algo", "[]\n    algo", "4:16", "empty-list"),
        ("[api]\n    algo", "['']\n    algo", "4:17", "empty-string"),
        ("[RS256, EdDSA]", "[]", "5:17", "empty-list"),
        ("RS256, EdDSA", "RS256, HS256", "5:25", "unknown-value"),
        ("RS256, EdDSA", "none", "5:18", "unknown-value"),
        ("    leeway: 10s", "    leeway: 61s", "8:13", "out-of-range"),
        ("issuer: b", "issuer: https://idp.example.com", "9:14", "duplicate-issuer"),
        ("https://idp.example.com/keys", "http://idp.example.com/keys", "6:17", "insecure-url"),
        ("https://idp.example.com/keys", "file:///etc/keys", "6:17", "invalid-url"),
        ("https://idp.example.com/keys", "https://a:b@idp.example.com/", "6:17", "invalid-url"),
        ("file: keys.json", "path: keys.json", "9:63", "unknown-field"),
        ("refresh: 1m", "refresh: 3h", "6:73", "out-of-range"),
        ("refresh: 1m", "refresh: 500ms", "6:58", "out-of-range"),
        ("mtls: true", "mtls: yes please", "1:7", "wrong-type"),
        ("    leeway", "    leway", "8:5", "unknown-field"),
        ("mtls: true", "mtls: {trust_domains: [Example.com]}", "1:24", "invalid-trust-domain"),
        ("mtls: true", "mtls: {trust_domains: ['spiffe://a']}", "1:24", "invalid-trust-domain"),
        ("mtls: true", "mtls: {trust_domains: []}", "1:23", "empty-list"),
        ("mtls: true", "mtls: {forwarded_client_cert: {hop: 2}}", "1:31", "missing-field"),
        (
            "mtls: true",
            "mtls: {forwarded_client_cert: {trusted_proxies: [a], hop: 0}}",
            "1:59",
            "out-of-range",
        ),
        ("mtls: true", "order: [mtls]\nmtls: true", "1:8", "unused-scheme"),
        ("mtls: true", "order: [jwt, mtls, mtls]\nmtls: true", "1:20", "duplicate-scheme"),
        ("mtls: true", "order: [jwt, mtls]", "1:14", "unused-scheme"),
        ("mtls: true", "order: [jwt, tls]\nmtls: true", "1:14", "unknown-value"),
        ("mtls: true", "token_cache_bytes: -1", "1:20", "out-of-range"),
        ("    leeway: 10s", "    from: []", "8:11", "empty-list"),
        ("    leeway: 10s", "    from: [header]", "8:12", "unknown-value"),
        ("    leeway: 10s", "    from: [{header: a, cookie: b}]", "8:12", "token-place"),
        ("    leeway: 10s", "    from: [{header: 'a b'}]", "8:21", "invalid-header"),
        ("    leeway: 10s", "    from: [{header: Cookie}]", "8:21", "invalid-header"),
        ("    leeway: 10s", "    from: [{cookie: 'a;b'}]", "8:21", "invalid-cookie"),
        ("    leeway: 10s", "    from: [{query: ''}]", "8:20", "empty-string"),
        ("{file: keys.json}", "{file: keys.json, discovery: true}", "9:62", "jwks-source"),
        ("{file: keys.json}", "{discovery: true}", "9:74", "invalid-url"),
    ] {
        assert!(FULL.contains(from), "{from}");
        let (config, findings) = read(&FULL.replacen(from, to, 1));
        let expected = format!(":{place}: error[{code}]");
        assert!(
            findings.iter().any(|finding| finding.contains(&expected)),
            "{to}: {findings:?} lack {expected}"
        );
        assert!(config.is_none() || code == "unknown-field", "{to}");
    }
}

#[test]
fn plain_http_is_for_loopback_or_on_request() {
    let url = |url: &str| read(&FULL.replacen("'https://idp.example.com/keys'", url, 1)).0.is_some();
    for good in ["'http://127.0.0.1:8080/'", "'http://[::1]/'", "'http://localhost/'"] {
        assert!(url(good), "{good}");
    }
    assert!(url("'http://idp.example.com/', allow_insecure: true"));
    for bad in ["'http://127.0.0.1.example.com/'", "'http://10.0.0.1/'", "'http://localhost.example.com/'"] {
        assert!(!url(bad), "{bad}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_several_schemes_is_named_at_once() {
    let basic = BasicConfig { file: "/nonexistent/users".into(), realm: "r".into(), concurrency: 1 };
    let findings = over_file("{}", |config| config.basic = Some(basic)).await.unwrap_err();
    let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[0].contains("the key set") && messages[1].contains("/nonexistent/users"),
        "{messages:?}"
    );
}
