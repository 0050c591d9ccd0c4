//! What every store must do with keys and revocations.

use super::*;
use crate::credential::{ApiKey, Revocation, RevocationKind};

fn key(id: &str) -> CredentialChange {
    CredentialChange::CreateKey(NewApiKey {
        id: id.into(),
        name: "nightly export".into(),
        owner: "ana".into(),
        person: "ana@example.com".into(),
        groups: vec!["staff".into(), "reports".into()],
        hash: "00ff".into(),
        created_by: Actor::of(&person("bob")),
        expires: Some("2026-04-01T00:00:00Z".parse().unwrap()),
    })
}

pub(super) fn revoked_key(id: &str) -> RevokedKey {
    RevokedKey { id: id.into(), by: Actor::of(&person("bob")), reason: "was in a log".into() }
}

fn revocation(subject: &str, until: Option<Timestamp>) -> CredentialChange {
    CredentialChange::Revoke(NewRevocation {
        kind: RevocationKind::Subject,
        value: subject.into(),
        issuer: "https://idp.example".into(),
        issued_before: Some("2025-12-31T23:59:59.25Z".parse().unwrap()),
        until,
        created_by: Actor::of(&person("bob")),
        reason: "left".into(),
    })
}

impl Fixture {
    async fn key(&self, id: &str) -> ApiKey {
        match self.store.change_credential(key(id)).await.unwrap() {
            Changed::Key(key) => key,
            other => panic!("{other:?}"),
        }
    }

    async fn revoke(&self, subject: &str, until: Option<Timestamp>) -> Revocation {
        match self.store.change_credential(revocation(subject, until)).await.unwrap() {
            Changed::Revocation(revocation) => revocation,
            other => panic!("{other:?}"),
        }
    }

    async fn changes(&self, seen: Option<i64>) -> CredentialChanges {
        self.store.credential_changes(seen).await.unwrap()
    }
}

#[tokio::test]
async fn keys_and_revocations_are_there_after_reopening() {
    let fixture = fixture().await;
    let (first, second) = (fixture.key("k1").await, fixture.key("k2").await);
    let revoked = fixture.revoke("ana", None).await;
    let after =
        fixture.store.change_credential(CredentialChange::RevokeKey(revoked_key("k1"))).await.unwrap();
    let first = ApiKey { revoked: Some(fixture.clock.now()), ..first };
    assert_eq!(after, Changed::Key(first.clone()));
    let store = fixture.reopen().await;
    assert_eq!(store.api_keys(10, None).await.unwrap(), [second, first.clone()], "the newest first");
    assert_eq!(store.api_keys(10, Some("k2")).await.unwrap(), [first]);
    assert_eq!(store.revocations(10, None).await.unwrap(), std::slice::from_ref(&revoked));
    assert!(store.revocations(10, Some(&revoked.id)).await.unwrap().is_empty());
    assert_eq!(store.credential_changes(None).await.unwrap().newest, 4);
}

#[tokio::test]
async fn a_follower_is_told_what_changed_and_nothing_twice() {
    let fixture = fixture().await;
    assert_eq!(fixture.changes(None).await, CredentialChanges { whole: true, ..Default::default() });
    let key = fixture.key("k1").await;
    let revoked = fixture.revoke("ana", None).await;
    let all = fixture.changes(Some(0)).await;
    assert_eq!((all.newest, all.whole), (2, false));
    assert_eq!(all.api_keys, [("k1".to_owned(), Some(key))]);
    assert_eq!(all.revocations, [(revoked.id.clone(), Some(revoked.clone()))]);
    assert_eq!(fixture.changes(Some(2)).await, CredentialChanges { newest: 2, ..Default::default() });

    let undone = fixture.store.change_credential(CredentialChange::Undo(revoked.id.clone())).await.unwrap();
    assert_eq!(undone, Changed::Revocation(revoked.clone()));
    let gone = fixture.changes(Some(2)).await;
    assert_eq!((gone.newest, gone.api_keys.len()), (3, 0));
    assert_eq!(gone.revocations, [(revoked.id, None)]);
}

#[tokio::test]
async fn a_follower_that_is_ahead_or_too_far_behind_gets_everything() {
    let fixture = fixture().await;
    fixture.revoke("ana", None).await;
    let ahead = fixture.changes(Some(7)).await;
    assert!(ahead.whole, "a store that was put back from a copy");
    assert_eq!(ahead.revocations.len(), 1);
    for count in 0..1_001 {
        fixture.revoke(&format!("s{count}"), None).await;
    }
    let behind = fixture.changes(Some(1)).await;
    assert_eq!((behind.whole, behind.revocations.len()), (true, 1_002));
    assert!(!fixture.changes(Some(2)).await.whole);
}

