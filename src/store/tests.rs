use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::approval::VoteRefused;
use crate::identity::Method;

const LIMITS: PendingLimits = PendingLimits { per_principal: 2_000, per_rule: 2_000 };
const MINUTE: Duration = Duration::from_secs(60);

/// One empty store, its clock and its file.
struct Bench {
    store: Store,
    clock: Clock,
    folder: TempDir,
}

impl Bench {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-11-20T10:00:00Z".parse().unwrap());
        let store = Store::open(&folder.path().join("state.db"), clock.clone()).await.unwrap();
        Self { store, clock, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    async fn create(&self, new: NewApproval) -> Approval {
        match self.store.open_approval(new, LIMITS).await.unwrap() {
            Opened::Created(approval) => approval,
            other => panic!("{other:?}"),
        }
    }

    async fn approve(&self, id: &str, who: &str) -> Result<Approval, VoteError> {
        self.store.vote(id, &person(who), Choice::Approve, "fine").await
    }

    async fn state(&self, id: &str) -> State {
        self.store.approval(id).await.unwrap().unwrap().state
    }
}

fn person(name: &str) -> Identity {
    Identity {
        method: Method::Jwt,
        issuer: "https://idp.example".into(),
        subject: name.into(),
        groups: vec!["finance".into()],
        person: Some(format!("{name}@example.com")),
        ..(*Identity::anonymous()).clone()
    }
}

fn call(digest: &str) -> NewApproval {
    NewApproval {
        digest: digest.into(),
        idempotency_key: String::new(),
        caller: Caller::of(&person("ana"), "10.0.0.7"),
        call: CallSummary {
            method: "POST".into(),
            host: "api.example".into(),
            path: "/v1/refunds?dry=1".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: "e30=".into(),
        },
        rules: vec!["refunds/large".into()],
        revision: "r1".into(),
        requires: vec![Approvers { groups: vec!["finance".into()], people: vec![], count: 1 }],
        grant: Grant::Once,
        expires_in: MINUTE,
    }
}

fn everything() -> Filter {
    Filter { limit: 10_000, ..Filter::default() }
}

#[tokio::test]
async fn what_is_read_is_what_was_opened() {
    let bench = Bench::open().await;
    let created = bench.create(call("d")).await;
    assert_eq!(created.expires, created.created.checked_add(MINUTE).unwrap());
    assert_eq!(bench.store.approval(&created.id).await.unwrap().unwrap(), created);
    assert_eq!(bench.store.approval("nobody").await.unwrap(), None);
    bench.store.ping().await.unwrap();
}

#[tokio::test]
async fn the_same_call_attaches_until_its_approval_is_over() {
    let bench = Bench::open().await;
    let first = bench.create(call("d")).await;
    let attached = |opened| match opened {
        Opened::Attached(approval) => approval.id,
        other => panic!("{other:?}"),
    };
    let again = bench.store.open_approval(call("d"), LIMITS).await.unwrap();
    assert_eq!(attached(again), first.id);
    let keyed = bench.create(NewApproval { idempotency_key: "k".into(), ..call("d") }).await;
    assert_ne!(keyed.id, first.id, "another idempotency key is another request");

    bench.approve(&first.id, "bob").await.unwrap();
    let approved = bench.store.open_approval(call("d"), LIMITS).await.unwrap();
    assert_eq!(attached(approved), first.id, "approved and unused is open");
    assert!(bench.store.consume(&first.id).await.unwrap());
    let second = bench.create(call("d")).await;
    bench.store.vote(&second.id, &person("bob"), Choice::Reject, "no").await.unwrap();
    let third = bench.create(call("d")).await;
    bench.clock.advance(MINUTE);
    let fourth = bench.create(call("d")).await;
    let ids = BTreeSet::from([first.id, second.id, third.id, fourth.id]);
    assert_eq!(ids.len(), 4, "used, rejected and expired ones are closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_at_once_are_a_thousand_requests() {
    let bench = Bench::open().await;
    let opening = (0..1_000).map(|n| {
        let store = bench.store.clone();
        // Every call comes twice.
        let new = call(&format!("d{}", n / 2));
        tokio::spawn(async move { store.open_approval(new, LIMITS).await.unwrap() })
    });
    let opening: Vec<_> = opening.collect();
    let mut created = BTreeSet::new();
    let mut attached = BTreeSet::new();
    for opened in opening {
        match opened.await.unwrap() {
            Opened::Created(approval) => assert!(created.insert(approval.id)),
            Opened::Attached(approval) => assert!(attached.insert(approval.id)),
            Opened::TooManyPending => panic!("within the limits"),
        }
    }
    assert_eq!(created.len(), 500);
    assert_eq!(created, attached);
    let listed = bench.store.approvals(everything()).await.unwrap();
    assert_eq!(listed.into_iter().map(|approval| approval.id).collect::<BTreeSet<_>>(), created);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hundred_racing_calls_is_released() {
    let bench = Bench::open().await;
    let approval = bench.create(call("d")).await;
    assert!(!bench.store.consume(&approval.id).await.unwrap(), "pending");
    bench.approve(&approval.id, "bob").await.unwrap();
    let racing: Vec<_> = (0..100)
        .map(|_| {
            let (store, id) = (bench.store.clone(), approval.id.clone());
            tokio::spawn(async move { store.consume(&id).await.unwrap() })
        })
        .collect();
    let mut released = 0;
    for racer in racing {
        released += u32::from(racer.await.unwrap());
    }
    assert_eq!(released, 1);
    assert_eq!(bench.state(&approval.id).await, State::Used);
    assert!(!bench.store.consume("nobody").await.unwrap());
}

#[tokio::test]
async fn a_period_releases_every_call_until_it_ends() {
    let bench = Bench::open().await;
    let hour = NewApproval { grant: Grant::For(60 * MINUTE), ..call("d") };
    let approval = bench.create(hour).await;
    let approved = bench.approve(&approval.id, "bob").await.unwrap();
    assert_eq!(bench.store.approval(&approval.id).await.unwrap().unwrap(), approved);
    bench.clock.advance(59 * MINUTE);
    assert!(bench.store.consume(&approval.id).await.unwrap());
    assert!(bench.store.consume(&approval.id).await.unwrap());
    bench.clock.advance(MINUTE);
    assert!(!bench.store.consume(&approval.id).await.unwrap());
    assert_eq!(bench.state(&approval.id).await, State::Expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_racing_decisions_one_counts() {
    let bench = Bench::open().await;
    for round in 0..20 {
        let approval = bench.create(call(&format!("d{round}"))).await;
        let reject = bench.store.clone();
        let id = approval.id.clone();
        let rejecting =
            tokio::spawn(async move { reject.vote(&id, &person("carl"), Choice::Reject, "no").await });
        let approved = bench.approve(&approval.id, "bob").await;
        let rejected = rejecting.await.unwrap();
        let (won, lost) = if approved.is_ok() { (approved, rejected) } else { (rejected, approved) };
        let won = won.unwrap();
        assert!(matches!(lost, Err(VoteError::Refused(VoteRefused::NotPending))), "{lost:?}");
        assert_eq!(won.votes.len(), 1);
        assert_eq!(bench.store.approval(&approval.id).await.unwrap().unwrap(), won);
    }
}

#[tokio::test]
async fn votes_that_are_refused_change_nothing() {
    let bench = Bench::open().await;
    let two = Approvers { groups: vec!["finance".into()], people: vec![], count: 2 };
    let approval = bench.create(NewApproval { requires: vec![two], ..call("d") }).await;
    assert!(matches!(bench.approve("nobody", "bob").await, Err(VoteError::NotFound)));
    let own = bench.approve(&approval.id, "ana").await;
    assert!(matches!(own, Err(VoteError::Refused(VoteRefused::OwnCall))));
    assert_eq!(bench.approve(&approval.id, "bob").await.unwrap().state, State::Pending);
    let again = bench.approve(&approval.id, "bob").await;
    assert!(matches!(again, Err(VoteError::Refused(VoteRefused::VotedAlready))));
    assert_eq!(bench.store.approval(&approval.id).await.unwrap().unwrap().votes.len(), 1);
    assert_eq!(bench.approve(&approval.id, "carl").await.unwrap().state, State::Approved);
}

#[tokio::test]
async fn pending_requests_are_limited_per_caller_and_per_rule() {
    let bench = Bench::open().await;
    let open = async |digest: &str, who: &str, rule: &str, per_principal, per_rule| {
        let caller = Caller::of(&person(who), "");
        let new = NewApproval { caller, rules: vec![rule.into(), "p/other".into()], ..call(digest) };
        bench.store.open_approval(new, PendingLimits { per_principal, per_rule }).await.unwrap()
    };
    let Opened::Created(first) = open("1", "ana", "p/r", 2, 9).await else { panic!("first") };
    assert!(matches!(open("2", "ana", "p/r", 2, 9).await, Opened::Created(_)));
    assert_eq!(open("3", "ana", "p/r", 2, 9).await, Opened::TooManyPending);
    assert!(
        matches!(open("1", "ana", "p/r", 2, 9).await, Opened::Attached(_)),
        "attaching is always possible"
    );
    assert!(matches!(open("4", "eve", "p/r", 2, 9).await, Opened::Created(_)), "others are not hindered");
    assert_eq!(open("5", "dan", "p/r", 9, 3).await, Opened::TooManyPending);
    assert_eq!(open("5", "dan", "p/q", 9, 3).await, Opened::TooManyPending, "each of the rules counts");

    bench.approve(&first.id, "bob").await.unwrap();
    assert!(matches!(open("3", "ana", "p/r", 2, 3).await, Opened::Created(_)), "decided ones do not count");
    bench.clock.advance(MINUTE);
    assert!(matches!(open("6", "ana", "p/r", 1, 1).await, Opened::Created(_)), "lapsed ones do not count");
}

#[tokio::test]
async fn expiry_is_announced_within_a_second() {
    let bench = Bench::open().await;
    let mut changes = bench.store.changes();
    let approval = bench.create(call("d")).await;
    let pending = Change { id: approval.id.clone(), state: State::Pending };
    assert_eq!(changes.recv().await.unwrap(), pending);
    bench.clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(bench.state(&approval.id).await, State::Pending);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.state(&approval.id).await, State::Expired, "read as expired before it is swept");
    let announced = tokio::time::timeout(Duration::from_secs(1), changes.recv()).await.unwrap().unwrap();
    assert_eq!(announced, Change { id: approval.id.clone(), state: State::Expired });
    let late = bench.approve(&approval.id, "bob").await;
    assert!(matches!(late, Err(VoteError::Refused(VoteRefused::NotPending))));
}

#[tokio::test]
async fn lists_are_newest_first_paged_and_without_bodies() {
    let bench = Bench::open().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.insert(0, bench.create(call(&format!("d{n}"))).await.id);
    }
    bench.approve(&ids[1], "bob").await.unwrap();
    let list = async |state, limit, before: Option<&String>| -> Vec<String> {
        let filter = Filter { state, limit, before: before.cloned() };
        let listed = bench.store.approvals(filter).await.unwrap();
        assert!(listed.iter().all(|approval| approval.call.body.is_empty()));
        listed.into_iter().map(|approval| approval.id).collect()
    };
    assert_eq!(list(None, 10, None).await, ids);
    assert_eq!(list(None, 2, None).await, ids[..2]);
    assert_eq!(list(None, 2, Some(&ids[1])).await, ids[2..4]);
    assert_eq!(list(Some(State::Approved), 10, None).await, ids[1..2]);
    assert_eq!(list(Some(State::Pending), 2, Some(&ids[0])).await, ids[2..4]);
    bench.clock.advance(MINUTE);
    assert!(list(Some(State::Pending), 10, None).await.is_empty(), "lapsed, swept or not");
}

#[tokio::test]
async fn everything_survives_reopening_and_a_closed_store_says_so() {
    let bench = Bench::open().await;
    let large = "QUJD".repeat(350_000);
    let new = NewApproval { call: CallSummary { body: large, ..call("d").call }, ..call("d") };
    let approval = bench.create(new).await;
    let approved = bench.approve(&approval.id, "bob").await.unwrap();
    bench.store.close().await;
    assert!(matches!(bench.store.consume(&approval.id).await, Err(StoreError::Closed)));
    assert!(matches!(bench.store.approval(&approval.id).await, Err(StoreError::Closed)));
    assert!(matches!(bench.store.ping().await, Err(StoreError::Closed)));

    let reopened = Store::open(&bench.path(), bench.clock.clone()).await.unwrap();
    assert_eq!(reopened.approval(&approval.id).await.unwrap().unwrap(), approved);
    assert!(reopened.consume(&approval.id).await.unwrap());
}

#[tokio::test]
async fn finished_requests_are_forgotten_after_their_retention() {
    let bench = Bench::open().await;
    let finished = bench.create(call("finished")).await;
    bench.store.vote(&finished.id, &person("bob"), Choice::Reject, "").await.unwrap();
    let open = bench.create(NewApproval { expires_in: 100 * MINUTE, ..call("open") }).await;
    bench.store.close().await;
    bench.clock.advance(10 * MINUTE);
    let path = bench.path();
    let reopened = Store::open_with_retention(&path, bench.clock.clone(), 9 * MINUTE).await.unwrap();
    for _ in 0..100 {
        if reopened.approval(&finished.id).await.unwrap().is_none() {
            assert!(reopened.approval(&open.id).await.unwrap().is_some(), "what is open is kept");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the finished request is still there");
}

#[tokio::test]
async fn unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |path: &Path| Store::open(path, Clock::system()).await.unwrap_err();

    let missing = folder.path().join("none/state.db");
    assert!(matches!(open(&missing).await, StoreError::Open { path, .. } if path == missing));

    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "this is not a database, whatever its name says".repeat(100)).unwrap();
    let error = open(&garbage).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("garbage.db"), "{error}");

    let newer = folder.path().join("newer.db");
    Store::open(&newer, Clock::system()).await.unwrap().close().await;
    let database = SqlitePool::connect_with(options(&newer)).await.unwrap();
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, x'00', 0)";
    sqlx::query(insert).execute(&database).await.unwrap();
    database.close().await;
    let error = open(&newer).await;
    assert!(matches!(error, StoreError::NewerSchema { version: 9_999, .. }), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::open().await;
    bench.create(call("d")).await;
    for file in std::fs::read_dir(bench.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

/// The process that is killed: acknowledges on standard output, and never ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by `what_was_acknowledged_survives_kill_9`"]
async fn child_that_is_killed() {
    let Some(path) = std::env::var_os("PORTCULLIS_TEST_STORE") else { return };
    let store = Store::open(Path::new(&path), Clock::system()).await.unwrap();
    let work = (0..8).map(|lane| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let new = NewApproval { expires_in: 60 * MINUTE, ..call(&format!("{lane}-{n}")) };
                let Opened::Created(approval) = store.open_approval(new, LIMITS).await.unwrap() else {
                    panic!("distinct digests")
                };
                println!("\nopened {}", approval.id);
                store.vote(&approval.id, &person("bob"), Choice::Approve, "").await.unwrap();
                println!("\napproved {}", approval.id);
                assert!(store.consume(&approval.id).await.unwrap());
                println!("\nused {}", approval.id);
            }
        })
    });
    for lane in work.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_that_is_killed", "--ignored", "--nocapture"])
        .env("PORTCULLIS_TEST_STORE", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged: BTreeMap<String, State> = BTreeMap::new();
    let mut count = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let state = match line.split_once(' ') {
            Some(("opened", _)) => State::Pending,
            Some(("approved", _)) => State::Approved,
            Some(("used", _)) => State::Used,
            _ => continue,
        };
        acknowledged.insert(line.split_once(' ').unwrap().1.to_owned(), state);
        count += 1;
        if count == 300 {
            // SIGKILL; what it still wrote to the pipe is read, and must have survived as well.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(count >= 300);
    let progress = |state| [State::Pending, State::Approved, State::Used].iter().position(|s| *s == state);
    let store = Store::open(&path, Clock::system()).await.unwrap();
    for (id, state) in acknowledged {
        let stored = store.approval(&id).await.unwrap().expect("an acknowledged request was lost").state;
        assert!(progress(stored) >= progress(state), "{id}: {state:?} was acknowledged, {stored:?} survived");
    }
}

#[test]
fn principals_do_not_run_together() {
    let caller = |issuer: &str, subject: &str| Caller {
        issuer: issuer.into(),
        subject: subject.into(),
        ..Caller::default()
    };
    assert_ne!(rows::principal(&caller("a\",\"b", "c")), rows::principal(&caller("a", "b\",\"c")));
    assert_ne!(rows::principal(&caller("ab", "c")), rows::principal(&caller("a", "bc")));
}
