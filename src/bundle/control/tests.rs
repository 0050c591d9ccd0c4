//! What Control promises, with a real store and a real engine.

use std::path::Path;

use futures_util::FutureExt as _;
use tempfile::TempDir;

use super::testing::ports;
use super::*;
use crate::authn;
use crate::bundle::{Bundle, Label, Limits, SigningKey, Trust, sign};
use crate::identity::Method;
use crate::policy::{self, SourceFile};
use crate::store::{EventKind, KeptBundle};

mod held_off;
mod replicas;
mod trial;

struct Fixture {
    control: Arc<Control>,
    engine: Arc<Engine>,
    store: Store,
    metrics: Metrics,
    audit: Audit,
    folder: TempDir,
}

fn admission(trust: Trust) -> Admission {
    Admission { trust, limits: Limits::default(), options: policy::Options::default() }
}

async fn start(folder: TempDir, trust: Trust) -> Fixture {
    let ports = ports(folder.path()).await;
    let control = Control::start(ports.clone(), admission(trust), "here", None).await.unwrap();
    let Ports { engine, store, audit, metrics, .. } = ports;
    Fixture { control, engine, store, metrics, audit, folder }
}

async fn fixture() -> Fixture {
    start(tempfile::tempdir().unwrap(), Trust::none()).await
}

impl Fixture {
    async fn restart(self, trust: Trust) -> Self {
        self.store.close().await;
        self.audit.close().await;
        start(self.folder, trust).await
    }

    async fn offer(&self, archive: &[u8]) -> Outcome {
        let admission = self.control.admission();
        let offer = admission.archive(archive.to_vec());
        self.control.offer("here", format!("{archive:?}"), &admission, offer).await
    }

    async fn offer_files(&self, policy: &str) -> Outcome {
        let bundle = Bundle::of_files(vec![file("p.yaml", policy)], vec![]);
        let admission = self.control.admission();
        self.control.offer("files", policy.to_owned(), &admission, admission.files(bundle)).await
    }

    async fn change(&self, change: Change) -> Result<KeptBundle, ChangeError> {
        self.control.change(change, by("bob")).await
    }

    /// The policies that decide, by the name of their one rule.
    fn decides(&self) -> String {
        let snapshot = self.engine.snapshot();
        snapshot.policies.rule_names().map(ToString::to_string).collect()
    }

    async fn events(&self) -> Vec<EventKind> {
        let events = self.control.history(100, None).await.unwrap();
        events.iter().rev().map(|event| event.event.kind).collect()
    }

    fn counts(&self, line: &str) -> bool {
        self.metrics.render().contains(line)
    }
}

fn by(name: &str) -> Request {
    let mut who = (*Identity::anonymous()).clone();
    who.method = Method::Jwt;
    who.issuer = "https://idp.example".into();
    who.subject = name.into();
    Request { who: Arc::new(who), reason: "because".into() }
}

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { file: name.into(), text: text.into() }
}

fn policy(rule: &str) -> String {
    let head = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n";
    format!("{head}  rules: [{{name: {rule}, allow: {{}}}}]\n")
}

/// Version `version` of `name`, whose one rule is `rule`.
fn archive(name: &str, version: &str, rule: &str) -> Vec<u8> {
    let label = Label {
        name: name.into(),
        version: version.parse().unwrap(),
        created: jiff::Timestamp::UNIX_EPOCH,
        parent: None,
        minimum_server: None,
    };
    Bundle::of_files(vec![file("p.yaml", &policy(rule))], vec![]).pack(&label).unwrap()
}

