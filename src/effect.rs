//! What a matching rule does besides saying yes or no: as data, checked when the policies are loaded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Terms of a hold: who may release the call, how long it waits, what an approval is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    pub approvers: Approvers,
    /// How long the call is held open before it is answered with a ticket.
    pub wait: Duration,
    /// How long the approval stays open for a decision and, once approved, for its use.
    pub expires: Duration,
    pub grant: Grant,
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

/// What an approval is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// One call.
    Once,
    /// Every same call for so long after the approval.
    For(Duration),
}

/// How a denial looks to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyTerms {
    /// 400 to 599.
    pub status: u16,
    /// Shown to the caller; empty for the reason's own text.
    pub because: String,
}

/// One change to a request's or response's headers. `name` is in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// Replaces every copy, whatever the caller sent.
    Set {
        name: String,
        value: String,
    },
    Append {
        name: String,
        value: String,
    },
    Remove {
        name: String,
    },
}

impl HeaderChange {
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Append { name, .. } | Self::Remove { name } => name,
        }
    }
}

/// The header changes of all matching rules, in the order of their rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    pub request: Vec<HeaderChange>,
    pub response: Vec<HeaderChange>,
}
