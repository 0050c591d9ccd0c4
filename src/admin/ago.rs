//! How long something lasts, or is ago, as people say it.

use jiff::Timestamp;

/// So many seconds, in the largest unit that fits: `90 s`, `5 min`, `3 h`, `12 days`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `at` as seen at `now`: `now`, `5 min ago` or `in 3 h`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.as_second().saturating_sub(at.as_second()) {
        0..=2 => "now".to_owned(),
        seconds if seconds < 0 => format!("in {}", span(seconds.unsigned_abs())),
        seconds => format!("{} ago", span(seconds.unsigned_abs())),
    }
}
