//! A request for approval and what may happen to it: pure rules, no storage.
//!
//! States: pending -> approved | rejected | expired; approved -> used (a grant of `once`). The store applies
//! these rules inside its one writer, so concurrent decisions are resolved there.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::{Approvers, Grant};
use crate::identity::Identity;

/// One open or finished request for approval. Its digest covers exact bytes (`engine::hold::digest`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// UUID v7, so that ids sort by age.
    pub id: String,
    /// SHA-256, in hex, of everything that the approval covers.
    pub digest: String,
    /// The caller's `idempotency-key`, or empty: one open approval per digest and key.
    pub idempotency_key: String,
    pub state: State,
    pub created: Timestamp,
    /// When a pending request lapses, and when an approved one can no longer be used.
    pub expires: Timestamp,
    pub caller: Caller,
    pub call: CallSummary,
    /// The rules that held the call, as `policy/rule`.
    pub rules: Vec<String>,
    /// The revision of the policies that held it.
    pub revision: String,
    /// One entry per rule that held the call: each must be satisfied.
    pub requires: Vec<Approvers>,
    pub grant: Grant,
    pub votes: Vec<Vote>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Approved,
    Rejected,
    Expired,
    Used,
}

/// Who made the call that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub issuer: String,
    pub subject: String,
    pub person: Option<String>,
    pub spiffe: String,
    /// How the identity was proven (`jwt`, `mtls`, `anonymous`).
    pub method: String,
    pub address: String,
}

/// What the approver is shown of the call: all that the digest covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSummary {
    pub method: String,
    pub host: String,
    /// Path and query as sent.
    pub path: String,
    /// Where the proxy takes the call, as the digest covers it: behind a sidecar the host is the caller's claim.
    #[serde(default)]
    pub destination: String,
    /// The headers that the digest covers.
    pub headers: Vec<(String, String)>,
    /// The raw body, in base64.
    pub body: String,
}

/// One person's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub choice: Choice,
    pub issuer: String,
    pub subject: String,
    pub person: Option<String>,
    pub reason: String,
    pub at: Timestamp,
    /// Which of the approval's `requires` this person could speak for, by index.
    pub speaks_for: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    Approve,
    Reject,
}

/// Why a decision was not accepted. `Display` is what the approver reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    #[error("nobody may decide on their own call")]
    OwnCall,
    #[error("only members of the approver groups, and the people named, may decide on this call")]
    NotAnApprover,
    #[error("the credential does not say which person this is (the `person` claim is missing)")]
    NoPerson,
    #[error("this person has decided already")]
    VotedAlready,
    #[error("the request for approval is not pending any more")]
    NotPending,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }
}

impl Choice {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        let all = [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Used];
        all.into_iter().find(|state| state.as_str() == name).ok_or_else(|| UnknownState(name.to_owned()))
    }
}

/// Not the name of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state: pending, approved, rejected, expired or used")]
pub struct UnknownState(String);

impl Caller {
    pub fn of(identity: &Identity, address: &str) -> Self {
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            person: identity.person.clone(),
            spiffe: identity.spiffe.clone(),
            method: identity.method.as_str().to_owned(),
            address: address.to_owned(),
        }
    }

    /// Whether `who` is the caller, by login, SPIFFE id or person.
    pub fn is(&self, who: &Identity) -> bool {
        let same_login = self.issuer == who.issuer && self.subject == who.subject && !who.subject.is_empty();
        let same_spiffe = !self.spiffe.is_empty() && self.spiffe == who.spiffe;
        let same_person = match (&self.person, &who.person) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        };
        same_login || same_spiffe || same_person
    }
}

impl Approval {
    /// The state at `now`: a pending or approved request past its expiry is expired, whatever was stored.
    pub fn state_at(&self, now: Timestamp) -> State {
        match self.state {
            State::Pending | State::Approved if now >= self.expires => State::Expired,
            state => state,
        }
    }

