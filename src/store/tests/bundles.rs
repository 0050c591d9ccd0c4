//! What every store must do with revisions of the policies.

use super::*;

fn bundle(version: &str, digest: &str) -> NewBundle {
    NewBundle {
        revision: format!("r-{digest}"),
        name: "shop".into(),
        version: version.into(),
        digest: digest.into(),
        signer: String::new(),
        source: "admin".into(),
        content: Content::Archive(digest.as_bytes().to_vec()),
    }
}

fn event(kind: EventKind, comment: &str) -> BundleEvent {
    BundleEvent {
        kind,
        revision: "r".into(),
        name: "shop".into(),
        version: "1.0.0".into(),
        digest: "d".into(),
        source: "admin".into(),
        who: Some(Actor { issuer: "https://i".into(), subject: "bob".into(), person: None }),
        comment: comment.into(),
        refusal: (kind == EventKind::Refused)
            .then(|| ("failing_case".into(), vec!["a.yaml:1:1: error".into()])),
    }
}

fn activation(active: Activate) -> BundleChange {
    let state = StateChange { active, pinned: false, rolled_back: false, passed_over: None, newest: None };
    BundleChange { state: Some(state), event: event(EventKind::Activated, "") }
}

fn new(bundle: NewBundle) -> BundleChange {
    activation(Activate::New(Box::new(bundle)))
}

#[tokio::test]
async fn the_active_revision_and_what_holds_others_off_are_there_after_reopening() {
    let fixture = fixture().await;
    assert_eq!(fixture.store.bundle_state().await.unwrap(), BundleState::default());
    let newest = NewestVersion { name: "shop".into(), version: "1.0.0".into(), digest: "a".into() };
    let change = StateChange {
        active: Activate::New(Box::new(bundle("1.0.0", "a"))),
        pinned: true,
        rolled_back: true,
        passed_over: Some("files:x".into()),
        newest: Some(newest.clone()),
    };
    let change = BundleChange { state: Some(change), event: event(EventKind::Pinned, "careful") };
    let after = fixture.store.change_bundles(change).await.unwrap();
    let store = fixture.reopen().await;
    let state = store.bundle_state().await.unwrap();
    assert_eq!(state, after);
    assert!(state.pinned && state.rolled_back && state.newest == [newest]);
    assert_eq!(state.passed_over.as_deref(), Some("files:x"));
    let active = state.active.unwrap();
    assert_eq!((active.version.as_str(), active.previous), ("1.0.0", None));
    let content = store.bundle_content(&active.id).await.unwrap();
    assert_eq!(content, Some(Content::Archive(b"a".to_vec())));
    assert_eq!(store.bundle_content("unknown").await.unwrap(), None);
    let [recorded] = store.bundle_events(10, None).await.unwrap().try_into().unwrap();
    assert_eq!(recorded.event, event(EventKind::Pinned, "careful"));
}

#[tokio::test]
async fn each_revision_remembers_which_one_it_followed_and_a_rollback_does_not_change_that() {
    let fixture = fixture().await;
    let change = async |change| fixture.store.change_bundles(change).await.unwrap().active.unwrap();
    let first = change(new(bundle("1.0.0", "a"))).await;
    let second = change(new(bundle("2.0.0", "b"))).await;
    assert_eq!(second.previous.as_ref(), Some(&first.id));
    fixture.clock.advance(Duration::from_secs(1));
    let back = change(activation(Activate::Kept(first.id.clone()))).await;
    assert_eq!((&back.id, &back.previous), (&first.id, &None));
    assert!(back.activated > first.activated);
    let again = change(new(bundle("2.0.0", "b"))).await;
    assert_eq!(again.id, second.id, "the same content is kept once");
    let same = change(new(bundle("2.0.0", "b"))).await;
    assert_eq!(same.previous, Some(first.id), "nothing follows itself");
    assert_eq!(fixture.store.bundles().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_event_alone_changes_no_state() {
    let fixture = fixture().await;
    let before = fixture.store.change_bundles(new(bundle("1.0.0", "a"))).await.unwrap();
    let refused = BundleChange { state: None, event: event(EventKind::Refused, "") };
    assert_eq!(fixture.store.change_bundles(refused).await.unwrap(), before);
    let events = fixture.store.bundle_events(10, None).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.event.kind).collect();
    assert_eq!(kinds, [EventKind::Refused, EventKind::Activated], "the newest first");
    let older = fixture.store.bundle_events(10, Some(&events[0].id)).await.unwrap();
    assert_eq!(older, events[1..]);
}

#[tokio::test]
async fn the_last_fifty_revisions_are_kept() {
    let fixture = fixture().await;
    for number in 0..KEPT_BUNDLES + 5 {
        fixture.clock.advance(Duration::from_secs(1));
        fixture.store.change_bundles(new(bundle("1.0.0", &format!("d{number}")))).await.unwrap();
    }
    let kept = fixture.store.bundles().await.unwrap();
    assert_eq!(kept.len(), usize::try_from(KEPT_BUNDLES).unwrap());
    assert_eq!(kept[0].digest, format!("d{}", KEPT_BUNDLES + 4));
    assert!(kept.iter().all(|kept| kept.digest != "d0"));
    assert_eq!(fixture.store.bundle_state().await.unwrap().active.unwrap().digest, kept[0].digest);
}
