//! A database that an older version wrote: before replicas (0010) and the rules of approvals (0011).

use super::*;
use crate::store::database::old;

const CREATED: i64 = 1_767_225_600_000_000;

/// A row as that version wrote it: approvers without the name of their rule, no e-mail, no progress.
fn row(id: &str, digest: &str, state: &str, votes: &str) -> String {
    let terms = r#"{"caller":{"issuer":"https://idp.example","subject":"ana","person":"ana@example.com","spiffe":"","method":"jwt","address":"10.0.0.7"},"call":{"method":"POST","host":"api.example.com","path":"/v1/refunds?x=1","destination":"- 8443","headers":[["content-type","application/json"]],"body":""},"rules":["refunds/large"],"revision":"r1","requires":[{"groups":["finance"],"people":[],"count":1}],"grant":"once"}"#;
    format!(
        "INSERT INTO approvals (id, digest, idempotency_key, state, created_at, expires_at, issuer, subject, spiffe, \
         terms, votes, body) VALUES ('{id}', '{digest}', '', '{state}', {CREATED}, {}, 'https://idp.example', 'ana', '', \
         '{terms}', '{votes}', 'eyJhbW91bnQiOjcwMH0=')",
        CREATED + 3_600_000_000
    )
}

#[tokio::test]
async fn what_an_older_version_kept_is_opened_decided_and_released() {
    let place = Place::of(module_path!());
    let vote = r#"[{"choice":"approve","issuer":"https://idp.example","subject":"bob","person":"bob@example.com","reason":"fine","at":"2026-01-01T00:00:00Z","speaks_for":[0]}]"#;
    let statements = [
        row("0190a1b2-0000-7000-8000-000000000001", "d-pending", "pending", "[]"),
        "INSERT INTO pending_rules (rule, approval) \
         VALUES ('refunds/large', '0190a1b2-0000-7000-8000-000000000001')"
            .to_owned(),
        row("0190a1b2-0000-7000-8000-000000000002", "d-approved", "approved", vote),
        row("0190a1b2-0000-7000-8000-000000000003", "d-used", "used", vote),
    ];
    old::write(&place.config, 10, &statements).await;
    let clock = Clock::fixed("2026-01-01T00:01:00Z".parse().unwrap());
    let fixture = Fixture { store: place.open(clock.clone()).await, clock, place };
    let id = |number: u8| format!("0190a1b2-0000-7000-8000-00000000000{number}");
    let read = async |number| fixture.store.approval(&id(number)).await.unwrap().unwrap();
    let pending = read(1).await;
    assert_eq!((pending.state, pending.caller.credential.clone()), (State::Pending, None));
    assert_eq!(pending.requires, [Requirement::of("", vec![finance(1)])]);
    assert_eq!(pending.call.body, "eyJhbW91bnQiOjcwMH0=");
    assert_eq!(pending.call.shown, crate::approval::Shown::Whole);
    assert_eq!((read(2).await.state, read(3).await.state), (State::Approved, State::Used));

    // The call that comes again finds its request; nobody decides on their own, an approver does.
    let again = fixture.store.open_approval(new("d-pending"), LIMITS).await.unwrap();
    assert!(matches!(again, Opened::Attached(found) if found.id == id(1)));
    let own = fixture.store.vote(&id(1), &person("ana"), Choice::Approve, "").await;
    assert!(matches!(own, Err(VoteError::Refused(_))), "{own:?}");
    let approved = fixture.store.vote(&id(1), &person("bob"), Choice::Approve, "fine").await.unwrap();
    assert_eq!(approved.state, State::Approved);
    for number in [1, 2] {
        assert!(fixture.store.consume(&id(number), "d-1").await.unwrap(), "released");
        assert!(!fixture.store.consume(&id(number), "d-2").await.unwrap(), "once");
    }
    assert!(!fixture.store.consume(&id(3), "d-1").await.unwrap(), "it was used before");
    let reopened = fixture.reopen().await;
    assert_eq!(reopened.approval(&id(2)).await.unwrap().unwrap().state, State::Releasing);
}
