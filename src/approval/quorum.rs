//! Whether enough different people spoke: each counts for one part of a requirement at most.

use crate::effect::{Approvers, person_key};

/// The people whom each part names, where only people may speak for it.
type Named<'a> = Option<Vec<&'a str>>;

/// Whether every part has as many people as it asks for, when nobody counts for two. `counts` has the number that each
/// part asks for, `speakers` the parts that each person could speak for.
///
/// It is a matching, not a count: whoever can speak for several parts is given to the one that needs them.
pub fn is_met(counts: &[u32], speakers: &[Vec<usize>]) -> bool {
    let slots = slots(counts, speakers.len());
    if slots.is_empty() || slots.len() > speakers.len() {
        return false;
    }
    let mut matching = Matching { slots: &slots, speakers, given: vec![None; speakers.len()] };
    (0..slots.len()).all(|slot| matching.fill(slot, &mut vec![false; speakers.len()]))
}

/// The part that each person counts for when as many as possible count for one; `None` for who is not needed.
pub fn counted(counts: &[u32], speakers: &[Vec<usize>]) -> Vec<Option<usize>> {
    let slots = slots(counts, speakers.len());
    let mut matching = Matching { slots: &slots, speakers, given: vec![None; speakers.len()] };
    for slot in 0..slots.len() {
        // A place that nobody is left for stays empty.
        matching.fill(slot, &mut vec![false; speakers.len()]);
    }
    matching.given.iter().map(|slot| slot.and_then(|slot| slots.get(slot).copied())).collect()
}

/// The part that each place is of, as many places for each as it asks for.
fn slots(counts: &[u32], people: usize) -> Vec<usize> {
    let places = counts.iter().enumerate().flat_map(|(part, count)| {
        let count = usize::try_from((*count).max(1)).unwrap_or(usize::MAX);
        // More than there are people can't be met, and need not be listed.
        std::iter::repeat_n(part, count.min(people + 1))
    });
    places.collect()
}

/// Whether there are people enough to meet it at all: groups may have any number of members.
pub fn can_be_met(parts: &[Approvers]) -> bool {
    let named: Vec<(u32, Named<'_>)> = parts
        .iter()
        .map(|part| {
            let people = part.people.iter().map(String::as_str).collect();
            (part.count, part.groups.is_empty().then_some(people))
        })
        .collect();
    let only_people: Vec<_> =
        named.iter().filter_map(|(count, people)| people.as_ref().map(|p| (*count, p))).collect();
    if only_people.is_empty() {
        return !parts.is_empty();
    }
    let mut all: Vec<String> =
        only_people.iter().flat_map(|(_, people)| people.iter().map(|name| person_key(name))).collect();
    all.sort();
    all.dedup();
    let speakers: Vec<Vec<usize>> = all
        .iter()
        .map(|person| {
            let names = |people: &[&str]| people.iter().any(|name| person_key(name) == *person);
            only_people
                .iter()
                .enumerate()
                .filter(|(_, (_, people))| names(people))
                .map(|(part, _)| part)
                .collect()
        })
        .collect();
    let counts: Vec<u32> = only_people.iter().map(|(count, _)| *count).collect();
    is_met(&counts, &speakers)
}

/// Which slot each person fills, so far.
struct Matching<'a> {
    slots: &'a [usize],
    speakers: &'a [Vec<usize>],
    given: Vec<Option<usize>>,
}

