//! A request for approval and what may happen to it: pure rules, no storage.
//!
//! pending -> approved | rejected | expired | withdrawn; approved -> revoked | expired | releasing; releasing -> used,
//! or released_unconfirmed where nobody said in time that the answer left. The store applies these rules inside its
//! one writer, so concurrent decisions are resolved there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::{Approvers, Class, Escalation, Grant, Hours, Members};

mod caller;
mod decide;
mod quorum;
mod requirement;
mod tally;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod vote;

pub use caller::{Caller, CredentialIds};
pub use decide::Decided;
pub use quorum::can_be_met;
pub use requirement::Requirement;
pub use tally::Tally;
pub use vote::{Presented, Void, Vote};

/// How long after its use an approval is `releasing` at most: what is not confirmed by then never will be.
pub const RELEASE_LEASE: Duration = Duration::from_secs(10);

/// One open or finished request for approval. Its digest covers exact bytes, or the parts of a class of calls
/// (`engine::digest`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// UUID v7, so that ids sort by age.
    pub id: String,
    /// SHA-256, in hex, of everything that the approval covers.
    pub digest: String,
    /// Of an approval of a class of calls the digest of the call at hand, which breaking the glass releases alone.
    pub exact: Option<String>,
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
    pub requires: Vec<Requirement>,
    pub grant: Grant,
    /// `None`: good for the same call. Else for every call that is the same in these parts.
    pub same: Option<Class>,
    /// After which time, undecided, the approvers are reminded.
    pub remind_after: Option<Duration>,
    pub votes: Vec<Vote>,
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Approved,
    Rejected,
    Expired,
    /// Taken back by the caller, or by an admin, before anybody decided.
    Withdrawn,
    /// Taken back by an approver or admin, or with the credentials of its caller or approvers, after it was given.
    Revoked,
    /// Used up by a call whose answer is about to leave.
    Releasing,
    Used,
    /// Used up by a call of which nobody knows whether its answer left. It releases nothing more.
    ReleasedUnconfirmed,
}

/// What the approver is shown of the call: all that the digest of one call covers. Of a class of calls it is the first.
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
    /// The raw body, in base64; with what the policies mask in it masked.
    pub body: String,
    #[serde(default)]
    pub shown: Shown,
}

/// How much of a body is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    #[default]
    Whole,
    /// So many values are masked.
    Masked(u64),
    /// Nothing: it has to be masked, and is no JSON.
    Withheld,
    /// Nothing: the store keeps it no longer, or never kept it. It had so many bytes.
    NotKept(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    Approve,
    /// Alone, whatever the rules ask for.
    BreakGlass,
    Reject,
    Withdraw,
    Revoke,
}

/// What came to pass with time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub reminded: Option<Timestamp>,
    /// The rules that escalated, and when.
    pub escalated: Vec<(String, Timestamp)>,
    pub used: Option<Use>,
}

/// What used up an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The decision that released the call, as the audit trail names it.
    pub decision: String,
    pub at: Timestamp,
}

/// What happened to a request for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Opened,
    /// One or more rules approved by themselves.
    AutoApproved,
    /// Nobody decided for the time after which the rule reminds.
    ReminderDue,
    /// From now on further people may decide.
    Escalated,
    /// Somebody approved, and more approvals are needed.
    Voted,
    Approved,
    BrokenGlass,
    Rejected,
    Expired,
    Withdrawn,
    Revoked,
    /// Taken back with its caller's credentials.
    CallerRevoked,
    /// Taken back with the credentials of who gave it.
    ApproverRevoked,
    /// The credentials of who approved were revoked: that approval counts no more.
    VoteVoided,
    /// A call is about to be released by it.
    Releasing,
    Used,
    ReleasedUnconfirmed,
}