    /// Whether `who` may decide on this call now.
    pub fn may_vote(&self, who: &Identity, now: Timestamp) -> Result<(), VoteRefused> {
        if self.state_at(now) != State::Pending {
            return Err(VoteRefused::NotPending);
        }
        if self.caller.is(who) {
            return Err(VoteRefused::OwnCall);
        }
        if self.speaks_for(who).is_empty() {
            return Err(VoteRefused::NotAnApprover);
        }
        // People are counted, so an approver without a `person` can't be told apart from the caller.
        let Some(person) = &who.person else { return Err(VoteRefused::NoPerson) };
        let voted =
            |vote: &Vote| vote.person.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(person));
        if self.votes.iter().any(voted) { Err(VoteRefused::VotedAlready) } else { Ok(()) }
    }

    /// The indices of the requirements that `who` is an approver for.
    pub fn speaks_for(&self, who: &Identity) -> Vec<usize> {
        let named =
            |name: &String| who.person.as_deref().is_some_and(|person| name.eq_ignore_ascii_case(person));
        let may = |approvers: &Approvers| {
            approvers.groups.iter().any(|group| who.groups.contains(group))
                || approvers.people.iter().any(named)
        };
        self.requires
            .iter()
            .enumerate()
            .filter(|(_, approvers)| may(approvers))
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether every requirement has as many approvals, by different people, as it asks for.
    pub fn is_satisfied(&self) -> bool {
        let approvals = |index: usize| {
            let for_it = |vote: &&Vote| vote.choice == Choice::Approve && vote.speaks_for.contains(&index);
            self.votes.iter().filter(for_it).count()
        };
        let enough = |(index, approvers): (usize, &Approvers)| {
            approvals(index) >= usize::try_from(approvers.count.max(1)).unwrap_or(usize::MAX)
        };
        !self.requires.is_empty() && self.requires.iter().enumerate().all(enough)
    }

    /// Adds a decision: one rejection rejects; the last approval that was still needed approves.
    pub fn vote(
        &mut self,
        who: &Identity,
        choice: Choice,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), VoteRefused> {
        self.may_vote(who, now)?;
        self.votes.push(Vote {
            choice,
            issuer: who.issuer.clone(),
            subject: who.subject.clone(),
            person: who.person.clone(),
            reason: reason.to_owned(),
            at: now,
            speaks_for: self.speaks_for(who),
        });
        if choice == Choice::Reject {
            self.state = State::Rejected;
        } else if self.is_satisfied() {
            self.state = State::Approved;
            if let Grant::For(period) = self.grant {
                self.expires = later(now, period);
            }
        }
        Ok(())
    }

    /// Marks an approved request as used by one call. `false`: somebody was faster, or it is not approved.
    /// A grant for a period stays approved until it expires.
    pub fn consume(&mut self, now: Timestamp) -> bool {
        if self.state_at(now) != State::Approved {
            return false;
        }
        if self.grant == Grant::Once {
            self.state = State::Used;
        }
        true
    }

    /// The people whose approvals released this call, as the audit trail names them.
    pub fn approvers(&self) -> Vec<String> {
        let approvals = self.votes.iter().filter(|vote| vote.choice == Choice::Approve);
        approvals.map(|vote| vote.person.clone().unwrap_or_else(|| vote.subject.clone())).collect()
    }
}

