//! What can be proved of formulas: that one is never true, or that one is true whenever another is. Sound, not
//! complete: what can't be proved is not claimed.
//!
//! "True" is CEL's: a condition that can't be evaluated is neither true nor false (`answer` says which can't be).
//! Attributes don't change within a call, so a subject has one value in all tests of it.

use std::collections::BTreeMap;

use super::answer::Kind;
use super::fact;
use super::formula::{Constant, Formula, Question, Test};

/// More alternatives are not looked at.
const MAX_CUBES: usize = 128;

/// Tests that hold together.
pub type Cube = Vec<Test>;

/// Why tests can't hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub tests: Vec<Test>,
    /// Known where a single test can't hold.
    pub why: Option<String>,
}

/// The ways in which the formula can be true, those that contradict themselves included; `None` for too many.
pub fn cubes(formula: &Formula) -> Option<Vec<Cube>> {
    let found = match formula {
        Formula::Constant(true) => vec![Cube::new()],
        Formula::Constant(false) => Vec::new(),
        Formula::Test(test) => vec![vec![test.clone()]],
        Formula::Any(parts) => {
            let mut found = Vec::new();
            for part in parts {
                found.extend(cubes(part)?);
                if found.len() > MAX_CUBES {
                    return None;
                }
            }
            found
        }
        Formula::All(parts) => {
            let mut found = vec![Cube::new()];
            for part in parts {
                let part = cubes(part)?;
                if found.len().saturating_mul(part.len()) > MAX_CUBES {
                    return None;
                }
                found = found
                    .iter()
                    .flat_map(|cube| part.iter().map(move |more| [cube.as_slice(), more.as_slice()].concat()))
                    .collect();
            }
            found
        }
    };
    (found.len() <= MAX_CUBES).then_some(found)
}

/// Why the tests can't all hold; `None` when they may.
pub fn conflict(cube: &[Test]) -> Option<Conflict> {
    let mut subjects: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in cube {
        subjects.entry(&test.subject).or_default().push(test);
    }
    subjects.into_iter().find_map(|(subject, tests)| conflict_of(subject, &tests))
}

/// The smallest contradiction among the tests of one subject: one that can't hold, two, or all of them.
fn conflict_of(subject: &str, tests: &[&Test]) -> Option<Conflict> {
    for test in tests {
        if let Some(why) = fact::impossible(subject, test) {
            return Some(Conflict { tests: vec![(*test).clone()], why: Some(why) });
        }
    }
    let found =
        |tests: &[&Test]| Conflict { tests: tests.iter().map(|test| (*test).clone()).collect(), why: None };
    for (index, first) in tests.iter().enumerate() {
        for second in tests.iter().skip(index + 1) {
            let pair = [*first, *second];
            if contradict(subject, &pair) {
                return Some(found(&pair));
            }
        }
    }
    contradict(subject, tests).then(|| found(tests))
}

/// Whether no value passes all the tests of one subject.
fn contradict(subject: &str, tests: &[&Test]) -> bool {
    let mut sets = tests.iter().filter_map(|test| match &test.question {
        Question::OneOf(constants) if !test.negated => Some(constants.clone()),
        Question::Holds => Some(vec![Constant::Bool(!test.negated)]),
        _ => None,
    });
    if let Some(candidates) = sets.next() {
        return candidates.iter().all(|value| !tests.iter().all(|test| can_pass(test, value)));
    }
    texts_contradict(tests) || numbers_contradict(subject, tests)
}

/// Whether the test, negation included, can be true of this value. A test that can't be evaluated is not.
fn can_pass(test: &Test, value: &Constant) -> bool {
    let text = |part: &str, asks: fn(&str, &str) -> bool| match value {
        Constant::Text(value) => Some(asks(value, part)),
        _ => None,
    };
    let order = |limit: &Constant, holds: fn(std::cmp::Ordering) -> bool| match (value, limit) {
        (Constant::Number(value), Constant::Number(limit)) => value.partial_cmp(limit).map(holds),
        _ => None,
    };
    let answer = match &test.question {
        Question::OneOf(constants) => Some(constants.contains(value)),
        Question::Holds => match value {
            Constant::Bool(value) => Some(*value),
            _ => None,
        },
        Question::Less(limit) => order(limit, std::cmp::Ordering::is_lt),
        Question::LessOrEqual(limit) => order(limit, std::cmp::Ordering::is_le),
        Question::Greater(limit) => order(limit, std::cmp::Ordering::is_gt),
        Question::GreaterOrEqual(limit) => order(limit, std::cmp::Ordering::is_ge),
        Question::StartsWith(part) => text(part, |value, part| value.starts_with(part)),
        Question::EndsWith(part) => text(part, |value, part| value.ends_with(part)),
        Question::Contains(part) => text(part, |value, part| value.contains(part)),
    };
    answer.is_some_and(|answer| answer != test.negated)
}

