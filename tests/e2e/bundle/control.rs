//! People: activate, roll back, pin, unpin from the command line, with restarts and kills between.

use std::path::Path;

use portcullis_sample::address;
use portcullis_sample::envoy::Envoy;
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::upstream::Upstream;

use super::*;
use crate::world::{cli, envoy_before};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

struct Shop {
    folder: tempfile::TempDir,
    config: Config,
    server: Portcullis,
    envoy: Envoy,
    idp: IdentityProvider,
    _upstream: Upstream,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(address::ANY).await.unwrap();
        let idp = IdentityProvider::start(address::ANY).await.unwrap();
        let mut config = Config::sample(idp.issuer(), folder.path().join("data")).unwrap();
        config.policies = folder.path().join("policies");
        fs::create_dir(&config.policies).unwrap();
        fs::write(config.policies.join("p.yaml"), policy("one")).unwrap();
        let server = Portcullis::start(Path::new(BINARY), &config).await.unwrap();
        let envoy = envoy_before(&config, &upstream).await;
        Self { folder, config, server, envoy, idp, _upstream: upstream }
    }

    async fn marked(&self, wanted: &str) {
        let mark = async || {
            let got = reqwest::get(format!("{}/public/hello", self.envoy.url())).await.unwrap();
            got.headers().get("x-policy").map(|mark| mark.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        for _ in 0..400 {
            if mark().await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never marked {wanted}: {}", mark().await);
    }

    /// Runs `portcullis bundle`: whether it succeeded, and what it said on either stream.
    async fn bundle(&self, person: &str, arguments: &[&str]) -> (bool, String) {
        let token = self.idp.token(person, "portcullis-admin").unwrap();
        cli(self.config.admin, &token, &[&["bundle"][..], arguments].concat()).await
    }

    /// Waits until the pin holds something off.
    async fn held_off(&self) {
        while !self.done(&["list"]).await.contains("held off by the pin") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let (done, said) = self.bundle("bob", arguments).await;
        assert!(done, "{arguments:?}: {said}");
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_of_people_survives_kill_9_and_outranks_the_files() {
    let mut shop = Shop::open().await;
    let file = shop.config.policies.join("p.yaml");
    let write = |text: String| fs::write(&file, text).unwrap();
    shop.marked("one").await;
    write(policy("two"));
    shop.marked("two").await;
    shop.done(&["rollback", "--reason", "two is wrong"]).await;
    shop.marked("one").await;
    let log = shop.server.child().log();
    let told = log.lines().find(|line| line.contains("somebody changed which policies decide")).unwrap();
    for said in ["rolled_back", "bob@example.com", "two is wrong"] {
        assert!(told.contains(said), "{said} is not in {told}");
    }
    let list = shop.done(&["list"]).await;
    assert!(list.contains("held off by the rollback"), "{list}");
    // Killed as soon as it was acknowledged.
    shop.server.kill().await.unwrap();
    shop.server.restart().await.unwrap();
    shop.marked("one").await;
    // What was rolled back from is not taken again, as the history shows; what differs is.
    fs::write(shop.config.policies.join("note.txt"), "touched").unwrap();
    write(policy("three"));
    shop.marked("three").await;

    let (done, said) = shop.bundle("ana", &["pin"]).await;
    assert!(!done && said.contains("not permitted"), "{said}");
    shop.done(&["pin", "--reason", "weekend"]).await;
    write(policy("four"));
    shop.held_off().await;
    shop.marked("three").await;
    shop.server.kill().await.unwrap();
    shop.server.restart().await.unwrap();
    shop.marked("three").await;
    let (done, said) = shop.bundle("bob", &["rollback"]).await;
    assert!(!done && said.contains("is pinned; unpin it first"), "{said}");
    // The files are gone, and nothing depends on them.
    fs::rename(&shop.config.policies, shop.folder.path().join("away")).unwrap();
    shop.server.kill().await.unwrap();
    shop.server.restart().await.unwrap();
    shop.marked("three").await;
    fs::rename(shop.folder.path().join("away"), &shop.config.policies).unwrap();
    shop.held_off().await;
    let said = shop.done(&["unpin"]).await;
    assert!(said.contains("is active") && !said.contains("pinned"), "{said}");
    shop.marked("four").await;

    let listed: Value =
        serde_json::from_str(&shop.done(&["list", "--format", "json", "--history", "50"]).await).unwrap();
    assert_eq!(listed["bundles"].as_array().unwrap().len(), 4);
    let kinds =
        listed["events"].as_array().unwrap().iter().rev().map(|event| event["kind"].as_str().unwrap());
    let expected = [
        "activated",
        "activated",
        "rolled_back",
        "activated",
        "pinned",
        "refused",
        "refused",
        "refused",
        "refused",
        "unpinned",
        "activated",
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected, "{listed:#}");
    let rolled_back =
        listed["events"].as_array().unwrap().iter().find(|event| event["kind"] == "rolled_back").unwrap();
    assert_eq!(rolled_back["actor"]["person"], "bob@example.com");
    assert_eq!(rolled_back["comment"], "two is wrong");
    let trail = fs::read_to_string(shop.config.audit_path()).unwrap();
    let records: Vec<Value> = trail.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let pinned = records.iter().find(|record| record["change"] == "pinned").unwrap();
    assert_eq!((&pinned["identity"]["subject"], &pinned["comment"]), (&"bob".into(), &"weekend".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_file_is_uploaded_and_gone_back_from() {
    let shop = Shop::open().await;
    let key = SigningKey::generate().unwrap();
    let file = |version: &str, bytes: Vec<u8>| {
        let path = shop.folder.path().join(format!("{version}.tar.gz"));
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, two) = (file("1.0.0", bundle("1.0.0", &key)), file("2.0.0", bundle("2.0.0", &key)));
    shop.done(&["activate", &one]).await;
    shop.done(&["activate", &two, "--reason", "release"]).await;
    shop.marked("2.0.0").await;
    let (done, said) = shop.bundle("bob", &["activate", &one]).await;
    assert!(!done && said.contains("nothing was changed") && said.contains("1.0.0"), "{said}");
    let bad = file("bad", sign(&unsigned("3.0.0", &cases("deny")), &key).unwrap());
    let (done, said) = shop.bundle("bob", &["activate", &bad]).await;
    assert!(!done && said.contains("p.cases.yaml:2"), "{said}");
    let (done, said) = shop.bundle("ana", &["activate", &two]).await;
    assert!(!done && said.contains("not permitted"), "{said}");
    shop.done(&["rollback", "--to", "1.0.0"]).await;
    shop.marked("1.0.0").await;
    let said = shop.done(&["list", "--history", "9"]).await;
    assert!(
        said.contains("shop 2.0.0") && said.contains("failing_case") && said.contains("bob@example.com"),
        "{said}"
    );
    assert!(shop.bundle("bob", &["rollback", "--to", "7.7.7"]).await.1.contains("no kept revision"));
}
