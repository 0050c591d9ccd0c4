//! What became of calls that ext_authz decides and ext_proc masks.

/// One end of a handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handover {
    /// ext_authz sealed it.
    Given,
    /// ext_authz could not: it has more than 8 KiB.
    TooLarge,
    /// ext_proc went by it.
    Taken,
    /// ext_proc got none.
    Missing,
    /// No key of this server sealed it.
    Invalid,
    /// Its ten seconds are over.
    Stale,
    /// It is another call's.
    Mismatch,
    /// Masks depend on the response, and this replica has other policies than the one that decided.
    OtherPolicies,
}

impl Handover {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::TooLarge => "too_large",
            Self::Taken => "taken",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Stale => "stale",
            Self::Mismatch => "mismatch",
            Self::OtherPolicies => "other_policies",
        }
    }
}