fn texts_contradict(tests: &[&Test]) -> bool {
    let disagree = |a: &str, b: &str, part_of: fn(&str, &str) -> bool| !part_of(a, b) && !part_of(b, a);
    tests.iter().any(|first| {
        tests.iter().any(|second| match (&first.question, &second.question, first.negated, second.negated) {
            (Question::StartsWith(a), Question::StartsWith(b), false, false) => {
                disagree(a, b, |a, b| a.starts_with(b))
            }
            (Question::EndsWith(a), Question::EndsWith(b), false, false) => {
                disagree(a, b, |a, b| a.ends_with(b))
            }
            (Question::StartsWith(has), Question::StartsWith(lacks), false, true) => has.starts_with(lacks),
            (Question::EndsWith(has), Question::EndsWith(lacks), false, true) => has.ends_with(lacks),
            (
                Question::StartsWith(has) | Question::EndsWith(has) | Question::Contains(has),
                Question::Contains(lacks),
                false,
                true,
            ) => has.contains(lacks.as_str()),
            _ => false,
        })
    })
}

/// A bound of a number, and whether the number may equal it.
type Bound = Option<(f64, bool)>;

fn numbers_contradict(subject: &str, tests: &[&Test]) -> bool {
    let (mut low, mut high): (Bound, Bound) =
        fact::range(subject).map_or((None, None), |(low, high)| (Some((low, true)), Some((high, true))));
    // "Not below 3" is true of NaN; only where some test needs an order can it be left out.
    let mut ordered = fact::range(subject).is_some();
    for test in tests {
        let (lower, limit, inclusive) = match &test.question {
            Question::Less(limit) => (test.negated, limit, test.negated),
            Question::LessOrEqual(limit) => (test.negated, limit, !test.negated),
            Question::Greater(limit) => (!test.negated, limit, test.negated),
            Question::GreaterOrEqual(limit) => (!test.negated, limit, !test.negated),
            _ => continue,
        };
        let Constant::Number(limit) = limit else { continue };
        ordered |= !test.negated;
        if lower {
            let tighter =
                low.is_none_or(|(value, known)| *limit > value || (*limit == value && known && !inclusive));
            low = if tighter { Some((*limit, inclusive)) } else { low };
        } else {
            let tighter =
                high.is_none_or(|(value, known)| *limit < value || (*limit == value && known && !inclusive));
            high = if tighter { Some((*limit, inclusive)) } else { high };
        }
    }
    match (low, high) {
        (Some((low, low_in)), Some((high, high_in))) if ordered => {
            low > high || (low == high && !(low_in && high_in))
        }
        _ => false,
    }
}

/// Whether `test` is true of every call of which all of `cube` is.
pub fn implies_test(cube: &[Test], test: &Test) -> bool {
    if cube.contains(test) {
        return true;
    }
    let mut same = cube.iter().filter(|known| known.subject == test.subject).peekable();
    // A subject that no test reads may be absent, and then nothing is true of it.
    if same.peek().is_none() {
        return false;
    }
    // That the opposite can't be true is enough only where the test can be evaluated at all.
    let known: Vec<&Test> = same.collect();
    let evaluates = match &test.question {
        Question::OneOf(_) => true,
        Question::Holds => known.iter().any(|known| known.proves(Kind::Bool)),
        Question::StartsWith(_) | Question::EndsWith(_) | Question::Contains(_) => {
            known.iter().any(|known| known.proves(Kind::Text))
        }
        _ => known.iter().any(|known| known.proves(Kind::Number)),
    };
    let opposite = test.negate();
    let mut tests = known;
    tests.push(&opposite);
    evaluates && contradict(&test.subject, &tests)
}

/// Whether `formula` is true of every call of which all of `cube` is.
pub fn implies(cube: &[Test], formula: &Formula) -> bool {
    implies_by(cube, formula, true)
}

/// `split`: whether lists may be taken apart, which is done once on the way down, so that the work stays bounded.
fn implies_by(cube: &[Test], formula: &Formula, split: bool) -> bool {
    match formula {
        Formula::Constant(value) => *value,
        Formula::Test(test) => implies_test(cube, test),
        Formula::All(parts) => parts.iter().all(|part| implies_by(cube, part, split)),
        Formula::Any(parts) => {
            let one = |cube: &[Test], split| parts.iter().any(|part| implies_by(cube, part, split));
            one(cube, split) || (split && splits(cube).any(|ways| ways.iter().all(|way| one(way, false))))
        }
    }
}

