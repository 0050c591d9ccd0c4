//! How long the bodies of calls are kept, and how much one caller may open.

use super::*;
use crate::approval::Shown;
use crate::store::Retention;

const HOUR: Duration = Duration::from_secs(3_600);

/// A request whose body has so many bytes, `n` of them, with an id of the fixture's moment.
pub(super) fn with_body(store: &Store, digest: &str, bytes: usize) -> NewApproval {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(vec![b'x'; bytes]);
    let plain = new(digest);
    NewApproval { id: store.new_id(), call: CallSummary { body, ..plain.call.clone() }, ..plain }
}

/// Whether the body is kept, and what is said in its place.
async fn body(store: &Store, id: &str) -> (bool, Shown) {
    let approval = store.approval(id).await.unwrap().unwrap();
    (!approval.call.body.is_empty(), approval.call.shown)
}

#[tokio::test]
async fn what_nobody_decided_on_loses_its_body_at_once_and_says_how_long_it_was() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let withdrawn = fixture.create(with_body(store, "a", 1_000)).await;
    let lapsed = fixture.create(with_body(store, "b", 1_001)).await;
    let empty = fixture.create(with_body(store, "c", 0)).await;
    assert_eq!(body(store, &withdrawn.id).await, (true, Shown::Whole));
    store.vote(&withdrawn.id, &person("ana"), Choice::Withdraw, "").await.unwrap();
    assert_eq!(body(store, &withdrawn.id).await, (false, Shown::NotKept(1_000)));
    let mut changes = store.changes();
    fixture.clock.advance(24 * HOUR);
    for _ in 0..2 {
        tokio::time::timeout(Duration::from_secs(30), changes.recv()).await.unwrap().unwrap();
    }
    assert_eq!(body(store, &lapsed.id).await, (false, Shown::NotKept(1_001)));
    assert_eq!(body(store, &empty.id).await, (false, Shown::Whole), "there was none");
}

#[tokio::test]
async fn a_call_that_comes_again_before_the_sweep_leaves_no_body_of_the_lapsed_request() {
    let fixture = fixture().await;
    let first = fixture.create(with_body(&fixture.store, "a", 100)).await;
    fixture.clock.advance(24 * HOUR);
    fixture.create(with_body(&fixture.store, "a", 100)).await;
    assert_eq!(body(&fixture.store, &first.id).await, (false, Shown::NotKept(100)));
}

#[tokio::test]
async fn of_what_rules_approve_only_a_small_body_is_kept() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for (bytes, kept) in [(4_096, (true, Shown::Whole)), (4_097, (false, Shown::NotKept(4_097)))] {
        let auto_approved = vec![("refunds/large".to_owned(), "tiny".to_owned())];
        let auto = NewApproval { auto_approved, ..with_body(store, &format!("d{bytes}"), bytes) };
        let approval = fixture.create(auto).await;
        assert_eq!((approval.state, body(store, &approval.id).await), (State::Approved, kept), "{bytes}");
    }
}

#[tokio::test]
async fn bodies_of_what_was_decided_go_before_the_request_does_and_of_what_is_open_stay() {
    let place = Place::of(module_path!());
    let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
    let keeping = Retention { requests: 90 * 24 * HOUR, bodies: 24 * HOUR };
    let store = place.open_keeping(keeping, clock.clone()).await;
    let rejected = created(store.open_approval(with_body(&store, "a", 10), LIMITS).await.unwrap());
    store.vote(&rejected.id, &person("bob"), Choice::Reject, "no").await.unwrap();
    let open = NewApproval { expires_in: 9 * 24 * HOUR, ..with_body(&store, "b", 10) };
    let open = created(store.open_approval(open, LIMITS).await.unwrap());
    clock.advance(23 * HOUR);
    let late = created(store.open_approval(with_body(&store, "c", 10), LIMITS).await.unwrap());
    store.vote(&late.id, &person("bob"), Choice::Reject, "no").await.unwrap();
    assert_eq!(body(&store, &rejected.id).await, (true, Shown::Whole), "it was decided today");
    store.close().await;
    clock.advance(2 * HOUR);
    let store = place.open_keeping(keeping, clock).await;
    let gone = async {
        while body(&store, &rejected.id).await != (false, Shown::NotKept(10)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    assert!(body(&store, &open.id).await.0, "whoever decides sees all of it");
    assert!(body(&store, &late.id).await.0, "it is not old enough");
}

#[tokio::test]
async fn opening_and_withdrawing_in_a_loop_ends_for_this_caller_until_an_hour_has_passed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let limits = PendingLimits { opened_per_principal: 3, ..LIMITS };
    for n in 0..3 {
        let opened =
            created(store.open_approval(with_body(store, &format!("d{n}"), 10), limits).await.unwrap());
        store.vote(&opened.id, &person("ana"), Choice::Withdraw, "").await.unwrap();
    }
    let again = async || store.open_approval(with_body(store, "d", 10), limits).await.unwrap();
    assert_eq!(again().await, Opened::TooManyOpened);
    let dan = Caller::of(&person("dan"), "");
    let other = NewApproval { caller: dan, ..with_body(store, "e", 10) };
    assert!(matches!(store.open_approval(other, limits).await.unwrap(), Opened::Created(_)));
    fixture.clock.advance(HOUR + Duration::from_secs(1));
    assert!(matches!(again().await, Opened::Created(_)));
    assert!(matches!(again().await, Opened::Attached(_)), "attaching costs nothing");
}

#[tokio::test]
async fn what_rules_approve_counts_as_opened_too() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let limits = PendingLimits { opened_per_principal: 2, ..LIMITS };
    let open = async |digest: &str| {
        let auto_approved = vec![("refunds/large".to_owned(), "tiny".to_owned())];
        let auto = NewApproval { auto_approved, ..with_body(store, digest, 10) };
        store.open_approval(auto, limits).await.unwrap()
    };
    assert!(matches!(open("a").await, Opened::Created(_)) && matches!(open("b").await, Opened::Created(_)));
    assert_eq!(open("c").await, Opened::TooManyOpened);
}
