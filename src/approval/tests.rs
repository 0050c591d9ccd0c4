use proptest::prelude::*;

use super::*;
use crate::credential::{Revocation, RevocationKind};
use crate::effect::Part;
use crate::identity::{Identity, Method};

mod votes;

const MINUTE: Duration = Duration::from_secs(60);

fn person(subject: &str, person: Option<&str>, groups: &[&str]) -> Identity {
    let mut identity = (*Identity::anonymous()).clone();
    identity.method = Method::Jwt;
    identity.issuer = "https://idp.example".into();
    identity.subject = subject.into();
    identity.person = person.map(Into::into);
    identity.groups = groups.iter().map(|g| (*g).into()).collect();
    identity
}

fn bob() -> Identity {
    person("bob", Some("bob@example.com"), &["finance"])
}

fn carl() -> Identity {
    person("carl", Some("carl@example.com"), &[])
}

fn part(groups: &[&str], people: &[&str], count: u32) -> Approvers {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Approvers { groups: texts(groups), people: texts(people), count }
}

fn approval(count: u32, grant: Grant) -> Approval {
    asking(vec![part(&["finance"], &["carl@example.com"], count)], grant)
}

fn asking(all_of: Vec<Approvers>, grant: Grant) -> Approval {
    let now = Timestamp::UNIX_EPOCH;
    Approval {
        id: "1".into(),
        digest: "d".into(),
        exact: None,
        idempotency_key: String::new(),
        state: State::Pending,
        created: now,
        expires: later(now, MINUTE),
        caller: Caller::of(&person("ana", Some("ana@example.com"), &["staff"]), ""),
        call: CallSummary::default(),
        rules: vec!["p/r".into()],
        revision: "r".into(),
        requires: vec![Requirement::of("p/r", all_of)],
        grant,
        same: None,
        remind_after: None,
        votes: vec![],
        progress: Progress::default(),
    }
}

fn decide_at(
    approval: &mut Approval,
    who: &Identity,
    choice: Choice,
    reason: &str,
    now: Timestamp,
) -> Result<Event, VoteRefused> {
    approval.decide(&Decided { who, admin: false, choice, reason }, now)
}

fn decide(approval: &mut Approval, who: &Identity, choice: Choice) -> Result<Event, VoteRefused> {
    decide_at(approval, who, choice, "seen", Timestamp::UNIX_EPOCH)
}

fn as_admin(approval: &mut Approval, who: &Identity, choice: Choice) -> Result<Event, VoteRefused> {
    approval.decide(&Decided { who, admin: true, choice, reason: "" }, Timestamp::UNIX_EPOCH)
}

#[test]
fn one_person_is_one_vote_whatever_login_they_use() {
    let mut two = approval(2, Grant::Once);
    assert_eq!(decide(&mut two, &bob(), Choice::Approve), Ok(Event::Voted));
    let other_login = person("bob-admin", Some("BOB@example.com"), &["finance"]);
    assert_eq!(decide(&mut two, &other_login, Choice::Approve), Err(VoteRefused::VotedAlready));
    let other_name = person("bob", Some("robert@example.com"), &["finance"]);
    assert_eq!(decide(&mut two, &other_name, Choice::Approve), Err(VoteRefused::VotedAlready), "one login");
    assert_eq!(two.state, State::Pending);
    assert_eq!(decide(&mut two, &carl(), Choice::Approve), Ok(Event::Approved));
    assert_eq!(two.state, State::Approved);
    assert_eq!(two.approvers(), ["bob@example.com", "carl@example.com"]);
}

