//! Archives, from outside: what is packed opens as the same, and what is not whole, plain and signed does not open.

use std::sync::Arc;

use super::open::Opened;
use super::*;
use crate::policy::SourceFile;

mod attack;
mod forge;
mod mutation;

pub const POLICY: &str = "apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec: {rules: [{name: read, when: request.method == 'GET', allow: {}}]}
";
pub const CASES: &str = "cases: [{name: a, request: {path: /}, expect: {outcome: allow}}]\n";

pub fn source(file: &str, text: &str) -> SourceFile {
    SourceFile { file: file.into(), text: text.into() }
}

pub fn plain() -> Bundle {
    Bundle::of_files(
        vec![source("/etc/shop/orders.yaml", POLICY), source("/etc/shop/sub/other.yml", "# nothing\n")],
        vec![source("/etc/shop/orders.cases.yaml", CASES)],
    )
}

pub fn label() -> Label {
    Label {
        name: "shop".into(),
        version: "1.4.0".parse().unwrap(),
        created: "2026-11-21T10:00:00Z".parse().unwrap(),
        parent: None,
        minimum_server: None,
    }
}

pub fn packed() -> Vec<u8> {
    plain().pack(&label()).unwrap()
}

pub fn trust(key: &SigningKey) -> Trust {
    Trust::of([key.public()])
}

pub fn open(bytes: &[u8], trust: &Trust) -> Result<Bundle, Refusal> {
    Bundle::open(bytes, trust, &Limits::default()).map_err(|refused| refused.refusal)
}

#[test]
fn what_is_packed_opens_as_the_same() {
    let bundle = open(&packed(), &Trust::none()).unwrap();
    let manifest = bundle.manifest.as_ref().unwrap();
    assert_eq!((&*manifest.name, manifest.version.to_string()), ("shop", "1.4.0".to_owned()));
    assert_eq!(manifest.created, label().created);
    let files: Vec<_> = manifest.files.iter().map(|file| &*file.path).collect();
    assert_eq!(files, ["policies/orders.cases.yaml", "policies/orders.yaml", "policies/sub/other.yml"]);
    assert_eq!(
        bundle.policies,
        [source("policies/orders.yaml", POLICY), source("policies/sub/other.yml", "# nothing\n")]
    );
    assert_eq!(bundle.cases, [source("policies/orders.cases.yaml", CASES)]);
    assert_eq!((bundle.signer, bundle.signed_by), (None, vec![]));
}

#[test]
fn the_same_files_and_label_give_the_same_bytes_wherever_they_lie_and_in_any_order() {
    let mut elsewhere = Bundle::of_files(
        vec![source("./sub/other.yml", "# nothing\n"), source("./orders.yaml", POLICY)],
        vec![source("./orders.cases.yaml", CASES)],
    );
    assert_eq!(packed(), elsewhere.pack(&label()).unwrap());
    let reopened = open(&packed(), &Trust::none()).unwrap();
    assert_eq!(packed(), reopened.pack(&label()).unwrap(), "an opened bundle packs as it was");
    elsewhere.policies[0].text = "# something\n".into();
    assert_ne!(packed(), elsewhere.pack(&label()).unwrap());
}

#[test]
fn the_digest_is_of_the_files_alone() {
    let digest = |label: &Label| {
        let bytes = plain().pack(label).unwrap();
        open(&bytes, &Trust::none()).unwrap().manifest.unwrap().digest
    };
    let other = Label { version: "2.0.0".parse().unwrap(), created: jiff::Timestamp::UNIX_EPOCH, ..label() };
    assert_eq!(digest(&label()), digest(&other));
}

#[test]
fn a_signed_bundle_opens_for_those_who_trust_its_key() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let signed = sign(&packed(), &key).unwrap();
    let bundle = open(&signed, &trust(&key)).unwrap();
    assert_eq!(bundle.signer, Some(key.public().id()));
    assert_eq!(bundle.policies, open(&packed(), &Trust::none()).unwrap().policies);
    let unasked = open(&signed, &Trust::none()).unwrap();
    assert_eq!((unasked.signer, unasked.signed_by), (None, vec![key.public().id()]));
    assert_eq!(open(&signed, &trust(&other)).unwrap_err(), Refusal::UnknownKey);
    assert_eq!(open(&packed(), &trust(&key)).unwrap_err(), Refusal::Unsigned);
}

