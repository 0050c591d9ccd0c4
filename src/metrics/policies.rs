//! How the policies change, and how their source is doing.

use super::{Metrics, counter, gauge};

/// What a request for a bundle came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollResult {
    /// It was sent, whether it is new or not.
    Fetched,
    NotModified,
    Unreachable,
    Timeout,
    Status,
    Redirected,
    TooLarge,
    /// The token to ask with can't be read.
    NoToken,
}

impl PollResult {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::NotModified => "not_modified",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Redirected => "redirected",
            Self::TooLarge => "too_large",
            Self::NoToken => "no_token",
        }
    }
}

impl Metrics {
    /// New policies, or a configuration that was read again, are in force.
    pub fn reloaded(&self) {
        self.count_reload("accepted", "none");
    }

    /// They were not taken; `reason` is `bundle::Refusal::code`, or `config`.
    pub fn reload_refused(&self, reason: &'static str) {
        self.count_reload("refused", reason);
    }

    fn count_reload(&self, result: &'static str, reason: &'static str) {
        let labels = [("result", result), ("reason", reason)];
        counter(&self.0.recorder, "portcullis_reloads_total", &labels).increment(1);
    }

    /// Whether the policies are pinned.
    pub fn pinned(&self, pinned: bool) {
        gauge(&self.0.recorder, "portcullis_bundle_pinned", &[]).set(f64::from(u8::from(pinned)));
    }

    /// Whether the newest policies that were offered are refused.
    pub fn policies_refused(&self, refused: bool) {
        gauge(&self.0.recorder, "portcullis_policies_refused", &[]).set(f64::from(u8::from(refused)));
    }

    /// A bundle was asked for.
    pub fn polled(&self, result: PollResult) {
        let labels = [("result", result.as_str())];
        counter(&self.0.recorder, "portcullis_bundle_polls_total", &labels).increment(1);
    }

    /// Seconds since the bundle's URL last answered well; infinite when it never did.
    pub fn poll_age(&self, seconds: f64) {
        gauge(&self.0.recorder, "portcullis_bundle_poll_age_seconds", &[]).set(seconds);
    }
}