#[test]
fn nobody_decides_on_their_own_call() {
    let mut one = approval(1, Grant::Once);
    one.requires[0].break_glass = Some(Members { groups: vec!["finance".into()], people: vec![] });
    let mut by_mail = person("x", Some("x@example.com"), &["finance"]);
    by_mail.email = "Ana@example.com".into();
    for own in [
        person("ana", Some("ana@example.com"), &["finance"]),
        person("ana", None, &["finance"]),
        person("ana-admin", Some("Ana@Example.com"), &["finance"]),
        person("ana@example.com", Some("other@example.com"), &["finance"]),
        by_mail,
    ] {
        for choice in [Choice::Approve, Choice::Reject, Choice::BreakGlass] {
            assert_eq!(decide(&mut one, &own, choice), Err(VoteRefused::OwnCall), "{own:?}");
        }
    }
    let nameless = person("x", None, &["finance"]);
    assert_eq!(decide(&mut one, &nameless, Choice::Approve), Err(VoteRefused::NoPerson));
    assert_eq!(decide(&mut one, &nameless, Choice::BreakGlass), Err(VoteRefused::NoPerson));
    let outsider = person("dave", Some("dave@example.com"), &["staff"]);
    assert_eq!(decide(&mut one, &outsider, Choice::Reject), Err(VoteRefused::NotAnApprover));
    let mut workload = approval(1, Grant::Once);
    workload.caller.spiffe = "spiffe://example.com/job".into();
    let mut same_workload = bob();
    same_workload.spiffe = "spiffe://example.com/job".into();
    assert_eq!(decide(&mut workload, &same_workload, Choice::Approve), Err(VoteRefused::OwnCall));
    // A JWT-SVID, of any issuer.
    let mut by_token = person("spiffe://example.com/job", Some("x@example.com"), &["finance"]);
    by_token.issuer = "https://spire.example".into();
    assert_eq!(decide(&mut workload, &by_token, Choice::Approve), Err(VoteRefused::OwnCall));
}

/// Every login that one person may come by: the subject, the case of the address, how it is proven.
fn logins(name: &str) -> impl Strategy<Value = Identity> + use<> {
    let name = name.to_owned();
    let methods = prop::sample::select(Method::ALL.to_vec());
    (any::<[bool; 20]>(), "[a-z]{0,3}", methods, any::<bool>()).prop_map(
        move |(upper, suffix, method, spiffe)| {
            let address = format!("{name}@example.com");
            let written: String = address
                .chars()
                .zip(upper.into_iter().cycle())
                .map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c })
                .collect();
            let mut who = person(&format!("{name}{suffix}"), Some(&written), &["finance"]);
            who.method = method;
            if spiffe {
                who.spiffe = format!("spiffe://example.com/{name}");
            }
            who
        },
    )
}

proptest! {
    #[test]
    fn people_are_counted_and_not_their_logins(
        bobs in prop::collection::vec(logins("bob"), 1..5),
        dora in logins("dora"),
    ) {
        let mut two = approval(2, Grant::Once);
        for (index, who) in bobs.iter().enumerate() {
            let voted = decide(&mut two, who, Choice::Approve);
            prop_assert_eq!(voted.is_ok(), index == 0);
            prop_assert_eq!(two.state, State::Pending);
        }
        prop_assert_eq!(decide(&mut two, &dora, Choice::Approve), Ok(Event::Approved));
    }

    #[test]
    fn no_login_of_the_caller_releases_their_call(caller in logins("ana"), anas in prop::collection::vec(logins("ana"), 1..5)) {
        let mut one = approval(1, Grant::Once);
        one.caller = Caller::of(&caller, "");
        one.requires[0].break_glass = Some(Members { groups: vec!["finance".into()], people: vec![] });
        one.requires[0].escalate = Some(Escalation {
            after: Duration::ZERO,
            to: Members { groups: vec![], people: vec!["ana@example.com".into()] },
        });
        for who in &anas {
            for choice in [Choice::Approve, Choice::BreakGlass, Choice::Reject] {
                prop_assert_eq!(decide(&mut one, who, choice), Err(VoteRefused::OwnCall));
            }
        }
        prop_assert_eq!(one.state, State::Pending);
    }
}

#[test]
fn a_single_use_is_used_once_and_a_period_until_it_ends() {
    let now = Timestamp::UNIX_EPOCH;
    let mut once = approval(1, Grant::Once);
    assert!(!once.consume("d-1", now), "pending");
    decide(&mut once, &bob(), Choice::Approve).unwrap();
    assert!(once.consume("d-1", now));
    assert!(!once.consume("d-2", now));
    assert_eq!(once.state, State::Releasing);

    let mut hour = approval(1, Grant::For(60 * MINUTE));
    decide(&mut hour, &bob(), Choice::Approve).unwrap();
    assert!(hour.consume("d-1", now) && hour.consume("d-2", later(now, 59 * MINUTE)));
    assert!(!hour.consume("d-3", later(now, 60 * MINUTE)));
}

