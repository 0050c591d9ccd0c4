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

fn revision(fixture: &Fixture) -> String {
    fixture.engine.snapshot().policies.revision().to_string()
}

#[tokio::test]
async fn what_one_server_activates_pins_or_rolls_back_the_other_follows() {
    let first = fixture().await;
    let second = beside(&first).await;
    assert_eq!(first.offer_files(OLD).await, Outcome::Taken);
    second.control.catch_up().await.unwrap();
    assert_eq!(revision(&second), revision(&first));
    let old = revision(&first);
    assert_eq!(first.offer_files(NEW).await, Outcome::Taken);
    second.control.catch_up().await.unwrap();
    assert_eq!(revision(&second), revision(&first));
    assert_ne!(revision(&second), old);

    second.control.change(Change::Rollback(None), request()).await.unwrap();
    first.control.catch_up().await.unwrap();
    assert_eq!(revision(&first), old);
    assert_eq!(first.offer_files(NEW).await, Outcome::PassedOver, "a rollback holds for the other one too");
    second.control.change(Change::Pin(None), request()).await.unwrap();
    first.control.catch_up().await.unwrap();
    assert!(first.control.list().await.unwrap().pinned);
    assert!(first.metrics.render().contains("portcullis_bundle_pinned 1"));
}

#[tokio::test]
async fn a_change_that_was_decided_by_an_older_state_is_not_made() {
    let first = fixture().await;
    assert_eq!(first.offer_files(OLD).await, Outcome::Taken);
    let second = beside(&first).await;
    second.control.change(Change::Pin(None), request()).await.unwrap();
    // It does not know of the pin, and must not lift it.
    assert_eq!(first.offer_files(NEW).await, Outcome::NotKept);
    assert!(first.store.bundle_state().await.unwrap().pinned);
    let refused = first.control.change(Change::Rollback(None), request()).await.unwrap_err();
    assert!(
        matches!(refused, ChangeError::NoPrevious | ChangeError::Store(StoreError::Conflict)),
        "{refused}"
    );
    first.control.catch_up().await.unwrap();
    assert_eq!(first.offer_files(NEW).await, Outcome::Refused(Refusal::Pinned));
}

#[tokio::test]
async fn a_revision_that_this_server_can_not_use_leaves_in_force_what_is() {
    let first = fixture().await;
    assert_eq!(first.offer_files(OLD).await, Outcome::Taken);
    let second = beside(&first).await;
    let before = revision(&second);
    let mut strict = admission(Trust::none());
    strict.limits.packed = 1;
    *second.control.admission.write() = Arc::new(strict);
    assert_eq!(first.offer_files(NEW).await, Outcome::Taken);
    second.control.catch_up().await.unwrap();
    assert_eq!(revision(&second), before);
    let listing = second.control.list().await.unwrap();
    assert!(listing.refused.is_some(), "it is told");
    second.control.catch_up().await.unwrap();
    assert_eq!(revision(&second), before);
}
