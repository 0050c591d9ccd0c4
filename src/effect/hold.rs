//! Terms of a hold: who may release a call, when, and what an approval is good for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hours::Hours;
use super::person::same_person;
use crate::identity::Identity;

/// Terms of a hold: who may release the call, how long it waits, what an approval is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// At least one. Each must be satisfied, and one person counts for one of them at most.
    pub approvers: Vec<Approvers>,
    /// How long the call is held open before it is answered with a ticket.
    pub wait: Duration,
    /// How long the approval stays open for a decision and, once approved, for its use.
    pub expires: Duration,
    pub on_expiry: OnExpiry,
    /// After which time, undecided, the approvers are reminded, once.
    pub remind_after: Option<Duration>,
    pub escalate: Option<Escalation>,
    pub grant: Grant,
    /// `None`: the approval is for the same call. Else for every call that is the same in these parts.
    pub same: Option<Class>,
    /// Each of these may release the call alone.
    pub break_glass: Option<Members>,
    /// When approvals may be given and used; `None` for always.
    pub hours: Option<Hours>,
    pub auto_approve: Option<AutoApproval>,
}

impl HoldTerms {
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
    pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(60 * 60);

    /// What a hold says that names its approvers and nothing else.
    pub fn of(approvers: Vec<Approvers>) -> Self {
        Self {
            approvers,
            wait: Self::DEFAULT_WAIT,
            expires: Self::DEFAULT_EXPIRY,
            on_expiry: OnExpiry::Deny,
            remind_after: None,
            escalate: None,
            grant: Grant::Once,
            same: None,
            break_glass: None,
            hours: None,
            auto_approve: None,
        }
    }

    /// What it says in words, one clause each; who must approve comes first.
    pub fn clauses(&self) -> Vec<String> {
        let mut clauses = vec![format!("needs {}", all_of(&self.approvers))];
        clauses.extend(
            self.escalate
                .as_ref()
                .map(|further| format!("after {} also {} may approve", span(further.after), further.to)),
        );
        clauses
            .extend(self.remind_after.map(|after| format!("approvers are reminded after {}", span(after))));
        clauses.push(match (self.grant, &self.same) {
            (Grant::Once, _) => "good for one call".to_owned(),
            (Grant::For(period), None) => format!("good for every same call for {}", span(period)),
            (Grant::For(period), Some(class)) => {
                let parts: Vec<_> = class.parts().map(Part::to_string).collect();
                format!("good for every call of the same {} for {}", parts.join(", "), span(period))
            }
        });
        clauses.extend(self.break_glass.as_ref().map(|members| format!("{members} may release it alone")));
        clauses.extend(
            self.hours.as_ref().map(|hours| format!("approved and used in these hours only: {hours}")),
        );
        clauses.extend(self.auto_approve.as_ref().map(|auto| format!("needs nobody when {}", auto.when)));
        clauses
    }

    /// How long a request stays open in all: a second period follows the escalation that ends the first.
    pub fn open_for(&self) -> Duration {
        match self.on_expiry {
            OnExpiry::Deny => self.expires,
            OnExpiry::Escalate => self.expires.saturating_mul(2),
        }
    }
}

/// Who may release a held call, and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvers {
    /// Members of any of these may decide.
    pub groups: Vec<String>,
    /// These people may decide, named as the `person` claim names them.
    pub people: Vec<String>,
    /// How many different people must approve; at least 1.
    pub count: u32,
}

impl Approvers {
    pub fn include(&self, who: &Identity) -> bool {
        among(&self.groups, &self.people, who)
    }
}

impl fmt::Display for Approvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.groups.iter().chain(&self.people).map(String::as_str).collect();
        write!(f, "{} of {}", self.count, names.join(", "))
    }
}

/// All parts of a quorum in words.
pub fn all_of(parts: &[Approvers]) -> String {
    let shown: Vec<_> = parts.iter().map(Approvers::to_string).collect();
    let different = if shown.len() > 1 { ", all different people" } else { "" };
    format!("{}{different}", shown.join(" and "))
}