#[test]
fn a_use_is_confirmed_by_its_own_decision_in_time_or_never() {
    let now = Timestamp::UNIX_EPOCH;
    let used = || {
        let mut once = approval(1, Grant::Once);
        decide(&mut once, &bob(), Choice::Approve).unwrap();
        assert!(once.consume("d-1", now));
        once
    };
    let mut confirmed = used();
    assert!(!confirmed.confirm("d-2", now), "another decision");
    assert!(confirmed.confirm("d-1", now));
    assert_eq!(confirmed.state, State::Used);
    assert!(!confirmed.consume("d-1", now));

    let late = later(now, RELEASE_LEASE);
    let mut crashed = used();
    assert_eq!(crashed.state_at(late), State::ReleasedUnconfirmed);
    assert!(!crashed.confirm("d-1", late) && !crashed.consume("d-1", late));
    assert_eq!(crashed.attention(), Some(late));
}

#[test]
fn what_expired_can_be_neither_decided_nor_used() {
    let end = later(Timestamp::UNIX_EPOCH, MINUTE);
    let mut late = approval(1, Grant::Once);
    assert_eq!(decide_at(&mut late, &bob(), Choice::Approve, "", end), Err(VoteRefused::NotPending));
    decide(&mut late, &bob(), Choice::Approve).unwrap();
    assert!(!late.consume("d-1", end));
    assert_eq!(late.state_at(end), State::Expired);
}

#[test]
fn one_rejection_is_final() {
    let mut two = approval(2, Grant::Once);
    assert_eq!(decide(&mut two, &bob(), Choice::Reject), Ok(Event::Rejected));
    assert_eq!(two.state, State::Rejected);
    assert_eq!(decide(&mut two, &carl(), Choice::Approve), Err(VoteRefused::NotPending));
}

#[test]
fn every_rule_that_held_the_call_must_be_satisfied_and_one_person_may_satisfy_several() {
    let mut both = approval(1, Grant::Once);
    both.requires.push(Requirement::of("p/s", vec![part(&["security"], &[], 1)]));
    decide(&mut both, &bob(), Choice::Approve).unwrap();
    assert_eq!(both.state, State::Pending);
    decide(&mut both, &person("eve", Some("eve@example.com"), &["security"]), Choice::Approve).unwrap();
    assert_eq!(both.state, State::Approved);

    let mut both = approval(1, Grant::Once);
    both.requires.push(Requirement::of("p/s", vec![part(&["security"], &[], 1)]));
    let of_both = person("eve", Some("eve@example.com"), &["security", "finance"]);
    assert_eq!(decide(&mut both, &of_both, Choice::Approve), Ok(Event::Approved));
}

#[test]
fn within_a_rule_nobody_counts_for_two_groups() {
    let all_of = || vec![part(&["finance"], &[], 1), part(&["security"], &[], 1)];
    let of_both = person("eve", Some("eve@example.com"), &["security", "finance"]);
    let mut two = asking(all_of(), Grant::Once);
    assert_eq!(decide(&mut two, &of_both, Choice::Approve), Ok(Event::Voted), "one person is not two");
    assert_eq!(
        decide(&mut two, &bob(), Choice::Approve),
        Ok(Event::Approved),
        "eve counts for security then"
    );
    // The other order comes to the same.
    let mut two = asking(all_of(), Grant::Once);
    assert_eq!(decide(&mut two, &bob(), Choice::Approve), Ok(Event::Voted));
    let dora = person("dora", Some("dora@example.com"), &["finance"]);
    assert_eq!(decide(&mut two, &dora, Choice::Approve), Ok(Event::Voted), "nobody of security spoke");
    assert_eq!(decide(&mut two, &of_both, Choice::Approve), Ok(Event::Approved));
}

