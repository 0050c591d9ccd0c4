//! What the comparison of a candidate with the active policies came to so far, for the admin API.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::disagreement::Disagreement;
use crate::identity::Identity;
use crate::metrics::{Compared, NotComparable};

/// Examples kept in memory for each kind: the newest.
const KEPT: usize = 10;

/// Whose decision counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Active,
    Candidate,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Candidate => "candidate",
        }
    }
}

/// One call on which the two sets disagree, without anything that may be secret.
#[derive(Clone, Debug)]
pub struct Example {
    pub time: Timestamp,
    /// The decision that the caller got.
    pub decision_id: String,
    pub service: &'static str,
    pub kinds: Vec<Disagreement>,
    pub decided_by: Side,
    pub identity: Arc<Identity>,
    pub method: String,
    pub host: String,
    /// Without the query.
    pub path: String,
    pub source: String,
    pub active: View,
    pub candidate: View,
}

/// What one set says about the call.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub revision: Arc<str>,
    pub outcome: &'static str,
    pub reason: &'static str,
    pub rule: Option<Arc<str>>,
    /// Rules that could not be evaluated.
    pub errors: Vec<Arc<str>>,
}

/// A candidate against the active policies, since one of the two last changed.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub active: Arc<str>,
    pub candidate: Arc<str>,
    pub share: u8,
    pub since: Timestamp,
    pub compared: BTreeMap<Compared, u64>,
    pub disagreements: BTreeMap<Disagreement, u64>,
    pub not_comparable: BTreeMap<NotComparable, u64>,
    /// The newest of each kind; one that shows several kinds comes once.
    pub examples: Vec<Arc<Example>>,
}

/// Counts and examples of one pair of revisions.
#[derive(Debug, Default)]
pub struct Tally(Mutex<State>);

#[derive(Clone, Debug, Default)]
struct State {
    since: Option<Timestamp>,
    compared: BTreeMap<Compared, u64>,
    disagreements: BTreeMap<Disagreement, u64>,
    not_comparable: BTreeMap<NotComparable, u64>,
    examples: BTreeMap<Disagreement, VecDeque<Arc<Example>>>,
    /// The minute that `recorded` counts in.
    minute: i64,
    recorded: BTreeMap<Disagreement, u32>,
}

impl Tally {
    /// A tally that begins now.
    pub fn since(now: Timestamp) -> Self {
        Self(Mutex::new(State { since: Some(now), ..State::default() }))
    }

    pub fn compared(&self, result: Compared) {
        *self.0.lock().compared.entry(result).or_default() += 1;
    }

    pub fn not_comparable(&self, reason: NotComparable) {
        let mut state = self.0.lock();
        *state.compared.entry(Compared::NotComparable).or_default() += 1;
        *state.not_comparable.entry(reason).or_default() += 1;
    }

    /// Counts one call's disagreements. `true`: it is among the first `sample` of a kind in this minute, and is to be
    /// recorded.
    pub fn disagreed(&self, kinds: &[Disagreement], now: Timestamp, sample: u32) -> bool {
        let mut state = self.0.lock();
        let minute = now.as_second().div_euclid(60);
        if state.minute != minute {
            state.minute = minute;
            state.recorded.clear();
        }
        let mut wanted = false;
        for kind in kinds {
            *state.disagreements.entry(*kind).or_default() += 1;
            let recorded = state.recorded.entry(*kind).or_default();
            wanted |= *recorded < sample;
        }
        if wanted {
            for kind in kinds {
                *state.recorded.entry(*kind).or_default() += 1;
            }
        }
        wanted
    }

    pub fn keep(&self, example: Example) {
        let example = Arc::new(example);
        let mut state = self.0.lock();
        for kind in &example.kinds {
            let kept = state.examples.entry(*kind).or_default();
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(example.clone());
        }
    }

    /// All of it, with what the snapshot knows.
    pub fn comparison(&self, active: &Arc<str>, candidate: &Arc<str>, share: u8) -> Comparison {
        let state = self.0.lock().clone();
        let mut examples: Vec<Arc<Example>> = Vec::new();
        for example in state.examples.into_values().flatten() {
            if !examples.iter().any(|seen| Arc::ptr_eq(seen, &example)) {
                examples.push(example);
            }
        }
        examples.sort_by_key(|example| std::cmp::Reverse(example.time));
        Comparison {
            active: active.clone(),
            candidate: candidate.clone(),
            share,
            since: state.since.unwrap_or_default(),
            compared: state.compared,
            disagreements: state.disagreements,
            not_comparable: state.not_comparable,
            examples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Disagreement::{Headers, NewlyAllowed, NewlyDenied};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn example(kinds: &[Disagreement], second: i64) -> Example {
        let view = View { outcome: "allow", reason: "allowed", ..View::default() };
        Example {
            time: at(second),
            decision_id: second.to_string(),
            service: "ext_authz",
            kinds: kinds.to_vec(),
            decided_by: Side::Active,
            identity: Identity::anonymous(),
            method: "GET".into(),
            host: "h".into(),
            path: "/".into(),
            source: String::new(),
            active: view.clone(),
            candidate: view,
        }
    }

    #[test]
    fn the_first_of_each_kind_and_minute_are_recorded() {
        let tally = Tally::since(at(0));
        let wanted = |kinds: &[Disagreement], second| tally.disagreed(kinds, at(second), 2);
        assert!(wanted(&[NewlyDenied], 1) && wanted(&[NewlyDenied], 2));
        assert!(!wanted(&[NewlyDenied], 59));
        assert!(wanted(&[NewlyDenied, Headers], 59), "another kind has its own share");
        assert!(wanted(&[NewlyDenied], 60), "and so has the next minute");
        assert!(!tally.disagreed(&[NewlyAllowed], at(60), 0));
        let counted = tally.comparison(&"a".into(), &"b".into(), 5).disagreements;
        assert_eq!(counted, BTreeMap::from([(NewlyAllowed, 1), (NewlyDenied, 5), (Headers, 1)]));
    }

    #[test]
    fn a_flood_of_one_kind_does_not_push_out_another() {
        let tally = Tally::since(at(0));
        tally.keep(example(&[NewlyAllowed, Headers], 0));
        (1..100).for_each(|second| tally.keep(example(&[NewlyDenied], second)));
        let kept = tally.comparison(&"a".into(), &"b".into(), 0).examples;
        assert_eq!(kept.len(), KEPT + 1);
        assert_eq!((kept[0].time, kept[KEPT].time), (at(99), at(0)), "the newest first");
    }
}
