//! How long what is over is kept.

use std::time::Duration;

/// How long finished requests are kept, unless configured otherwise.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(90 * 24 * 3_600);

/// How long bodies of finished requests are kept, unless configured otherwise.
pub const DEFAULT_BODY_RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How long finished requests are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub requests: Duration,
    /// The bodies of those that people decided on, and small ones that rules approved; no longer than the requests. Those
    /// of requests that lapsed, or were withdrawn, are not kept.
    pub bodies: Duration,
}

impl From<Duration> for Retention {
    fn from(requests: Duration) -> Self {
        Self { requests, bodies: DEFAULT_BODY_RETENTION }
    }
}
