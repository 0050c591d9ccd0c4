//! Logins at the console, and tokens of the admin API.

use ::metrics::{Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter};
use crate::reason::Reason;

const NAME: &str = "portcullis_console_logins_total";
const REFUSALS: &str = "portcullis_admin_token_refusals_total";

/// What became of an attempt to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConsoleLogin {
    LoggedIn,
    OneTimeToken,
    /// By the provider, or by us: a wrong answer, a wrong token.
    Refused,
    /// The provider, or something of ours, does not answer.
    Unavailable,
    TooManyFromAddress,
    TooManyFromBrowser,
    TooManyInAll,
}

impl ConsoleLogin {
    pub const ALL: [Self; 7] = [
        Self::LoggedIn,
        Self::OneTimeToken,
        Self::Refused,
        Self::Unavailable,
        Self::TooManyFromAddress,
        Self::TooManyFromBrowser,
        Self::TooManyInAll,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged_in",
            Self::OneTimeToken => "one_time_token",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::TooManyFromAddress => "too_many_from_address",
            Self::TooManyFromBrowser => "too_many_from_browser",
            Self::TooManyInAll => "too_many_in_all",
        }
    }
}

impl Metrics {
    pub fn console_login(&self, result: ConsoleLogin) {
        counter(&self.0.recorder, NAME, &[("result", result.as_str())]).increment(1);
    }

    /// A token was shown to the admin API, and not taken.
    pub fn admin_token_refused(&self, reason: Reason) {
        counter(&self.0.recorder, REFUSALS, &[("reason", reason.as_str())]).increment(1);
    }
}

pub(super) fn describe(recorder: &PrometheusRecorder) {
    recorder.describe_counter(NAME.into(), Some(Unit::Count), "Attempts to log in at the console".into());
    recorder.describe_counter(REFUSALS.into(), Some(Unit::Count), "Tokens that the admin API refused".into());
}
