//! Whose votes count: those of different people, given with credentials that hold.

use super::*;
use crate::actor::Actor;

fn revoked(kind: RevocationKind, value: &str, issuer: &str) -> Revocation {
    Revocation {
        id: "r".into(),
        kind,
        value: value.into(),
        issuer: issuer.into(),
        issued_before: None,
        until: None,
        created: Timestamp::UNIX_EPOCH,
        created_by: Actor { issuer: "i".into(), subject: "root".into(), person: None },
        reason: "account taken over".into(),
    }
}

fn void(one: &mut Approval, revocation: &Revocation) -> Option<Event> {
    one.void_votes(revocation, None, Timestamp::UNIX_EPOCH)
}

/// Bob, by this token.
fn with_token() -> Identity {
    Identity {
        token_id: "t-1".into(),
        session: "s-1".into(),
        spiffe: "spiffe://td/bob".into(),
        issued: Some(Timestamp::UNIX_EPOCH),
        ..bob()
    }
}

#[test]
fn two_logins_that_share_any_name_are_one_person() {
    let login = |subject: &str, name: &str, email: &str, spiffe: &str| Identity {
        email: email.into(),
        spiffe: spiffe.into(),
        ..person(subject, Some(name), &["finance"])
    };
    let first = login("bob-corp", "E1234", "bob@x", "spiffe://td/bob");
    for other in [
        login("bob-ext", "bob@x", "", ""),
        login("bob-ext", "E99", "BOB@x", ""),
        login("Bob@X", "E99", "", ""),
        login("bob-ext", "E99", "", "spiffe://td/bob"),
        login("bob-ext", "\u{ff25}1234", "", ""),
        login("bob-ext", "E1\u{200b}234", "", ""),
        login("bob-corp", "E99", "", ""),
    ] {
        let mut two = approval(2, Grant::Once);
        assert_eq!(decide(&mut two, &first, Choice::Approve), Ok(Event::Voted));
        assert_eq!(decide(&mut two, &other, Choice::Approve), Err(VoteRefused::VotedAlready), "{other:?}");
        let mut two = approval(2, Grant::Once);
        assert_eq!(decide(&mut two, &other, Choice::Approve), Ok(Event::Voted));
        assert_eq!(decide(&mut two, &first, Choice::Approve), Err(VoteRefused::VotedAlready), "{other:?}");
    }
    let mut two = approval(2, Grant::Once);
    assert_eq!(decide(&mut two, &first, Choice::Approve), Ok(Event::Voted));
    let carl = login("carl", "E5678", "carl@x", "");
    assert_eq!(decide(&mut two, &carl, Choice::Approve), Ok(Event::Approved));
}

#[test]
fn who_is_nobody_in_particular_decides_nothing() {
    let mut one = approval(1, Grant::Once);
    one.requires[0].break_glass = Some(Members { groups: vec!["finance".into()], people: vec![] });
    for blank in [" ", "\u{a0}", "\u{200b}"] {
        let nobody = person("x", Some(blank), &["finance"]);
        for choice in [Choice::Approve, Choice::BreakGlass] {
            assert_eq!(decide(&mut one, &nobody, choice), Err(VoteRefused::NoPerson), "{blank:?}");
        }
    }
}

#[test]
fn a_right_by_name_needs_that_very_name() {
    let mut one = approval(1, Grant::Once);
    let named = |name: &str| person("x", Some(name), &[]);
    for other in ["\u{ff43}arl@example.com", "carl\u{200b}@example.com"] {
        assert_eq!(decide(&mut one, &named(other), Choice::Approve), Err(VoteRefused::NotAnApprover));
    }
    assert_eq!(decide(&mut one, &named("CARL@example.com"), Choice::Approve), Ok(Event::Approved));
}

#[test]
fn a_vote_counts_no_more_once_what_it_was_given_with_is_revoked() {
    use RevocationKind::{ConsoleSession, Key, Session, Subject, TokenId};
    let idp = "https://idp.example";
    let since = |at: i64| Revocation {
        issued_before: Some(Timestamp::from_second(at).unwrap()),
        ..revoked(Subject, "bob", "")
    };
    for (revocation, taken) in [
        (revoked(Subject, "bob", ""), true),
        (revoked(Subject, "bob", idp), true),
        (revoked(Subject, "bob", "https://other.example"), false),
        (revoked(Subject, "spiffe://td/bob", ""), true),
        (revoked(Subject, "carl", ""), false),
        (revoked(TokenId, "t-1", idp), true),
        (revoked(TokenId, "t-2", ""), false),
        (revoked(Session, "s-1", ""), true),
        (revoked(Session, "s-2", ""), false),
        (revoked(Key, "t-1", ""), false),
        (revoked(ConsoleSession, "s-1", ""), false),
        (revoked(Subject, "", ""), false),
        (since(1), true),
        (since(0), false),
    ] {
        let mut one = approval(1, Grant::Once);
        decide(&mut one, &with_token(), Choice::Approve).unwrap();
        let event = taken.then_some(Event::ApproverRevoked);
        assert_eq!(void(&mut one, &revocation), event, "{revocation:?}");
        assert_eq!(one.state == State::Revoked, taken, "{revocation:?}");
        assert_eq!(one.consume("d-1", Timestamp::UNIX_EPOCH), !taken);

        let mut two = approval(2, Grant::Once);
        decide(&mut two, &with_token(), Choice::Approve).unwrap();
        assert_eq!(void(&mut two, &revocation), taken.then_some(Event::VoteVoided), "{revocation:?}");
        assert_eq!(two.state, State::Pending);
        let then = decide(&mut two, &carl(), Choice::Approve);
        assert_eq!(then, Ok(if taken { Event::Voted } else { Event::Approved }), "{revocation:?}");
    }
}

