use super::*;
use crate::actor::Actor;

const ISSUER: &str = "https://idp.example";
const GATEWAY: &str = "spiffe://example.com/gateway";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn empty() -> Revocations {
    let revocations = Revocations::new(Freshness::default(), Clock::fixed(now()));
    revocations.was_current(clock::instant());
    revocations
}

fn revocation(kind: RevocationKind, value: &str) -> Revocation {
    Revocation {
        id: format!("{}-{value}", kind.as_str()),
        kind,
        value: value.into(),
        issuer: String::new(),
        issued_before: None,
        until: None,
        created: now(),
        created_by: Actor::default(),
        reason: String::new(),
    }
}

fn with(revocation: Revocation) -> Revocations {
    let revocations = empty();
    revocations.change(false, [(revocation.id.clone(), Some(revocation))], []);
    revocations
}

fn token(session: &str, issued: Option<i64>) -> Identity {
    Identity {
        method: Method::Jwt,
        subject: "ana".into(),
        issuer: ISSUER.into(),
        token_id: "t-1".into(),
        session: session.into(),
        issued: issued.map(|at| Timestamp::from_millisecond(at).unwrap()),
        ..Identity::clone(&Identity::anonymous())
    }
}

fn ana() -> Identity {
    token("s-1", Some(1_780_000_000_000))
}

fn key() -> Identity {
    Identity { method: Method::ApiKey, token_id: "k-1".into(), issuer: String::new(), ..ana() }
}

#[test]
fn each_kind_refuses_what_it_names_and_nothing_else() {
    use RevocationKind::{ConsoleSession, Key, Session, Subject, TokenId};
    for (kind, value) in [(Subject, "ana"), (TokenId, "t-1"), (Session, "s-1")] {
        assert_eq!(with(revocation(kind, value)).check(&ana(), []), Err(Reason::Revoked), "{kind:?}");
        assert_eq!(with(revocation(kind, "other")).check(&ana(), []), Ok(()), "{kind:?}");
        assert_eq!(
            with(revocation(kind, "")).check(&Identity { method: Method::Mtls, ..nobody() }, []),
            Ok(())
        );
    }
    assert_eq!(with(revocation(Key, "k-1")).check(&key(), []), Err(Reason::Revoked));
    assert_eq!(with(revocation(Subject, "ana")).check(&key(), []), Err(Reason::Revoked), "its owner");
    let logout = with(revocation(ConsoleSession, "t-1"));
    assert_eq!(
        logout.check(&Identity { token_id: "t-1".into(), ..ana() }, []),
        Ok(()),
        "a session is no token"
    );
    assert!(logout.is_logged_out("t-1") && !logout.is_logged_out("t-2"));
    let same_id = Identity { token_id: "k-1".into(), ..ana() };
    assert_eq!(with(revocation(Key, "k-1")).check(&same_id, []), Ok(()), "a token is no key");
    for kind in RevocationKind::ALL {
        let of_others = RevocationKind::ALL.into_iter().filter(|other| *other != kind);
        let others = of_others.map(|other| revocation(other, "x-1")).map(|one| (one.id.clone(), Some(one)));
        let revocations = empty();
        revocations.change(true, others, []);
        let identity = match kind {
            Subject => Identity { subject: "x-1".into(), ..key() },
            TokenId => Identity { token_id: "x-1".into(), ..ana() },
            Session => token("x-1", None),
            Key | ConsoleSession => continue,
        };
        assert_eq!(revocations.check(&identity, []), Ok(()), "{kind:?}");
    }
}

fn nobody() -> Identity {
    Identity::clone(&Identity::anonymous())
}

#[test]
fn a_revoked_spiffe_id_is_refused_with_a_token_or_without() {
    let revocations = with(revocation(RevocationKind::Subject, "spiffe://mesh/ns/a"));
    let spiffe = "spiffe://mesh/ns/a".to_owned();
    assert_eq!(revocations.check(&Identity { spiffe: spiffe.clone(), ..ana() }, []), Err(Reason::Revoked));
    let peer = Identity { method: Method::Mtls, subject: spiffe.clone(), spiffe, ..nobody() };
    assert_eq!(revocations.check(&peer, []), Err(Reason::Revoked));
}

