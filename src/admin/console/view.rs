//! What pages show of approvals, policies and records: texts that are safe to look at, and times that can be read.

use jiff::Timestamp;

use crate::admin::ago::ago;
pub use crate::admin::ago::span;

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
        Self { exact: format!("{at:.0}"), spoken: ago(at, now) }
    }
}