#[tokio::test]
async fn what_is_unknown_changes_nothing() {
    let fixture = fixture().await;
    for change in [CredentialChange::RevokeKey(revoked_key("k")), CredentialChange::Undo("r".into())] {
        assert_eq!(fixture.store.change_credential(change).await.unwrap(), Changed::Unknown);
    }
    assert_eq!(fixture.changes(None).await.newest, 0);
    // A key that is revoked stays revoked as of the first time.
    fixture.key("k1").await;
    let first =
        fixture.store.change_credential(CredentialChange::RevokeKey(revoked_key("k1"))).await.unwrap();
    fixture.clock.advance(Duration::from_secs(60));
    let again =
        fixture.store.change_credential(CredentialChange::RevokeKey(revoked_key("k1"))).await.unwrap();
    assert_eq!(first, again);
    assert!(matches!(again, Changed::Key(ApiKey { revoked: Some(_), .. })));
}

#[tokio::test]
async fn an_id_names_one_key_for_good() {
    let fixture = fixture().await;
    let first = fixture.key("k1").await;
    assert!(fixture.store.change_credential(key("k1")).await.is_err());
    assert_eq!(fixture.store.api_keys(10, None).await.unwrap(), [first]);
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_and_followers_are_told() {
    let fixture = fixture().await;
    fixture.key("k1").await;
    let ends: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    let ended = fixture.revoke("ana", Some(ends)).await;
    let stands = fixture.revoke("bob", None).await;
    assert!(ended.is_active_at(fixture.clock.now()) && !ended.is_active_at(ends));
    fixture.clock.advance(DEFAULT_RETENTION + Duration::from_secs(100 * 24 * 3_600));
    // Retention runs when a store is opened, and every hour after.
    let store = fixture.reopen().await;
    let mut told = store.credentials_changed();
    if store.revocations(10, None).await.unwrap().len() > 1 {
        told.changed().await.unwrap();
    }
    assert_eq!(store.revocations(10, None).await.unwrap(), std::slice::from_ref(&stands));
    assert!(store.api_keys(10, None).await.unwrap().is_empty());
    let all = store.credential_changes(Some(3)).await.unwrap();
    assert!(all.newest > 3, "numbers go on: {all:?}");
    assert!(all.whole || all.revocations == [(ended.id, None)], "{all:?}");
}

#[tokio::test]
async fn a_commit_tells_who_follows() {
    let fixture = fixture().await;
    let mut told = fixture.store.credentials_changed();
    fixture.create(new("a")).await;
    assert!(!told.has_changed().unwrap(), "an approval is no credential");
    fixture.revoke("ana", None).await;
    told.changed().await.unwrap();
    assert_eq!(fixture.changes(Some(0)).await.newest, 1, "it is committed by then");
}

#[tokio::test]
async fn a_log_out_takes_back_nothing_is_not_listed_and_ends_with_its_session() {
    let fixture = fixture().await;
    let waits = fixture.create(new("a")).await;
    fixture.store.vote(&waits.id, &person("bob"), Choice::Approve, "fine").await.unwrap();
    let until = fixture.clock.now().checked_add(Duration::from_secs(60)).unwrap();
    let logout = CredentialChange::Revoke(NewRevocation {
        kind: RevocationKind::ConsoleSession,
        value: "s-1".into(),
        issuer: String::new(),
        issued_before: None,
        until: Some(until),
        created_by: Actor::of(&person("bob")),
        reason: "logged out".into(),
    });
    let Changed::Revocation(made) = fixture.store.change_credential(logout).await.unwrap() else { panic!() };
    assert_eq!(fixture.store.approval(&waits.id).await.unwrap().unwrap().state, State::Approved);
    assert!(fixture.store.revocations(10, None).await.unwrap().is_empty());
    let undone = fixture.store.change_credential(CredentialChange::Undo(made.id.clone())).await.unwrap();
    assert_eq!(undone, Changed::Unknown, "nobody who is logged out is let in again");
    assert_eq!(fixture.changes(None).await.revocations, [(made.id.clone(), Some(made))]);
    fixture.clock.advance(Duration::from_secs(61));
    // What is over is looked for when a store is opened, and every hour after.
    let store = fixture.reopen().await;
    let mut told = store.credentials_changed();
    if !store.credential_changes(None).await.unwrap().revocations.is_empty() {
        told.changed().await.unwrap();
    }
    assert!(store.credential_changes(None).await.unwrap().revocations.is_empty());
}