/// The cube with one of its lists taken apart, a cube for each value: `x in [a, b]` implies `x == a || x == b`.
fn splits(cube: &[Test]) -> impl Iterator<Item = Vec<Cube>> {
    const LONGEST: usize = 16;
    cube.iter().enumerate().filter_map(move |(index, test)| {
        let Question::OneOf(constants) = &test.question else { return None };
        let apart = !test.negated && (2..=LONGEST).contains(&constants.len());
        let single = |constant: &Constant| {
            let mut way = cube.to_vec();
            way.push(Test { question: Question::OneOf(vec![constant.clone()]), ..test.clone() });
            way.swap_remove(index);
            way
        };
        apart.then(|| constants.iter().map(single).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never(text: &str) -> bool {
        let cubes = cubes(&Formula::parse(text).unwrap()).unwrap();
        cubes.iter().all(|cube| conflict(cube).is_some())
    }

    #[test]
    fn contradictions_are_found() {
        for text in [
            "request.method == 'GET' && request.method == 'POST'",
            "request.method in ['GET', 'HEAD'] && a && request.method in ['POST']",
            "(a || b) && !a && !b",
            "x > 5 && x < 5",
            "x >= 5 && x < 5",
            "x > 10 && !(x > 7)",
            "x == 3 && x > 3",
            "x == 1 && x == '1'",
            "x.startsWith('/a') && x.startsWith('/b')",
            "x == '/a' && x.startsWith('/b')",
            "x.endsWith('.jpg') && x.endsWith('.png')",
            "x.startsWith('/admin/x') && !x.startsWith('/admin')",
            "x.contains('ab') && !x.contains('b')",
            "'g' in groups && !('g' in groups)",
            "mtls && mtls == false",
            "!mtls && mtls == true",
            "!x && x == 'a'",
            "x in ['a', 'b'] && x != 'a' && x != 'b'",
            "response.code > 600 && response.code < 100",
        ] {
            assert!(never(text), "{text}");
        }
    }

    #[test]
    fn nothing_is_claimed_that_may_be() {
        for text in [
            "request.method == 'GET' || request.method == 'POST'",
            "x != 'a' && x != 'b'",
            "x >= 5 && x <= 5",
            "!(x < 3) && !(x >= 3)",
            "x.startsWith('/a') && x.startsWith('/a/b')",
            "x.startsWith('/a') && x.endsWith('/b') && x.contains('c')",
            "'a' in groups && 'b' in groups",
            "x > 3 && x < 4",
            "x == 1 && x == 1.0",
            "x == 9007199254740993 && x == 9007199254740992",
            "a.b == 'x' && a.c == 'y'",
            "x != true && x != false",
        ] {
            assert!(!never(text), "{text}");
        }
    }

    #[test]
    fn implications_are_proved_or_not_claimed() {
        let implied = |a: &str, b: &str| {
            let cubes = cubes(&Formula::parse(a).unwrap()).unwrap();
            cubes.iter().all(|cube| implies(cube, &Formula::parse(b).unwrap()))
        };
        for (a, b) in [
            ("a && b", "a"),
            ("a", "a || b"),
            ("x == 'GET'", "x in ['GET', 'HEAD']"),
            ("x == 'GET'", "x != 'POST'"),
            ("x > 10", "x > 5"),
            ("x > 10", "x != 3"),
            ("x == '/a/b'", "x.startsWith('/a')"),
            ("x.startsWith('/a/b')", "x.startsWith('/a')"),
            ("(a && c) || (b && c)", "c"),
            ("a", "true"),
            ("x == true", "x"),
        ] {
            assert!(implied(a, b), "{a} => {b}");
        }
        for (a, b) in [
            ("a", "a && b"),
            ("a || b", "a"),
            ("x in ['GET', 'HEAD']", "x == 'GET'"),
            ("x == 'a'", "x > 3"),
            ("x == 'a'", "!(x > 3)"),
            ("!(x < 3)", "x >= 3"),
            ("a", "b != 'x'"),
            ("x == 3", "x.startsWith('a')"),
            ("x != 3", "x < 5 || x > 1"),
            ("x != true", "!x"),
        ] {
            assert!(!implied(a, b), "{a} => {b}");
        }
    }
}
