//! The three sections whose schemes ask others: `introspection`, `kubernetes`, `basic`.

use super::*;
use crate::authn::config::{BasicConfig, ClaimNames, IntrospectionConfig, TokenReviewConfig};
use crate::document::Document;

fn read<T>(text: &str, read: impl Fn(&Node, &Path, &mut Reader) -> Option<T>) -> (Option<T>, Vec<String>) {
    let document = Document::parse(&"conf/portcullis.yaml".into(), &text.into()).unwrap();
    let mut reader = Reader::new(&document.file);
    let config = read(&document.roots[0], Path::new("conf"), &mut reader);
    (config, reader.findings.iter().map(ToString::to_string).collect())
}

/// Each replacement in `full` is found, at its place.
fn mistakes<T>(
    full: &str,
    reader: impl Fn(&Node, &Path, &mut Reader) -> Option<T>,
    rows: &[(&str, &str, &str, &str)],
) {
    for (from, to, place, code) in rows {
        assert!(full.contains(from), "{from}");
        let (config, findings) = read(&full.replacen(from, to, 1), &reader);
        let expected = format!("conf/portcullis.yaml:{place}: error[{code}]");
        assert!(
            findings.iter().any(|finding| finding.contains(&expected)),
            "{to}: {findings:?} lack {expected}"
        );
        assert!(config.is_none() || *code == "unknown-field", "{to}");
    }
}

const INTROSPECTION: &str = "\
url: https://as.example.com/introspect
client_id: gateway
client_secret_file: secret
audiences: [api]
issuer: https://as.example.com
claims: {groups: roles, person: human}
leeway: 10s
ca_file: /etc/ca.pem
timeout: 500ms
concurrency: 8
cache: {max_ttl: 2m, negative_ttl: 1s, entries: 500}
";