#[test]
fn with_an_issuer_it_is_about_that_issuers_credentials() {
    let of = |issuer: &str| {
        with(Revocation { issuer: issuer.into(), ..revocation(RevocationKind::Subject, "ana") })
    };
    assert_eq!(of(ISSUER).check(&ana(), []), Err(Reason::Revoked));
    assert_eq!(of("https://other.example").check(&ana(), []), Ok(()));
}

#[test]
fn it_ends_when_it_says() {
    let clock = Clock::fixed(now());
    let revocations = Revocations::new(Freshness::default(), clock.clone());
    revocations.was_current(clock::instant());
    let until = now().checked_add(Duration::from_secs(60)).unwrap();
    let ends = Revocation { until: Some(until), ..revocation(RevocationKind::Subject, "ana") };
    revocations.change(false, [("r".to_owned(), Some(ends))], []);
    assert_eq!(revocations.check(&ana(), []), Err(Reason::Revoked));
    clock.advance(Duration::from_secs(59));
    assert_eq!(revocations.check(&ana(), []), Err(Reason::Revoked));
    clock.advance(Duration::from_secs(1));
    assert_eq!(revocations.check(&ana(), []), Ok(()));
}

#[test]
fn of_those_issued_before_one_that_does_not_say_when_counts() {
    let before = Timestamp::from_second(1_780_000_000).unwrap();
    let revocations =
        with(Revocation { issued_before: Some(before), ..revocation(RevocationKind::Subject, "ana") });
    for (issued, expected) in [
        (Some(1_779_999_999_000), Err(Reason::Revoked)),
        (Some(1_779_999_999_999), Err(Reason::Revoked)),
        (Some(1_780_000_000_000), Ok(())),
        (Some(1_780_000_001_000), Ok(())),
        (None, Err(Reason::Revoked)),
    ] {
        assert_eq!(revocations.check(&token("", issued), []), expected, "{issued:?}");
    }
}

#[test]
fn changes_replace_add_and_take_out() {
    let revocations = with(revocation(RevocationKind::Subject, "ana"));
    let session = revocation(RevocationKind::Session, "s-1");
    revocations.change(false, [(session.id.clone(), Some(session.clone()))], []);
    revocations.change(false, [("subject-ana".to_owned(), None)], []);
    assert_eq!(revocations.check(&ana(), []), Err(Reason::Revoked), "the session is still revoked");
    revocations.change(false, [(session.id.clone(), None)], []);
    assert_eq!(revocations.check(&ana(), []), Ok(()));
    let index = revocations.0.index.read();
    assert!(index.is_empty() && index.subjects.is_empty() && index.sessions.is_empty());
    drop(index);

    revocations.change(false, [], [("k-1".to_owned(), true), ("k-2".to_owned(), false)]);
    assert_eq!(revocations.check(&key(), []), Err(Reason::Revoked), "a key that was revoked as such");
    assert_eq!(revocations.check(&Identity { token_id: "k-2".into(), ..key() }, []), Ok(()));
    // The same change again changes nothing.
    revocations.change(false, [(session.id.clone(), Some(session.clone()))], []);
    revocations.change(false, [(session.id.clone(), Some(session))], []);
    assert_eq!(revocations.0.index.read().sessions.values().map(Vec::len).sum::<usize>(), 1);
    revocations.change(true, [], []);
    assert_eq!(revocations.check(&key(), []), Ok(()));
}

