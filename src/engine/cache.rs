//! Decisions that were made before, for rules that cost more than a look-up.
//!
//! A key holds everything that the rules read (`PolicySet::key`), so a kept decision is the one that deciding would
//! make. Authentication comes before, holds come after. Plain conditions are cheaper than a look-up: what deciding
//! costs is measured for each combination of policies, and only dear ones are kept.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use moka::sync::Cache;

use crate::metrics::{Metrics, Miss};
use crate::policy::{Call, Candidates, Decision, Outcome, PolicySet, Unshareable};

mod cost;
#[cfg(test)]
mod tests;

use cost::{Costs, Worth};

/// What an entry takes besides its key and the texts of its decision: the decision itself, and moka's own bookkeeping.
const ENTRY_BYTES: usize = 400;

/// The decision cache of one engine.
#[derive(Debug)]
pub struct Decisions(Option<Kept>);

#[derive(Debug)]
struct Kept {
    decisions: Cache<Box<[u8]>, Arc<Decision>>,
    costs: Costs,
}

thread_local! {
    /// Where keys are written: one allocation for all of a thread's calls.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Calls of this thread, to measure some of them.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// One call in so many is timed.
const TIMED: u32 = 64;

impl Decisions {
    /// A cache of at most so many bytes; 0 keeps nothing.
    pub fn new(bytes: u64) -> Self {
        Self((bytes > 0).then(|| {
            let decisions = kept(bytes);
            Kept { costs: Costs::new(cost::of_a_hit(&decisions)), decisions }
        }))
    }

    /// Every rule set counts as dear, whatever it costs.
    #[cfg(test)]
    pub(super) fn of_everything(bytes: u64) -> Self {
        Self(Some(Kept { decisions: kept(bytes), costs: Costs::all_dear() }))
    }

    /// What `policies` say about the call, its response unknown.
    pub fn decide(
        &self,
        policies: &PolicySet,
        candidates: &Candidates,
        call: &Call<'_>,
        metrics: &Metrics,
    ) -> Decision {
        let Some(kept) = &self.0 else { return policies.decide(candidates, call) };
        let (decision, miss) = kept.decide(policies, candidates, call);
        metrics.decision_cache(miss);
        decision
    }

    /// Forgets everything: the policies changed, so no key of theirs comes again.
    pub fn clear(&self) {
        if let Some(kept) = &self.0 {
            kept.decisions.invalidate_all();
        }
    }
}

fn kept(bytes: u64) -> Cache<Box<[u8]>, Arc<Decision>> {
    Cache::builder().max_capacity(bytes).weigher(weight).build()
}

impl Kept {
    /// The decision, and why it was not kept.
    fn decide(
        &self,
        policies: &PolicySet,
        candidates: &Candidates,
        call: &Call<'_>,
    ) -> (Decision, Option<Miss>) {
        let route = policies.route_number(candidates);
        let timed = CALLS.with(|calls| {
            calls.set(calls.get().wrapping_add(1));
            calls.get().is_multiple_of(TIMED)
        });
        let decide = |timed: bool| match timed {
            true => self.costs.measure(route, || policies.decide(candidates, call)),
            false => policies.decide(candidates, call),
        };
        match self.costs.worth(route) {
            Worth::Unmeasured => return (decide(true), Some(Miss::Unmeasured)),
            Worth::Cheap => return (decide(timed), Some(Miss::Cheap)),
            Worth::Dear => {}
        }
        KEY.with(|key| {
            // Nothing below comes back here with the key in use; if it did, deciding would do.
            let Ok(mut key) = key.try_borrow_mut() else { return (decide(false), Some(Miss::Absent)) };
            let mut look_up = || -> Result<Option<Decision>, Unshareable> {
                policies.key(candidates, call, &mut key)?;
                Ok(self.decisions.get(key.as_slice()).map(|kept| Decision::clone(&kept)))
            };
            let looked_up = if timed { self.costs.measure_hit(look_up) } else { look_up() };
            match looked_up {
                Ok(Some(decision)) => (decision, None),
                Ok(None) => {
                    let decision = decide(true);
                    self.decisions.insert(key.as_slice().into(), Arc::new(decision.clone()));
                    (decision, Some(Miss::Absent))
                }
                Err(unshareable) => (decide(timed), Some(miss(unshareable))),
            }
        })
    }
}

fn miss(unshareable: Unshareable) -> Miss {
    match unshareable {
        Unshareable::Time => Miss::Time,
        Unshareable::Id => Miss::Id,
        Unshareable::Body => Miss::Body,
        Unshareable::Headers => Miss::Headers,
        Unshareable::Map => Miss::Map,
        Unshareable::TooLong => Miss::TooLong,
    }
}

/// Bytes that an entry takes, about.
#[expect(clippy::borrowed_box, reason = "moka's signature")]
fn weight(key: &Box<[u8]>, decision: &Arc<Decision>) -> u32 {
    let headers = decision.headers().request.iter().chain(&decision.headers().response);
    let headers: usize = headers.map(|change| change.text_len() + size_of_val(change)).sum();
    let errors: usize = decision.errors().iter().map(|(_, message)| message.len() + 64).sum();
    let terms = match &decision.outcome {
        Outcome::Deny(terms) => terms.because.as_ref().map_or(0, |because| because.len()),
        Outcome::Hold(rules) => rules.len() * 8,
        Outcome::Allow | Outcome::Indeterminate => 0,
    };
    let bytes = ENTRY_BYTES + key.len() + headers + errors + terms + decision.shadow().len() * 32;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
