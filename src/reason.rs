//! Why a call was answered as it was: one closed list of stable codes.
//!
//! The code goes into metrics, the audit trail and the body of a denial; README.md lists them all.

/// A reason code. `as_str` is the stable name, `status` the HTTP status of a denial for this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    // allowed
    Allowed,
    Approved,
    AutoApproved,
    BreakGlass,
    // decided by the policies
    NoRuleAllows,
    DeniedByRule,
    Unauthenticated,
    // held
    ApprovalPending,
    ApprovalRejected,
    ApprovalExpired,
    ApprovalWithdrawn,
    ApprovalRevoked,
    ApprovalUsed,
    OutsideHours,
    TooManyPending,
    TooManyOpened,
    TooManyHeld,
    CallerGone,
    // answered here: what became of a held call
    ApprovalStatus,
    ApprovalNotFound,
    MethodNotAllowed,
    // the credential was refused; the caller is told no more than `credential_refused`
    TokenMalformed,
    TokenTooLarge,
    TokenAlgorithm,
    TokenKeyUnknown,
    TokenSignature,
    TokenIssuer,
    TokenAudience,
    TokenExpired,
    TokenNotYetValid,
    TokenClaim,
    TokenRepeated,
    KeysUnavailable,
    PeerInvalid,
    PeerAmbiguous,
    PeerUntrusted,
    ApiKeyInvalid,
    ApiKeyExpired,
    ApiKeyRevoked,
    Revoked,
    TokenInactive,
    BasicInvalid,
    // nobody could be asked about the credential
    IntrospectionUnavailable,
    TokenReviewUnavailable,
    TooManyCallouts,
    BasicOverloaded,
    // the call itself can't be judged
    PathInvalid,
    PathAmbiguous,
    PathTooLong,
    MethodInvalid,
    HostInvalid,
    HeaderInvalid,
    HeaderDuplicate,
    HeaderTooLarge,
    HeadersTooLarge,
    BodyTooLarge,
    BodyUnavailable,
    // indeterminate: something of ours failed
    NoPolicies,
    ConditionError,
    StoreUnavailable,
    RevocationsStale,
    AuditUnavailable,
    DecisionTimeout,
    InternalError,
    // the answer can't be masked
    MaskUnavailable,
    Unmaskable,
    // what another filter of the same proxy decided is not known
    HandoverMissing,
    HandoverInvalid,
    HandoverStale,
    HandoverMismatch,
    HandoverPolicies,
    HandoverTooLarge,
}