#[tokio::test]
async fn only_what_is_newer_is_taken_and_every_refusal_is_told_once() {
    let fixture = fixture().await;
    assert_eq!(fixture.decides(), "");
    assert_eq!(fixture.offer(&archive("shop", "1.0.0", "one")).await, Outcome::Taken);
    assert_eq!(fixture.offer(&archive("shop", "1.1.0", "two")).await, Outcome::Taken);
    assert_eq!(fixture.decides(), "p/two");
    assert_eq!(fixture.offer(&archive("shop", "1.1.0", "two")).await, Outcome::Unchanged);
    let older = archive("shop", "1.0.0", "one");
    for _ in 0..3 {
        assert_eq!(fixture.offer(&older).await, Outcome::Refused(Refusal::OlderVersion));
    }
    for (other, refusal) in [
        (archive("shop", "1.1.0", "three"), Refusal::SameVersion),
        (archive("bank", "2.0.0", "three"), Refusal::WrongName),
        (b"no archive".to_vec(), Refusal::Truncated),
    ] {
        assert_eq!(fixture.offer(&other).await, Outcome::Refused(refusal));
    }
    assert_eq!(fixture.decides(), "p/two");
    use EventKind::{Activated, Refused};
    assert_eq!(fixture.events().await, [Activated, Activated, Refused, Refused, Refused, Refused]);
    assert!(fixture.counts(r#"portcullis_reloads_total{result="refused",reason="older_version"} 1"#));
    assert!(fixture.counts(r#"portcullis_reloads_total{result="accepted",reason="none"} 1"#));
    let refused = fixture.control.list().await.unwrap().refused.unwrap();
    assert_eq!((refused.refusal, &*refused.source), (Refusal::Truncated, "here"));
    assert_eq!(fixture.offer(&archive("shop", "2.0.0", "four")).await, Outcome::Taken);
    assert!(fixture.control.list().await.unwrap().refused.is_none());
}

#[tokio::test]
async fn a_rollback_stands_after_a_restart_and_the_source_does_not_undo_it() {
    let fixture = fixture().await;
    for (version, rule) in [("1.0.0", "one"), ("2.0.0", "two"), ("3.0.0", "three")] {
        fixture.offer(&archive("shop", version, rule)).await;
    }
    assert_eq!(fixture.change(Change::Rollback(None)).await.unwrap().version, "2.0.0");
    assert_eq!(fixture.decides(), "p/two");
    assert_eq!(fixture.change(Change::Rollback(None)).await.unwrap().version, "1.0.0");
    assert!(matches!(fixture.change(Change::Rollback(None)).await, Err(ChangeError::NoPrevious)));
    let fixture = fixture.restart(Trust::none()).await;
    assert_eq!(fixture.decides(), "p/one");
    assert_eq!(fixture.offer(&archive("shop", "3.0.0", "three")).await, Outcome::PassedOver);
    let between = fixture.offer(&archive("shop", "2.5.0", "x")).await;
    assert_eq!(between, Outcome::Refused(Refusal::OlderVersion));
    // Forward again, by name; and newer ones come by themselves.
    assert_eq!(fixture.change(Change::Rollback(Some("3.0.0".into()))).await.unwrap().version, "3.0.0");
    assert_eq!(fixture.offer(&archive("shop", "3.0.1", "four")).await, Outcome::Taken);
    let trail = std::fs::read_to_string(fixture.folder.path().join("audit.jsonl")).unwrap();
    let rolled_back = trail.lines().find(|line| line.contains(r#""change":"rolled_back""#)).unwrap();
    assert!(rolled_back.contains(r#""subject":"bob""#) && rolled_back.contains("because"), "{rolled_back}");
}

#[tokio::test]
async fn plain_files_that_were_rolled_back_from_wait_until_they_differ() {
    let fixture = fixture().await;
    assert_eq!(fixture.offer_files(&policy("good")).await, Outcome::Taken);
    assert_eq!(fixture.offer_files(&policy("bad")).await, Outcome::Taken);
    fixture.change(Change::Rollback(None)).await.unwrap();
    assert_eq!(fixture.decides(), "p/good");
    let fixture = fixture.restart(Trust::none()).await;
    assert_eq!(fixture.decides(), "p/good");
    assert_eq!(fixture.offer_files(&policy("bad")).await, Outcome::PassedOver);
    assert_eq!(fixture.offer_files(&policy("better")).await, Outcome::Taken);
    assert_eq!(fixture.offer_files(&policy("bad")).await, Outcome::Taken, "chosen again");
}

#[tokio::test]
async fn a_pin_outranks_offers_and_unpinning_takes_the_newest_of_them() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.offer(&archive("shop", "2.0.0", "two")).await;
    let pinned = fixture.change(Change::Pin(Some("1.0.0".into()))).await.unwrap();
    assert_eq!((pinned.version.as_str(), fixture.decides()), ("1.0.0", "p/one".to_owned()));
    let fixture = fixture.restart(Trust::none()).await;
    assert_eq!(fixture.decides(), "p/one");
    assert!(fixture.counts("portcullis_bundle_pinned 1"));
    for (version, rule) in [("3.0.0", "three"), ("4.0.0", "four")] {
        let outcome = fixture.offer(&archive("shop", version, rule)).await;
        assert_eq!(outcome, Outcome::Refused(Refusal::Pinned));
    }
    assert_eq!(fixture.control.list().await.unwrap().available.unwrap().version, "4.0.0");
    for change in [Change::Rollback(None), Change::Activate(archive("shop", "5.0.0", "five"))] {
        assert!(matches!(fixture.change(change).await, Err(ChangeError::Pinned(_))));
    }
    assert_eq!(fixture.decides(), "p/one");
    assert_eq!(fixture.change(Change::Unpin).await.unwrap().version, "4.0.0");
    assert_eq!(fixture.decides(), "p/four");
    assert!(matches!(fixture.change(Change::Unpin).await, Err(ChangeError::NotPinned)));
    let listing = fixture.control.list().await.unwrap();
    assert!(!listing.pinned && listing.available.is_none());
    let active = fixture.change(Change::Pin(None)).await.unwrap();
    assert_eq!(active.version, "4.0.0");
}

#[tokio::test]
async fn unpinning_judges_what_was_held_off_by_the_keys_of_today() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.change(Change::Pin(None)).await.unwrap();
    fixture.offer(&archive("shop", "2.0.0", "two")).await;
    let key = SigningKey::generate().unwrap();
    *fixture.control.admission.write() = Arc::new(admission(Trust::of([key.public()])));
    fixture.change(Change::Unpin).await.unwrap();
    assert_eq!(fixture.decides(), "p/one");
    assert_eq!(fixture.control.list().await.unwrap().refused.unwrap().refusal, Refusal::Unsigned);
}

#[tokio::test]
async fn what_is_uploaded_is_judged_like_any_other() {
    let fixture = fixture().await;
    fixture.offer_files(&policy("files")).await;
    let active = fixture.change(Change::Activate(archive("shop", "2.0.0", "two"))).await.unwrap();
    assert_eq!((active.source.as_str(), fixture.decides()), ("admin", "p/two".to_owned()));
    assert_eq!(
        fixture.offer_files(&policy("files")).await,
        Outcome::PassedOver,
        "the source changed nothing"
    );
    let refused = |change: Result<KeptBundle, ChangeError>| match change {
        Err(ChangeError::Refused(refused)) => refused.refusal,
        other => panic!("{other:?}"),
    };
    let older = fixture.change(Change::Activate(archive("shop", "1.0.0", "one"))).await;
    assert_eq!(refused(older), Refusal::OlderVersion);
    let same = fixture.change(Change::Activate(archive("shop", "2.0.0", "other"))).await;
    assert_eq!(refused(same), Refusal::SameVersion);
    let broken = fixture.change(Change::Activate(archive("shop", "3.0.0", "twice, name: twice"))).await;
    assert_eq!(refused(broken), Refusal::InvalidPolicy);
    let again = fixture.change(Change::Activate(archive("shop", "2.0.0", "two"))).await;
    assert!(matches!(again, Err(ChangeError::Active(_))));
    assert_eq!(fixture.decides(), "p/two");
    let last = fixture.control.history(1, None).await.unwrap().remove(0);
    assert_eq!(last.event.who.unwrap().subject, "bob");
    let (code, findings) = last.event.refusal.unwrap();
    assert!(code == "invalid_policy" && findings[0].contains("p.yaml:"), "{code} {findings:?}");
    // Another bundle only when somebody says so.
    assert_eq!(
        fixture.change(Change::Activate(archive("bank", "0.1.0", "bank"))).await.unwrap().name,
        "bank"
    );
}

#[tokio::test]
async fn revisions_are_found_by_revision_version_digest_and_their_beginnings() {
    let fixture = fixture().await;
    let mut kept = Vec::new();
    for (version, rule) in [("1.0.0", "one"), ("2.0.0", "two"), ("3.0.0", "three")] {
        kept.push(fixture.change(Change::Activate(archive("shop", version, rule))).await.unwrap());
    }
    let (one, two) = (&kept[0], &kept[1]);
    for (name, found) in [
        (one.revision.clone(), one),
        (two.digest.clone(), two),
        (one.digest[..8].to_owned(), one),
        (two.revision[..6].to_owned(), two),
        ("1.0.0".to_owned(), one),
    ] {
        assert_eq!(fixture.change(Change::Rollback(Some(name))).await.unwrap().id, found.id);
    }
    for unknown in ["9.9.9", "", "abc", "ffffffffffff"] {
        let change = fixture.change(Change::Rollback(Some(unknown.into()))).await;
        assert!(matches!(change, Err(ChangeError::Unknown(_))), "{unknown}");
    }
    let active = fixture.change(Change::Rollback(Some("1.0.0".into()))).await;
    assert!(matches!(active, Err(ChangeError::Active(_))));
}

#[tokio::test]
async fn what_is_no_longer_trusted_does_not_decide_after_a_restart() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let trust = |key: &SigningKey| Trust::of([key.public()]);
    let fixture = start(tempfile::tempdir().unwrap(), trust(&key)).await;
    let signed = sign(&archive("shop", "1.0.0", "one"), &key).unwrap();
    assert_eq!(fixture.offer(&archive("shop", "1.0.0", "one")).await, Outcome::Refused(Refusal::Unsigned));
    assert_eq!(fixture.offer_files(&policy("files")).await, Outcome::Refused(Refusal::Unsigned));
    assert_eq!(fixture.offer(&signed).await, Outcome::Taken);
    let fixture = fixture.restart(trust(&key)).await;
    assert_eq!(fixture.decides(), "p/one");
    let fixture = fixture.restart(trust(&other)).await;
    assert_eq!(fixture.decides(), "");
    assert_eq!(fixture.control.list().await.unwrap().refused.unwrap().refusal, Refusal::UnknownKey);
    // The same version, signed by a key that is trusted now.
    let signed = sign(&archive("shop", "1.0.0", "one"), &other).unwrap();
    assert_eq!(fixture.offer(&signed).await, Outcome::Taken);
    assert_eq!(fixture.restart(trust(&other)).await.decides(), "p/one");
}

#[tokio::test]
async fn a_bundle_that_another_key_signed_is_kept_as_it_comes_now() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let both = Trust::of([key.public(), other.public()]);
    let fixture = start(tempfile::tempdir().unwrap(), both).await;
    let plain = archive("shop", "1.0.0", "one");
    assert_eq!(fixture.offer(&sign(&plain, &key).unwrap()).await, Outcome::Taken);
    assert_eq!(fixture.offer(&sign(&plain, &other).unwrap()).await, Outcome::Unchanged);
    let fixture = fixture.restart(Trust::of([other.public()])).await;
    assert_eq!(fixture.decides(), "p/one");
    assert_eq!(fixture.store.bundles().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_judged_by_the_rules_of_before_is_not_taken() {
    let fixture = fixture().await;
    let before = fixture.control.admission();
    let offer = before.archive(archive("shop", "1.0.0", "one"));
    let key = SigningKey::generate().unwrap();
    let reloaded = Reloaded {
        authenticator: fixture.engine.snapshot().authenticator.clone(),
        admission: admission(Trust::of([key.public()])),
        location: "here".into(),
        offer: None,
    };
    let unsigned = archive("shop", "2.0.0", "two");
    fixture.offer(&unsigned).await;
    assert!(fixture.control.knows(&format!("{unsigned:?}")).await);
    assert_eq!(fixture.control.reload(reloaded).await, Outcome::Unchanged);
    assert!(!fixture.control.knows(&format!("{unsigned:?}")).await, "it is looked at again");
    assert_eq!(fixture.control.offer("here", String::new(), &before, offer).await, Outcome::Outdated);
    assert_eq!(fixture.offer(&archive("shop", "3.0.0", "three")).await, Outcome::Refused(Refusal::Unsigned));
    assert_eq!(fixture.decides(), "p/two");
}

#[tokio::test]
async fn what_the_store_can_not_keep_does_not_decide() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.store.close().await;
    let newer = archive("shop", "2.0.0", "two");
    assert_eq!(fixture.offer(&newer).await, Outcome::NotKept);
    assert!(!fixture.control.knows(&format!("{newer:?}")).await, "it is tried again");
    let change = fixture.change(Change::Activate(newer)).await;
    assert!(matches!(change, Err(ChangeError::Store(_))));
    assert_eq!(fixture.decides(), "p/one");
}

#[tokio::test]
async fn a_change_runs_to_its_end_without_the_one_who_asked_for_it() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    let change = fixture.change(Change::Activate(archive("shop", "2.0.0", "two")));
    assert!(change.now_or_never().is_none(), "it takes a moment");
    while fixture.decides() != "p/two" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(fixture.store.bundle_state().await.unwrap().active.unwrap().version, "2.0.0");
}

#[tokio::test]
async fn identity_and_policies_change_as_one_and_a_pin_holds_off_the_policies_alone() {
    let fixture = fixture().await;
    fixture.offer_files(&policy("one")).await;
    let reload = async |text: &str| {
        let bundle = Bundle::of_files(vec![file("p.yaml", text)], vec![]);
        let authenticator = Authenticator::build(authn::Config::default(), Clock::system()).await.unwrap();
        let offer = admission(Trust::none()).files(bundle);
        let reloaded = Reloaded {
            authenticator: authenticator.clone(),
            admission: admission(Trust::none()),
            location: "here".into(),
            offer: Some((text.to_owned(), offer)),
        };
        let outcome = fixture.control.reload(reloaded).await;
        (outcome, Arc::ptr_eq(&fixture.engine.snapshot().authenticator, &authenticator))
    };
    assert_eq!(reload(&policy("two")).await, (Outcome::Taken, true));
    assert_eq!(fixture.decides(), "p/two");
    assert_eq!(reload(&policy("two")).await, (Outcome::Unchanged, true));
    assert_eq!(reload("kind: Policy").await, (Outcome::Refused(Refusal::InvalidPolicy), false));
    fixture.change(Change::Pin(None)).await.unwrap();
    assert_eq!(reload(&policy("three")).await, (Outcome::Refused(Refusal::Pinned), true));
    assert_eq!(fixture.decides(), "p/two");
}

#[tokio::test]
async fn a_damaged_store_entry_is_no_policy() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.store.close().await;
    let path = fixture.folder.path().join("store.db");
    let connect = <sqlx::SqliteConnection as sqlx::Connection>::connect;
    let mut connection = connect(Path::new(&path).to_str().unwrap()).await.unwrap();
    sqlx::query("UPDATE bundles SET content = x'00'").execute(&mut connection).await.unwrap();
    drop(connection);
    let fixture = start(fixture.folder, Trust::none()).await;
    assert_eq!(fixture.decides(), "");
    assert!(fixture.control.was_active().await);
    assert_eq!(
        fixture.offer(&archive("shop", "1.0.0", "one")).await,
        Outcome::Taken,
        "from the source again"
    );
}
