//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as JWTs count them.
pub fn unix_seconds() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