#[test]
fn a_whole_section_of_introspection() {
    let (config, findings) = read(INTROSPECTION, IntrospectionConfig::read);
    assert_eq!(findings, [""; 0]);
    let config = config.unwrap();
    assert_eq!(config.callout.url.as_str(), "https://as.example.com/introspect");
    assert_eq!(config.callout.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!((config.callout.timeout, config.callout.concurrency), (Duration::from_millis(500), 8));
    let (two_minutes, second) = (Duration::from_secs(120), Duration::from_secs(1));
    assert_eq!(
        config.callout.cache,
        CacheConfig { max_ttl: two_minutes, negative_ttl: second, entries: 500 }
    );
    assert_eq!((&*config.client_id, &*config.client_secret_file), ("gateway", Path::new("conf/secret")));
    assert_eq!(config.audiences.unwrap(), ["api"]);
    assert_eq!(config.issuer.as_deref(), Some("https://as.example.com"));
    assert_eq!((&*config.claims.groups, config.claims.person.as_deref()), ("roles", Some("human")));
    assert_eq!(config.leeway, Duration::from_secs(10));
}

#[test]
fn what_introspection_is_without_being_told() {
    let text = "{url: 'http://127.0.0.1:1/', client_id: a, client_secret_file: /s, any_audience: true}";
    let (config, findings) = read(text, IntrospectionConfig::read);
    assert_eq!(findings, [""; 0]);
    let config = config.unwrap();
    assert_eq!((config.audiences, config.issuer), (None, None));
    assert_eq!((config.callout.timeout, config.callout.concurrency), (Duration::from_secs(1), 64));
    let (minute, five) = (Duration::from_secs(60), Duration::from_secs(5));
    assert_eq!(config.callout.cache, CacheConfig { max_ttl: minute, negative_ttl: five, entries: 10_000 });
    assert_eq!((config.claims, config.leeway), (ClaimNames::default(), Duration::from_secs(30)));
    assert_eq!(config.callout.ca_file, None);
}

#[test]
fn every_mistake_of_introspection_is_named_with_its_place() {
    let rows = [
        ("https://as.example.com/introspect", "http://as.example.com/introspect", "1:6", "insecure-url"),
        ("https://as.example.com/introspect", "as.example.com", "1:6", "invalid-url"),
        ("https://as.example.com/introspect", "https://a:b@as.example.com/", "1:6", "invalid-url"),
        ("https://as.example.com/introspect", "file:///a", "1:6", "invalid-url"),
        ("url: https://as.example.com/introspect\n", "", "1:1", "missing-field"),
        ("client_id: gateway", "client_id: ''", "2:12", "empty-string"),
        ("client_id: gateway\n", "", "1:1", "missing-field"),
        ("client_secret_file: secret\n", "", "1:1", "missing-field"),
        ("client_secret_file", "client_secret", "3:1", "unknown-field"),
        ("audiences: [api]\n", "", "1:1", "missing-field"),
        ("audiences: [api]\n", "any_audience: false\n", "1:1", "missing-field"),
        ("audiences: [api]\n", "any_audience: 'yes'\n", "4:15", "wrong-type"),
        ("audiences: [api]", "audiences: []", "4:12", "empty-list"),
        ("[api]\n", "[api]\nany_audience: true\n", "4:12", "conflicting-fields"),
        ("issuer: https://as.example.com", "issuer: ''", "5:9", "empty-string"),
        ("groups: roles", "groups: ''", "6:18", "empty-string"),
        ("leeway: 10s", "leeway: 61s", "7:9", "out-of-range"),
        ("timeout: 500ms", "timeout: 11s", "9:10", "out-of-range"),
        ("timeout: 500ms", "timeout: 9ms", "9:10", "out-of-range"),
        ("timeout: 500ms", "timeout: 5", "9:10", "invalid-duration"),
        ("concurrency: 8", "concurrency: 0", "10:14", "out-of-range"),
        ("max_ttl: 2m", "max_ttl: 2h", "11:18", "out-of-range"),
        ("negative_ttl: 1s", "negative_ttl: 61s", "11:36", "out-of-range"),
        ("entries: 500", "entries: 0", "11:49", "out-of-range"),
        ("entries: 500", "size: 5", "11:40", "unknown-field"),
    ];
    mistakes(INTROSPECTION, IntrospectionConfig::read, &rows);
    let password = INTROSPECTION.replace("https://as", "https://ana:s3cr3t@as");
    let (_, findings) = read(&password, IntrospectionConfig::read);
    assert!(findings.iter().all(|finding| !finding.contains("s3cr3t")), "{findings:?}");
}

#[test]
fn plain_http_is_for_loopback_or_on_request() {
    let url = |url: &str| {
        let text = INTROSPECTION.replacen("https://as.example.com/introspect", url, 1);
        read(&text, IntrospectionConfig::read).0.is_some()
    };
    for good in ["http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/"] {
        assert!(url(good), "{good}");
    }
    assert!(url("http://as.example.com/\nallow_insecure: true"));
    for bad in [
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
        "http://as.example.com/\nallow_insecure: false",
        "http://as.example.com/\nallow_insecure: 1",
    ] {
        assert!(!url(bad), "{bad}");
    }
}

#[test]
fn in_a_pod_kubernetes_needs_its_audiences_only() {
    let (config, findings) = read("audiences: [portcullis]", TokenReviewConfig::read);
    assert_eq!(findings, [""; 0]);
    let config = config.unwrap();
    assert_eq!(config.callout.url.as_str(), "https://kubernetes.default.svc/");
    let mounted = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(config.token_file, mounted.join("token"));
    assert_eq!(config.callout.ca_file, Some(mounted.join("ca.crt")));
    let text = "{audiences: [a], url: 'https://k8s.example.com', token_file: t, timeout: 2s}";
    let config = read(text, TokenReviewConfig::read).0.unwrap();
    assert_eq!((&*config.token_file, config.callout.ca_file), (Path::new("conf/t"), None));
}

#[test]
fn every_mistake_of_kubernetes_is_named_with_its_place() {
    let rows = [
        ("audiences: [a]", "audiences: []", "1:12", "empty-list"),
        ("audiences: [a]\n", "", "1:1", "missing-field"),
        ("audiences: [a]\n", "any_audience: true\n", "1:1", "unknown-field"),
        ("https://k8s", "http://k8s", "2:6", "insecure-url"),
        ("token_file: t", "token_file: ''", "3:13", "empty-string"),
        ("token_file", "token", "3:1", "unknown-field"),
    ];
    mistakes("audiences: [a]\nurl: https://k8s\ntoken_file: t\n", TokenReviewConfig::read, &rows);
}

#[test]
fn a_whole_section_of_basic() {
    let (config, findings) = read("{file: users, realm: Orders & more, concurrency: 4}", BasicConfig::read);
    assert_eq!(findings, [""; 0]);
    let config = config.unwrap();
    assert_eq!((&*config.file, &*config.realm), (Path::new("conf/users"), "Orders & more"));
    assert_eq!(config.concurrency, 4);
    let config = read("file: /etc/users", BasicConfig::read).0.unwrap();
    assert_eq!(
        (&*config.file, &*config.realm, config.concurrency),
        (Path::new("/etc/users"), "portcullis", 2)
    );
}

#[test]
fn every_mistake_of_basic_is_named_with_its_place() {
    let rows = [
        ("file: users\n", "", "1:1", "missing-field"),
        ("file: users", "file: ''", "1:7", "empty-string"),
        ("realm: r", "realm: ''", "2:8", "empty-string"),
        ("realm: r", "realm: 'a\"b'", "2:8", "invalid-realm"),
        ("realm: r", "realm: 'a\\b'", "2:8", "invalid-realm"),
        ("realm: r", "realm: \"a\\r\\nset-cookie: x\"", "2:8", "invalid-realm"),
        ("realm: r", "realm: Müller", "2:8", "invalid-realm"),
        ("concurrency: 4", "concurrency: 65", "3:14", "out-of-range"),
        ("concurrency: 4", "users: 4", "3:1", "unknown-field"),
    ];
    mistakes("file: users\nrealm: r\nconcurrency: 4\n", BasicConfig::read, &rows);
}
