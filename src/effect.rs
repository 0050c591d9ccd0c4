//! What a matching rule does besides saying yes or no: as data, checked when the policies are loaded.

use std::sync::Arc;

use crate::request::Headers;

mod hold;
mod hours;
mod person;

pub use hold::{
    Approvers, AutoApproval, Class, Escalation, Grant, HoldTerms, Members, OnExpiry, Part, all_of,
    is_fleeting_header, span,
};
pub use hours::{Day, Hours};
pub use person::{named_person, person_key, same_person};

/// How a denial looks to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyTerms {
    /// 400 to 599.
    pub status: u16,
    /// Shown to the caller; absent for the reason's own text.
    pub because: Option<Arc<str>>,
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

    /// What it sets or appends.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Set { value, .. } | Self::Append { value, .. } => Some(value),
            Self::Remove { .. } => None,
        }
    }

    /// Whether other values of the header stay.
    pub fn appends(&self) -> bool {
        matches!(self, Self::Append { .. })
    }

    /// How many bytes its texts have.
    pub fn text_len(&self) -> usize {
        match self {
            Self::Set { name, value } | Self::Append { name, value } => name.len() + value.len(),
            Self::Remove { name } => name.len(),
        }
    }
}

/// The header changes of all matching rules, in the order of their rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    pub request: Vec<HeaderChange>,
    pub response: Vec<HeaderChange>,
}

/// The changes, and the removal of every alias of a changed header among those that were `sent`: `x_user` beside
/// `x-user` would reach a backend that folds `_` and `-` (CVE-2025-64484).
pub fn without_aliases(changes: &[HeaderChange], sent: &Headers) -> Vec<HeaderChange> {
    let mut all = changes.to_vec();
    for change in changes {
        let aliases = sent.iter().filter(|header| is_alias(&header.name, change.name()));
        all.extend(aliases.map(|header| HeaderChange::Remove { name: header.name.clone() }));
    }
    all
}

/// Whether some backend takes `name` for `other`: the same letters, with other `_` and `-`.
fn is_alias(name: &str, other: &str) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name != other && name.bytes().map(folded).eq(other.bytes().map(folded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Header;

    #[test]
    fn aliases_of_what_is_changed_are_removed() {
        let sent: Headers = ["x_user", "x-user", "X_USER", "x-us-er", "x_user_id"]
            .into_iter()
            .map(|name| Header::new(name, "evil"))
            .collect();
        let set = HeaderChange::Set { name: "x-user".into(), value: "ana".into() };
        let remove = HeaderChange::Remove { name: "x_user".into() };
        assert_eq!(without_aliases(std::slice::from_ref(&set), &sent), [set, remove.clone(), remove]);
    }
}
