//! What is wrong with one rule, whatever the others say.

use super::answer::may_fail;
use super::fact;
use super::failing;
use super::formula::{Constant, Formula, Question, Test};
use super::reach::Reach;
use super::solve::{Conflict, Cube, conflict, cubes};
use crate::diagnostic::Diagnostic;
use crate::policy::outline::{RuleOutline, When};

/// More ways in are not looked at.
const MAX_WAYS: usize = 4096;

pub fn findings(rule: &RuleOutline, reaches: &[Reach<'_>]) -> Vec<Diagnostic> {
    // A constant condition was reported when it was read.
    let Some(when) = rule.when.as_ref().filter(|when| !when.constant) else { return Vec::new() };
    if let Some((text, why)) = failing::constant(&when.text) {
        let message = format!("`{text}` can never be evaluated: {why}");
        return vec![Diagnostic::error("always-fails", message).at(when.place.clone())];
    }
    let Some(ways) = cubes(&when.formula) else { return Vec::new() };
    if let Some(finding) = never(rule, when, &ways).or_else(|| always(rule, when)) {
        return vec![finding];
    }
    let mut findings = Vec::new();
    idle_parts(rule, when, &when.formula, &mut findings);
    findings.extend(unreachable(when, &ways, reaches));
    findings
}

/// Why none of the ways can be gone.
fn closed(ways: &[Cube]) -> Option<Conflict> {
    let conflicts: Option<Vec<_>> = ways.iter().map(|cube| conflict(cube)).collect();
    conflicts?.into_iter().next()
}

fn never(rule: &RuleOutline, when: &When, ways: &[Cube]) -> Option<Diagnostic> {
    if when.formula.has_constant() {
        let live = ways.iter().any(|cube| conflict(cube).is_none());
        return (!live).then(|| constant(when, false));
    }
    let conflict = closed(ways)?;
    let message = format!("the rule can never apply: {}", because(&conflict));
    let finding = if rule.protects() && rule.enforce {
        Diagnostic::error("never-applies", message)
    } else {
        Diagnostic::warning("never-applies", message)
    };
    Some(finding.at(when.place.clone()).help(instead(&conflict, when)))
}

/// What to write instead of tests that can't all hold.
fn instead(conflict: &Conflict, when: &When) -> String {
    let advice = match (&conflict.why, conflict.tests.as_slice()) {
        (Some(_), _) => "mend the test, or remove the rule".to_owned(),
        (None, [first, second]) => match (either(first, second), first.subject.as_str()) {
            (Some(values), subject) => format!("for any of both write `{subject} in [{values}]`"),
            (None, _) => "for either of both write `||`; `&&` asks for all at once".into(),
        },
        (None, _) => "for any of them write `||`; `&&` asks for all at once".into(),
    };
    if may_fail(&[], &when.formula) {
        return advice + "; the rule still denies calls on which it can't be evaluated";
    }
    advice
}

/// The values that two tests ask for one by one.
fn either(first: &Test, second: &Test) -> Option<String> {
    match (&first.question, &second.question, first.negated || second.negated) {
        (Question::OneOf(a), Question::OneOf(b), false) => {
            let values: Vec<_> = a.iter().chain(b).map(Constant::show).collect();
            Some(values.join(", "))
        }
        _ => None,
    }
}

fn always(rule: &RuleOutline, when: &When) -> Option<Diagnostic> {
    let opposite = cubes(&when.formula.negate())?;
    if opposite.iter().any(|cube| conflict(cube).is_none()) {
        return None;
    }
    if when.formula.has_constant() {
        return Some(constant(when, true));
    }
    let message = format!("the condition is {}", never_false(&when.formula, &opposite));
    let finding = if rule.allows() && rule.enforce {
        Diagnostic::error("always-true", message)
    } else {
        Diagnostic::warning("always-true", message)
    };
    Some(finding.at(when.place.clone()).help(NONE_OF))
}

/// Somebody wrote `true` or `false` into it, as one switches a rule on or off for a while.
fn constant(when: &When, value: bool) -> Diagnostic {
    let help =
        if value { "leave `when` out: the rule then always applies" } else { "the rule never applies" };
    Diagnostic::warning("constant-condition", format!("the condition is always {value}"))
        .at(when.place.clone())
        .help(help)
}

fn because(conflict: &Conflict) -> String {
    let tests: Vec<_> = conflict.tests.iter().map(|test| format!("`{}`", test.show())).collect();
    match (&conflict.why, tests.as_slice()) {
        (Some(why), _) => format!("no call passes {}, since {why}", tests.join(", ")),
        (None, [only]) => format!("no call passes {only}"),
        (None, [first, second]) => format!("{first} and {second} exclude each other"),
        (None, _) => format!("no call passes all of {}", tests.join(", ")),
    }
}

/// What to write instead of a condition that nothing fails.
const NONE_OF: &str = "none of several values is `!(x in [a, b])`";

/// "always true" with the reason, for a formula whose opposite can't be. Where it has no answer it is not true either.
fn never_false(formula: &Formula, opposite: &[Cube]) -> String {
    let (always, calls) = if may_fail(&[], formula) {
        ("true wherever it can be evaluated", "every call on which that can be evaluated")
    } else {
        ("always true", "every call")
    };
    let Some(conflict) = closed(opposite) else { return format!("{always}: nothing fails it") };
    let tests: Vec<_> = conflict.tests.iter().map(|test| format!("`{}`", test.negate().show())).collect();
    match (conflict.why, tests.as_slice()) {
        (Some(why), _) => format!("{always}: {calls} passes {}, since {why}", tests.join(", ")),
        (None, [only]) => format!("{always}: {calls} passes {only}"),
        (None, _) => format!("{always}: {calls} passes one of {}", tests.join(", ")),
    }
}

/// Parts that can never be true in an `||`, or never false in an `&&`, and values in a list that never come.
fn idle_parts(rule: &RuleOutline, when: &When, formula: &Formula, findings: &mut Vec<Diagnostic>) {
    let warn = |message: String| Diagnostic::warning("idle-part", message).at(when.place.clone());
    match formula {
        Formula::Constant(_) => {}
        Formula::Test(test) => findings.extend(idle_value(test).map(warn)),
        Formula::Any(parts) => {
            for part in parts {
                match cubes(part).as_deref().and_then(closed).filter(|_| !part.has_constant()) {
                    Some(conflict) => {
                        findings.push(warn(format!(
                            "a part of the condition is never true: {}",
                            because(&conflict)
                        )));
                    }
                    None => idle_parts(rule, when, part, findings),
                }
            }
        }
        Formula::All(parts) => {
            for part in parts {
                let opposite =
                    cubes(&part.negate()).filter(|ways| !part.has_constant() && closed(ways).is_some());
                match opposite {
                    Some(opposite) => {
                        let message = format!("a part of the condition is {}", never_false(part, &opposite));
                        // One of several values not being met is no restriction, though it reads as one.
                        let wider = rule.allows() && rule.enforce && matches!(part, Formula::Any(_));
                        let finding =
                            Diagnostic::error("always-true", message.clone()).at(when.place.clone());
                        findings.push(if wider { finding } else { warn(message) });
                    }
                    None => idle_parts(rule, when, part, findings),
                }
            }
        }
    }
}

/// A value in a list of several that never comes.
fn idle_value(test: &Test) -> Option<String> {
    let Question::OneOf(constants) = &test.question else { return None };
    if constants.len() < 2 {
        return None;
    }
    constants.iter().find_map(|constant| {
        let (subject, question) = (test.subject.clone(), Question::OneOf(vec![constant.clone()]));
        let why = fact::impossible(&test.subject, &Test { subject, question, negated: false })?;
        Some(format!("`{}` is never {}: {why}", test.subject, constant.show()))
    })
}

/// No call that the policy is about passes the condition.
fn unreachable(when: &When, ways: &[Cube], reaches: &[Reach<'_>]) -> Option<Diagnostic> {
    if ways.len().saturating_mul(reaches.len()) > MAX_WAYS {
        return None;
    }
    let mut culprit: Option<Test> = None;
    for reach in reaches {
        let given = reach.tests();
        for way in ways {
            let both = [given.as_slice(), way.as_slice()].concat();
            let found = conflict(&both);
            if found.is_none() && reach.path_allows(way) {
                return None;
            }
            let on_path = || way.iter().find(|test| test.subject == "request.url_path").cloned();
            let asked = |conflict: Conflict| conflict.tests.into_iter().find(|test| !given.contains(test));
            culprit = culprit.or(found.map_or_else(on_path, asked));
        }
    }
    let test = culprit.map_or_else(|| "its condition".to_owned(), |test| format!("`{}`", test.show()));
    let message = format!("the rule can never apply: no call that `match` lets in passes {test}");
    let mut help = "widen the policy's `match`, or move the rule to a policy about those calls".to_owned();
    if may_fail(&[], &when.formula) {
        help.push_str("; it still denies calls on which it can't be evaluated");
    }
    Some(Diagnostic::warning("unreachable-rule", message).at(when.place.clone()).help(help))
}
