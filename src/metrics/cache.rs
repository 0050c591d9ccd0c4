//! Caches: what they answered, and why they did not.

use std::collections::HashMap;

use ::metrics::Counter;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter};

/// Why the decision cache did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Miss {
    /// Nothing is kept for this call, or no more.
    Absent,
    /// Deciding costs less than looking up.
    Cheap,
    /// What deciding costs is being measured.
    Unmeasured,
    /// A rule reads the time of the call.
    Time,
    /// A rule reads the call's id.
    Id,
    /// A rule reads the body, or needs one that is not here.
    Body,
    /// A rule reads the headers by a computed name.
    Headers,
    /// A rule reads claims, metadata or context by a computed key, or as a whole.
    Map,
    /// What the rules read of this call is too long to be a key.
    TooLong,
}

impl Miss {
    pub const ALL: [Self; 9] = [
        Self::Absent,
        Self::Cheap,
        Self::Unmeasured,
        Self::Time,
        Self::Id,
        Self::Body,
        Self::Headers,
        Self::Map,
        Self::TooLong,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Cheap => "cheap",
            Self::Unmeasured => "unmeasured",
            Self::Time => "time",
            Self::Id => "id",
            Self::Body => "body",
            Self::Headers => "headers",
            Self::Map => "map",
            Self::TooLong => "too_long",
        }
    }
}

pub(super) struct Counters {
    decision_hits: Counter,
    decision_misses: HashMap<Miss, Counter>,
}

impl Counters {
    pub fn new(recorder: &PrometheusRecorder) -> Self {
        let hits = [("cache", "decision")];
        let miss = |reason: Miss| {
            let labels = [("cache", "decision"), ("reason", reason.as_str())];
            (reason, counter(recorder, "portcullis_cache_misses_total", &labels))
        };
        Self {
            decision_hits: counter(recorder, "portcullis_cache_hits_total", &hits),
            decision_misses: Miss::ALL.map(miss).into(),
        }
    }
}

impl Metrics {
    /// The decision cache was asked; `None` when it answered.
    pub fn decision_cache(&self, miss: Option<Miss>) {
        let counters = &self.0.caches;
        match miss {
            None => counters.decision_hits.increment(1),
            Some(miss) => {
                if let Some(counter) = counters.decision_misses.get(&miss) {
                    counter.increment(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_there_from_the_start_and_counts() {
        let metrics = Metrics::new().unwrap();
        metrics.decision_cache(None);
        Miss::ALL.iter().for_each(|reason| metrics.decision_cache(Some(*reason)));
        let text = metrics.render();
        assert!(text.contains("portcullis_cache_hits_total{cache=\"decision\"} 1"), "{text}");
        for reason in Miss::ALL {
            let line = format!(
                "portcullis_cache_misses_total{{cache=\"decision\",reason=\"{}\"}} 1",
                reason.as_str()
            );
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }
}
