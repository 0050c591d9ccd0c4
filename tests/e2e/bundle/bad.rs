//! Bad bundles, served one after the other to a server that polls: the old one stays, and each is reported.

use std::path::Path;

use portcullis_sample::address;
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::upstream::Upstream;
use tar::EntryType;

use super::forge::{archive, changed, entry, files, with_manifest};
use super::server::{Answer, Server};
use super::*;
use crate::world::{Got, envoy_before};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// Thirteen bundles, and the reasons for which each is refused.
fn bad(key: &SigningKey) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = bundle("2.0.0", key);
    let all = files(&good);
    let policy = all.iter().find(|(path, _)| path.ends_with("/p.yaml")).unwrap();
    let after_all = |more: Vec<u8>| archive(&all, &[more]);
    let signature =
        |path: &str| files(&bundle("2.0.1", key)).into_iter().find(|(name, _)| name == path).unwrap().1;
    let mut other_signature = all.clone();
    other_signature[1].1 = signature(&other_signature[1].0);
    let mut bomb = all.clone();
    bomb.last_mut().unwrap().1 = vec![0; 80 << 20];
    let stranger = SigningKey::generate().unwrap();
    vec![
        ("bad signature", archive(&other_signature, &[]), "bad_signature"),
        ("unknown key", sign(&unsigned("2.0.0", &cases("allow")), &stranger).unwrap(), "unknown_key"),
        ("no signature", unsigned("2.0.0", &cases("allow")), "unsigned"),
        ("replayed old version", bundle("1.0.0", key), "older_version"),
        ("truncated", good[..good.len() / 2].to_vec(), "truncated"),
        ("zip bomb", archive(&bomb, &[]), "too_large"),
        ("path traversal", after_all(entry("policies/../../x", b"x", EntryType::Regular)), "unsafe_path"),
        ("link", after_all(entry("policies/x.yaml", b"", EntryType::Symlink)), "not_a_file"),
        ("duplicate name", after_all(entry(&policy.0, &policy.1, EntryType::Regular)), "duplicate_file"),
        ("failing case", sign(&unsigned("2.0.0", &cases("deny")), key).unwrap(), "failing_case"),
        (
            "unknown field",
            with_manifest(&good, key, "\"format\"", "\"force\": true, \"format\""),
            "invalid_manifest",
        ),
        ("future format", with_manifest(&good, key, "\"format\": 1", "\"format\": 2"), "future_format"),
        ("wrong digest", changed(&good, "/p.yaml", |text| text.replace("2.0.0", "6.6.6")), "wrong_digest"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_bad_bundle_is_refused_and_reported_and_the_old_one_decides_on() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    fs::write(folder.path().join("key.pem"), key.public().to_pem()).unwrap();
    let bundles = Server::start(Answer::Bundle(bundle("1.5.0", &key))).await;
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    let text = config.render().unwrap();
    let policies = text.lines().find(|line| line.starts_with("policies:")).unwrap();
    let source = format!("policies: {{url: \"{}\", poll: 1s, keys: [key.pem]}}", bundles.url());
    let path = folder.path().join("portcullis.yaml");
    fs::write(&path, text.replace(policies, &source)).unwrap();
    let log = folder.path().join("portcullis.log");
    let mut server = Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap();
    let envoy = envoy_before(&config, &upstream).await;
    let mark = async || {
        let got = reqwest::get(format!("{}/public/hello", envoy.url())).await.unwrap();
        got.headers()["x-policy"].to_str().unwrap().to_owned()
    };
    let admin = async |path: &str| {
        let request = reqwest::Client::new().get(format!("http://{}/api/v1/bundles{path}", config.admin));
        let request = request.bearer_auth(idp.token("bob", "portcullis-admin").unwrap());
        Got::from(request.send().await.unwrap()).await.json()
    };
    let counted = async |server: &Portcullis, reason: &str| {
        let line = format!("portcullis_reloads_total{{result=\"refused\",reason=\"{reason}\"}} 1");
        for _ in 0..400 {
            if server.metrics().await.unwrap().contains(&line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {line}");
    };
    assert_eq!(mark().await, "1.5.0");
    for (what, bytes, reason) in bad(&key) {
        bundles.answer(Answer::Bundle(bytes));
        counted(&server, reason).await;
        assert_eq!(mark().await, "1.5.0", "{what}");
        let list = admin("").await;
        assert_eq!(list["refused"]["reason"], reason, "{what}: {list:#}");
        assert!(list["refused"]["findings"][0].as_str().unwrap().len() > 20, "{list:#}");
        let last = admin("/history?limit=1").await["events"][0].clone();
        assert_eq!((&last["kind"], &last["reason"]), (&"refused".into(), &reason.into()), "{what}");
        let log = server.child().log();
        assert!(log.contains(&format!("\"reason\":\"{reason}\"")), "{what}: {log}");
    }
    // The last one stays there, and is told once.
    bundles.answered(304).await;
    counted(&server, "wrong_digest").await;
    bundles.answer(Answer::Bundle(bundle("2.0.0", &key)));
    for _ in 0..200 {
        if mark().await == "2.0.0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("a good one is taken after all that");
}
