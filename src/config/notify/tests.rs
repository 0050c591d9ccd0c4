use super::*;
use crate::config;
use crate::diagnostic::render;

const URL: &str = "https://hooks.slack.com/services/T0/B0/SECRET";

fn read(admin: &str, notify: &str) -> config::Read {
    let text = format!("policies: [p]\n{admin}notify: {notify}\n");
    config::parse(&"portcullis.yaml".into(), &text.into(), Path::new("/etc/portcullis"))
}

const ADMIN: &str = "admin: {url: \"https://portcullis.example.com/base/\", jwt: [{issuer: https://i, audiences: [a], algorithms: [RS256], jwks: {file: k}, claims: {person: p}}]}\n";

fn codes(read: &config::Read) -> Vec<&'static str> {
    read.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_target_has_safe_defaults() {
    let read = read(ADMIN, &format!("[{{name: ops, type: slack, url: \"{URL}\"}}]"));
    assert!(read.findings.is_empty(), "{:?}", read.findings);
    let config = read.config.unwrap().notify.unwrap();
    assert_eq!(config.page.as_str(), "https://portcullis.example.com/base/");
    let target = &config.targets[0];
    assert_eq!(target.url, UrlSource::Given(Secret::new(URL.to_owned())));
    assert_eq!(
        (&target.reach, target.limits, target.allow_insecure),
        (&Reach::default(), Limits::default(), false)
    );
    assert_eq!(target.subscription, Subscription { target: "ops".into(), ..Subscription::default() });
}

#[test]
fn every_field_is_read() {
    let text = "[{name: own, type: webhook, url_file: url, signing_keys: [new, old], events: [pending, expired], \
                rules: [\"refunds/*\"], groups: [finance], ca_file: ca, allow_private: true, allow_insecure: true, \
                allow_addresses: [10.1.0.0/16], timeout: 3s, concurrency: 2, max_attempts: 5, max_age: 1h, max_waiting: 7}]";
    let read = read(ADMIN, text);
    assert!(read.findings.is_empty(), "{:?}", read.findings);
    let target = read.config.unwrap().notify.unwrap().targets.remove(0);
    assert_eq!(target.kind, Kind::Webhook(vec!["/etc/portcullis/new".into(), "/etc/portcullis/old".into()]));
    assert_eq!(target.url, UrlSource::File("/etc/portcullis/url".into()));
    assert_eq!(target.subscription.events, [Event::Pending, Event::Expired]);
    assert_eq!(target.reach, Reach { private: true, allowed: vec!["10.1.0.0/16".parse().unwrap()] });
    assert_eq!((target.limits.timeout, target.limits.max_attempts), (Duration::from_secs(3), 5));
    assert_eq!(target.limits.max_waiting, 7);
}

#[test]
fn mistakes_are_named() {
    for (text, code) in [
        ("5", "wrong-type"),
        ("[{name: a, type: irc, url: \"https://x\"}]", "unknown-value"),
        ("[{name: \"a b\", type: slack, url: \"https://x\"}]", "invalid-name"),
        ("[{name: a, type: slack}]", "notify-url"),
        ("[{name: a, type: slack, url: \"https://x\", url_file: f}]", "notify-url"),
        ("[{name: a, type: webhook, url: \"https://x\"}]", "missing-keys"),
        ("[{name: a, type: webhook, url: \"https://x\", signing_keys: []}]", "missing-keys"),
        ("[{name: a, type: teams, url: \"https://x\", signing_keys: [k]}]", "wrong-type"),
        ("[{name: a, type: slack, url: \"https://x\", events: [born]}]", "unknown-value"),
        ("[{name: a, type: slack, url: \"https://x\", allow_addresses: [here]}]", "invalid-address"),
        ("[{name: a, type: slack, url: \"https://x\", timeout: 2m}]", "out-of-range"),
        ("[{name: a, type: slack, url: \"https://x\", max_age: 1s}]", "out-of-range"),
        ("[{name: a, type: slack, url: \"https://x\", concurrency: 0}]", "out-of-range"),
        ("[{name: a, type: slack, url: \"https://x\", uurl: 1}]", "unknown-field"),
        (
            "[{name: a, type: slack, url: \"https://x\"}, {name: a, type: slack, url: \"https://y\"}]",
            "duplicate-name",
        ),
    ] {
        assert_eq!(codes(&read(ADMIN, text)), [code], "{text}");
    }
    let without_page = read("", "[{name: a, type: slack, url: \"https://x\"}]");
    assert_eq!(codes(&without_page), ["missing-admin-url"]);
    assert!(read("", "[]").config.unwrap().notify.is_none());
}

#[test]
fn the_page_is_a_plain_url() {
    for url in ["portcullis", "ftp://x", "https://me@x", "https://x?y", "https://x#y"] {
        let admin = ADMIN.replace("https://portcullis.example.com/base/", url);
        assert_eq!(codes(&read(&admin, "[]")), ["invalid-url"], "{url}");
    }
}

#[test]
fn no_finding_shows_a_url() {
    for mistake in [
        "[{name: a, typ: slack, url: \"https://hooks.slack.com/services/T0/B0/SECRET\"}]",
        "[{name: a, type: irc, url: https://hooks.slack.com/services/T0/B0/SECRET, allow_private: 5}]",
        "[{name: a, type: slack, url: 'https://hooks.slack.com/services/T0/B0/SECRET', url_file: f}]",
        "[{name: é, type: slack, url: \"https://hooks.slack.com/services/T0/B0/SECRET\", x: 1}]",
    ] {
        let read = read(ADMIN, mistake);
        assert!(!read.findings.is_empty(), "{mistake}");
        let shown = render::human(&read.findings, &read.sources, false);
        assert!(shown.contains("notify:") && !shown.contains("SECRET"), "{shown}");
    }
    let good = read(ADMIN, &format!("[{{name: ops, type: slack, url: \"{URL}\"}}]")).config.unwrap();
    assert!(!format!("{good:?}").contains("SECRET"));
}
