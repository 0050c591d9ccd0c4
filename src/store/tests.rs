//! What every store must do; the suite speaks to `Store` only. It runs twice: as `tests` on SQLite, and as
//! `tests_on_postgres`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use jiff::Timestamp;

use super::testing::{Place, said};
use super::*;
use crate::approval::{Event, VoteRefused};
use crate::effect::Approvers;
use crate::identity::Method;

#[path = "tests/approvals.rs"]
mod approvals;
#[path = "tests/bodies.rs"]
mod bodies;
#[path = "tests/bundles.rs"]
mod bundles;
#[path = "tests/credentials.rs"]
mod credentials;
#[path = "tests/full.rs"]
mod full;
#[path = "tests/outbox.rs"]
mod outbox;
#[path = "tests/upgrade.rs"]
mod upgrade;
#[path = "tests/votes.rs"]
mod votes;

const LIMITS: PendingLimits =
    PendingLimits { per_principal: 10_000, per_rule: 10_000, opened_per_principal: 10_000 };

struct Fixture {
    store: Store,
    clock: Clock,
    place: Place,
}

async fn fixture() -> Fixture {
    let place = Place::of(module_path!());
    let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
    let store = place.open(clock.clone()).await;
    Fixture { store, clock, place }
}

impl Fixture {
    async fn reopen(&self) -> Store {
        self.store.close().await;
        self.place.open(self.clock.clone()).await
    }

    async fn create(&self, new: NewApproval) -> Approval {
        created(self.store.open_approval(new, LIMITS).await.unwrap())
    }
}

fn created(opened: Opened) -> Approval {
    match opened {
        Opened::Created(approval) => approval,
        other => panic!("not created: {other:?}"),
    }
}

fn person(name: &str) -> Identity {
    let mut identity = (*Identity::anonymous()).clone();
    identity.method = Method::Jwt;
    identity.issuer = "https://idp.example".into();
    identity.subject = name.into();
    identity.person = Some(format!("{name}@example.com"));
    identity.groups = vec!["finance".into()];
    identity
}

fn finance(count: u32) -> Approvers {
    Approvers { groups: vec!["finance".into()], people: vec![], count }
}

