//! What deciding needs to know of each policy and rule, worked out when the policies are loaded.

use std::collections::hash_map::Entry;
use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use super::Needs;
use super::cel::Expression;
use super::decision::MaskedParts;
use super::rule::Policy;

/// One policy's part.
#[derive(Debug)]
pub struct Plan {
    /// What its enforced rules must be given or may ask for.
    pub needs: Needs,
    /// One for each rule, in their order.
    pub rules: Box<[Planned]>,
}

/// One rule's part.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// The place of the rule's name among all names: of several rules that decide, the first counts.
    pub rank: u32,
    /// The rule waits for the response.
    pub reads_response: bool,
    pub shared: Option<Shared>,
}

/// A condition that other rules have too.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// The same number for the same condition.
    pub condition: NonZeroU32,
    /// Whether another rule of the same policy has it.
    pub within_policy: bool,
}

impl Shared {
    /// The greatest number that the table of answers has room for; what is beyond is not shared.
    const MOST: u32 = u32::MAX >> 2;
}

/// The plans of all policies, in their order.
pub fn plans(policies: &[Policy]) -> Vec<Plan> {
    let mut names: Vec<_> =
        policies.iter().flat_map(|policy| &policy.rules).map(|rule| &*rule.name).collect();
    names.sort_unstable();
    let ranks: FxHashMap<&str, u32> = names.into_iter().zip(0..).collect();
    let conditions = Conditions::of(policies);
    let plan = |(place, policy): (usize, &Policy)| {
        let planned = policy.rules.iter().map(|rule| Planned {
            rank: ranks.get(&*rule.name).copied().unwrap_or(u32::MAX),
            reads_response: rule.reads.response(),
            shared: rule.condition.as_ref().and_then(|condition| conditions.shared(place, policy, condition)),
        });
        Plan { needs: needs(policy), rules: planned.collect() }
    };
    policies.iter().enumerate().map(plan).collect()
}

fn needs(policy: &Policy) -> Needs {
    let mut needs = Needs::default();
    // A rule in shadow mode changes nothing, so it does not make the call wait for its body either.
    for rule in policy.rules.iter().filter(|rule| rule.enforce) {
        needs.may_hold |= rule.holds_calls();
        needs.may_mask |= !rule.masks.is_empty();
        needs.masked = needs.masked.and(MaskedParts::of(&rule.masks));
        needs.body |= rule.reads.body() || rule.holds_calls();
    }
    needs
}

/// Which conditions come several times. One that reads captures is the same only within its policy, whose path
/// patterns say what they are.
struct Conditions<'p>(FxHashMap<Key<'p>, Seen>);

/// A condition, and the place of its policy where it reads captures.
type Key<'p> = (&'p Expression, Option<usize>);

struct Seen {
    number: NonZeroU32,
    times: usize,
    /// The last policy that has it, and those that have it several times, in order.
    policy: usize,
    twice_in: Vec<usize>,
}

impl<'p> Conditions<'p> {
    #[expect(clippy::mutable_key_type, reason = "a pattern's caches are no part of what it is equal to")]
    fn of(policies: &'p [Policy]) -> Self {
        let mut seen: FxHashMap<Key<'p>, Seen> = FxHashMap::default();
        let mut number = NonZeroU32::MIN;
        for (place, policy) in policies.iter().enumerate() {
            for condition in policy.rules.iter().filter_map(|rule| rule.condition.as_ref()) {
                match seen.entry(key(place, condition)) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(Seen { number, times: 1, policy: place, twice_in: Vec::new() });
                        number = number.saturating_add(1);
                    }
                    Entry::Occupied(mut known) => {
                        let known = known.get_mut();
                        known.times += 1;
                        if known.policy == place && known.twice_in.last() != Some(&place) {
                            known.twice_in.push(place);
                        }
                        known.policy = place;
                    }
                }
            }
        }
        Self(seen)
    }

    fn shared(&self, place: usize, policy: &Policy, condition: &Expression) -> Option<Shared> {
        // The patterns of one policy may capture different parts of one call's path.
        if condition.reads.captures() && policy.captures_variously() {
            return None;
        }
        let seen = self.0.get(&key(place, condition)).filter(|seen| seen.times > 1)?;
        if seen.number.get() > Shared::MOST {
            return None;
        }
        Some(Shared { condition: seen.number, within_policy: seen.twice_in.binary_search(&place).is_ok() })
    }
}

fn key(place: usize, condition: &Expression) -> Key<'_> {
    (condition, condition.reads.captures().then_some(place))
}
