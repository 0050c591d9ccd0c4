//! The outbox: what was acknowledged is told, once it is taken, and taken by one at a time.

use super::*;
use crate::notice::{Event, Notice, Subscription};

const LEASE: Duration = Duration::from_secs(30);

fn subscription(target: &str, events: &[Event]) -> Subscription {
    Subscription { target: target.into(), events: events.to_vec(), ..Subscription::default() }
}

async fn claim(store: &Store, target: &str) -> Vec<Outgoing> {
    store.claim(target, 100, "lease", LEASE).await.unwrap()
}

fn notice(outgoing: &Outgoing) -> Notice {
    serde_json::from_str(&outgoing.notice).unwrap()
}

#[tokio::test]
async fn each_change_is_told_to_those_who_want_to_hear_of_it() {
    let fixture = fixture().await;
    fixture.create(new("before anybody listens")).await;
    fixture.store.subscribe(vec![subscription("all", &[]), subscription("decisions", &[Event::Decided])]);
    let pending = fixture.create(new("a")).await;
    let attached = fixture.store.open_approval(new("a"), LIMITS).await.unwrap();
    assert!(matches!(attached, Opened::Attached(_)), "told once, however often the call comes");
    let decided = fixture.create(new("b")).await;
    fixture.store.vote(&decided.id, &person("bob"), Choice::Reject, "no").await.unwrap();

    let told: Vec<_> = claim(&fixture.store, "all").await.iter().map(notice).collect();
    let told: Vec<_> = told.iter().map(|one| (one.event, one.approval.as_str(), one.state)).collect();
    assert_eq!(
        told,
        [
            (Event::Pending, pending.id.as_str(), State::Pending),
            (Event::Pending, decided.id.as_str(), State::Pending),
            (Event::Decided, decided.id.as_str(), State::Rejected),
        ]
    );
    assert_eq!(claim(&fixture.store, "decisions").await.len(), 1);
    assert!(claim(&fixture.store, "nobody").await.is_empty());
}

#[tokio::test]
async fn half_a_quorum_is_no_decision() {
    let fixture = fixture().await;
    fixture.store.subscribe(vec![subscription("t", &[Event::Decided])]);
    let approvers = vec![Approvers { groups: vec!["finance".into()], people: vec![], count: 2 }];
    let requires = vec![crate::approval::Requirement::of("refunds/large", approvers)];
    let approval = fixture.create(NewApproval { requires, ..new("a") }).await;
    fixture.store.vote(&approval.id, &person("bob"), Choice::Approve, "").await.unwrap();
    assert!(claim(&fixture.store, "t").await.is_empty());
    fixture.store.vote(&approval.id, &person("carl"), Choice::Approve, "").await.unwrap();
    assert_eq!(claim(&fixture.store, "t").await.len(), 1);
}

#[tokio::test]
async fn expiry_is_told_by_the_sweep_and_says_whether_it_was_approved() {
    let fixture = fixture().await;
    fixture.store.subscribe(vec![subscription("t", &[Event::Expired])]);
    fixture.create(new("undecided")).await;
    let unused = fixture.create(new("unused")).await;
    fixture.store.vote(&unused.id, &person("bob"), Choice::Approve, "").await.unwrap();
    fixture.clock.advance(Duration::from_secs(601));
    let mut changes = fixture.store.changes();
    changes.recv().await.unwrap();
    changes.recv().await.unwrap();
    let mut told: Vec<_> = claim(&fixture.store, "t").await.iter().map(notice).collect();
    told.sort_by_key(|notice| notice.approved);
    assert_eq!(
        told.iter().map(|n| (n.state, n.approved)).collect::<Vec<_>>(),
        [(State::Expired, false), (State::Expired, true)]
    );
}