/// Why a decision was not accepted. `Display` is what the approver reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    #[error("nobody may decide on their own call")]
    OwnCall,
    #[error("the credential of this decision is revoked")]
    Revoked,
    #[error("only members of the approver groups, and the people named, may decide on this call")]
    NotAnApprover,
    #[error("every rule that holds this call must name you, or a group of yours, under `break_glass`")]
    MayNotBreakGlass,
    #[error("breaking the glass needs a reason")]
    NoReason,
    #[error("the credential does not say which person this is (the `person` claim is missing)")]
    NoPerson,
    #[error("this person has decided already")]
    VotedAlready,
    #[error("the request for approval is not pending any more")]
    NotPending,
    #[error("there is no approval to revoke: it is not approved, or it is used up")]
    NotApproved,
    #[error("a rule lets this call be approved in its `hours` only; it can be rejected at any time")]
    OutsideHours,
    #[error("only the caller, and members of the admin groups, may withdraw a request for approval")]
    NotTheCaller,
}

impl State {
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::Withdrawn,
        Self::Revoked,
        Self::Releasing,
        Self::Used,
        Self::ReleasedUnconfirmed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::Releasing => "releasing",
            Self::Used => "used",
            Self::ReleasedUnconfirmed => "released_unconfirmed",
        }
    }
}

impl Choice {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::BreakGlass => "break_glass",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
            Self::Revoke => "revoke",
        }
    }

    /// Whether it lets calls go on.
    pub fn approves(self) -> bool {
        matches!(self, Self::Approve | Self::BreakGlass)
    }
}

impl Event {
    pub const ALL: [Self; 17] = [
        Self::Opened,
        Self::AutoApproved,
        Self::ReminderDue,
        Self::Escalated,
        Self::Voted,
        Self::Approved,
        Self::BrokenGlass,
        Self::Rejected,
        Self::Expired,
        Self::Withdrawn,
        Self::Revoked,
        Self::CallerRevoked,
        Self::ApproverRevoked,
        Self::VoteVoided,
        Self::Releasing,
        Self::Used,
        Self::ReleasedUnconfirmed,
    ];

    /// The event of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::AutoApproved => "auto_approved",
            Self::ReminderDue => "reminder_due",
            Self::Escalated => "escalated",
            Self::Voted => "voted",
            Self::Approved => "approved",
            Self::BrokenGlass => "broken_glass",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::CallerRevoked => "caller_revoked",
            Self::ApproverRevoked => "approver_revoked",
            Self::VoteVoided => "vote_voided",
            Self::Releasing => "releasing",
            Self::Used => "used",
            Self::ReleasedUnconfirmed => "released_unconfirmed",
        }
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == name);
        found.ok_or_else(|| UnknownState(name.to_owned()))
    }
}

/// Not the name of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownState(String);

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = State::ALL.map(State::as_str).join(", ");
        write!(f, "`{}` is not a state; they are: {names}", self.0)
    }
}

impl Approval {
    /// The state at `now`: what is past its expiry is expired, and a release that was not confirmed in time never will
    /// be, whatever was stored.
    pub fn state_at(&self, now: Timestamp) -> State {
        match (self.state, &self.progress.used) {
            (State::Pending | State::Approved, _) if now >= self.expires => State::Expired,
            (State::Releasing, Some(used)) if now >= later(used.at, RELEASE_LEASE) => {
                State::ReleasedUnconfirmed
            }
            (state, _) => state,
        }
    }

    /// Who or what released this call, as the audit trail names them.
    pub fn approvers(&self) -> Vec<String> {
        self.votes.iter().filter(|vote| vote.approves()).map(Vote::author).collect()
    }

    /// Whether somebody released it alone.
    pub fn is_broken_glass(&self) -> bool {
        self.votes.iter().any(|vote| vote.choice == Choice::BreakGlass && vote.void.is_none())
    }

    /// Whether rules approved it, and nobody else.
    pub fn is_auto_approved(&self) -> bool {
        let mut approvals = self.votes.iter().filter(|vote| vote.approves()).peekable();
        approvals.peek().is_some() && approvals.all(|vote| vote.rule.is_some())
    }
}

/// `now` plus `period`, at the end of time at most.
pub fn later(now: Timestamp, period: Duration) -> Timestamp {
    now.checked_add(period).unwrap_or(Timestamp::MAX)
}
