//! What pages show of approvals, policies and records: texts that are safe to look at, and times that can be read.

use jiff::Timestamp;

mod asked;
mod call;
mod decision;
mod detail;
mod policies;

pub use asked::Asked;
pub use call::ApprovalView;
pub use decision::Decision;
pub use detail::Detail;
pub use policies::{Bundle, Event, Standing};

/// A point in time: exact, and as people say it.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub exact: String,
    pub spoken: String,
}

impl When {
    pub fn of(at: Option<&prost_types::Timestamp>, now: Timestamp) -> Self {
        let at = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        at.map(|at| Self::at(at, now)).unwrap_or_default()
    }

    pub fn at(at: Timestamp, now: Timestamp) -> Self {
        let seconds = now.as_second().saturating_sub(at.as_second());
        let spoken = match seconds {
            0..=2 => "now".to_owned(),
            seconds if seconds < 0 => format!("in {}", span(seconds.unsigned_abs())),
            seconds => format!("{} ago", span(seconds.unsigned_abs())),
        };
        Self { exact: format!("{at:.0}"), spoken }
    }
}

/// So many seconds, in the largest unit that fits.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
