//! What becomes of requests for approval besides votes: uses that are confirmed or not, what is due with time, what is
//! taken back.

use super::credentials::revoked_key;
use super::*;
use crate::approval::{Event, RELEASE_LEASE};
use crate::credential::RevocationKind;
use crate::effect::{Class, Escalation, Members, Part};

const MINUTE: Duration = Duration::from_secs(60);

impl Fixture {
    async fn approved(&self, new: NewApproval) -> Approval {
        let approval = self.create(new).await;
        self.store.vote(&approval.id, &person("bob"), Choice::Approve, "fine").await.unwrap()
    }

    async fn state(&self, id: &str) -> State {
        self.store.approval(id).await.unwrap().unwrap().state
    }

    async fn open(&self, new: NewApproval) -> Opened {
        let new = NewApproval { id: self.store.new_id(), ..new };
        self.store.open_approval(new, LIMITS).await.unwrap()
    }
}

fn of_class(exact: &str) -> NewApproval {
    let (same, grant) = (Class::new([Part::Method]), Grant::For(MINUTE));
    let mut new =
        NewApproval { same, grant, exact: Some(exact.into()), retry_window: MINUTE, ..new("class") };
    new.requires[0].break_glass = Some(Members { groups: vec!["finance".into()], people: vec![] });
    new
}

/// Who breaks the glass saw one call, and answers for that.
#[tokio::test]
async fn breaking_the_glass_of_a_class_releases_the_call_at_hand_alone() {
    let fixture = fixture().await;
    let seen = fixture.create(of_class("seen")).await;
    assert!(matches!(fixture.open(of_class("other")).await, Opened::Attached(open) if open.id == seen.id));
    let broken = fixture.store.vote(&seen.id, &person("bob"), Choice::BreakGlass, "fire").await.unwrap();
    assert_eq!(
        (broken.state, broken.digest.as_str(), broken.good_for()),
        (State::Approved, "seen", (Grant::Once, None))
    );
    let other = created(fixture.open(of_class("other")).await);
    assert_eq!((other.state, other.digest.as_str()), (State::Pending, "class"));
    assert!(matches!(fixture.open(of_class("seen")).await, Opened::Attached(open) if open.id == seen.id));
    assert!(fixture.store.consume(&seen.id, "d-1").await.unwrap());
    assert!(matches!(fixture.open(of_class("seen")).await, Opened::AlreadyUsed(used) if used.id == seen.id));
    let kept = fixture.reopen().await.approval(&seen.id).await.unwrap().unwrap();
    assert_eq!((kept.digest.as_str(), kept.good_for()), ("seen", (Grant::Once, None)));
}

#[tokio::test]
async fn what_waits_is_listed_and_counted_until_it_is_decided() {
    let fixture = fixture().await;
    assert!(fixture.store.pending().await.unwrap().set().is_empty());
    let (one, other) = (fixture.create(new("a")).await, fixture.create(new("b")).await);
    fixture.approved(new("c")).await;
    assert_eq!(fixture.store.pending().await.unwrap().set(), [one.id.as_str(), &other.id].into());
    assert_eq!(fixture.store.count_pending().await.unwrap(), 2);
}