#[test]
fn who_took_an_approval_back_and_why_is_on_record_and_it_names_no_approver() {
    let mut one = approval(1, Grant::For(60 * MINUTE));
    decide(&mut one, &with_token(), Choice::Approve).unwrap();
    void(&mut one, &revoked(RevocationKind::Subject, "bob", "")).unwrap();
    let [given, taken] = &one.votes[..] else { panic!("{:?}", one.votes) };
    let because = given.void.as_ref().unwrap();
    assert_eq!((because.by.subject.as_str(), because.because.as_str()), ("root", "account taken over"));
    assert_eq!((taken.choice, taken.subject.as_str()), (Choice::Revoke, "root"));
    assert!(taken.reason.contains("approver's credentials were revoked: account taken over"));
    assert!(one.approvers().is_empty() && one.tally()[0].by.is_empty());
    assert_eq!(void(&mut one, &revoked(RevocationKind::Subject, "bob", "")), None, "once");
    let kept: Approval = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
    assert_eq!(kept, one);
}

/// An older server reads neither field, and may write the row again without them.
#[test]
fn a_void_vote_counts_for_nothing_where_nobody_knows_of_void_votes() {
    let mut two = approval(2, Grant::Once);
    decide(&mut two, &with_token(), Choice::Approve).unwrap();
    void(&mut two, &revoked(RevocationKind::TokenId, "t-1", "")).unwrap();
    two.votes[0].void = None;
    decide(&mut two, &carl(), Choice::Approve).unwrap();
    assert_eq!(two.state, State::Pending);
}

#[test]
fn an_approval_that_the_others_give_stays() {
    let security = person("dan", Some("dan@example.com"), &["security"]);
    let mut one =
        asking(vec![part(&["finance"], &["carl@example.com"], 1), part(&["security"], &[], 1)], Grant::Once);
    for who in [&with_token(), &carl(), &security] {
        decide(&mut one, who, Choice::Approve).unwrap();
    }
    assert_eq!(void(&mut one, &revoked(RevocationKind::Subject, "bob", "")), Some(Event::VoteVoided));
    assert_eq!((one.state, one.approvers().len()), (State::Approved, 2));
    assert_eq!(void(&mut one, &revoked(RevocationKind::Subject, "dan", "")), Some(Event::ApproverRevoked));
    assert_eq!(one.state, State::Revoked);
}

#[test]
fn the_glass_is_not_broken_by_whom_a_revocation_names() {
    let mut one = approval(2, Grant::Once);
    one.requires[0].break_glass = Some(Members { groups: vec!["finance".into()], people: vec![] });
    decide(&mut one, &with_token(), Choice::BreakGlass).unwrap();
    assert_eq!(void(&mut one, &revoked(RevocationKind::Session, "s-1", "")), Some(Event::ApproverRevoked));
    assert!(one.state == State::Revoked && !one.is_broken_glass());
}

#[test]
fn a_rules_own_approval_and_what_is_over_stay_as_they_are() {
    let now = Timestamp::UNIX_EPOCH;
    let mut alone = approval(3, Grant::Once);
    alone.approve_by_rules(&[("p/r".to_owned(), "small".to_owned())], now);
    assert_eq!(void(&mut alone, &revoked(RevocationKind::TokenId, "t-1", "")), None);
    let subject = revoked(RevocationKind::Subject, "bob", "");
    let mut used = approval(1, Grant::Once);
    decide(&mut used, &with_token(), Choice::Approve).unwrap();
    assert!(used.consume("d-1", now));
    let mut rejected = approval(1, Grant::Once);
    decide(&mut rejected, &with_token(), Choice::Reject).unwrap();
    for over in [&mut used, &mut rejected] {
        let before = over.clone();
        assert_eq!(void(over, &subject), None);
        assert_eq!(*over, before);
    }
}

#[test]
fn whose_vote_is_void_may_give_another_with_what_is_not_revoked() {
    let mut two = approval(2, Grant::Once);
    decide(&mut two, &with_token(), Choice::Approve).unwrap();
    void(&mut two, &revoked(RevocationKind::Session, "s-1", "")).unwrap();
    let fresh = Identity { session: "s-2".into(), token_id: "t-2".into(), ..with_token() };
    assert_eq!(decide(&mut two, &fresh, Choice::Approve), Ok(Event::Voted));
    assert_eq!(decide(&mut two, &carl(), Choice::Approve), Ok(Event::Approved));
    assert_eq!(two.approvers(), ["bob@example.com", "carl@example.com"]);
}

/// Votes that were kept before they said with which token they were given: rather one approval too few.
#[test]
fn a_vote_that_does_not_say_its_token_goes_with_any_of_its_issuer() {
    let kept = r#"{"choice":"approve","issuer":"https://idp.example","subject":"bob","person":"bob@example.com",
                   "reason":"fine","at":"1970-01-01T00:00:00Z","speaks_for":[0]}"#;
    use RevocationKind::{Key, Session, Subject, TokenId};
    for (revocation, taken) in [
        (revoked(Subject, "bob", ""), true),
        (revoked(Subject, "carl", ""), false),
        (revoked(TokenId, "t-1", "https://idp.example"), true),
        (revoked(TokenId, "t-1", "https://other.example"), false),
        (revoked(Session, "s-1", ""), true),
        (revoked(Key, "k-1", ""), false),
    ] {
        let mut two = approval(2, Grant::Once);
        two.votes.push(serde_json::from_str(kept).unwrap());
        assert_eq!(void(&mut two, &revocation).is_some(), taken, "{revocation:?}");
    }
}