#[test]
fn further_people_may_decide_from_the_escalation_on_and_the_count_stays() {
    let mut two = asking(vec![part(&["finance"], &[], 2)], Grant::Once);
    let to = Members { groups: vec!["managers".into()], people: vec![] };
    two.requires[0].escalate = Some(Escalation { after: MINUTE / 2, to });
    let manager = person("max", Some("max@example.com"), &["managers"]);
    let (before, after) = (Timestamp::UNIX_EPOCH, later(Timestamp::UNIX_EPOCH, MINUTE / 2));
    assert_eq!(decide_at(&mut two, &manager, Choice::Approve, "", before), Err(VoteRefused::NotAnApprover));
    assert_eq!(two.attention(), Some(after));
    assert_eq!(two.attend(before), []);
    assert_eq!(two.attend(after), [Event::Escalated]);
    assert_eq!((two.attend(after), two.attention()), (vec![], None), "once");
    assert_eq!(decide_at(&mut two, &manager, Choice::Approve, "", after), Ok(Event::Voted));
    assert_eq!(decide_at(&mut two, &bob(), Choice::Approve, "", after), Ok(Event::Approved));
}

#[test]
fn approvers_are_reminded_once_while_nobody_decides() {
    let mut one = approval(1, Grant::Once);
    one.remind_after = Some(MINUTE / 4);
    let due = later(Timestamp::UNIX_EPOCH, MINUTE / 4);
    assert_eq!(one.attention(), Some(due));
    assert_eq!((one.attend(due), one.attend(due)), (vec![Event::ReminderDue], vec![]));
    let mut decided = approval(1, Grant::Once);
    decided.remind_after = Some(MINUTE / 4);
    decide(&mut decided, &bob(), Choice::Approve).unwrap();
    assert_eq!((decided.attend(due), decided.attention()), (vec![], None));
}

#[test]
fn one_member_of_every_rule_breaks_the_glass_with_a_reason() {
    let members = || Some(Members { groups: vec!["duty".into()], people: vec![] });
    let duty = person("dirk", Some("dirk@example.com"), &["duty"]);
    let mut many = asking(vec![part(&["finance"], &[], 5)], Grant::Once);
    many.requires.push(Requirement::of("p/s", vec![part(&["security"], &[], 1)]));
    assert_eq!(decide(&mut many, &duty, Choice::BreakGlass), Err(VoteRefused::MayNotBreakGlass));
    many.requires[0].break_glass = members();
    assert_eq!(
        decide(&mut many, &duty, Choice::BreakGlass),
        Err(VoteRefused::MayNotBreakGlass),
        "one of two rules"
    );
    many.requires[1].break_glass = members();
    let now = Timestamp::UNIX_EPOCH;
    assert_eq!(decide_at(&mut many, &duty, Choice::BreakGlass, " ", now), Err(VoteRefused::NoReason));
    assert_eq!(decide(&mut many, &duty, Choice::Approve), Err(VoteRefused::NotAnApprover));
    assert_eq!(decide(&mut many, &bob(), Choice::BreakGlass), Err(VoteRefused::MayNotBreakGlass));
    assert_eq!(decide(&mut many, &duty, Choice::BreakGlass), Ok(Event::BrokenGlass));
    assert!(many.state == State::Approved && many.is_broken_glass() && many.consume("d-1", now));
}

