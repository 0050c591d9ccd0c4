//! Several servers on one PostgreSQL: what one does the others see, and nothing happens twice.

use jiff::Timestamp;

use super::testing::Place;
use super::*;
use crate::approval::Event;
use crate::credential::RevocationKind;
use crate::effect::Approvers;
use crate::identity::Method;

const LIMITS: PendingLimits =
    PendingLimits { per_principal: 10_000, per_rule: 10_000, opened_per_principal: 10_000 };

/// Two stores on one database; `None` where there is none.
async fn two() -> Option<(Place, [Store; 2])> {
    let place = Place::postgres()?;
    let clock = Clock::system();
    // Both bring the schema up to date, and both may.
    let (first, second) = tokio::join!(place.open(clock.clone()), place.open(clock.clone()));
    Some((place, [first, second]))
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

fn new(digest: &str) -> NewApproval {
    NewApproval {
        id: uuid::Uuid::now_v7().to_string(),
        digest: digest.into(),
        exact: None,
        idempotency_key: String::new(),
        caller: Caller::of(&person("ana"), "10.0.0.7"),
        call: CallSummary::default(),
        rules: vec!["refunds/large".into()],
        revision: "r1".into(),
        requires: vec![Requirement::of(
            "refunds/large",
            vec![Approvers { groups: vec!["finance".into()], people: vec![], count: 1 }],
        )],
        grant: Grant::Once,
        same: None,
        remind_after: None,
        auto_approved: vec![],
        retry_window: Duration::ZERO,
        expires_in: Duration::from_secs(600),
    }
}

fn revocation(subject: &str) -> CredentialChange {
    CredentialChange::Revoke(NewRevocation {
        kind: RevocationKind::Subject,
        value: subject.into(),
        issuer: String::new(),
        issued_before: None,
        until: None,
        created_by: Actor::of(&person("bob")),
        reason: String::new(),
    })
}

async fn created(store: &Store, new: NewApproval) -> Approval {
    match store.open_approval(new, LIMITS).await.unwrap() {
        Opened::Created(approval) => approval,
        other => panic!("{other:?}"),
    }
}

/// The next change that it hears of, of those that have a name.
async fn heard(changes: &mut Changes) -> Change {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.unwrap();
        if let Ok(change) = next {
            return change;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_server_decides_the_others_hear() {
    let Some((_place, [here, there])) = two().await else { return };
    let mut changes = there.changes();
    let approval = created(&here, new("a")).await;
    let expected = |state, event| Change { id: approval.id.clone(), state, event, here: false };
    assert_eq!(heard(&mut changes).await, expected(State::Pending, Event::Opened));
    let mut own = here.changes();
    there.vote(&approval.id, &person("bob"), Choice::Approve, "").await.unwrap();
    assert_eq!(heard(&mut own).await, expected(State::Approved, Event::Approved));
    let mut told = there.credentials_changed();
    here.change_credential(revocation("ana")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), told.changed()).await.unwrap().unwrap();
    assert_eq!(there.credential_changes(Some(0)).await.unwrap().revocations.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_call_is_one_approval_and_is_released_once_whoever_is_asked() {
    let Some((_place, stores)) = two().await else { return };
    let opened: Vec<_> = (0..60)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.open_approval(new("same"), LIMITS).await.unwrap() })
        })
        .collect();
    let (mut creations, mut id) = (0, String::new());
    for task in opened {
        if let Opened::Created(approval) = task.await.unwrap() {
            creations += 1;
            id = approval.id;
        }
    }
    assert_eq!(creations, 1);
    stores[1].vote(&id, &person("bob"), Choice::Approve, "").await.unwrap();
    let uses: Vec<_> = (0..60)
        .map(|n| {
            let (store, id) = (stores[n % 2].clone(), id.clone());
            tokio::spawn(async move { store.consume(&id, "d-1").await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for task in uses {
        won += usize::from(task.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_hold_for_all_servers_together() {
    let Some((_place, stores)) = two().await else { return };
    let limits = PendingLimits { per_principal: 7, per_rule: 100, opened_per_principal: 10_000 };
    let opened: Vec<_> = (0..40)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.open_approval(new(&format!("d{n}")), limits).await.unwrap() })
        })
        .collect();
    let mut creations = 0;
    for task in opened {
        creations += usize::from(matches!(task.await.unwrap(), Opened::Created(_)));
    }
    assert_eq!(creations, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_have_no_gaps_and_no_number_twice() {
    let Some((_place, stores)) = two().await else { return };
    let made: Vec<_> = (0..50)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.change_credential(revocation(&format!("s{n}"))).await.unwrap() })
        })
        .collect();
    let (mut seen, mut revocations) = (0, 0);
    // A follower that reads while they are made misses none.
    while revocations < 50 {
        let changes = stores[0].credential_changes(Some(seen)).await.unwrap();
        let new = i64::try_from(changes.revocations.len()).unwrap();
        assert_eq!(changes.newest - seen, new, "each number is one change");
        (seen, revocations) = (changes.newest, revocations + new);
    }
    for task in made {
        task.await.unwrap();
    }
    assert_eq!(stores[1].credential_changes(None).await.unwrap().newest, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_expires_is_announced_as_done_here_by_one_server_only() {
    let Some(place) = Place::postgres() else { return };
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
    let stores = [place.open(clock.clone()).await, place.open(clock.clone()).await];
    let approval = created(&stores[0], new("a")).await;
    let mut changes = [stores[0].changes(), stores[1].changes()];
    clock.advance(Duration::from_secs(600));
    let mut made = 0;
    for changes in &mut changes {
        let change = loop {
            let change = heard(changes).await;
            if change.state == State::Expired {
                break change;
            }
        };
        assert_eq!(change.id, approval.id);
        made += usize::from(change.here);
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_newer_schema_and_a_wrong_password_are_refused_by_name() {
    let Some(place) = Place::postgres() else { return };
    place.open(Clock::system()).await.close().await;
    let Config::Postgres(postgres) = &place.config else { panic!() };
    let UrlSource::Given(url) = &postgres.url else { panic!() };
    let database = url.rsplit('/').next().unwrap();
    let open = async |config: &Postgres| {
        let opened =
            Store::connect(&Config::Postgres(config.clone()), DEFAULT_RETENTION, Clock::system()).await;
        opened.err().unwrap().to_string()
    };
    let no_password = Postgres { password_file: None, ..postgres.clone() };
    let said = open(&no_password).await;
    assert!(said.contains(url.as_str()) && said.contains("password"), "{said}");
    let nowhere = UrlSource::Given("postgres://postgres@127.0.0.1:1/portcullis".into());
    let said = open(&Postgres { url: nowhere, ..postgres.clone() }).await;
    assert!(said.contains("127.0.0.1:1/portcullis"), "{said}");

    let server = portcullis_sample::postgres::Postgres::shared().unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', true, '\\x00', 0)";
    server.execute(database, later).unwrap();
    let said = open(postgres).await;
    assert!(said.contains("newer version") && said.contains(database), "{said}");
}

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_can_use_it() {
    let Some(place) = Place::postgres() else { return };
    place.open(Clock::system()).await.close().await;
    let server = portcullis_sample::postgres::Postgres::shared().unwrap();
    let UrlSource::Given(url) = (match &place.config {
        Config::Postgres(postgres) => postgres.url.clone(),
        Config::Sqlite(_) => panic!(),
    }) else {
        panic!()
    };
    let database = url.rsplit('/').next().unwrap();
    let grants = format!(
        "CREATE ROLE {database}_app LOGIN PASSWORD '{}'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {database}_app",
        portcullis_sample::postgres::PASSWORD
    );
    server.execute(database, &grants).unwrap();
    let Config::Postgres(postgres) = &place.config else { panic!() };
    let url = UrlSource::Given(url.replace("postgres@", &format!("{database}_app@")));
    let config = Config::Postgres(Postgres { url, ..postgres.clone() });
    let store = Store::connect(&config, DEFAULT_RETENTION, Clock::system()).await.unwrap();
    created(&store, new("a")).await;
}