/// `foreign.tgz` was made from docs/bundles.md alone, with Python's tarfile, gzip and hashlib, and signed by openssl with
/// the key of RFC 8410, section 10.3. It must open for ever, or the format's number must change.
#[test]
fn a_bundle_made_by_other_tools_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pub");
    let key = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    std::fs::write(&path, format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")).unwrap();
    let bundle = open(include_bytes!("tests/foreign.tgz"), &Trust::read(&[path]).unwrap()).unwrap();
    assert_eq!(bundle.signer.as_deref(), Some("e744c0791320c328"));
    assert_eq!(bundle.policies, [source("policies/orders.yaml", "# orders\n")]);
    assert_eq!(bundle.cases, [source("policies/orders.cases.yaml", "# cases\n")]);
    let manifest = bundle.manifest.unwrap();
    assert_eq!(manifest.parent, Some("0".repeat(64).into()));
    assert_eq!(manifest.minimum_server, Some("0.1.0".parse().unwrap()));
}

#[test]
fn several_keys_may_sign_and_any_trusted_one_will_do() {
    let keys = [(); 3].map(|()| SigningKey::generate().unwrap());
    let signed = keys.iter().fold(packed(), |bytes, key| sign(&bytes, key).unwrap());
    assert_eq!(open(&signed, &Trust::none()).unwrap().signed_by.len(), 3);
    for key in &keys {
        assert_eq!(open(&signed, &trust(key)).unwrap().signer, Some(key.public().id()));
    }
    assert_eq!(sign(&signed, &keys[1]).unwrap(), signed, "a key signs once");
    let reversed = keys.iter().rev().fold(packed(), |bytes, key| sign(&bytes, key).unwrap());
    assert_eq!(reversed, signed, "the order of signing leaves no trace");
}

#[test]
fn what_would_not_open_is_not_packed() {
    let pack = |bundle: &Bundle, label: &Label| bundle.pack(label).map_err(|refused| refused.refusal);
    for name in ["", "Shop", "-shop", "a b", "a/b", &"a".repeat(65)] {
        let label = Label { name: name.into(), ..label() };
        assert_eq!(pack(&plain(), &label).unwrap_err(), Refusal::InvalidManifest, "{name}");
    }
    let label = label();
    for (change, refusal) in [
        (Label { parent: Some("abc".into()), ..label.clone() }, Refusal::InvalidManifest),
        (Label { minimum_server: Some("99.0.0".parse().unwrap()), ..label.clone() }, Refusal::ServerTooOld),
    ] {
        assert_eq!(pack(&plain(), &change).unwrap_err(), refusal);
    }
    let empty = Bundle::of_files(vec![], plain().cases);
    assert_eq!(pack(&empty, &label).unwrap_err(), Refusal::InvalidManifest);
    let text: Arc<str> = " ".repeat((1 << 20) + 1).into();
    let large = Bundle::of_files(vec![SourceFile { file: "a.yaml".into(), text }], vec![]);
    assert_eq!(pack(&large, &label).unwrap_err(), Refusal::TooLarge);
}

#[test]
fn versions_are_ordered_as_semantic_versioning_says() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let manifest = open(&packed(), &Trust::none()).unwrap().manifest.unwrap();
    for (other, order) in [
        ("1.3.9", Greater),
        ("1.4.0-rc.1", Greater),
        ("1.4.0", Equal),
        ("1.4.0+build.7", Equal),
        ("1.10.0", Less),
    ] {
        assert_eq!(manifest.compare(&other.parse().unwrap()), order, "{other}");
    }
}

#[test]
fn a_bundle_of_ten_thousand_policies_is_within_the_limits() {
    let policies = (0..10_000)
        .map(|n| source(&format!("p{n}.yaml"), &POLICY.replace("orders", &format!("orders-{n}"))))
        .collect();
    let bytes = Bundle::of_files(policies, vec![]).pack(&label()).unwrap();
    let opened = Opened::read(&bytes, &Trust::none(), &Limits::default()).unwrap();
    assert_eq!(opened.contents.len(), 10_000);
}
