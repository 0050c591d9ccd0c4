//! Every rule on the smallest mistake, in each form that a configuration can have, and silence on what is right.

use std::time::Duration;

use super::*;
use crate::document::Node;
use crate::policy::{self, SourceFile};
use crate::proxy::{BodySource, ListenerTls, Server};

mod asked;
mod cases;
mod forms;
mod handover;
mod hostile;
mod manifests;
mod masked_headers;
mod routes;
mod spellings;
mod steered;
mod upgraded;

pub(super) const AUTHZ: &str = include_str!("tests/ext-authz.yaml");
pub(super) const PROC: &str = include_str!("tests/ext-proc.yaml");

const POLICY: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds/{**}"], methods: [POST]}]
  rules:
    - name: large
      when: 'request.body.amount > 500 && source.address != "" && "shop" in metadata'
      hold: {approvers: {groups: [finance]}, wait: 5m}
    - name: partners
      when: '"x-partner" in request.headers && request.headers["x-partner"] == "acme"'
      headers: {request: {set: {x-user: "${identity.subject}"}}}
"#;
const MASK: &str = r#"
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: cards}
spec:
  match: [{paths: ["/v1/refunds/{**}"]}]
  rules:
    - {name: numbers, mask: [{field: "**.card.number", with: last4}]}
"#;

pub(super) fn server() -> Server {
    Server {
        known: true,
        full_duplex: false,
        max_message_timeout: Duration::from_secs(900),
        decision_timeout: Duration::from_millis(2500),
        body_limit: 1 << 20,
        held: 10_000,
        shared_store: false,
        gateway: true,
        body: BodySource::Buffered,
        mtls: false,
        tls: ListenerTls::Off,
        credentials: vec!["authorization".to_owned()],
        forwarded_certificates: false,
        changes: Vec::new(),
        changes_query: false,
        handover_always: false,
        digest_headers: vec!["content-type".to_owned()],
    }
}

/// What policies that hold and read bodies ask for; with ext_proc they mask too.
pub(super) fn needs(masks: bool) -> Needs {
    of_policies(&if masks { format!("{POLICY}{MASK}") } else { POLICY.to_owned() })
}

/// What these policies ask for.
pub(super) fn of_policies(text: &str) -> Needs {
    let files = [SourceFile { file: "policy.yaml".into(), text: text.into() }];
    let compiled = policy::compile(&files, &policy::Options { gateway: true });
    let set = compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.findings));
    Needs::of(&set, server())
}

pub(super) fn examined(text: &str, needs: &Needs) -> Examined {
    let source = Source::parse("envoy.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    examine(&[source], needs, &Given::default()).unwrap()
}

/// The rules that find something, sorted, each once.
pub(super) fn rules(text: &str, needs: &Needs) -> Vec<&'static str> {
    let mut ids: Vec<_> = examined(text, needs).findings.iter().map(|finding| finding.rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The text with a part replaced that has to be there.
pub(super) fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in the text");
    text.replace(from, to)
}

pub(super) fn parsed(text: &str) -> serde_json::Value {
    let source = Source::parse("envoy.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    source.roots.first().map(Node::to_json).unwrap()
}

#[test]
fn nothing_is_found_in_what_is_right() {
    for (text, masks) in [(AUTHZ, false), (PROC, true), (PROC, false)] {
        let examined = examined(text, &needs(masks));
        assert!(examined.findings.is_empty(), "{:#?}", examined.findings);
        assert_eq!((examined.listeners, examined.routes, examined.filters), (1, 2, 1));
    }
}

#[test]
fn rules_are_sorted_and_their_pages_whole() {
    assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
    for rule in RULES {
        for text in [rule.title, rule.what, rule.why, rule.demonstrated, rule.fix, rule.example] {
            assert!(text.len() > 5, "{}", rule.id);
        }
        assert!(rule.example.ends_with('\n'), "{}", rule.id);
        assert!(crate::document::Document::parse(&"x".into(), &rule.example.into()).is_ok(), "{}", rule.id);
        assert_eq!(by_id(rule.id).unwrap().id, rule.id);
    }
}

#[test]
fn demonstrations_are_tests_that_there_are() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/doctor");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let tests: String = texts.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for rule in RULES {
        let named = rule.test.is_none_or(|test| tests.contains(&format!("\nasync fn {test}() {{")));
        assert!(named, "{}: there is no test {:?}", rule.id, rule.test);
        assert!(rule.test.is_some() || !rule.demonstrated.starts_with("Envoy 1."), "{}: no test", rule.id);
    }
}

/// `make docs` writes them, with WRITE_DOCS=1.
#[test]
fn the_pages_are_those_that_the_code_makes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor");
    if std::env::var_os("WRITE_DOCS").is_some() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in pages() {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut written: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    let mut made: Vec<_> = pages().into_iter().map(|(name, _)| name).collect();
    made.sort();
    assert_eq!(written, made, "run `make docs`");
    for (name, text) in pages() {
        assert_eq!(std::fs::read_to_string(folder.join(&name)).unwrap(), text, "{name}: run `make docs`");
    }
}