#[test]
fn outside_its_hours_a_call_can_be_rejected_and_released_by_broken_glass_and_not_approved() {
    let closed = || {
        let mut one = approval(1, Grant::Once);
        // 1 January 1970 is a Thursday.
        let hours: Hours =
            serde_json::from_str(r#"{"days":["fri"],"from":"08:00:00","to":"18:00:00","time_zone":"UTC"}"#)
                .unwrap();
        one.requires[0].hours = Some(hours);
        one.requires[0].break_glass = Some(Members { groups: vec!["finance".into()], people: vec![] });
        one.expires = later(one.created, 2_880 * MINUTE);
        one
    };
    let mut one = closed();
    assert_eq!(decide(&mut one, &bob(), Choice::Approve), Err(VoteRefused::OutsideHours));
    assert!(one.votes.is_empty());
    let friday = later(Timestamp::UNIX_EPOCH, 34 * 60 * MINUTE);
    assert_eq!(decide_at(&mut one, &bob(), Choice::Approve, "", friday), Ok(Event::Approved));
    assert_eq!(decide(&mut closed(), &bob(), Choice::Reject), Ok(Event::Rejected));
    assert_eq!(decide(&mut closed(), &bob(), Choice::BreakGlass), Ok(Event::BrokenGlass));
}

#[test]
fn a_rule_that_approves_by_itself_is_on_record_and_stands_for_no_other() {
    let now = Timestamp::UNIX_EPOCH;
    let by_rule = |rule: &str| vec![(rule.to_owned(), "small".to_owned())];
    let mut alone = approval(3, Grant::Once);
    assert!(alone.approve_by_rules(&by_rule("p/r"), now));
    assert!(alone.is_auto_approved());
    assert_eq!((alone.state, alone.approvers()), (State::Approved, vec!["rule p/r".to_owned()]));

    let mut both = approval(1, Grant::Once);
    both.requires.push(Requirement::of("p/s", vec![part(&["security"], &[], 1)]));
    assert!(!both.approve_by_rules(&by_rule("p/s"), now));
    assert_eq!(decide(&mut both, &bob(), Choice::Approve), Ok(Event::Approved));
    assert!(!both.is_auto_approved(), "a person spoke too");
    assert!(!approval(1, Grant::Once).approve_by_rules(&by_rule("p/other"), now));
}

#[test]
fn the_caller_or_an_admin_withdraws_what_is_pending_and_nobody_else() {
    let ana = person("ana", Some("ana@example.com"), &["staff"]);
    let mut one = approval(1, Grant::Once);
    assert_eq!(decide(&mut one, &bob(), Choice::Withdraw), Err(VoteRefused::NotTheCaller));
    assert_eq!(decide(&mut one, &ana, Choice::Withdraw), Ok(Event::Withdrawn));
    assert_eq!(one.state, State::Withdrawn);
    assert_eq!(decide(&mut one, &bob(), Choice::Approve), Err(VoteRefused::NotPending));
    let mut other = approval(1, Grant::Once);
    assert_eq!(as_admin(&mut other, &carl(), Choice::Withdraw), Ok(Event::Withdrawn));
    let mut approved = approval(1, Grant::Once);
    decide(&mut approved, &bob(), Choice::Approve).unwrap();
    assert_eq!(decide(&mut approved, &ana, Choice::Withdraw), Err(VoteRefused::NotPending));
}

#[test]
fn an_approver_or_an_admin_revokes_what_is_approved_and_unused() {
    let approved = |grant| {
        let mut one = approval(1, grant);
        decide(&mut one, &bob(), Choice::Approve).unwrap();
        one
    };
    let now = Timestamp::UNIX_EPOCH;
    assert_eq!(decide(&mut approval(1, Grant::Once), &bob(), Choice::Revoke), Err(VoteRefused::NotApproved));
    let outsider = person("dave", Some("dave@example.com"), &["staff"]);
    let mut one = approved(Grant::Once);
    assert_eq!(decide(&mut one, &outsider, Choice::Revoke), Err(VoteRefused::NotAnApprover));
    assert_eq!(decide(&mut one, &carl(), Choice::Revoke), Ok(Event::Revoked));
    assert!(!one.consume("d-1", now));
    assert_eq!(as_admin(&mut approved(Grant::Once), &outsider, Choice::Revoke), Ok(Event::Revoked));
    let mut used = approved(Grant::Once);
    assert!(used.consume("d-1", now));
    assert_eq!(decide(&mut used, &carl(), Choice::Revoke), Err(VoteRefused::NotApproved));
    let mut hour = approved(Grant::For(60 * MINUTE));
    assert!(hour.consume("d-1", now));
    assert_eq!(decide(&mut hour, &carl(), Choice::Revoke), Ok(Event::Revoked));
    assert!(!hour.consume("d-2", now));
}

#[test]
fn states_read_as_they_are_written() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    let error = "open".parse::<State>().unwrap_err().to_string();
    assert!(error.contains("`open`") && error.contains("released_unconfirmed"), "{error}");
}