/// A span of time as policies write it: `1h30m`, `250ms`.
pub fn span(span: Duration) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = span.as_secs();
    let mut text = String::new();
    for (unit, seconds) in units {
        if left >= seconds {
            text.push_str(&format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    match span.subsec_millis() {
        0 if text.is_empty() => "0s".to_owned(),
        0 => text,
        millis => format!("{text}{millis}ms"),
    }
}

/// Groups and people, without a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub groups: Vec<String>,
    pub people: Vec<String>,
}

impl Members {
    pub fn include(&self, who: &Identity) -> bool {
        among(&self.groups, &self.people, who)
    }

    /// All names, sorted.
    pub fn names(&self) -> BTreeSet<&str> {
        self.groups.iter().chain(&self.people).map(String::as_str).collect()
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.groups.iter().chain(&self.people).map(String::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

fn among(groups: &[String], people: &[String], who: &Identity) -> bool {
    let named = |name: &String| who.person.as_deref().is_some_and(|person| same_person(name, person));
    groups.iter().any(|group| who.groups.contains(group)) || people.iter().any(named)
}

/// What becomes of a request that nobody decided when `expires` is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// It lapses, and the call is denied.
    Deny,
    /// It escalates, and lapses after the same time once more.
    Escalate,
}

/// Who may decide besides the approvers when nobody has for a while. How many it takes stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Since the request was made.
    pub after: Duration,
    pub to: Members,
}

/// Approval without a person: its condition is compiled with the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoApproval {
    /// The condition as written.
    pub when: String,
    /// Why; recorded as the reason of the approval.
    pub because: String,
}

/// What an approval is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// One call.
    Once,
    /// Every same call for so long after the approval.
    For(Duration),
}

/// Which parts of a call make it one of those that an approval is for. The caller, the destination and the content of
/// the rules always do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class(BTreeSet<Part>);

impl Class {
    /// `None` without any part.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Option<Self> {
        let parts: BTreeSet<_> = parts.into_iter().collect();
        (!parts.is_empty()).then_some(Self(parts))
    }

    pub fn contains(&self, part: &Part) -> bool {
        self.0.contains(part)
    }

    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// The parts that do not count, in words.
    pub fn left_open(&self) -> Vec<&'static str> {
        let parts = [
            (Part::Method, "method"),
            (Part::Host, "host"),
            (Part::Path, "path"),
            (Part::Query, "query"),
            (Part::Body, "body"),
        ];
        let left = parts.into_iter().filter(|(part, _)| !self.contains(part)).map(|(_, name)| name);
        let any = self.0.iter().any(|part| matches!(part, Part::Header(_)));
        left.chain([if any { "other headers" } else { "headers" }]).collect()
    }

    /// The class that is at least as narrow as both.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// Whether every call of this class is in `other` too.
    pub fn within(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }
}

/// A part of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Part {
    Method,
    Host,
    /// Without the query.
    Path,
    Query,
    Body,
    /// All copies of one header, by its name in lower case.
    Header(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query"),
            Self::Body => f.write_str("body"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// Not a part of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no part of a call")]
pub struct UnknownPart(String);

impl FromStr for Part {
    type Err = UnknownPart;

    fn from_str(text: &str) -> Result<Self, UnknownPart> {
        Ok(match text {
            "method" => Self::Method,
            "host" => Self::Host,
            "path" => Self::Path,
            "query" => Self::Query,
            "body" => Self::Body,
            _ => match text.strip_prefix("header:") {
                Some(name) if !name.is_empty() => Self::Header(name.to_ascii_lowercase()),
                _ => return Err(UnknownPart(text.to_owned())),
            },
        })
    }
}

impl TryFrom<String> for Part {
    type Error = UnknownPart;

    fn try_from(text: String) -> Result<Self, UnknownPart> {
        text.parse()
    }
}

/// Headers that differ when the same call is sent again: no approval covers them.
pub fn is_fleeting_header(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "date",
        "idempotency-key",
        "proxy-authorization",
        "traceparent",
        "tracestate",
        "x-amz-date",
        "x-amz-security-token",
        "x-ms-client-request-id",
        "x-ms-date",
        "x-request-id",
    ];
    NAMES.contains(&name) || name.starts_with("x-b3-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_they_are_written() {
        for text in ["method", "host", "path", "query", "body", "header:x-env"] {
            assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-Env".parse(), Ok(Part::Header("x-env".into())));
        for text in ["", "Method", "header:", "header", "x"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }

    #[test]
    fn of_two_classes_the_narrower_parts_of_both_count() {
        let method = Class::new([Part::Method]).unwrap();
        let path = Class::new([Part::Path]).unwrap();
        let both = method.and(&path);
        assert_eq!(both, Class::new([Part::Path, Part::Method]).unwrap());
        assert!(both.within(&method) && both.within(&path) && !method.within(&both));
        assert_eq!(Class::new([]), None);
    }

    #[test]
    fn spans_read_as_they_are_written_in_policies() {
        for (text, seconds) in [("1h", 3_600), ("1h30m", 5_400), ("2d1s", 172_801), ("45s", 45), ("0s", 0)] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_millis(1_250)), "1s250ms");
    }

    #[test]
    fn one_person_is_one_in_any_case_of_letters() {
        assert!(same_person("Ana@Example.com", " ana@example.COM "));
        assert!(same_person("ÉLISE@example.com", "élise@example.com"));
        assert!(!same_person("ana@example.com", "anna@example.com"));
    }
}
