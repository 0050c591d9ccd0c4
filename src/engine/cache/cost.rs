//! What deciding costs, measured as calls go by, against what a look-up costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::clock;
use crate::policy::Decision;
use crate::reason::Reason;

/// Combinations of policies that are told apart. Two that share a place share their mean: a matter of speed alone.
const PLACES: usize = 4_096;

/// Measurements before a mean counts.
const ENOUGH: u32 = 8;

/// A mean moves by so much of each difference.
const WEIGHT: u64 = 8;

/// Whether decisions are worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Unmeasured,
    Cheap,
    Dear,
}

#[derive(Debug)]
pub(super) struct Costs {
    /// Nanoseconds of a look-up that answers; 0 when nothing is too cheap.
    hit: AtomicU32,
    /// For each combination: how often it was measured, and the mean in nanoseconds.
    places: Box<[AtomicU64]>,
}

impl Costs {
    pub fn new(hit: Duration) -> Self {
        Self {
            hit: AtomicU32::new(nanos(hit).max(1)),
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    #[cfg(test)]
    pub fn all_dear() -> Self {
        Self { hit: AtomicU32::new(0), places: Box::default() }
    }

    /// Dear is what takes twice as long as a look-up: a miss costs both.
    pub fn worth(&self, route: u64) -> Worth {
        let hit = self.hit.load(Ordering::Relaxed);
        let Some(place) = self.place(route).filter(|_| hit > 0) else { return Worth::Dear };
        match unpacked(place.load(Ordering::Relaxed)) {
            (times, _) if times < ENOUGH => Worth::Unmeasured,
            (_, mean) if mean / 2 > hit => Worth::Dear,
            _ => Worth::Cheap,
        }
    }

    /// Runs `decide`, and takes its time into the mean.
    pub fn measure<T>(&self, route: u64, decide: impl FnOnce() -> T) -> T {
        let since = clock::instant();
        let decided = decide();
        let took = nanos(since.elapsed());
        if let Some(place) = self.place(route) {
            // Of two threads one measurement may be lost: there are more.
            let (times, mean) = unpacked(place.load(Ordering::Relaxed));
            let mean = if times == 0 { took } else { moved(mean, took) };
            place.store(packed(times.saturating_add(1), mean), Ordering::Relaxed);
        }
        decided
    }

    /// Runs a look-up, and takes its time into the mean when it answered.
    pub fn measure_hit<T, E>(&self, look_up: impl FnOnce() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        let since = clock::instant();
        let found = look_up();
        let hit = self.hit.load(Ordering::Relaxed);
        if matches!(found, Ok(Some(_))) && hit > 0 {
            self.hit.store(moved(hit, nanos(since.elapsed())).max(1), Ordering::Relaxed);
        }
        found
    }

    fn place(&self, route: u64) -> Option<&AtomicU64> {
        let place = usize::try_from(route >> 32 ^ route).ok()?.checked_rem(self.places.len())?;
        self.places.get(place)
    }
}

/// What a look-up costs on this machine, before any call was looked up.
pub(super) fn of_a_hit(decisions: &Cache<Box<[u8]>, Arc<Decision>>) -> Duration {
    const TIMES: u32 = 256;
    let key = [0xA5_u8; 200];
    decisions.insert(key.as_slice().into(), Arc::new(Decision::refused(Reason::NoRuleAllows)));
    let since = clock::instant();
    let found = (0..TIMES).filter_map(|_| decisions.get(key.as_slice()).map(|kept| Decision::clone(&kept)));
    let found = u32::try_from(found.count()).unwrap_or(TIMES).max(1);
    let took = since.elapsed() / found;
    decisions.invalidate_all();
    took
}

fn nanos(took: Duration) -> u32 {
    u32::try_from(took.as_nanos()).unwrap_or(u32::MAX)
}

/// The mean after one more measurement. One that an interruption spoiled counts for four times the mean at most.
fn moved(mean: u32, took: u32) -> u32 {
    let (mean, took) = (u64::from(mean), u64::from(took.min(mean.saturating_mul(4).max(1_000))));
    u32::try_from((mean * (WEIGHT - 1) + took) / WEIGHT).unwrap_or(u32::MAX)
}

fn packed(times: u32, mean: u32) -> u64 {
    u64::from(times) << 32 | u64::from(mean)
}

fn unpacked(place: u64) -> (u32, u32) {
    (
        u32::try_from(place >> 32).unwrap_or(u32::MAX),
        u32::try_from(place & u64::from(u32::MAX)).unwrap_or(u32::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a mean in place without measuring.
    fn costing(costs: &Costs, route: u64, times: u32, mean: u32) -> Worth {
        costs.place(route).unwrap().store(packed(times, mean), Ordering::Relaxed);
        costs.worth(route)
    }

    #[test]
    fn only_what_is_measured_and_dearer_than_a_look_up_is_worth_keeping() {
        let costs = Costs::new(Duration::from_nanos(500));
        assert_eq!(costs.worth(7), Worth::Unmeasured);
        assert_eq!(costing(&costs, 7, ENOUGH - 1, 9_000), Worth::Unmeasured);
        assert_eq!(costing(&costs, 7, ENOUGH, 1_000), Worth::Cheap);
        assert_eq!(costing(&costs, 7, ENOUGH, 1_002), Worth::Dear);
        assert_eq!(costs.worth(8), Worth::Unmeasured, "another combination");
    }

    #[test]
    fn means_follow_what_is_measured_and_survive_an_interruption() {
        let settled = (0..100).fold(100, |mean, _| moved(mean, 8_000));
        assert!((7_500..=8_000).contains(&settled), "{settled}");
        assert!(moved(1_000, u32::MAX) < 1_400);
        assert_eq!(unpacked(packed(u32::MAX, 17)), (u32::MAX, 17));
        let costs = Costs::new(Duration::ZERO);
        (0..ENOUGH).for_each(|_| costs.measure(3, || ()));
        assert_ne!(costs.worth(3), Worth::Unmeasured);
    }
}