/// `now` plus `period`, at the end of time at most.
pub fn later(now: Timestamp, period: Duration) -> Timestamp {
    now.checked_add(period).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(subject: &str, person: Option<&str>, groups: &[&str]) -> Identity {
        let mut identity = (*Identity::anonymous()).clone();
        identity.method = crate::identity::Method::Jwt;
        identity.issuer = "https://idp.example".into();
        identity.subject = subject.into();
        identity.person = person.map(Into::into);
        identity.groups = groups.iter().map(|g| (*g).into()).collect();
        identity
    }

    fn approval(count: u32, grant: Grant) -> Approval {
        let now = Timestamp::UNIX_EPOCH;
        Approval {
            id: "1".into(),
            digest: "d".into(),
            idempotency_key: String::new(),
            state: State::Pending,
            created: now,
            expires: later(now, Duration::from_secs(60)),
            caller: Caller::of(&person("ana", Some("ana@example.com"), &["staff"]), ""),
            call: CallSummary::default(),
            rules: vec![],
            revision: "r".into(),
            requires: vec![Approvers {
                groups: vec!["finance".into()],
                people: vec!["carl@example.com".into()],
                count,
            }],
            grant,
            votes: vec![],
        }
    }

    fn vote(approval: &mut Approval, who: &Identity, choice: Choice) -> Result<(), VoteRefused> {
        approval.vote(who, choice, "", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn one_person_is_one_vote_whatever_login_they_use() {
        let mut two = approval(2, Grant::Once);
        assert_eq!(
            vote(&mut two, &person("bob", Some("bob@example.com"), &["finance"]), Choice::Approve),
            Ok(())
        );
        let other_login = person("bob-admin", Some("BOB@example.com"), &["finance"]);
        assert_eq!(vote(&mut two, &other_login, Choice::Approve), Err(VoteRefused::VotedAlready));
        assert_eq!(two.state, State::Pending);
        assert_eq!(vote(&mut two, &person("carl", Some("carl@example.com"), &[]), Choice::Approve), Ok(()));
        assert_eq!(two.state, State::Approved);
        assert_eq!(two.approvers(), ["bob@example.com", "carl@example.com"]);
    }

    #[test]
    fn nobody_decides_on_their_own_call() {
        let mut one = approval(1, Grant::Once);
        for own in [
            person("ana", Some("ana@example.com"), &["finance"]),
            person("ana", None, &["finance"]),
            person("ana-admin", Some("Ana@Example.com"), &["finance"]),
        ] {
            assert_eq!(vote(&mut one, &own, Choice::Approve), Err(VoteRefused::OwnCall));
        }
        let nameless = person("x", None, &["finance"]);
        assert_eq!(vote(&mut one, &nameless, Choice::Approve), Err(VoteRefused::NoPerson));
        let outsider = person("dave", Some("dave@example.com"), &["staff"]);
        assert_eq!(vote(&mut one, &outsider, Choice::Reject), Err(VoteRefused::NotAnApprover));
    }

    #[test]
    fn a_single_use_is_used_once_and_a_period_until_it_ends() {
        let bob = person("bob", Some("bob@example.com"), &["finance"]);
        let now = Timestamp::UNIX_EPOCH;
        let mut once = approval(1, Grant::Once);
        assert!(!once.consume(now), "pending");
        vote(&mut once, &bob, Choice::Approve).unwrap();
        assert!(once.consume(now));
        assert!(!once.consume(now));
        assert_eq!(once.state, State::Used);

        let mut hour = approval(1, Grant::For(Duration::from_secs(3_600)));
        vote(&mut hour, &bob, Choice::Approve).unwrap();
        assert!(hour.consume(now) && hour.consume(later(now, Duration::from_secs(3_599))));
        assert!(!hour.consume(later(now, Duration::from_secs(3_600))));
    }

    #[test]
    fn what_expired_can_be_neither_decided_nor_used() {
        let bob = person("bob", Some("bob@example.com"), &["finance"]);
        let end = later(Timestamp::UNIX_EPOCH, Duration::from_secs(60));
        let mut late = approval(1, Grant::Once);
        assert_eq!(late.vote(&bob, Choice::Approve, "", end), Err(VoteRefused::NotPending));
        vote(&mut late, &bob, Choice::Approve).unwrap();
        assert!(!late.consume(end));
        assert_eq!(late.state_at(end), State::Expired);
    }

    #[test]
    fn one_rejection_is_final() {
        let mut two = approval(2, Grant::Once);
        let bob = person("bob", Some("bob@example.com"), &["finance"]);
        vote(&mut two, &bob, Choice::Reject).unwrap();
        assert_eq!(two.state, State::Rejected);
        let carl = person("carl", Some("carl@example.com"), &[]);
        assert_eq!(vote(&mut two, &carl, Choice::Approve), Err(VoteRefused::NotPending));
    }

    #[test]
    fn every_rule_that_held_the_call_must_be_satisfied() {
        let mut both = approval(1, Grant::Once);
        both.requires.push(Approvers { groups: vec!["security".into()], people: vec![], count: 1 });
        vote(&mut both, &person("bob", Some("bob@example.com"), &["finance"]), Choice::Approve).unwrap();
        assert_eq!(both.state, State::Pending);
        vote(&mut both, &person("eve", Some("eve@example.com"), &["security"]), Choice::Approve).unwrap();
        assert_eq!(both.state, State::Approved);
    }
}
