//! What other services were asked about credentials, and what was remembered instead of asking.

use std::time::Duration;

use ::metrics::{Counter, Histogram};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, histogram};

/// A service that is asked who a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callout {
    Introspection,
    TokenReview,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CalloutResult {
    Accepted,
    Refused,
    /// No answer in time.
    Timeout,
    Unreachable,
    /// An HTTP status that is no answer.
    Status,
    TooLarge,
    /// An answer that the protocol does not allow.
    Invalid,
    /// Our own credential for the service is not there.
    NoCredential,
    /// Nothing was asked: the service said when to come again.
    Paused,
    /// Nothing was asked: as many requests as allowed were under way for too long.
    Overload,
}

/// A memory of credentials that were verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityCache {
    /// JWTs that were verified.
    Token,
    Introspection,
    TokenReview,
    Basic,
}

impl Callout {
    pub const ALL: [Self; 2] = [Self::Introspection, Self::TokenReview];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Introspection => "introspection",
            Self::TokenReview => "token_review",
        }
    }
}

impl CalloutResult {
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::Status,
        Self::TooLarge,
        Self::Invalid,
        Self::NoCredential,
        Self::Paused,
        Self::Overload,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::NoCredential => "no_credential",
            Self::Paused => "paused",
            Self::Overload => "overload",
        }
    }
}

impl IdentityCache {
    pub const ALL: [Self; 4] = [Self::Token, Self::Introspection, Self::TokenReview, Self::Basic];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Introspection => "introspection",
            Self::TokenReview => "token_review",
            Self::Basic => "basic",
        }
    }
}

pub(super) struct Instruments {
    /// By `Callout`, then by `CalloutResult`.
    results: [[Counter; CalloutResult::ALL.len()]; Callout::ALL.len()],
    durations: [Histogram; Callout::ALL.len()],
    /// By `IdentityCache`: hits, misses.
    caches: [(Counter, Counter); IdentityCache::ALL.len()],
}

impl Instruments {
    pub fn new(recorder: &PrometheusRecorder) -> Self {
        let result = |callout: Callout, result: CalloutResult| {
            let labels = [("callout", callout.as_str()), ("result", result.as_str())];
            counter(recorder, "portcullis_callouts_total", &labels)
        };
        let duration = |callout: Callout| {
            histogram(recorder, "portcullis_callout_duration_seconds", &[("callout", callout.as_str())])
        };
        let cache = |cache: IdentityCache| {
            let (hit, absent) = (("cache", cache.as_str()), ("reason", "absent"));
            (
                counter(recorder, "portcullis_cache_hits_total", &[hit]),
                counter(recorder, "portcullis_cache_misses_total", &[hit, absent]),
            )
        };
        Self {
            results: Callout::ALL.map(|callout| CalloutResult::ALL.map(|kind| result(callout, kind))),
            durations: Callout::ALL.map(duration),
            caches: IdentityCache::ALL.map(cache),
        }
    }
}

impl Metrics {
    /// A service was asked about a credential, or could not be. `took` is the time that the request took, if one was made.
    pub fn callout(&self, callout: Callout, result: CalloutResult, took: Option<Duration>) {
        let instruments = &self.0.callouts;
        if let Some(counter) =
            instruments.results.get(callout as usize).and_then(|results| results.get(result as usize))
        {
            counter.increment(1);
        }
        if let (Some(histogram), Some(took)) = (instruments.durations.get(callout as usize), took) {
            histogram.record(took.as_secs_f64());
        }
    }

    /// A memory of verified credentials was asked; `hit` when it answered.
    pub fn identity_cache(&self, cache: IdentityCache, hit: bool) {
        if let Some((hits, misses)) = self.0.callouts.caches.get(cache as usize) {
            if hit { hits.increment(1) } else { misses.increment(1) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_counts_under_its_own_name() {
        let metrics = Metrics::new().unwrap();
        for callout in Callout::ALL {
            for result in CalloutResult::ALL {
                metrics.callout(callout, result, None);
            }
            metrics.callout(callout, CalloutResult::Refused, Some(Duration::from_millis(3)));
        }
        let text = metrics.render();
        for callout in Callout::ALL.map(Callout::as_str) {
            for result in CalloutResult::ALL.map(CalloutResult::as_str) {
                let count = if result == "refused" { 2 } else { 1 };
                let line =
                    format!("portcullis_callouts_total{{callout=\"{callout}\",result=\"{result}\"}} {count}");
                assert!(text.contains(&line), "{line} in\n{text}");
            }
            let line = format!("portcullis_callout_duration_seconds_count{{callout=\"{callout}\"}} 1");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }

    #[test]
    fn every_cache_counts_under_its_own_name() {
        let metrics = Metrics::new().unwrap();
        for cache in IdentityCache::ALL {
            metrics.identity_cache(cache, true);
            metrics.identity_cache(cache, false);
            metrics.identity_cache(cache, false);
        }
        let text = metrics.render();
        for cache in IdentityCache::ALL.map(IdentityCache::as_str) {
            let hits = format!("portcullis_cache_hits_total{{cache=\"{cache}\"}} 1");
            let misses = format!("portcullis_cache_misses_total{{cache=\"{cache}\",reason=\"absent\"}} 2");
            assert!(text.contains(&hits) && text.contains(&misses), "{text}");
        }
    }
}
