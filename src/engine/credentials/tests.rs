use super::super::fault::Fault;
use super::*;
use crate::actor::Actor;
use crate::authn::api_key::HashKey;
use crate::authn::revocation::{Freshness, OnStale};
use crate::clock::Clock;
use crate::credential::RevocationKind;
use crate::identity::{Identity, Method};
use crate::reason::Reason;
use crate::store::{Changed, CredentialChange, NewApiKey, NewRevocation, RevokedKey};

struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
    credentials: Credentials,
    faults: Faults,
    _following: Following,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), [7; 32]).unwrap();
    let store = Store::open(&folder.path().join("store.db"), Clock::system()).await.unwrap();
    start(folder, store).await
}

async fn start(folder: tempfile::TempDir, store: Store) -> Fixture {
    let freshness = Freshness { on_stale: OnStale::Deny, max_age: Duration::from_secs(2) };
    let hash_key = HashKey::load(&folder.path().join("key")).unwrap();
    let credentials = Credentials {
        revocations: Revocations::new(freshness, Clock::system()),
        api_keys: Some(ApiKeys::new(hash_key, Clock::system()).unwrap()),
    };
    let faults = Faults::settable();
    let following = credentials.clone().follow(store.clone(), faults.clone()).await.unwrap();
    Fixture { folder, store, credentials, faults, _following: following }
}

fn of(subject: &str) -> Identity {
    Identity { method: Method::Jwt, subject: subject.into(), ..Identity::clone(&Identity::anonymous()) }
}

fn revocation(subject: &str) -> CredentialChange {
    CredentialChange::Revoke(NewRevocation {
        kind: RevocationKind::Subject,
        value: subject.into(),
        issuer: String::new(),
        issued_before: None,
        until: None,
        created_by: Actor::default(),
        reason: String::new(),
    })
}

impl Fixture {
    async fn change(&self, change: CredentialChange) -> Changed {
        self.store.change_credential(change).await.unwrap()
    }

    /// Waits until a check of `subject` comes to this.
    async fn comes_to(&self, subject: &str, expected: Result<(), Reason>) {
        for _ in 0..1_000 {
            if self.credentials.revocations.check(&of(subject), []) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {expected:?}");
    }
}

#[tokio::test]
async fn a_revocation_takes_effect_ends_and_outlives_a_restart() {
    let fixture = fixture().await;
    fixture.comes_to("ana", Ok(())).await;
    let Changed::Revocation(made) = fixture.change(revocation("ana")).await else { panic!() };
    fixture.comes_to("ana", Err(Reason::Revoked)).await;

    // A server that starts knows it before it takes its first call.
    let other = Store::open(&fixture.folder.path().join("store.db"), Clock::system()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), [7; 32]).unwrap();
    let second = start(folder, other).await;
    assert_eq!(second.credentials.revocations.check(&of("ana"), []), Err(Reason::Revoked));

    // What one process commits, another finds by asking.
    fixture.change(CredentialChange::Undo(made.id)).await;
    fixture.comes_to("ana", Ok(())).await;
    second.comes_to("ana", Ok(())).await;
}

#[tokio::test]
async fn keys_are_followed_too() {
    let fixture = fixture().await;
    let keys = fixture.credentials.api_keys.clone().unwrap();
    let minted = keys.mint().unwrap();
    let new = NewApiKey {
        id: minted.id.clone(),
        name: String::new(),
        owner: "ana".into(),
        person: String::new(),
        groups: vec![],
        hash: minted.hash.clone(),
        created_by: Actor::default(),
        expires: None,
    };
    fixture.change(CredentialChange::CreateKey(new)).await;
    let mut told = 0;
    let identity = loop {
        match keys.verify(minted.key.expose()) {
            Ok(identity) => break identity,
            Err(reason) => assert_eq!(reason, Reason::ApiKeyInvalid),
        }
        told += 1;
        assert!(told < 1_000);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let revocations = &fixture.credentials.revocations;
    assert_eq!(revocations.check(&identity, []), Ok(()));
    let waits = tokio::spawn({
        let (revocations, identity) = (revocations.clone(), identity.clone());
        async move { revocations.revoked(&identity, []).await }
    });
    let revoked = RevokedKey { id: minted.id.clone(), by: Actor::default(), reason: String::new() };
    fixture.change(CredentialChange::RevokeKey(revoked)).await;
    // Whoever waits with it is told as of any revocation.
    waits.await.unwrap();
    assert_eq!(keys.verify(minted.key.expose()), Err(Reason::ApiKeyRevoked));
    assert_eq!(revocations.check(&identity, []), Err(Reason::Revoked));
}

#[tokio::test]
async fn a_store_that_can_not_be_read_or_hangs_makes_what_is_known_stale() {
    for fault in [Fault::Fail, Fault::Hang] {
        let fixture = fixture().await;
        fixture.change(revocation("bob")).await;
        fixture.comes_to("bob", Err(Reason::Revoked)).await;
        fixture.faults.set(Some((Point::ReadCredentials, fault)));
        fixture.comes_to("ana", Err(Reason::RevocationsStale)).await;
        assert_eq!(fixture.credentials.revocations.check(&of("bob"), []), Err(Reason::Revoked));
        fixture.faults.set(None);
        fixture.comes_to("ana", Ok(())).await;
    }
}

#[tokio::test]
async fn a_follower_that_died_makes_what_is_known_stale() {
    let fixture = fixture().await;
    fixture.faults.set(Some((Point::ReadCredentials, Fault::Panic)));
    fixture.comes_to("ana", Err(Reason::RevocationsStale)).await;
}

#[tokio::test]
async fn a_store_that_can_not_be_read_at_first_is_no_start() {
    let fixture = fixture().await;
    fixture.store.close().await;
    let credentials = fixture.credentials.clone();
    assert!(credentials.follow(fixture.store.clone(), Faults::default()).await.is_err());
}