#[test]
fn a_class_survives_storage() {
    let class = Class::new([Part::Method, Part::Header("x-env".into())]).unwrap();
    let text = serde_json::to_string(&class).unwrap();
    assert_eq!(text, r#"["method","header:x-env"]"#);
    assert_eq!(serde_json::from_str::<Class>(&text).unwrap(), class);
}

/// Requests that were kept before they remembered with what they were made: rather one approval too few.
#[test]
fn a_request_that_does_not_say_its_token_goes_with_any_of_its_issuer() {
    let mut caller = Caller::of(&person("ana", None, &[]), "");
    caller.issuer = "https://idp".into();
    caller.credential = None;
    let revocation = |kind, value: &str, issuer: &str| Revocation {
        id: "r".into(),
        kind,
        value: value.into(),
        issuer: issuer.into(),
        issued_before: None,
        until: None,
        created: Timestamp::UNIX_EPOCH,
        created_by: crate::actor::Actor::default(),
        reason: String::new(),
    };
    use RevocationKind::{Key, Session, Subject, TokenId};
    for (method, kind, value, issuer, owner, goes) in [
        ("jwt", TokenId, "t", "https://idp", None, true),
        ("jwt", TokenId, "t", "", None, true),
        ("jwt", TokenId, "t", "https://other", None, false),
        ("jwt", Session, "s", "https://idp", None, true),
        ("jwt", Key, "k", "", Some("ana"), false),
        ("api_key", Key, "k", "", Some("ana"), true),
        ("api_key", Key, "k", "", Some("dan"), false),
        ("api_key", Key, "k", "", None, true),
        ("api_key", Session, "s", "", None, false),
        ("mtls", TokenId, "t", "", None, false),
        ("mtls", Session, "s", "", None, false),
        ("jwt", Subject, "dan", "", None, false),
        ("jwt", TokenId, "", "", None, false),
    ] {
        caller.method = method.into();
        assert_eq!(caller.came_with(&revocation(kind, value, issuer), owner), goes, "{method} {kind:?}");
    }
}

#[test]
fn rights_go_to_the_caller_by_verified_names_alone() {
    let mut request = approval(1, Grant::Once);
    request.caller.email = "ana@example.com".into();
    request.caller.spiffe = "spiffe://td/ana".into();
    let mut mail = person("x", None, &[]);
    mail.email = "ana@example.com".into();
    let named = person("ana@example.com", None, &[]);
    for unproven in [&mail, &named] {
        assert!(request.caller.is(unproven), "and may not decide");
        assert!(!request.caller.is_surely(unproven));
        let refused = request.may_withdraw(unproven, false, request.created);
        assert_eq!(refused, Err(VoteRefused::NotTheCaller));
    }
    let workload = Identity { spiffe: "spiffe://td/ana".into(), ..person("", None, &[]) };
    for own in [person("ana", None, &[]), person("y", Some("ANA@example.com"), &[]), workload] {
        assert!(request.caller.is_surely(&own), "{own:?}");
        assert_eq!(request.may_withdraw(&own, false, request.created), Ok(()));
    }
    let nobody = Caller { person: Some(" ".into()), ..Caller::default() };
    assert!(!nobody.is_surely(&person("", Some(""), &[])));
}

#[test]
fn a_log_out_of_the_console_is_about_no_call() {
    let caller = Caller { credential: None, ..approval(1, Grant::Once).caller };
    let revoked = |kind| Revocation {
        id: "r".into(),
        kind,
        value: "s-1".into(),
        issuer: String::new(),
        issued_before: None,
        until: None,
        created: Timestamp::UNIX_EPOCH,
        created_by: crate::actor::Actor::default(),
        reason: String::new(),
    };
    assert!(caller.came_with(&revoked(RevocationKind::TokenId), None), "it may be of that token");
    assert!(!caller.came_with(&revoked(RevocationKind::ConsoleSession), None));
}