/// Waits for the next of these events.
async fn told(changes: &mut Changes, event: Event) -> Change {
    let wanted = async {
        loop {
            let change = changes.recv().await.unwrap();
            if change.event == event {
                return change;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wanted).await.expect("the event never came")
}

#[tokio::test]
async fn a_use_is_releasing_until_its_own_decision_confirms_it() {
    let fixture = fixture().await;
    let approval = fixture.approved(new("a")).await;
    assert!(fixture.store.consume(&approval.id, "d-1").await.unwrap());
    assert_eq!(fixture.state(&approval.id).await, State::Releasing);
    assert!(!fixture.store.confirm(&approval.id, "d-2").await.unwrap());
    assert!(fixture.store.confirm(&approval.id, "d-1").await.unwrap());
    let used = fixture.reopen().await.approval(&approval.id).await.unwrap().unwrap();
    assert_eq!((used.state, used.progress.used.unwrap().decision.as_str()), (State::Used, "d-1"));
}

#[tokio::test]
async fn what_a_crash_left_releasing_reads_unconfirmed_and_releases_nothing_more() {
    let fixture = fixture().await;
    let approval = fixture.approved(new("a")).await;
    assert!(fixture.store.consume(&approval.id, "d-1").await.unwrap());
    let store = fixture.reopen().await;
    let mut changes = store.changes();
    fixture.clock.advance(RELEASE_LEASE);
    let read = store.approval(&approval.id).await.unwrap().unwrap();
    assert_eq!(read.state, State::ReleasedUnconfirmed, "before any sweep");
    let change = told(&mut changes, Event::ReleasedUnconfirmed).await;
    assert_eq!((change.id.as_str(), change.state), (approval.id.as_str(), State::ReleasedUnconfirmed));
    assert!(!store.confirm(&approval.id, "d-1").await.unwrap());
    assert!(!store.consume(&approval.id, "d-2").await.unwrap());
}

#[tokio::test]
async fn a_retry_of_a_released_call_is_told_so_and_a_later_call_asks_anew() {
    let fixture = fixture().await;
    let retried = || NewApproval { retry_window: MINUTE, ..new("a") };
    let approval = fixture.approved(retried()).await;
    assert!(fixture.store.consume(&approval.id, "d-1").await.unwrap());
    for _ in 0..2 {
        assert!(matches!(fixture.open(retried()).await, Opened::AlreadyUsed(used) if used.id == approval.id));
        fixture.store.confirm(&approval.id, "d-1").await.unwrap();
    }
    let keyed = NewApproval { idempotency_key: "k".into(), ..retried() };
    let keyed_one = fixture.approved(keyed.clone()).await;
    assert!(fixture.store.consume(&keyed_one.id, "d-2").await.unwrap());
    fixture.clock.advance(2 * MINUTE);
    assert!(matches!(fixture.open(retried()).await, Opened::Created(_)));
    assert!(matches!(fixture.open(keyed.clone()).await, Opened::AlreadyUsed(_)), "a key names one call");
    fixture.clock.advance(9 * MINUTE);
    assert!(
        matches!(fixture.open(NewApproval { id: new("a").id, ..keyed }).await, Opened::Created(_)),
        "as long as the approval would have been open"
    );
}

#[tokio::test]
async fn reminders_and_escalations_come_once_and_are_remembered() {
    let fixture = fixture().await;
    let mut changes = fixture.store.changes();
    let mut asked = NewApproval { remind_after: Some(MINUTE), ..new("a") };
    let to = Members { groups: vec!["managers".into()], people: vec![] };
    asked.requires[0].escalate = Some(Escalation { after: 2 * MINUTE, to });
    let approval = fixture.create(asked).await;
    let mut manager = person("max");
    manager.groups = vec!["managers".into()];
    fixture.clock.advance(MINUTE);
    assert_eq!(told(&mut changes, Event::ReminderDue).await.id, approval.id);
    let early = fixture.store.vote(&approval.id, &manager, Choice::Approve, "").await;
    assert!(matches!(early, Err(VoteError::Refused(VoteRefused::NotAnApprover))));
    fixture.clock.advance(MINUTE);
    assert_eq!(told(&mut changes, Event::Escalated).await.id, approval.id);
    let store = fixture.reopen().await;
    let read = store.approval(&approval.id).await.unwrap().unwrap();
    assert!(read.progress.reminded.is_some());
    assert_eq!(
        read.progress.escalated.iter().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(),
        ["refunds/large"]
    );
    assert_eq!(read.attention(), None);
    let approved = store.vote(&approval.id, &manager, Choice::Approve, "").await.unwrap();
    assert_eq!(approved.state, State::Approved);
}

#[tokio::test]
async fn what_is_withdrawn_or_revoked_makes_room_and_is_told() {
    let fixture = fixture().await;
    let mut changes = fixture.store.changes();
    let one = PendingLimits { per_principal: 1, per_rule: 1, opened_per_principal: 10_000 };
    let pending = fixture.create(new("a")).await;
    let withdrawn =
        fixture.store.vote(&pending.id, &person("ana"), Choice::Withdraw, "a typo").await.unwrap();
    assert_eq!(withdrawn.state, State::Withdrawn);
    assert_eq!(told(&mut changes, Event::Withdrawn).await.id, pending.id);
    let next = created(fixture.store.open_approval(new("a"), one).await.unwrap());
    fixture.store.vote(&next.id, &person("bob"), Choice::Approve, "").await.unwrap();
    let revoked =
        fixture.store.decide(&next.id, &person("root"), true, Choice::Revoke, "wrong").await.unwrap();
    assert_eq!(
        (revoked.state, told(&mut changes, Event::Revoked).await.id),
        (State::Revoked, next.id.clone())
    );
    assert!(!fixture.store.consume(&next.id, "d-1").await.unwrap());
    assert_eq!(fixture.reopen().await.approval(&next.id).await.unwrap().unwrap().votes.len(), 2);
}

#[tokio::test]
async fn approvals_are_revoked_with_the_credentials_of_their_caller() {
    let fixture = fixture().await;
    let mut changes = fixture.store.changes();
    let approved = fixture.approved(new("a")).await;
    let other = NewApproval { caller: Caller::of(&person("dan"), ""), ..new("b") };
    let other = fixture.approved(other).await;
    let revocation = |value: &str, kind, issuer: &str| NewRevocation {
        kind,
        value: value.into(),
        issuer: issuer.into(),
        issued_before: None,
        until: None,
        created_by: Actor { issuer: "i".into(), subject: "root".into(), person: None },
        reason: "stolen laptop".into(),
    };
    let revoke = async |revocation| {
        fixture.store.change_credential(CredentialChange::Revoke(revocation)).await.unwrap();
    };
    revoke(revocation("ana", RevocationKind::TokenId, "")).await;
    revoke(revocation("ana", RevocationKind::Subject, "https://other.example")).await;
    assert_eq!(fixture.state(&approved.id).await, State::Approved, "another token, another issuer");
    revoke(revocation("ana", RevocationKind::Subject, "")).await;
    assert_eq!(told(&mut changes, Event::CallerRevoked).await.id, approved.id);
    let read = fixture.store.approval(&approved.id).await.unwrap().unwrap();
    assert_eq!(read.state, State::Revoked);
    let last = read.votes.last().unwrap();
    assert!(last.subject == "root" && last.reason.contains("stolen laptop"), "{last:?}");
    assert_eq!(fixture.state(&other.id).await, State::Approved);
}

/// A key, a token or a session that is revoked takes with it what was approved of its calls, and of no other's.
#[tokio::test]
async fn approvals_are_revoked_with_the_very_credential_of_their_call() {
    let revocation = |kind, value: &str, issuer: &str| {
        CredentialChange::Revoke(NewRevocation {
            kind,
            value: value.into(),
            issuer: issuer.into(),
            issued_before: None,
            until: None,
            created_by: Actor { issuer: "i".into(), subject: "root".into(), person: None },
            reason: "stolen laptop".into(),
        })
    };
    let made_with = |digest: &str, method, token_id: &str, session: &str| {
        let who = Identity { method, token_id: token_id.into(), session: session.into(), ..person("ana") };
        NewApproval { caller: Caller::of(&who, ""), ..new(digest) }
    };
    let idp = "https://idp.example";
    for (change, taken) in [
        (revocation(RevocationKind::TokenId, "t-1", ""), [true, false, false]),
        (revocation(RevocationKind::TokenId, "t-1", idp), [true, false, false]),
        (revocation(RevocationKind::TokenId, "t-1", "https://other.example"), [false, false, false]),
        (revocation(RevocationKind::Session, "s-1", idp), [true, true, false]),
        (revocation(RevocationKind::Key, "k-1", ""), [false, false, true]),
        (CredentialChange::RevokeKey(revoked_key("k-1")), [false, false, true]),
        (revocation(RevocationKind::Key, "t-1", ""), [false, false, false]),
        (revocation(RevocationKind::Session, "t-1", ""), [false, false, false]),
    ] {
        let fixture = fixture().await;
        let key = NewApiKey { id: "k-1".into(), ..new_key() };
        fixture.store.change_credential(CredentialChange::CreateKey(key)).await.unwrap();
        let mut ids = Vec::new();
        for new in [
            made_with("a", Method::Jwt, "t-1", "s-1"),
            made_with("b", Method::Jwt, "t-2", "s-1"),
            made_with("c", Method::ApiKey, "k-1", ""),
        ] {
            ids.push(fixture.approved(new).await.id);
        }
        fixture.store.change_credential(change.clone()).await.unwrap();
        for (id, taken) in ids.iter().zip(taken) {
            let read = fixture.store.approval(id).await.unwrap().unwrap();
            assert_eq!(read.state == State::Revoked, taken, "{change:?} {:?}", read.caller);
            assert!(!taken || read.votes.last().unwrap().reason.contains("credentials were revoked"));
            // The body was not read, and is not lost.
            assert!(!read.call.body.is_empty());
            assert_eq!(fixture.store.consume(id, "d-1").await.unwrap(), !taken);
        }
    }
}

fn new_key() -> NewApiKey {
    NewApiKey {
        id: "k".into(),
        name: "n".into(),
        owner: "ana".into(),
        person: String::new(),
        groups: vec![],
        hash: "00".into(),
        created_by: Actor::of(&person("bob")),
        expires: None,
    }
}

#[tokio::test]
async fn what_rules_approve_waits_for_nobody_and_takes_no_room() {
    let fixture = fixture().await;
    let mut changes = fixture.store.changes();
    let by_rule = || vec![("refunds/large".to_owned(), "tiny".to_owned())];
    let auto = NewApproval { auto_approved: by_rule(), ..new("a") };
    let full = PendingLimits { per_principal: 1, per_rule: 1, opened_per_principal: 10_000 };
    fixture.create(new("pending")).await;
    let approval = created(fixture.store.open_approval(auto, full).await.unwrap());
    assert_eq!(approval.state, State::Approved);
    assert_eq!(told(&mut changes, Event::AutoApproved).await.id, approval.id);
    assert_eq!(
        fixture.reopen().await.approval(&approval.id).await.unwrap().unwrap().approvers(),
        ["rule refunds/large"]
    );

    let fixture = super::fixture().await;
    let mut partly = NewApproval { auto_approved: by_rule(), ..new("a") };
    partly.requires.push(Requirement::of("other/rule", vec![finance(1)]));
    fixture.create(new("pending")).await;
    assert_eq!(fixture.store.open_approval(partly.clone(), full).await.unwrap(), Opened::TooManyPending);
    let approval = fixture.create(partly).await;
    assert_eq!(approval.state, State::Pending);
}

#[tokio::test]
async fn a_flood_is_limited_whatever_its_form() {
    let fixture = fixture().await;
    let limits = PendingLimits { per_principal: 3, per_rule: 100, opened_per_principal: 10_000 };
    let class = Class::new([Part::Method]);
    let forms: Vec<NewApproval> = (0..20)
        .map(|n| match n % 4 {
            0 => NewApproval { idempotency_key: format!("k{n}"), ..new("same") },
            1 => NewApproval { same: class.clone(), grant: Grant::For(MINUTE), ..new(&format!("d{n}")) },
            2 => NewApproval { remind_after: Some(MINUTE), ..new(&format!("d{n}")) },
            _ => NewApproval { rules: vec![format!("other/{n}")], ..new(&format!("d{n}")) },
        })
        .collect();
    let mut opened = 0;
    for form in forms {
        opened += usize::from(matches!(
            fixture.store.open_approval(form, limits).await.unwrap(),
            Opened::Created(_)
        ));
    }
    assert_eq!(opened, 3);
}

#[tokio::test]
async fn similar_decisions_are_those_on_the_same_callers_calls_of_the_same_rules() {
    let fixture = fixture().await;
    let approved = fixture.approved(new("a")).await;
    fixture.approved(NewApproval { caller: Caller::of(&person("dan"), ""), ..new("b") }).await;
    fixture.approved(NewApproval { rules: vec!["other/rule".into()], ..new("c") }).await;
    let rejected = fixture.create(new("d")).await;
    fixture.store.vote(&rejected.id, &person("bob"), Choice::Reject, "no").await.unwrap();
    fixture.create(new("still-pending")).await;
    let now = fixture.create(new("now")).await;
    let similar = fixture.store.similar(&now, 5).await.unwrap();
    assert_eq!(similar.iter().map(|past| &past.id).collect::<Vec<_>>(), [&rejected.id, &approved.id]);
    assert_eq!(fixture.store.similar(&now, 1).await.unwrap().len(), 1);
}
