//! Two servers on one store.

use super::*;

/// A second server on the store of the first.
async fn beside(first: &Fixture) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let mut ports = ports(folder.path()).await;
    ports.store = Store::open(&first.folder.path().join("store.db"), ports.clock.clone()).await.unwrap();
    let control = Control::start(ports.clone(), admission(Trust::none()), "there", None).await.unwrap();
    let Ports { engine, store, audit, metrics, .. } = ports;
    Fixture { control, engine, store, metrics, audit, folder }
}

#[tokio::test]
async fn what_one_server_activates_pins_or_rolls_back_the_other_follows() {
    let first = fixture().await;
    let second = beside(&first).await;
    let (old, new) = (archive("shop", "1.0.0", "old"), archive("shop", "2.0.0", "new"));
    assert_eq!(first.offer(&old).await, Outcome::Taken);
    second.control.catch_up().await.unwrap();
    assert_eq!(second.decides(), "p/old");
    assert_eq!(first.offer(&new).await, Outcome::Taken);
    second.control.catch_up().await.unwrap();
    assert_eq!(second.decides(), "p/new");

    second.change(Change::Rollback(None)).await.unwrap();
    first.control.catch_up().await.unwrap();
    assert_eq!(first.decides(), "p/old");
    assert_eq!(first.offer(&new).await, Outcome::PassedOver, "a rollback holds for the other one too");
    second.change(Change::Pin(None)).await.unwrap();
    first.control.catch_up().await.unwrap();
    assert!(first.control.list().await.unwrap().pinned);
    assert!(first.counts("portcullis_bundle_pinned 1"));
}

#[tokio::test]
async fn a_change_that_was_decided_by_an_older_state_is_not_made() {
    let first = fixture().await;
    assert_eq!(first.offer(&archive("shop", "1.0.0", "old")).await, Outcome::Taken);
    let second = beside(&first).await;
    second.change(Change::Pin(None)).await.unwrap();
    // It does not know of the pin, and must not lift it.
    let new = archive("shop", "2.0.0", "new");
    assert_eq!(first.offer(&new).await, Outcome::NotKept);
    let refused = first.change(Change::Activate(new.clone())).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Store(StoreError::Conflict)), "{refused}");
    let state = first.store.bundle_state().await.unwrap();
    assert!(state.pinned && state.active.unwrap().version == "1.0.0");
    first.control.catch_up().await.unwrap();
    assert_eq!(first.offer(&new).await, Outcome::Refused(Refusal::Pinned));
    assert_eq!(first.decides(), "p/old");
}

#[tokio::test]
async fn servers_that_are_offered_the_same_policies_at_once_agree() {
    let first = fixture().await;
    assert_eq!(first.offer(&archive("shop", "1.0.0", "old")).await, Outcome::Taken);
    let second = beside(&first).await;
    let new = archive("shop", "2.0.0", "new");
    assert_eq!(first.offer(&new).await, Outcome::Taken);
    // It was not told yet.
    assert_eq!(second.offer(&new).await, Outcome::Unchanged);
    assert_eq!(second.decides(), "p/new");
    assert_eq!(second.offer(&new).await, Outcome::Unchanged);
}

#[tokio::test]
async fn a_revision_that_this_server_can_not_use_leaves_in_force_what_is() {
    let first = fixture().await;
    assert_eq!(first.offer(&archive("shop", "1.0.0", "old")).await, Outcome::Taken);
    let second = beside(&first).await;
    assert_eq!(second.decides(), "p/old");
    let mut strict = admission(Trust::none());
    strict.limits.packed = 1;
    *second.control.admission.write() = Arc::new(strict);
    assert_eq!(first.offer(&archive("shop", "2.0.0", "new")).await, Outcome::Taken);
    for _ in 0..2 {
        second.control.catch_up().await.unwrap();
        assert_eq!(second.decides(), "p/old");
    }
    assert!(second.control.list().await.unwrap().refused.is_some(), "it is told");
    assert!(second.counts("portcullis_policies_refused 1"));
}

#[tokio::test]
async fn what_is_only_recorded_hides_no_change_of_another_server() {
    let first = fixture().await;
    assert_eq!(first.offer(&archive("shop", "1.0.0", "old")).await, Outcome::Taken);
    let second = beside(&first).await;
    assert_eq!(second.offer(&archive("shop", "2.0.0", "new")).await, Outcome::Taken);
    assert_eq!(first.offer(b"no archive").await, Outcome::Refused(Refusal::Truncated));
    first.control.catch_up().await.unwrap();
    assert_eq!(first.decides(), "p/new");
}
