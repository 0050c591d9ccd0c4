//! How two conditions, or two `match`es, stand to each other.

use super::answer::{add_presence, may_fail};
use super::formula::Formula;
use super::reach::{Reach, reaches};
use super::solve::{Cube, conflict, cubes, implies};
use crate::policy::route::Entry;

/// What the second `match` lets in, compared with the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Same,
    /// Every call that the first lets in, perhaps more.
    Wider,
    Narrower,
    /// Neither could be proved.
    Unknown,
}

/// Which answers of a condition may become which, on some call, when another condition takes its place. What is
/// `false` is proved not to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    pub true_to_false: bool,
    pub true_to_failing: bool,
    pub false_to_true: bool,
    pub false_to_failing: bool,
    pub failing_to_true: bool,
    pub failing_to_false: bool,
}

impl Transitions {
    /// Whether the condition may become true on some call.
    pub fn more(&self) -> bool {
        self.false_to_true || self.failing_to_true
    }

    /// Whether it may be true no longer on some call.
    pub fn less(&self) -> bool {
        self.true_to_false || self.true_to_failing
    }

    /// From a condition to another about the same calls.
    pub fn between(old: &Formula, new: &Formula) -> Self {
        if old.canonical() == new.canonical() {
            return Self::default();
        }
        let (Some(before), Some(after)) = (Sides::of(old), Sides::of(new)) else {
            let (fails_before, fails_after) = (may_fail(&[], old), may_fail(&[], new));
            return Self {
                true_to_false: true,
                true_to_failing: fails_after,
                false_to_true: true,
                false_to_failing: fails_after,
                failing_to_true: fails_before,
                failing_to_false: fails_before,
            };
        };
        let (no_longer, not_yet) = (old.negate(), new.negate());
        Self {
            true_to_false: before.truths.allow(new, &after.falsehoods)
                && after.falsehoods.allow(&no_longer, &before.truths),
            false_to_true: before.falsehoods.allow(&not_yet, &after.truths)
                && after.truths.allow(old, &before.falsehoods),
            true_to_failing: before.truths.let_fail(new, new),
            false_to_failing: before.falsehoods.let_fail(&not_yet, new),
            failing_to_true: after.truths.let_fail(old, old),
            failing_to_false: after.falsehoods.let_fail(&no_longer, old),
        }
    }
}

/// The ways in which a condition can be true, and those in which it can be false.
struct Sides {
    truths: Ways,
    falsehoods: Ways,
}

struct Ways(Vec<Cube>);

impl Sides {
    /// `None` for a condition with too many.
    fn of(formula: &Formula) -> Option<Self> {
        Some(Self { truths: Ways::of(formula)?, falsehoods: Ways::of(&formula.negate())? })
    }
}

impl Ways {
    fn of(formula: &Formula) -> Option<Self> {
        let mut ways = cubes(formula)?;
        ways.iter_mut().for_each(add_presence);
        ways.retain(|way| conflict(way).is_none());
        Some(Self(ways))
    }

    /// Whether some way does not make `unchanged` true, and goes together with one of `others`.
    fn allow(&self, unchanged: &Formula, others: &Ways) -> bool {
        self.0.iter().any(|way| {
            let together = |other: &Cube| conflict(&[way.as_slice(), other.as_slice()].concat()).is_none();
            others.0.iter().any(together) && !implies(way, unchanged)
        })
    }

    /// Whether some way does not make `unchanged` true, and leaves `other` without an answer.
    fn let_fail(&self, unchanged: &Formula, other: &Formula) -> bool {
        self.0.iter().any(|way| may_fail(way, other) && !implies(way, unchanged))
    }
}

/// How the calls stand to each other that two `match`es let in. With `captures` it counts too which parts of the
/// path are captured.
pub fn routes(first: &[Entry], second: &[Entry], captures: bool) -> Relation {
    match (covered(first, second, captures), covered(second, first, captures)) {
        (true, true) => Relation::Same,
        (true, false) => Relation::Wider,
        (false, true) => Relation::Narrower,
        (false, false) => Relation::Unknown,
    }
}

fn covered(first: &[Entry], second: &[Entry], captures: bool) -> bool {
    let wider = reaches(second);
    reaches(first).iter().all(|reach: &Reach<'_>| {
        let tests = reach.tests();
        let alike = |other: &Reach<'_>| !captures || other.captures_like(reach);
        wider.iter().any(|other| alike(other) && other.covers(reach, &tests))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers that may change, in the order of the fields: `t>f t>e f>t f>e e>t e>f`.
    fn change(old: &str, new: &str) -> String {
        let formula = |text: &str| Formula::parse(text).unwrap();
        let found = Transitions::between(&formula(old), &formula(new));
        let named = [
            (found.true_to_false, "t>f"),
            (found.true_to_failing, "t>e"),
            (found.false_to_true, "f>t"),
            (found.false_to_failing, "f>e"),
            (found.failing_to_true, "e>t"),
            (found.failing_to_false, "e>f"),
        ];
        named.iter().filter(|(may, _)| *may).map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn conditions_that_always_have_an_answer_become_wider_or_narrower() {
        let (a, b) = ("connection.mtls", "request.method == 'A'");
        for (old, new, wanted) in [
            ("connection.mtls && request.method == 'A'", "request.method  ==  'A' && connection.mtls", ""),
            ("connection.mtls && request.method == 'A'", a, "f>t"),
            (a, "connection.mtls && request.method == 'A'", "t>f"),
            (a, b, "t>f f>t"),
            ("true", a, "t>f"),
            (a, "false", "t>f"),
            ("request.method == 'A' || request.method == 'B'", "request.method in ['A', 'B']", ""),
            ("connection.mtls", "connection.mtls == true", ""),
        ] {
            assert_eq!(change(old, new), wanted, "{old} {new}");
        }
    }

    #[test]
    fn failing_is_told_from_false() {
        let header = "request.headers['a'] == 'b'";
        let both = "request.headers['a'] == 'b' && connection.mtls";
        for (old, new, wanted) in [
            (header, "false", "t>f e>f"),
            ("false", header, "f>t f>e"),
            (header, both, "t>f e>f"),
            (both, header, "f>t f>e"),
            (header, "request.headers['A'] in ['b', 'c']", "f>t"),
            (header, "!(request.headers['a'] == 'b')", "t>f f>t"),
            (header, "'A' in request.headers && request.headers['a'] == 'b'", "e>f"),
            ("identity.claims.k == 5", "has(identity.claims.k) && identity.claims.k == 5", "e>f"),
            ("identity.claims.k == true", "identity.claims.k", "f>e"),
            ("request.size > 5", "request.size > 10", "t>f"),
            (header, "request.headers['b'] == 'b'", "t>f t>e f>t f>e e>t e>f"),
        ] {
            assert_eq!(change(old, new), wanted, "{old} {new}");
        }
    }

    #[test]
    fn what_is_written_in_other_words_is_not_taken_for_the_same() {
        for (old, new) in [
            // Backticks and question marks are understood, and mean what they mean.
            ("a && h.`x-b` == 'c'", "a && h.`x-b` == 'd'"),
            ("h.`x - b` == c", "h.x - b == c"),
            ("a.?b == c", "a.b == c"),
            ("[?a] == c", "[a] == c"),
            ("{?'k': a} == c", "{'k': a} == c"),
        ] {
            assert!(change(old, new).starts_with("t>f"), "{old} {new}");
        }
    }
}
