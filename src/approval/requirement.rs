//! What one rule asks for before it lets a call go on.

use serde::{Deserialize, Serialize};

use super::{Approvers, Escalation, Hours, Members};

/// Who must approve, for one rule that held the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Requirement {
    /// As `policy/rule`; empty in requests that were made before rules were named.
    pub rule: String,
    /// The rule's own text.
    pub because: String,
    /// Each must be satisfied, and one person counts for one of them at most.
    pub all_of: Vec<Approvers>,
    pub escalate: Option<Escalation>,
    pub break_glass: Option<Members>,
    pub hours: Option<Hours>,
}

impl Requirement {
    /// What a rule asks for that names approvers and nothing else.
    pub fn of(rule: &str, all_of: Vec<Approvers>) -> Self {
        let rule = rule.to_owned();
        Self { rule, because: String::new(), all_of, escalate: None, break_glass: None, hours: None }
    }
}

/// The forms in which requirements were stored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Named {
        rule: String,
        because: String,
        all_of: Vec<Approvers>,
        escalate: Option<Escalation>,
        break_glass: Option<Members>,
        hours: Option<Hours>,
    },
    /// Up to version 0.1: the approvers of one rule, without its name.
    Plain(Approvers),
}

impl From<Stored> for Requirement {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Named { rule, because, all_of, escalate, break_glass, hours } => {
                Self { rule, because, all_of, escalate, break_glass, hours }
            }
            Stored::Plain(approvers) => Self::of("", vec![approvers]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_is_read() {
        let old = r#"{"groups":["finance"],"people":[],"count":2}"#;
        let read: Requirement = serde_json::from_str(old).unwrap();
        let approvers = Approvers { groups: vec!["finance".into()], people: vec![], count: 2 };
        assert_eq!(read, Requirement::of("", vec![approvers]));
        let again: Requirement = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
    }
}