impl Matching<'_> {
    /// Finds somebody for `slot`, moving others to other slots where that helps. `seen` has who was tried; each call
    /// marks one, so the depth is bounded by the number of people.
    fn fill(&mut self, slot: usize, seen: &mut Vec<bool>) -> bool {
        let Some(part) = self.slots.get(slot) else { return false };
        for person in 0..self.speakers.len() {
            let speaks = self.speakers.get(person).is_some_and(|parts| parts.contains(part));
            if !speaks || seen.get(person).copied().unwrap_or(true) {
                continue;
            }
            if let Some(seen) = seen.get_mut(person) {
                *seen = true;
            }
            let free = match self.given.get(person).copied().flatten() {
                None => true,
                Some(other) => self.fill(other, seen),
            };
            if free && let Some(given) = self.given.get_mut(person) {
                *given = Some(slot);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_can_speak_for_several_parts_is_given_to_the_one_that_needs_them() {
        // A greedy count would give the first to part 0, and find nobody for part 1.
        assert!(is_met(&[1, 1], &[vec![0, 1], vec![0]]));
        assert!(is_met(&[1, 1], &[vec![0], vec![0, 1]]));
        assert!(!is_met(&[1, 1], &[vec![0, 1]]), "nobody counts for two");
        assert!(!is_met(&[1, 1], &[vec![0], vec![0]]));
        assert!(is_met(&[2, 1], &[vec![0, 1], vec![0, 1], vec![0]]));
        assert!(!is_met(&[2, 1], &[vec![0], vec![0], vec![0]]));
        assert!(!is_met(&[], &[vec![0]]), "nothing that is asked for is nothing that is met");
        assert!(!is_met(&[u32::MAX], &[vec![0]]));
    }

    #[test]
    fn progress_counts_as_many_people_as_possible() {
        assert_eq!(counted(&[1, 1], &[vec![0, 1], vec![0]]), [Some(1), Some(0)]);
        assert_eq!(counted(&[2, 1], &[vec![0], vec![], vec![0], vec![0]]), [Some(0), None, Some(0), None]);
        assert_eq!(counted(&[1], &[]), []);
    }

    #[test]
    fn quorums_of_named_people_need_enough_of_them() {
        let part = |people: &[&str], groups: &[&str], count| Approvers {
            people: people.iter().map(|p| (*p).to_owned()).collect(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            count,
        };
        assert!(!can_be_met(&[]));
        assert!(can_be_met(&[part(&[], &["g"], 5), part(&["bob"], &[], 1)]));
        assert!(!can_be_met(&[part(&["bob"], &[], 1), part(&["Bob"], &[], 1)]));
        assert!(can_be_met(&[part(&["bob"], &[], 1), part(&["bob", "carl"], &[], 1)]));
        assert!(!can_be_met(&[part(&["bob", "BOB"], &[], 2)]));
    }

    /// Tries every way of giving people to slots.
    fn brute(slots: &[usize], speakers: &[Vec<usize>], used: &mut Vec<bool>) -> bool {
        let Some((slot, rest)) = slots.split_first() else { return true };
        (0..speakers.len()).any(|person| {
            if used[person] || !speakers[person].contains(slot) {
                return false;
            }
            used[person] = true;
            let found = brute(rest, speakers, used);
            used[person] = false;
            found
        })
    }

    proptest! {
        #[test]
        fn the_matching_finds_a_way_where_there_is_one(
            counts in prop::collection::vec(1_u32..3, 1..4),
            speakers in prop::collection::vec(prop::collection::vec(0_usize..4, 0..3), 0..6),
        ) {
            let slots: Vec<usize> = counts
                .iter()
                .enumerate()
                .flat_map(|(part, count)| std::iter::repeat_n(part, *count as usize))
                .collect();
            let wanted = brute(&slots, &speakers, &mut vec![false; speakers.len()]);
            prop_assert_eq!(is_met(&counts, &speakers), wanted);
            // Whoever counts may speak for that part, no part has more than it asks for, and all are full if it is met.
            let counted = counted(&counts, &speakers);
            for (person, part) in counted.iter().enumerate() {
                prop_assert!(part.is_none_or(|part| speakers[person].contains(&part)));
            }
            let of = |part: usize| counted.iter().filter(|counted| **counted == Some(part)).count();
            let full = counts.iter().enumerate().all(|(part, count)| of(part) == *count as usize);
            prop_assert!(counts.iter().enumerate().all(|(part, count)| of(part) <= *count as usize));
            prop_assert_eq!(full, wanted);
        }
    }
}
