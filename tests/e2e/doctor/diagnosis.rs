//! What `portcullis envoy doctor` says of the samples and of the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use portcullis::proxy::doctor::RULES;
use portcullis_sample::repository;
use serde_json::Value;

use super::gateway::{bootstrap, protected, write_server};
use super::replaced;
use super::samples::{base, names, read, rule};

/// All findings on a configuration of Envoy, asked with the server's own.
fn findings(envoy: &Path, server: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["envoy", "doctor", "--format", "json", "--config"])
        .args([server, envoy])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let found: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {said}", envoy.display()));
    assert_eq!(output.status.code(), Some(i32::from(!found.is_empty())), "{}: {said}", envoy.display());
    found
}

/// The rules that they are about.
fn rules(findings: &[Value]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

/// What is found in a sample.
fn of_sample(name: &str) -> Vec<Value> {
    let folder = repository().join("envoy/mistakes");
    let server = match (name, base(&read(&format!("{name}.yaml")))) {
        ("masks-need-ext-proc", _) | (_, super::CLEAN_EXT_PROC) => "portcullis.yaml",
        (_, super::CLEAN_MTLS) => "portcullis-mtls.yaml",
        (_, super::CLEAN_TLS) => "portcullis-tls.yaml",
        _ => "portcullis-ext-authz.yaml",
    };
    findings(&folder.join(format!("{name}.yaml")), &folder.join(server))
}

#[test]
fn of_each_sample_exactly_its_own_mistake_is_found() {
    let (clean, mistakes) = names();
    let mut wrong = BTreeMap::new();
    for name in clean.iter().chain(&mistakes) {
        let expected: BTreeSet<_> = mistakes.contains(name).then(|| rule(name)).into_iter().collect();
        let found = of_sample(name);
        if rules(&found) != expected {
            wrong.insert(name, found);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lines that the clean samples have too: the filter that asks a second time, the setting under the former name, and the
/// beginning of a list that lacks the filter.
const POINTED_AT_ELSEWHERE: [&str; 3] = ["both-filters", "dead-route-setting", "filter-missing"];

/// Where the mistake is something that stands there, and not something that is missing.
#[test]
fn a_mistake_is_found_where_it_stands() {
    let mut elsewhere = Vec::new();
    for name in names().1 {
        let text = read(&format!("{name}.yaml"));
        let clean = read(&format!("{}.yaml", base(&text)));
        let clean: BTreeSet<_> = clean.lines().collect();
        let own: Vec<_> = (1..).zip(text.lines()).filter(|(_, line)| !clean.contains(line)).collect();
        let own: Vec<u64> =
            own.iter().filter(|(_, line)| !line.starts_with('#')).map(|(at, _)| *at).collect();
        let found = of_sample(&name);
        let lines: Vec<_> = found.iter().map(|finding| finding["line"].as_u64().unwrap()).collect();
        if !own.is_empty() && !lines.iter().any(|line| own.contains(line)) {
            elsewhere.push(name);
        }
    }
    assert_eq!(elsewhere, POINTED_AT_ELSEWHERE);
}

#[test]
fn every_rule_about_envoy_has_a_sample() {
    let mistakes = names().1;
    for rule in RULES.iter().filter(|rule| rule.envoy.is_some()) {
        // A file of configuration doesn't say which Envoy reads it; and no replica stands behind a sample.
        let elsewhere = ["envoy-version", "replicas-unordered"].contains(&rule.id);
        let shown = elsewhere || mistakes.iter().any(|name| super::samples::rule(name) == rule.id);
        assert!(shown, "{}", rule.id);
    }
}

/// What is left when the README was followed: what it doesn't speak of.
const CARELESS: [(&str, &str); 1] = [(
    "admin:\n  address: {socket_address: {address: 0.0.0.0",
    "admin:\n  address: {socket_address: {address: 127.0.0.1",
)];

/// What is wrong with the gateway of a company is named: that nobody is asked, and then what is wrong around that.
#[test]
fn the_gateway_is_diagnosed_until_nothing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (envoy, server) = (folder.path().join("envoy.yaml"), write_server(folder.path()));
    let diagnosed = |text: &str| {
        std::fs::write(&envoy, text.replace("${PORTCULLIS_PORT}", "9191")).unwrap();
        rules(&findings(&envoy, &server)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(diagnosed(&bootstrap()), ["admin-exposed", "filter-missing"]);
    let protected = protected(&bootstrap());
    // Nothing is masked on the route of its websocket.
    assert_eq!(diagnosed(&protected), ["admin-exposed"]);
    assert_eq!(diagnosed(&replaced(protected, &CARELESS)), [""; 0]);
}