fn new(digest: &str) -> NewApproval {
    NewApproval {
        id: uuid::Uuid::now_v7().to_string(),
        digest: digest.into(),
        exact: None,
        idempotency_key: String::new(),
        caller: Caller::of(&person("ana"), "10.0.0.7"),
        call: CallSummary {
            method: "POST".into(),
            host: "api.example.com".into(),
            path: "/v1/refunds?x=1".into(),
            destination: "- 8443".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: "eyJhbW91bnQiOjcwMH0=".into(),
            ..CallSummary::default()
        },
        rules: vec!["refunds/large".into()],
        revision: "r1".into(),
        requires: vec![Requirement::of("refunds/large", vec![finance(1)])],
        grant: Grant::Once,
        same: None,
        remind_after: None,
        auto_approved: vec![],
        retry_window: Duration::ZERO,
        expires_in: Duration::from_secs(600),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let fixture = fixture().await;
    let pending = fixture.create(new("a")).await;
    let voted = fixture.create(new("b")).await;
    let voted = fixture.store.vote(&voted.id, &person("bob"), Choice::Approve, "fine").await.unwrap();
    let store = fixture.reopen().await;
    for acknowledged in [&pending, &voted] {
        assert_eq!(store.approval_without_body(&acknowledged.id).await.unwrap().as_ref(), Some(acknowledged));
        let whole = store.approval(&acknowledged.id).await.unwrap().unwrap();
        assert_eq!(whole.call.body, new("").call.body, "the body is for those who decide");
    }
    assert_eq!(voted.state, State::Approved);
    assert_eq!(store.approval("unknown").await.unwrap(), None);
    let listed = store.approvals(Filter { limit: 10, ..Filter::default() }).await.unwrap().approvals;
    assert_eq!(listed.iter().map(|a| &a.id).collect::<Vec<_>>(), [&voted.id, &pending.id], "newest first");
    assert!(listed.iter().all(|a| a.call.body.is_empty() && a.call.path == "/v1/refunds?x=1"));
    let pending_only = Filter { state: Some(State::Pending), limit: 10, before: None };
    assert_eq!(store.approvals(pending_only).await.unwrap().approvals.len(), 1);
    let older = Filter { limit: 10, before: Some(voted.id), ..Filter::default() };
    assert_eq!(store.approvals(older).await.unwrap().approvals.len(), 1);
}

#[tokio::test]
async fn a_page_without_anything_that_fits_is_not_the_last() {
    let fixture = fixture().await;
    let old = fixture.create(NewApproval { expires_in: Duration::from_secs(6_000), ..new("old") }).await;
    let new = fixture.create(new("new")).await;
    fixture.clock.advance(Duration::from_secs(601));
    let page = async |before: Option<String>| {
        let filter = Filter { state: Some(State::Pending), limit: 1, before };
        fixture.store.approvals(filter).await.unwrap()
    };
    let first = page(None).await;
    // Where the store has noted already that it expired, the page begins with the next.
    let first = match first.approvals.is_empty() {
        true => {
            assert_eq!(first.before.as_deref(), Some(new.id.as_str()));
            page(first.before).await
        }
        false => first,
    };
    assert_eq!(first.approvals.iter().map(|one| &one.id).collect::<Vec<_>>(), [&old.id]);
    assert_eq!(page(Some(old.id)).await, Listed::default(), "the last says so");
}

#[tokio::test]
async fn the_same_call_attaches_until_its_approval_is_finished() {
    let fixture = fixture().await;
    let first = fixture.create(new("a")).await;
    let again = fixture.store.open_approval(new("a"), LIMITS).await.unwrap();
    assert_eq!(again, Opened::Attached(first.clone()));
    let keyed = NewApproval { idempotency_key: "k".into(), ..new("a") };
    let other_key = fixture.create(keyed).await;
    assert_ne!(other_key.id, first.id);

    fixture.store.vote(&first.id, &person("bob"), Choice::Approve, "").await.unwrap();
    let approved = fixture.store.open_approval(new("a"), LIMITS).await.unwrap();
    assert!(matches!(approved, Opened::Attached(a) if a.state == State::Approved));
    assert!(fixture.store.consume(&first.id, "d-1").await.unwrap());
    assert_ne!(fixture.create(new("a")).await.id, first.id, "a used approval is not open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_calls_at_once_are_a_thousand_approvals_and_the_same_call_is_one() {
    let fixture = fixture().await;
    let open = |digest: String| {
        let store = fixture.store.clone();
        tokio::spawn(async move { store.open_approval(new(&digest), LIMITS).await.unwrap() })
    };
    let distinct: Vec<_> = (0..1_000).map(|n| open(format!("d{n}"))).collect();
    let mut ids = BTreeSet::new();
    for task in distinct {
        ids.insert(created(task.await.unwrap()).id);
    }
    assert_eq!(ids.len(), 1_000);
    let same: Vec<_> = (0..100).map(|_| open("same".into())).collect();
    let mut creations = 0;
    for task in same {
        creations += usize::from(matches!(task.await.unwrap(), Opened::Created(_)));
    }
    assert_eq!(creations, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_racing_uses_exactly_one_wins() {
    let fixture = fixture().await;
    let approval = fixture.create(new("a")).await;
    assert!(!fixture.store.consume(&approval.id, "d-1").await.unwrap(), "pending");
    fixture.store.vote(&approval.id, &person("bob"), Choice::Approve, "").await.unwrap();
    let uses: Vec<_> = (0..100)
        .map(|_| {
            let (store, id) = (fixture.store.clone(), approval.id.clone());
            tokio::spawn(async move { store.consume(&id, "d-1").await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for task in uses {
        won += usize::from(task.await.unwrap());
    }
    assert_eq!(won, 1);
    let store = fixture.reopen().await;
    assert!(!store.consume(&approval.id, "d-1").await.unwrap());
    assert!(!store.consume("unknown", "d-1").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_decisions_are_taken_one_after_the_other() {
    let fixture = fixture().await;
    for round in 0..20 {
        let approval = fixture.create(new(&format!("d{round}"))).await;
        let vote = |name: &'static str, choice| {
            let (store, id) = (fixture.store.clone(), approval.id.clone());
            tokio::spawn(async move { store.vote(&id, &person(name), choice, "").await })
        };
        let (approve, reject) = (vote("bob", Choice::Approve), vote("carl", Choice::Reject));
        let results = [approve.await.unwrap(), reject.await.unwrap()];
        let refused =
            |r: &Result<Approval, VoteError>| matches!(r, Err(VoteError::Refused(VoteRefused::NotPending)));
        assert_eq!(results.iter().filter(|r| refused(r)).count(), 1);
        assert_eq!(fixture.store.approval(&approval.id).await.unwrap().unwrap().votes.len(), 1);
    }
    let own = fixture.create(new("own")).await;
    let refused = fixture.store.vote(&own.id, &person("ana"), Choice::Approve, "").await;
    assert!(matches!(refused, Err(VoteError::Refused(VoteRefused::OwnCall))));
    let unknown = fixture.store.vote("unknown", &person("bob"), Choice::Approve, "").await;
    assert!(matches!(unknown, Err(VoteError::NotFound)));
}

#[tokio::test]
async fn pending_requests_are_limited_and_room_returns_when_they_are_decided() {
    let fixture = fixture().await;
    let limits =
        |per_principal, per_rule| PendingLimits { per_principal, per_rule, opened_per_principal: 10_000 };
    let first = fixture.create(new("a")).await;
    let open = |new, limits| fixture.store.open_approval(new, limits);
    assert_eq!(open(new("b"), limits(1, 9)).await.unwrap(), Opened::TooManyPending);
    assert_eq!(open(new("b"), limits(9, 1)).await.unwrap(), Opened::TooManyPending);
    assert!(matches!(open(new("a"), limits(1, 1)).await.unwrap(), Opened::Attached(_)), "attaching is free");
    let other_caller = NewApproval { caller: Caller::of(&person("dan"), ""), ..new("c") };
    assert!(matches!(open(other_caller, limits(1, 9)).await.unwrap(), Opened::Created(_)));
    let other_rule = NewApproval { rules: vec!["other/rule".into()], ..new("d") };
    assert!(matches!(open(other_rule, limits(9, 1)).await.unwrap(), Opened::Created(_)));

    fixture.store.vote(&first.id, &person("bob"), Choice::Reject, "").await.unwrap();
    assert!(matches!(open(new("b"), limits(2, 2)).await.unwrap(), Opened::Created(_)));
    fixture.clock.advance(Duration::from_secs(600));
    assert!(matches!(open(new("e"), limits(1, 1)).await.unwrap(), Opened::Created(_)), "the others expired");
}

#[tokio::test]
async fn what_is_due_expires_and_is_announced() {
    let fixture = fixture().await;
    let mut changes = fixture.store.changes();
    let approval = fixture.create(new("a")).await;
    let change = |state, event| Change { id: approval.id.clone(), state, event, here: true };
    assert_eq!(changes.recv().await.unwrap(), change(State::Pending, Event::Opened));
    fixture.clock.advance(Duration::from_secs(600));
    let read = fixture.store.approval(&approval.id).await.unwrap().unwrap();
    assert_eq!(read.state, State::Expired, "before any sweep");
    let announced = tokio::time::timeout(Duration::from_secs(2), changes.recv()).await.unwrap().unwrap();
    assert_eq!(announced, change(State::Expired, Event::Expired));
    let late = fixture.store.vote(&approval.id, &person("bob"), Choice::Approve, "").await;
    assert!(matches!(late, Err(VoteError::Refused(VoteRefused::NotPending))));
    assert_ne!(fixture.create(new("a")).await.id, approval.id, "the same call may ask again");
}

#[tokio::test]
async fn history_is_forgotten_after_its_retention() {
    let place = Place::of(module_path!());
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
    let day = Duration::from_secs(24 * 3_600);
    let store = place.open_keeping(day, clock.clone()).await;
    let old = created(store.open_approval(new("a"), LIMITS).await.unwrap());
    let open = NewApproval { expires_in: 9 * day, ..new("b") };
    let open = created(store.open_approval(open, LIMITS).await.unwrap());
    store.close().await;
    clock.advance(2 * day);
    let store = place.open_keeping(day, clock).await;
    let gone = async {
        while store.approval(&old.id).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    assert!(store.approval(&open.id).await.unwrap().is_some(), "what is open stays");
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let fixture = fixture().await;
    fixture.store.ping().await.unwrap();
    fixture.store.close().await;
    assert!(matches!(fixture.store.ping().await, Err(StoreError::Closed)));
    assert!(matches!(fixture.store.consume("x", "d-1").await, Err(StoreError::Closed)));
}

const CHILD_PATH: &str = "PORTCULLIS_TEST_STORE";

/// Not a test of its own: the process that `what_was_acknowledged_survives_a_kill` kills.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(place) = std::env::var(CHILD_PATH) else { return };
    let store = Store::connect(&said(&place), DEFAULT_RETENTION, Clock::system()).await.unwrap();
    for n in 0.. {
        let approval = created(store.open_approval(new(&format!("d{n}")), LIMITS).await.unwrap());
        store.vote(&approval.id, &person("bob"), Choice::Approve, "").await.unwrap();
        assert!(store.consume(&approval.id, "d-1").await.unwrap());
        println!("used {}", approval.id);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let place = Place::of(module_path!());
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::child_that_is_killed"), "--nocapture"])
        .env(CHILD_PATH, place.say())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let used: Vec<String> =
        lines.filter_map(|line| line.split_once("used ").map(|(_, id)| id.to_owned())).take(50).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(used.len(), 50);
    let store = place.open(Clock::system()).await;
    for id in used {
        let state = store.approval(&id).await.unwrap().unwrap().state;
        assert!(matches!(state, State::Releasing | State::ReleasedUnconfirmed), "{state:?}");
        assert!(!store.consume(&id, "d-1").await.unwrap(), "used once, also after a crash");
    }
}

#[tokio::test]
async fn who_gave_up_waiting_uses_nothing() {
    let fixture = fixture().await;
    let approval = fixture.create(new("a")).await;
    fixture.store.vote(&approval.id, &person("bob"), Choice::Approve, "").await.unwrap();
    let given_up = futures_util::FutureExt::now_or_never(fixture.store.consume(&approval.id, "d-1"));
    assert!(given_up.is_none(), "the commit takes a moment");
    assert!(
        fixture.store.consume(&approval.id, "d-1").await.unwrap(),
        "the approval is still good for one call"
    );
    assert!(!fixture.store.consume(&approval.id, "d-1").await.unwrap());
}
