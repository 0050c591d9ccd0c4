//! What people are told of a request for approval, and which of it a target wants to hear.
//!
//! A notice is written down in the transaction of the change that it tells of, so it holds what was true then. It never
//! holds the body, the headers or the query of the call: those are for its approvers, on the page that it links to.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::approval::{self, Approval, Caller, Requirement, State, Vote};
use crate::effect::{Approvers, Class, Grant, Members};

/// What happened to a request for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was made, and waits for its approvers.
    Pending,
    /// It was approved or rejected.
    Decided,
    /// Nobody decided for the time after which a rule reminds.
    Reminder,
    /// From now on further people may decide.
    Escalated,
    /// One person released the call alone.
    BreakGlass,
    /// It lapsed: undecided, or approved and not used.
    Expired,
}

impl Event {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Decided, Self::Reminder, Self::Escalated, Self::BreakGlass, Self::Expired];

    /// What is told of a change; `None` where nobody needs to hear of it.
    pub fn of(change: approval::Event) -> Option<Self> {
        match change {
            approval::Event::Opened => Some(Self::Pending),
            approval::Event::ReminderDue => Some(Self::Reminder),
            approval::Event::Escalated => Some(Self::Escalated),
            approval::Event::BrokenGlass => Some(Self::BreakGlass),
            approval::Event::Approved | approval::Event::Rejected => Some(Self::Decided),
            approval::Event::Expired => Some(Self::Expired),
            approval::Event::AutoApproved
            | approval::Event::Voted
            | approval::Event::Withdrawn
            | approval::Event::Revoked
            | approval::Event::CallerRevoked
            | approval::Event::ApproverRevoked
            | approval::Event::VoteVoided
            | approval::Event::Releasing
            | approval::Event::Used
            | approval::Event::ReleasedUnconfirmed => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Decided => "decided",
            Self::Reminder => "reminder",
            Self::Escalated => "escalated",
            Self::BreakGlass => "break_glass",
            Self::Expired => "expired",
        }
    }
}

impl FromStr for Event {
    type Err = UnknownEvent;

    fn from_str(name: &str) -> Result<Self, UnknownEvent> {
        Self::ALL
            .into_iter()
            .find(|event| event.as_str() == name)
            .ok_or_else(|| UnknownEvent(name.to_owned()))
    }
}

/// Not the name of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event: pending, decided, reminder, escalated, break_glass or expired")]
pub struct UnknownEvent(String);

/// One event, with what a person has to know of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub event: Event,
    pub at: Timestamp,
    /// The id of the request.
    pub approval: String,
    pub state: State,
    pub created: Timestamp,
    pub expires: Timestamp,
    pub caller: Caller,
    pub method: String,
    pub host: String,
    /// Without the query.
    pub path: String,
    /// Bytes of the query that are left out, its question mark included.
    pub query_bytes: usize,
    /// Where the proxy takes the call.
    pub destination: String,
    pub rules: Vec<String>,
    pub revision: String,
    pub requires: Vec<Approvers>,
    pub grant: Grant,
    /// `None`: an approval is for the same call. Else for every call that is the same in these parts.
    #[serde(default)]
    pub same: Option<Class>,
    pub votes: Vec<Vote>,
    /// Whether it was approved, or released by one person alone: of one that expired, whether it was left undecided.
    pub approved: bool,
}

impl Notice {
    pub fn of(event: Event, approval: &Approval, at: Timestamp) -> Self {
        let full = &approval.call.path;
        let path = full.split_once('?').map_or(full.as_str(), |(path, _)| path);
        Self {
            event,
            at,
            approval: approval.id.clone(),
            state: approval.state,
            created: approval.created,
            expires: approval.expires,
            caller: approval.caller.clone(),
            method: approval.call.method.clone(),
            host: approval.call.host.clone(),
            path: path.to_owned(),
            query_bytes: full.len().saturating_sub(path.len()),
            destination: approval.call.destination.clone(),
            rules: approval.rules.clone(),
            revision: approval.revision.clone(),
            requires: approval.requires.iter().flat_map(|one| one.all_of.clone()).collect(),
            grant: approval.good_for().0,
            same: approval.good_for().1.cloned(),
            votes: approval.votes.clone(),
            approved: approval.is_satisfied() || approval.is_broken_glass(),
        }
    }
}

/// What one target wants to hear of. An empty list asks for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The target's name.
    pub target: String,
    pub events: Vec<Event>,
    /// Rules that held the call, as `policy/rule`, or `policy/*`.
    pub rules: Vec<String>,
    /// Approver groups.
    pub groups: Vec<String>,
}

impl Subscription {
    pub fn wants(&self, event: Event, approval: &Approval) -> bool {
        let rule = |rule: &String| self.rules.iter().any(|pattern| matches(pattern, rule));
        (self.events.is_empty() || self.events.contains(&event))
            && (self.rules.is_empty() || approval.rules.iter().any(rule))
            && (self.groups.is_empty()
                || approval.requires.iter().any(|one| self.hears(event, approval, one)))
    }