impl Reason {
    /// Every reason, for documentation and tests.
    pub const ALL: [Self; 72] = [
        Self::Allowed,
        Self::Approved,
        Self::AutoApproved,
        Self::BreakGlass,
        Self::NoRuleAllows,
        Self::DeniedByRule,
        Self::Unauthenticated,
        Self::ApprovalPending,
        Self::ApprovalRejected,
        Self::ApprovalExpired,
        Self::ApprovalWithdrawn,
        Self::ApprovalRevoked,
        Self::ApprovalUsed,
        Self::OutsideHours,
        Self::TooManyPending,
        Self::TooManyOpened,
        Self::TooManyHeld,
        Self::CallerGone,
        Self::ApprovalStatus,
        Self::ApprovalNotFound,
        Self::MethodNotAllowed,
        Self::TokenMalformed,
        Self::TokenTooLarge,
        Self::TokenAlgorithm,
        Self::TokenKeyUnknown,
        Self::TokenSignature,
        Self::TokenIssuer,
        Self::TokenAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenClaim,
        Self::TokenRepeated,
        Self::KeysUnavailable,
        Self::PeerInvalid,
        Self::PeerAmbiguous,
        Self::PeerUntrusted,
        Self::ApiKeyInvalid,
        Self::ApiKeyExpired,
        Self::ApiKeyRevoked,
        Self::Revoked,
        Self::TokenInactive,
        Self::BasicInvalid,
        Self::IntrospectionUnavailable,
        Self::TokenReviewUnavailable,
        Self::TooManyCallouts,
        Self::BasicOverloaded,
        Self::PathInvalid,
        Self::PathAmbiguous,
        Self::PathTooLong,
        Self::MethodInvalid,
        Self::HostInvalid,
        Self::HeaderInvalid,
        Self::HeaderDuplicate,
        Self::HeaderTooLarge,
        Self::HeadersTooLarge,
        Self::BodyTooLarge,
        Self::BodyUnavailable,
        Self::NoPolicies,
        Self::ConditionError,
        Self::StoreUnavailable,
        Self::RevocationsStale,
        Self::AuditUnavailable,
        Self::DecisionTimeout,
        Self::InternalError,
        Self::MaskUnavailable,
        Self::Unmaskable,
        Self::HandoverMissing,
        Self::HandoverInvalid,
        Self::HandoverStale,
        Self::HandoverMismatch,
        Self::HandoverPolicies,
        Self::HandoverTooLarge,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Approved => "approved",
            Self::AutoApproved => "auto_approved",
            Self::BreakGlass => "break_glass",
            Self::NoRuleAllows => "no_rule_allows",
            Self::DeniedByRule => "denied_by_rule",
            Self::Unauthenticated => "unauthenticated",
            Self::ApprovalPending => "approval_pending",
            Self::ApprovalRejected => "approval_rejected",
            Self::ApprovalExpired => "approval_expired",
            Self::ApprovalWithdrawn => "approval_withdrawn",
            Self::ApprovalRevoked => "approval_revoked",
            Self::ApprovalUsed => "already_used",
            Self::OutsideHours => "outside_hours",
            Self::TooManyPending => "too_many_pending",
            Self::TooManyOpened => "too_many_opened",
            Self::TooManyHeld => "too_many_held",
            Self::CallerGone => "caller_gone",
            Self::ApprovalStatus => "approval_status",
            Self::ApprovalNotFound => "approval_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TokenMalformed => "token_malformed",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenAlgorithm => "token_algorithm_not_allowed",
            Self::TokenKeyUnknown => "token_key_unknown",
            Self::TokenSignature => "token_signature_invalid",
            Self::TokenIssuer => "token_issuer_unknown",
            Self::TokenAudience => "token_audience_mismatch",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenClaim => "token_claim_invalid",
            Self::TokenRepeated => "token_repeated",
            Self::KeysUnavailable => "keys_unavailable",
            Self::PeerInvalid => "peer_invalid",
            Self::PeerAmbiguous => "peer_ambiguous",
            Self::PeerUntrusted => "peer_untrusted",
            Self::ApiKeyInvalid => "api_key_invalid",
            Self::ApiKeyExpired => "api_key_expired",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::Revoked => "revoked",
            Self::TokenInactive => "token_inactive",
            Self::BasicInvalid => "basic_invalid",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::TokenReviewUnavailable => "token_review_unavailable",
            Self::TooManyCallouts => "too_many_callouts",
            Self::BasicOverloaded => "basic_overloaded",
            Self::PathInvalid => "path_invalid",
            Self::PathAmbiguous => "path_ambiguous",
            Self::PathTooLong => "path_too_long",
            Self::MethodInvalid => "method_invalid",
            Self::HostInvalid => "host_invalid",
            Self::HeaderInvalid => "header_invalid",
            Self::HeaderDuplicate => "header_duplicate",
            Self::HeaderTooLarge => "header_too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyUnavailable => "body_unavailable",
            Self::NoPolicies => "no_policies",
            Self::ConditionError => "condition_error",
            Self::StoreUnavailable => "store_unavailable",
            Self::RevocationsStale => "revocations_stale",
            Self::AuditUnavailable => "audit_unavailable",
            Self::DecisionTimeout => "decision_timeout",
            Self::InternalError => "internal_error",
            Self::MaskUnavailable => "mask_unavailable",
            Self::Unmaskable => "unmaskable",
            Self::HandoverMissing => "handover_missing",
            Self::HandoverInvalid => "handover_invalid",
            Self::HandoverStale => "handover_stale",
            Self::HandoverMismatch => "handover_mismatch",
            Self::HandoverPolicies => "handover_policies",
            Self::HandoverTooLarge => "handover_too_large",
        }
    }

    /// The HTTP status of a denial for this reason, where no rule sets another.
    pub fn status(self) -> u16 {
        match self {
            Self::Unauthenticated
            | Self::TokenMalformed
            | Self::TokenTooLarge
            | Self::TokenAlgorithm
            | Self::TokenKeyUnknown
            | Self::TokenSignature
            | Self::TokenIssuer
            | Self::TokenAudience
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenClaim
            | Self::PeerInvalid
            | Self::PeerAmbiguous
            | Self::PeerUntrusted
            | Self::ApiKeyInvalid
            | Self::ApiKeyExpired
            | Self::ApiKeyRevoked
            | Self::Revoked
            | Self::TokenInactive
            | Self::BasicInvalid => 401,
            Self::PathInvalid
            | Self::PathAmbiguous
            | Self::MethodInvalid
            | Self::HostInvalid
            | Self::HeaderInvalid
            | Self::HeaderDuplicate
            | Self::TokenRepeated => 400,
            Self::ApprovalStatus => 200,
            Self::ApprovalNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::ApprovalUsed => 409,
            Self::BodyTooLarge => 413,
            Self::PathTooLong => 414,
            Self::TooManyPending | Self::TooManyOpened | Self::TooManyHeld => 429,
            Self::HeaderTooLarge | Self::HeadersTooLarge => 431,
            Self::KeysUnavailable
            | Self::IntrospectionUnavailable
            | Self::TokenReviewUnavailable
            | Self::TooManyCallouts
            | Self::BasicOverloaded
            | Self::NoPolicies
            | Self::StoreUnavailable
            | Self::RevocationsStale
            | Self::AuditUnavailable
            | Self::HandoverStale
            | Self::HandoverPolicies
            | Self::DecisionTimeout => 503,
            Self::Unmaskable => 502,
            Self::Allowed
            | Self::Approved
            | Self::AutoApproved
            | Self::BreakGlass
            | Self::NoRuleAllows
            | Self::DeniedByRule
            | Self::ApprovalPending
            | Self::CallerGone
            | Self::ApprovalRejected
            | Self::ApprovalExpired
            | Self::ApprovalWithdrawn
            | Self::ApprovalRevoked
            | Self::OutsideHours
            | Self::BodyUnavailable
            | Self::ConditionError
            | Self::InternalError
            | Self::HandoverMissing
            | Self::HandoverInvalid
            | Self::HandoverMismatch
            | Self::HandoverTooLarge
            | Self::MaskUnavailable => 403,
        }
    }

    /// Whether a call goes on for this reason: a rule allows it, or its approval was given. Nothing else lets one through.
    pub fn lets_through(self) -> bool {
        matches!(self, Self::Allowed | Self::Approved | Self::AutoApproved | Self::BreakGlass)
    }

    /// Whether the caller's credential was refused. Callers learn only that; the record has the code.
    pub fn is_refused_credential(self) -> bool {
        self.status() == 401 && self != Self::Unauthenticated
    }

    /// The code that the caller may see.
    pub fn shown_to_caller(self) -> &'static str {
        if self.is_refused_credential() { "credential_refused" } else { self.as_str() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_all_is_all() {
        let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        // Tables are indexed by reason.
        assert!(Reason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
    }

    #[test]
    fn callers_do_not_learn_why_a_token_was_refused() {
        assert_eq!(Reason::TokenSignature.shown_to_caller(), "credential_refused");
        assert_eq!(Reason::TokenExpired.shown_to_caller(), "credential_refused");
        assert_eq!(Reason::Unauthenticated.shown_to_caller(), "unauthenticated");
    }
}
