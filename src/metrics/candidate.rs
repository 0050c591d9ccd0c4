//! How a candidate compares with the active policies, as counters.

use std::collections::HashMap;

use ::metrics::Counter;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, gauge};
use crate::disagreement::Disagreement;

/// What the comparison of one call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compared {
    Agreed,
    Disagreed,
    NotComparable,
}

/// Why a call was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotComparable {
    /// One side reads the request's body, which the other, which decided, did not ask for.
    Body,
    /// Too many calls waited to be compared.
    Overload,
    /// The evaluation panicked.
    Panic,
}

impl Compared {
    pub const ALL: [Self; 3] = [Self::Agreed, Self::Disagreed, Self::NotComparable];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Disagreed => "disagreed",
            Self::NotComparable => "not_comparable",
        }
    }
}

impl NotComparable {
    pub const ALL: [Self; 3] = [Self::Body, Self::Overload, Self::Panic];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Overload => "overload",
            Self::Panic => "panic",
        }
    }
}

pub(super) struct Counters {
    compared: HashMap<Compared, Counter>,
    disagreements: HashMap<Disagreement, Counter>,
    not_comparable: HashMap<NotComparable, Counter>,
}

impl Counters {
    pub fn new(recorder: &PrometheusRecorder) -> Self {
        let of = |name, label, value| counter(recorder, name, &[(label, value)]);
        let compared = Compared::ALL
            .map(|result| (result, of("portcullis_candidate_decisions_total", "result", result.as_str())));
        let disagreements = Disagreement::ALL
            .iter()
            .map(|kind| (*kind, of("portcullis_candidate_disagreements_total", "kind", kind.as_str())));
        let not_comparable = NotComparable::ALL.map(|reason| {
            (reason, of("portcullis_candidate_not_comparable_total", "reason", reason.as_str()))
        });
        Self {
            compared: compared.into(),
            disagreements: disagreements.collect(),
            not_comparable: not_comparable.into(),
        }
    }
}

impl Metrics {
    /// What the candidate does now: one of `states`, the only one whose gauge is 1; `None` without a candidate.
    pub fn candidate_state(&self, states: &[&'static str], now: Option<&'static str>) {
        for state in states {
            let value = if Some(*state) == now { 1.0 } else { 0.0 };
            gauge(&self.0.recorder, "portcullis_candidate_state", &[("state", state)]).set(value);
        }
    }

    /// A call was compared with the candidate.
    pub fn candidate_compared(&self, result: Compared) {
        increment(self.0.candidate.compared.get(&result));
    }

    /// The candidate disagrees about a call, or about its response.
    pub fn candidate_disagreed(&self, kind: Disagreement) {
        increment(self.0.candidate.disagreements.get(&kind));
    }

    /// A call was not compared with the candidate.
    pub fn not_comparable(&self, reason: NotComparable) {
        self.candidate_compared(Compared::NotComparable);
        increment(self.0.candidate.not_comparable.get(&reason));
    }
}

fn increment(counter: Option<&Counter>) {
    if let Some(counter) = counter {
        counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_there_from_the_start_and_counts() {
        let metrics = Metrics::new().unwrap();
        Disagreement::ALL.iter().for_each(|kind| metrics.candidate_disagreed(*kind));
        NotComparable::ALL.iter().for_each(|reason| metrics.not_comparable(*reason));
        let text = metrics.render();
        for kind in Disagreement::ALL {
            let line = format!("portcullis_candidate_disagreements_total{{kind=\"{}\"}} 1", kind.as_str());
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(text.contains("portcullis_candidate_decisions_total{result=\"not_comparable\"} 3"), "{text}");
        assert!(text.contains("portcullis_candidate_decisions_total{result=\"agreed\"} 0"), "{text}");
    }
}
