//! How two sets of policies can differ about one call: one closed list of kinds.

macro_rules! disagreements {
    ($($(#[doc = $text:literal])* $variant:ident $code:literal;)*) => {
        /// What a candidate would change for one call. A call can show several at once.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Disagreement {
            $($(#[doc = $text])* $variant,)*
        }

        impl Disagreement {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name, of metrics, records and the admin API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// What the kind means, in a sentence.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($text),*).trim_ascii_start(),)*
                }
            }
        }
    };
}

disagreements! {
    /// the candidate allows what is denied or could not be decided
    NewlyAllowed "newly_allowed";
    /// the candidate denies what is allowed or held
    NewlyDenied "newly_denied";
    /// the candidate holds what is allowed, denied or could not be decided
    NewlyHeld "newly_held";
    /// the candidate allows what is held
    NoLongerHeld "no_longer_held";
    /// a rule of the candidate can't be evaluated, and decides the call
    NewlyIndeterminate "newly_indeterminate";
    /// the candidate denies what could not be decided
    NoLongerIndeterminate "no_longer_indeterminate";
    /// both hold the call, for other approvers or on other terms
    HoldTerms "hold_terms";
    /// both deny the call, and the caller is told another status, code or text
    DenyTerms "deny_terms";
    /// both let the call go on, with other header changes
    Headers "headers";
    /// the candidate masks something that is not masked, or masks it in another way
    NewlyMasked "newly_masked";
    /// the candidate leaves out a mask, or masks in another way
    NewlyUnmasked "newly_unmasked";
    /// the candidate blocks a response that passes
    NewlyBlocked "newly_blocked";
    /// the candidate lets a response pass that is blocked
    NoLongerBlocked "no_longer_blocked";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_explained() {
        let names: std::collections::BTreeSet<_> =
            Disagreement::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Disagreement::ALL.len());
        assert!(Disagreement::ALL.iter().all(|kind| kind.explanation().len() > 10));
        assert_eq!(Disagreement::NoLongerHeld.explanation(), "the candidate allows what is held");
    }
}
