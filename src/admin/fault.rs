//! What may go wrong in an admin call, said once for gRPC and for JSON.

use axum::http::StatusCode;
use tonic::{Code, Status};

use crate::approval::VoteRefused;
use crate::bundle::ChangeError;
use crate::reason::Reason;
use crate::store::{MAX_CREDENTIALS, StoreError, VoteError};

/// Why an admin call was refused. `Display` is what the person reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a bearer token is required")]
    Unauthenticated,
    #[error("the token was refused")]
    CredentialRefused,
    #[error("only approvers of this request, and members of the viewer groups, may see it")]
    NotVisible,
    #[error("only members of the viewer and admin groups may see this")]
    NotAViewer,
    #[error("only members of the admin groups may change this")]
    NotAnAdmin,
    #[error("{0}")]
    Change(ChangeRefused),
    #[error("{0}")]
    Refused(VoteRefused),
    /// It is too late; the words say what the request is now, and by whom.
    #[error("{0}: it is {1}")]
    Over(VoteRefused, String),
    #[error("there is no such request for approval")]
    NotFound,
    #[error("there is no such {0}")]
    NoSuch(&'static str),
    #[error("there are {most} {0} already; those that ended are forgotten in time", most = MAX_CREDENTIALS)]
    Full(&'static str),
    #[error(
        "API keys are not accepted here: name a file of random bytes in `identity.api_keys.hash_key`, and restart the server"
    )]
    KeysNotConfigured,
    #[error(
        "you watch as often as one may already, or as many watch as the server takes; list the requests instead"
    )]
    TooManyWatchers,
    #[error("too many lists are asked for in your name at once; wait for those that are under way")]
    TooManyLists,
    #[error("there is no candidate")]
    NoCandidate,
    #[error("{0}")]
    Invalid(String),
    #[error("the server can't answer now; try again")]
    Unavailable,
    #[error("the server can't answer now: its store can't be reached; try again")]
    StoreAway,
    #[error("the answer took too long; look again before you repeat a decision")]
    Deadline,
    #[error("there is nothing at this address")]
    NoSuchAddress,
    #[error("this address does not take this method")]
    Method,
    #[error("the request is too large")]
    TooLarge,
}

/// Why policies were not changed: a code, and the words for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeRefused {
    code: &'static str,
    unknown: bool,
    message: String,
}

impl std::fmt::Display for ChangeRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Fault {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::CredentialRefused | Self::Refused(VoteRefused::Revoked) => "credential_refused",
            Self::NotAViewer => "not_a_viewer",
            Self::NotAnAdmin => "not_an_admin",
            Self::Change(refused) => refused.code,
            Self::NotVisible | Self::Refused(VoteRefused::NotAnApprover) => "not_an_approver",
            Self::Refused(VoteRefused::MayNotBreakGlass) => "may_not_break_glass",
            Self::Refused(VoteRefused::NoReason) => "reason_required",
            Self::Over(refused, _) => Self::Refused(*refused).code(),
            Self::Refused(VoteRefused::NotApproved) => "not_approved",
            Self::Refused(VoteRefused::OutsideHours) => "outside_hours",
            Self::Refused(VoteRefused::NotTheCaller) => "not_the_caller",
            Self::Refused(VoteRefused::OwnCall) => "own_call",
            Self::Refused(VoteRefused::NoPerson) => "no_person",
            Self::Refused(VoteRefused::VotedAlready) => "voted_already",
            Self::Refused(VoteRefused::NotPending) => "not_pending",
            Self::Full(_) | Self::TooManyWatchers | Self::TooManyLists => "too_many",
            Self::KeysNotConfigured => "keys_not_configured",
            Self::NotFound | Self::NoSuch(_) | Self::NoCandidate | Self::NoSuchAddress => "not_found",
            Self::Invalid(_) => "invalid_argument",
            Self::Unavailable | Self::StoreAway => "unavailable",
            Self::Deadline => "deadline_exceeded",
            Self::Method => "method_not_allowed",
            Self::TooLarge => "too_large",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::CredentialRefused | Self::Refused(VoteRefused::Revoked) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Refused(
                VoteRefused::VotedAlready
                | VoteRefused::NotPending
                | VoteRefused::NotApproved
                | VoteRefused::OutsideHours,
            ) => StatusCode::CONFLICT,
            Self::Over(refused, _) => Self::Refused(*refused).status(),
            Self::Refused(VoteRefused::NoReason) => StatusCode::BAD_REQUEST,
            Self::Change(ChangeRefused { unknown: false, .. }) => StatusCode::CONFLICT,
            Self::Full(_) | Self::KeysNotConfigured => StatusCode::CONFLICT,
            Self::NotVisible | Self::NotAViewer | Self::NotAnAdmin | Self::Refused(_) => {
                StatusCode::FORBIDDEN
            }
            Self::Change(_) | Self::NotFound | Self::NoSuch(_) | Self::NoCandidate | Self::NoSuchAddress => {
                StatusCode::NOT_FOUND
            }
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable
            | Self::StoreAway
            | Self::Deadline
            | Self::TooManyWatchers
            | Self::TooManyLists => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let code = match fault.status() {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::CONFLICT => Code::FailedPrecondition,
            StatusCode::BAD_REQUEST => Code::InvalidArgument,
            _ => Code::Unavailable,
        };
        Self::new(code, fault.to_string())
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        if reason.is_refused_credential() { Self::CredentialRefused } else { Self::Unavailable }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "an admin call found the store failing");
        match error {
            StoreError::Slow => Self::Deadline,
            StoreError::Away => Self::StoreAway,
            _ => Self::Unavailable,
        }
    }
}

impl From<VoteError> for Fault {
    fn from(error: VoteError) -> Self {
        match error {
            VoteError::NotFound => Self::NotFound,
            VoteError::Refused(refused) => Self::Refused(refused),
            VoteError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeError> for Fault {
    fn from(error: ChangeError) -> Self {
        let code = match &error {
            ChangeError::Store(StoreError::Conflict) => "changed_meanwhile",
            ChangeError::Store(error) => return error.clone().into(),
            ChangeError::Refused(refused) => refused.refusal.code(),
            ChangeError::Unknown(_) => "unknown_revision",
            ChangeError::Ambiguous(_) => "ambiguous_revision",
            ChangeError::NoPrevious => "no_previous_revision",
            ChangeError::Active(_) => "active_already",
            ChangeError::Pinned(_) => "pinned",
            ChangeError::NotPinned => "not_pinned",
            ChangeError::NothingActive => "no_policies",
        };
        let unknown = matches!(error, ChangeError::Unknown(_));
        Self::Change(ChangeRefused { code, unknown, message: error.to_string() })
    }
}