#[tokio::test]
async fn what_was_taken_is_given_to_nobody_else_until_its_lease_ends() {
    let fixture = fixture().await;
    fixture.store.subscribe(vec![subscription("t", &[])]);
    fixture.create(new("a")).await;
    let [first] = claim(&fixture.store, "t").await.try_into().unwrap();
    assert_eq!(first.attempts, 1);
    fixture.clock.advance(LEASE - Duration::from_secs(1));
    assert!(claim(&fixture.store, "t").await.is_empty());
    fixture.clock.advance(Duration::from_secs(1));
    let [again] = fixture.store.claim("t", 1, "other", LEASE).await.unwrap().try_into().unwrap();
    assert_eq!((again.id.as_str(), again.attempts), (first.id.as_str(), 2), "the same id");
    assert!(!fixture.store.settle(&first, Settled::Sent).await.unwrap(), "the lease is another's");
    assert!(fixture.store.settle(&again, Settled::Sent).await.unwrap());
    assert!(!fixture.store.settle(&again, Settled::Sent).await.unwrap(), "it is gone");
    assert!(fixture.store.outbox().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_failed_is_due_later_and_what_is_dead_never() {
    let fixture = fixture().await;
    fixture.store.subscribe(vec![subscription("t", &[Event::Pending])]);
    fixture.create(new("a")).await;
    let [taken] = claim(&fixture.store, "t").await.try_into().unwrap();
    let due = fixture.clock.now() + jiff::SignedDuration::from_secs(60);
    assert!(fixture.store.settle(&taken, Settled::Later(due)).await.unwrap());
    assert_eq!(fixture.store.outbox().await.unwrap(), [Standing { target: "t".into(), waiting: 1, due }]);
    fixture.clock.advance(Duration::from_secs(59));
    assert!(claim(&fixture.store, "t").await.is_empty());
    fixture.clock.advance(Duration::from_secs(1));
    let [taken] = claim(&fixture.store, "t").await.try_into().unwrap();
    assert!(fixture.store.settle(&taken, Settled::Dead).await.unwrap());
    fixture.clock.advance(LEASE * 100);
    assert!(claim(&fixture.store, "t").await.is_empty());
}

#[tokio::test]
async fn what_is_to_be_told_is_there_after_reopening() {
    let fixture = fixture().await;
    fixture.store.subscribe(vec![subscription("t", &[])]);
    let approval = fixture.create(new("a")).await;
    let store = fixture.reopen().await;
    let [told] = claim(&store, "t").await.try_into().unwrap();
    assert_eq!(notice(&told).approval, approval.id);
}

const CHILD_PATH: &str = "PORTCULLIS_TEST_OUTBOX";

/// Not a test of its own: the process that the next one kills.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(place) = std::env::var(CHILD_PATH) else { return };
    let store = Store::connect(&said(&place), DEFAULT_RETENTION, Clock::system()).await.unwrap();
    store.subscribe(vec![subscription("t", &[])]);
    for n in 0.. {
        let approval = created(store.open_approval(new(&format!("d{n}")), LIMITS).await.unwrap());
        println!("opened {}", approval.id);
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_untold_after_a_kill() {
    let place = Place::of(module_path!());
    // Its tables are there when the process starts.
    place.open(Clock::system()).await.close().await;
    let module = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::child_that_is_killed"), "--nocapture"])
        .env(CHILD_PATH, place.say())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let opened: Vec<String> =
        lines.filter_map(|line| line.split_once("opened ").map(|(_, id)| id.to_owned())).take(50).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let store = place.open(Clock::system()).await;
    let told: BTreeSet<_> =
        store.claim("t", 10_000, "l", LEASE).await.unwrap().iter().map(|one| notice(one).approval).collect();
    assert_eq!(opened.len(), 50);
    assert!(opened.iter().all(|id| told.contains(id)), "{opened:?} {told:?}");
    for id in told {
        assert!(store.approval(&id).await.unwrap().is_some(), "nothing is told of what was not written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_senders_one_gets_each() {
    let fixture = fixture().await;
    fixture.store.subscribe(vec![subscription("t", &[])]);
    for n in 0..50 {
        fixture.create(new(&n.to_string())).await;
    }
    // Two stores on one database: two servers.
    let other = fixture.place.open(fixture.clock.clone()).await;
    let take = |store: Store| async move {
        let mut taken = Vec::new();
        loop {
            let some = store.claim("t", 3, "l", LEASE).await.unwrap();
            if some.is_empty() {
                return taken;
            }
            taken.extend(some.into_iter().map(|one| one.id));
        }
    };
    let (a, b) = tokio::join!(tokio::spawn(take(fixture.store.clone())), tokio::spawn(take(other)));
    let (mut all, b) = (a.unwrap(), b.unwrap());
    all.extend(b);
    assert_eq!(all.len(), 50);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 50, "none twice");
}
