//! How two conditions, or two `match`es, stand to each other.

use super::formula::Formula;
use super::reach::{Reach, reaches};
use super::solve::{conflict, cubes, implies};
use crate::policy::route::Entry;

/// What the second is, compared with the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Same,
    /// True of every call of which the first is true, perhaps of more.
    Wider,
    Narrower,
    /// Neither could be proved.
    Unknown,
}

pub fn conditions(first: &Formula, second: &Formula) -> Relation {
    if first.canonical() == second.canonical() {
        return Relation::Same;
    }
    relation(implied(first, second), implied(second, first))
}

pub fn routes(first: &[Entry], second: &[Entry]) -> Relation {
    relation(covered(first, second), covered(second, first))
}

fn relation(wider: bool, narrower: bool) -> Relation {
    match (wider, narrower) {
        (true, true) => Relation::Same,
        (true, false) => Relation::Wider,
        (false, true) => Relation::Narrower,
        (false, false) => Relation::Unknown,
    }
}

fn implied(first: &Formula, second: &Formula) -> bool {
    cubes(first).is_some_and(|ways| ways.iter().all(|way| conflict(way).is_some() || implies(way, second)))
}

fn covered(first: &[Entry], second: &[Entry]) -> bool {
    let wider = reaches(second);
    reaches(first).iter().all(|reach: &Reach<'_>| {
        let tests = reach.tests();
        wider.iter().any(|other| other.covers(reach, &tests))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare() {
        let formula = |text: &str| Formula::parse(text).unwrap();
        for (first, second, relation) in [
            ("a && b", "b  &&  a", Relation::Same),
            ("a && b", "a", Relation::Wider),
            ("x > 5", "x > 10", Relation::Narrower),
            ("a", "b", Relation::Unknown),
            ("true", "a", Relation::Narrower),
            ("x == 'a' || x == 'b'", "x in ['a', 'b']", Relation::Same),
            // Backticks and question marks are understood, and mean what they mean.
            ("a && h.`x-b` == 'c'", "a", Relation::Wider),
            ("a && h.`x-b` == 'c'", "a && h.`x-b` == 'd'", Relation::Unknown),
            ("h.`x - b` == c", "h.x - b == c", Relation::Unknown),
            ("a.?b == c", "a.b == c", Relation::Unknown),
            ("[?a] == c", "[a] == c", Relation::Unknown),
            ("{?'k': a} == c", "{'k': a} == c", Relation::Unknown),
        ] {
            assert_eq!(conditions(&formula(first), &formula(second)), relation, "{first} {second}");
        }
    }
}