    /// Whether one of the groups may decide by this rule: as its approvers, because it has escalated to them, or, where
    /// somebody did, by breaking the glass.
    fn hears(&self, event: Event, approval: &Approval, required: &Requirement) -> bool {
        let any = |groups: &[String]| groups.iter().any(|group| self.groups.contains(group));
        let members = |members: &Members| any(&members.groups);
        let escalated = approval.progress.escalated.iter().any(|(rule, _)| *rule == required.rule);
        required.all_of.iter().any(|part| any(&part.groups))
            || (escalated && required.escalate.as_ref().is_some_and(|further| members(&further.to)))
            || (event == Event::BreakGlass && required.break_glass.as_ref().is_some_and(members))
    }
}

fn matches(pattern: &str, rule: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => rule.starts_with(beginning),
        None => pattern == rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::testing::vote;
    use crate::approval::{CallSummary, Choice, Progress};
    use crate::effect::Escalation;

    fn approval() -> Approval {
        Approval {
            id: "1".into(),
            digest: "d".into(),
            exact: None,
            idempotency_key: String::new(),
            state: State::Pending,
            created: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            caller: Caller::default(),
            call: CallSummary {
                path: "/v1/refunds?token=SECRET".into(),
                headers: vec![("x-api-key".into(), "SECRET".into())],
                body: "SECRET".into(),
                ..CallSummary::default()
            },
            rules: vec!["refunds/large".into()],
            revision: "r".into(),
            requires: vec![Requirement::of(
                "refunds/large",
                vec![Approvers { groups: vec!["finance".into()], people: vec![], count: 1 }],
            )],
            grant: Grant::Once,
            same: None,
            remind_after: None,
            votes: vec![],
            progress: Progress::default(),
        }
    }

    #[test]
    fn a_notice_holds_no_body_header_or_query() {
        let notice = Notice::of(Event::Pending, &approval(), Timestamp::UNIX_EPOCH);
        assert!(!serde_json::to_string(&notice).unwrap().contains("SECRET"));
        assert_eq!((notice.path.as_str(), notice.query_bytes), ("/v1/refunds", 13));
    }

    #[test]
    fn a_target_hears_what_it_asked_for() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let wants = |events: &[Event], rules: &[&str], groups: &[&str]| {
            let subscription = Subscription {
                target: "t".into(),
                events: events.to_vec(),
                rules: list(rules),
                groups: list(groups),
            };
            subscription.wants(Event::Pending, &approval())
        };
        assert!(wants(&[], &[], &[]));
        assert!(wants(&[Event::Pending], &["refunds/large"], &["finance"]));
        assert!(wants(&[], &["other/x", "refunds/*"], &[]));
        assert!(!wants(&[Event::Decided], &[], &[]));
        assert!(!wants(&[], &["refunds/small"], &[]) && !wants(&[], &["refunds"], &[]));
        assert!(!wants(&[], &[], &["security"]));
    }

    #[test]
    fn whom_a_request_escalates_to_hears_of_it_from_then_on() {
        let members = |group: &str| Members { groups: vec![group.into()], people: vec![] };
        let hears = |group: &str, event, approval: &Approval| {
            let groups = vec![group.to_owned()];
            Subscription { target: "t".into(), groups, ..Subscription::default() }.wants(event, approval)
        };
        let mut one = approval();
        one.requires[0].escalate =
            Some(Escalation { after: std::time::Duration::from_secs(60), to: members("managers") });
        one.requires[0].break_glass = Some(members("duty"));
        assert!(!hears("managers", Event::Pending, &one) && !hears("duty", Event::Pending, &one));
        assert!(hears("duty", Event::BreakGlass, &one) && !hears("managers", Event::BreakGlass, &one));
        one.progress.escalated.push(("other/rule".into(), Timestamp::UNIX_EPOCH));
        assert!(!hears("managers", Event::Escalated, &one), "another rule's");
        one.progress.escalated.push(("refunds/large".into(), Timestamp::UNIX_EPOCH));
        assert!(hears("managers", Event::Escalated, &one) && hears("managers", Event::Decided, &one));
        assert!(hears("finance", Event::Escalated, &one) && !hears("staff", Event::Escalated, &one));
    }

    #[test]
    fn what_one_person_released_alone_counts_as_approved() {
        let mut one = approval();
        assert!(!Notice::of(Event::Expired, &one, Timestamp::UNIX_EPOCH).approved);
        one.votes = vec![vote(Choice::BreakGlass)];
        assert!(Notice::of(Event::Expired, &one, Timestamp::UNIX_EPOCH).approved);
    }

    #[test]
    fn events_have_names() {
        for event in Event::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
        }
        assert!("".parse::<Event>().is_err());
    }
}
