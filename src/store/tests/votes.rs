//! What becomes of votes when the credential is revoked that they were given with.

use super::*;
use crate::credential::RevocationKind;
use crate::store::database::old;

const IDP: &str = "https://idp.example";

fn revocation(kind: RevocationKind, value: &str) -> CredentialChange {
    CredentialChange::Revoke(NewRevocation {
        kind,
        value: value.into(),
        issuer: IDP.into(),
        issued_before: None,
        until: None,
        created_by: Actor { issuer: "i".into(), subject: "root".into(), person: None },
        reason: "account taken over".into(),
    })
}

/// This person with a token of their own.
fn login(name: &str, token: &str, session: &str) -> Identity {
    Identity { token_id: token.into(), session: session.into(), ..person(name) }
}

fn by_two(digest: &str) -> NewApproval {
    NewApproval { requires: vec![Requirement::of("refunds/large", vec![finance(2)])], ..new(digest) }
}

impl Fixture {
    async fn approve(&self, id: &str, who: &Identity) -> Result<Approval, VoteError> {
        self.store.vote(id, who, Choice::Approve, "fine").await
    }

    async fn read(&self, id: &str) -> Approval {
        self.store.approval(id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn what_a_revoked_person_approved_releases_nothing_and_half_a_quorum_is_none() {
    use RevocationKind::{Key, Session, Subject, TokenId};
    for (change, taken) in [
        (revocation(Subject, "evil"), true),
        (revocation(TokenId, "t-1"), true),
        (revocation(Session, "s-1"), true),
        (revocation(Subject, "carl"), false),
        (revocation(TokenId, "t-2"), false),
        (revocation(Key, "t-1"), false),
    ] {
        let fixture = fixture().await;
        let mut changes = fixture.store.changes();
        let (alone, two) = (fixture.create(new("a")).await, fixture.create(by_two("b")).await);
        let evil = login("evil", "t-1", "s-1");
        assert_eq!(fixture.approve(&alone.id, &evil).await.unwrap().state, State::Approved);
        assert_eq!(fixture.approve(&two.id, &evil).await.unwrap().state, State::Pending);
        fixture.store.change_credential(change.clone()).await.unwrap();

        let read = fixture.read(&alone.id).await;
        assert_eq!(read.state == State::Revoked, taken, "{change:?}");
        assert!(!read.call.body.is_empty(), "the body was not read, and is not lost");
        assert_eq!(fixture.store.consume(&alone.id, "d-1").await.unwrap(), !taken, "{change:?}");
        let read = fixture.read(&two.id).await;
        assert_eq!((read.state, read.votes[0].void.is_some()), (State::Pending, taken), "{change:?}");
        let then = fixture.approve(&two.id, &login("dora", "t-3", "s-3")).await.unwrap();
        assert_eq!(then.state == State::Pending, taken, "{change:?}");
        let told: Vec<_> = std::iter::from_fn(|| futures_util::FutureExt::now_or_never(changes.recv()))
            .map_while(Result::ok)
            .map(|change| (change.id, change.event))
            .collect();
        for (id, event) in [(alone.id, Event::ApproverRevoked), (two.id, Event::VoteVoided)] {
            assert_eq!(told.contains(&(id, event)), taken, "{change:?} {told:?}");
        }
    }
}

#[tokio::test]
async fn what_was_void_stays_void_when_the_revocation_is_undone_and_may_be_given_anew() {
    let fixture = fixture().await;
    let two = fixture.create(by_two("a")).await;
    let evil = login("evil", "t-1", "s-1");
    fixture.approve(&two.id, &evil).await.unwrap();
    let made = fixture.store.change_credential(revocation(RevocationKind::Subject, "evil")).await.unwrap();
    let Changed::Revocation(made) = made else { panic!("{made:?}") };
    fixture.store.change_credential(CredentialChange::Undo(made.id)).await.unwrap();
    let store = fixture.reopen().await;
    assert!(store.approval(&two.id).await.unwrap().unwrap().votes[0].void.is_some());
    let vote = async |who: &Identity| store.vote(&two.id, who, Choice::Approve, "").await.unwrap().state;
    assert_eq!(vote(&evil).await, State::Pending, "one of two");
    assert_eq!(vote(&person("dora")).await, State::Approved);
}

/// Whoever let the person in may have read the revocations a moment too early.
#[tokio::test]
async fn a_vote_that_comes_after_the_revocation_is_refused_whatever_it_says() {
    use RevocationKind::{Session, Subject, TokenId};
    for change in [revocation(Subject, "evil"), revocation(TokenId, "t-1"), revocation(Session, "s-1")] {
        let fixture = fixture().await;
        let one = fixture.create(new("a")).await;
        fixture.store.change_credential(change.clone()).await.unwrap();
        for choice in [Choice::Approve, Choice::Reject, Choice::BreakGlass, Choice::Withdraw, Choice::Revoke]
        {
            let said = fixture.store.decide(&one.id, &login("evil", "t-1", "s-1"), true, choice, "x").await;
            assert!(matches!(said, Err(VoteError::Refused(VoteRefused::Revoked))), "{change:?} {said:?}");
        }
        assert_eq!(fixture.approve(&one.id, &person("dora")).await.unwrap().state, State::Approved);
    }
}

#[tokio::test]
async fn a_revocation_that_is_over_refuses_nobody() {
    let fixture = fixture().await;
    let CredentialChange::Revoke(new_one) = revocation(RevocationKind::Subject, "evil") else { panic!() };
    let until = Some("2026-01-01T01:00:00Z".parse().unwrap());
    let ending = CredentialChange::Revoke(NewRevocation { until, ..new_one });
    fixture.store.change_credential(ending).await.unwrap();
    let early = fixture.create(new("a")).await;
    assert!(fixture.approve(&early.id, &person("evil")).await.is_err());
    fixture.clock.advance(Duration::from_secs(3_600));
    let later = fixture.create(new("b")).await;
    assert_eq!(fixture.approve(&later.id, &person("evil")).await.unwrap().state, State::Approved);
    assert!(fixture.store.consume(&later.id, "d-1").await.unwrap());
}

/// Written by a server that knew nothing of void votes: the revocation is there, and the approval stands.
#[tokio::test]
async fn an_approval_that_a_revoked_person_gave_is_not_used_whoever_wrote_the_revocation() {
    let place = Place::of(module_path!());
    let created = 1_767_225_600_000_000_i64;
    let terms = r#"{"caller":{"issuer":"https://idp.example","subject":"ana","person":"ana@example.com","spiffe":"","method":"jwt","address":""},"call":{"method":"POST","host":"h","path":"/","destination":"","headers":[],"body":""},"rules":["refunds/large"],"revision":"r1","requires":[{"groups":["finance"],"people":[],"count":1}],"grant":"once"}"#;
    let vote = |subject: &str| {
        format!(
            r#"[{{"choice":"approve","issuer":"{IDP}","subject":"{subject}","person":"{subject}@x","reason":"","at":"2026-01-01T00:00:00Z","speaks_for":[0]}}]"#
        )
    };
    let row = |id: &str, subject: &str| {
        format!(
            "INSERT INTO approvals (id, digest, idempotency_key, state, created_at, expires_at, issuer, subject, spiffe, \
             terms, votes, body, progress) VALUES ('{id}', '{id}', '', 'approved', {created}, {}, '{IDP}', 'ana', '', '{terms}', \
             '{}', '', '{{}}')",
            created + 3_600_000_000_i64,
            vote(subject)
        )
    };
    let revoked = format!(
        "INSERT INTO revocations (id, kind, value, issuer, created_at, created_by, reason) VALUES ('r-1', 'subject', \
         'evil', '', {created}, '{{\"issuer\":\"i\",\"subject\":\"root\",\"person\":null}}', 'taken over')"
    );
    old::write(&place.config, 16, &[row("1", "evil"), row("2", "bob"), revoked]).await;
    let clock = Clock::fixed("2026-01-01T00:01:00Z".parse().unwrap());
    let fixture = Fixture { store: place.open(clock.clone()).await, clock, place };
    assert_eq!(fixture.read("1").await.state, State::Approved);
    assert!(!fixture.store.consume("1", "d-1").await.unwrap());
    assert!(fixture.store.consume("2", "d-2").await.unwrap(), "another's approval is used");
    let read = fixture.reopen().await.approval("1").await.unwrap().unwrap();
    assert_eq!(read.state, State::Revoked);
    assert!(read.votes[0].void.is_some() && read.progress.used.is_none());
}