#[test]
fn what_is_not_known_to_be_current_refuses_or_counts_as_configured() {
    let started = clock::instant();
    let old = |on_stale| {
        let freshness = Freshness { on_stale, max_age: Duration::from_secs(30) };
        let revocations = Revocations::new(freshness, Clock::fixed(now()));
        revocations.was_current(started);
        let bob = revocation(RevocationKind::Subject, "bob");
        revocations.change(false, [(bob.id.clone(), Some(bob))], []);
        revocations
    };
    let at = |seconds| started + Duration::from_secs(seconds);
    let (deny, goes_on) = (old(OnStale::Deny), old(OnStale::Continue));
    assert_eq!(deny.check_at(&ana(), [], at(29)), Ok(()));
    assert_eq!(deny.check_at(&ana(), [], at(32)), Err(Reason::RevocationsStale));
    assert_eq!(goes_on.check_at(&ana(), [], at(32)), Ok(()));
    assert_eq!(deny.check_at(&nobody(), [], at(32)), Ok(()), "nobody has nothing to revoke");
    // What is known counts either way, and is the better reason.
    let bob = Identity { subject: "bob".into(), ..ana() };
    assert_eq!(deny.check_at(&bob, [], at(32)), Err(Reason::Revoked));
    assert_eq!(goes_on.check_at(&bob, [], at(32)), Err(Reason::Revoked));
    deny.was_current(at(31));
    assert_eq!(deny.check_at(&ana(), [], at(60)), Ok(()), "and it is current again");
    assert!(deny.age_at(at(60)).unwrap() >= Duration::from_secs(28));

    let never = Revocations::new(Freshness::default(), Clock::fixed(now()));
    assert_eq!((never.check(&ana(), []), never.age()), (Err(Reason::RevocationsStale), None));
}

#[tokio::test]
async fn who_waits_is_told_when_it_is_about_them() {
    let revocations = empty();
    let ana = ana();
    let mut waits = Box::pin(revocations.revoked(&ana, [GATEWAY]));
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    let bob = revocation(RevocationKind::Subject, "bob");
    revocations.change(false, [(bob.id.clone(), Some(bob))], []);
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    let session = revocation(RevocationKind::Session, "s-1");
    revocations.change(false, [(session.id.clone(), Some(session))], []);
    assert!(futures_util::poll!(waits.as_mut()).is_ready());
    assert!(futures_util::poll!(Box::pin(revocations.revoked(&ana, [GATEWAY]))).is_ready(), "at once");
}

/// A gateway speaks for its clients: taken back, it speaks for nobody.
#[test]
fn a_revoked_voucher_brings_no_calls_whoever_it_speaks_for() {
    let revocations = with(revocation(RevocationKind::Subject, GATEWAY));
    for identity in [ana(), nobody()] {
        for vouchers in [&[GATEWAY][..], &["spiffe://example.com/web", GATEWAY], &["", GATEWAY]] {
            let answer = revocations.check(&identity, vouchers.iter().copied());
            assert_eq!(answer, Err(Reason::Revoked), "{vouchers:?}");
        }
        for other in ["", "spiffe://example.com/gateway2", "spiffe://example.com/web"] {
            assert_eq!(revocations.check(&identity, [other]), Ok(()), "{other}");
        }
    }
    assert_eq!(empty().check(&ana(), [GATEWAY]), Ok(()));
    // A name is no token, session or key, and no issuer's.
    for kind in [RevocationKind::TokenId, RevocationKind::Session, RevocationKind::Key] {
        assert_eq!(with(revocation(kind, GATEWAY)).check(&ana(), [GATEWAY]), Ok(()), "{kind:?}");
    }
    let of_issuer = Revocation { issuer: ISSUER.into(), ..revocation(RevocationKind::Subject, GATEWAY) };
    assert_eq!(with(of_issuer).check(&ana(), [GATEWAY]), Ok(()));
}

#[tokio::test]
async fn who_waits_is_told_when_a_voucher_is_revoked() {
    let (revocations, ana) = (empty(), ana());
    let mut waits = Box::pin(revocations.revoked(&ana, ["", GATEWAY]));
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    let gateway = revocation(RevocationKind::Subject, GATEWAY);
    revocations.change(false, [(gateway.id.clone(), Some(gateway))], []);
    assert!(futures_util::poll!(waits.as_mut()).is_ready());
}
