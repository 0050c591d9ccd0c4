//! The person behind a change that is kept: of policies, keys or revocations.

use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// Who made a change, as records and histories name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub issuer: String,
    pub subject: String,
    pub person: Option<String>,
}

impl Actor {
    pub fn of(who: &Identity) -> Self {
        Self { issuer: who.issuer.clone(), subject: who.subject.clone(), person: who.person.clone() }
    }
}
