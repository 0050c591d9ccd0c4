//! What rules do to each other: a deny that beats a rule always, rules that add nothing, policies that say the same.

use std::collections::{BTreeSet, HashMap};

use super::compare::Transitions;
use super::formula::Formula;
use super::reach::{Reach, reaches};
use super::solve::{Cube, conflict, cubes, implies};
use crate::diagnostic::Diagnostic;
use crate::policy::outline::{Outline, RuleOutline};
use crate::policy::rule::Verdict;

/// Comparisons of two rules in one run; beyond them the rest is not compared.
const MAX_COMPARISONS: usize = 200_000;
/// Rules that one deny beats and that are named.
const MAX_NAMED: usize = 3;

/// A rule that is enforced, with what is needed to compare it.
struct Ruled<'p> {
    policy: usize,
    rule: &'p RuleOutline,
    /// Its verdict, names left out.
    terms: String,
    reaches: Vec<Reach<'p>>,
    formula: Formula,
    /// The ways in which its condition can be true; none for a condition that is too large, which proves nothing.
    ways: Vec<Cube>,
}

pub fn findings(policies: &[Outline]) -> Vec<Diagnostic> {
    let ruled: Vec<Ruled<'_>> = policies.iter().enumerate().flat_map(enforced).collect();
    let mut findings = overridden(policies);
    findings.extend(same_policies(policies));
    let mut left = MAX_COMPARISONS;
    findings.extend(beaten(&ruled, policies, &mut left));
    findings.extend(redundant(&ruled, &mut left));
    findings
}

fn enforced((policy, outline): (usize, &Outline)) -> Vec<Ruled<'_>> {
    let rules = outline.rules.iter().filter(|rule| rule.enforce);
    let ruled = rules.map(|rule| {
        let formula = rule.formula();
        let mut ways = cubes(&formula).unwrap_or_default();
        ways.retain(|cube| conflict(cube).is_none());
        Ruled { policy, rule, terms: verdict(rule), reaches: reaches(&outline.entries), formula, ways }
    });
    ruled.collect()
}

/// Rules that say `enforce: true` in a policy that says `enforce: false`.
fn overridden(policies: &[Outline]) -> Vec<Diagnostic> {
    let rules = policies.iter().filter(|policy| !policy.enforce).flat_map(|policy| &policy.rules);
    let finding = |rule: &RuleOutline| {
        let message = format!("`{}` is not enforced: its policy says `enforce: false`", rule.name);
        let help = "set `enforce` to false at the other rules instead of the policy";
        Some(Diagnostic::warning("enforce-overridden", message).at(rule.says_enforce.clone()?).help(help))
    };
    rules.filter_map(finding).collect()
}

/// Policies that differ in nothing but names.
fn same_policies(policies: &[Outline]) -> Vec<Diagnostic> {
    let mut seen: HashMap<String, &Outline> = HashMap::new();
    let mut findings = Vec::new();
    for policy in policies {
        if let Some(first) = seen.get(&content(policy)) {
            let at = format!("{}:{}", first.place.file, first.place.line);
            let message = format!("the policy says the same as `{}` in {at}", first.name);
            let finding = Diagnostic::warning("duplicate-content", message).at(policy.place.clone());
            findings.push(finding.help("remove one of the two: rules that count twice change nothing"));
        } else {
            seen.insert(content(policy), policy);
        }
    }
    findings
}

fn content(policy: &Outline) -> String {
    let rules: BTreeSet<String> = policy
        .rules
        .iter()
        .map(|rule| {
            let terms = verdict(rule);
            format!("{}|{}|{terms}|{}|{}", rule.enforce, rule.condition(), rule.masks, rule.headers)
        })
        .collect();
    format!("{}|{rules:?}", policy.matches)
}

/// The verdict without the rule's name.
fn verdict(rule: &RuleOutline) -> String {
    match &rule.verdict {
        Some(Verdict::Hold(hold)) => format!("hold {:?} {}", hold.terms, hold.because),
        other => format!("{other:?}"),
    }
}

/// Rules that a deny beats whenever they apply.
fn beaten(ruled: &[Ruled<'_>], policies: &[Outline], left: &mut usize) -> Vec<Diagnostic> {
    // Denies by the literal segments that each of their paths begins with: only those can cover a longer path.
    let mut denies: HashMap<String, Vec<&Ruled<'_>>> = HashMap::new();
    for deny in ruled.iter().filter(|ruled| matches!(ruled.rule.verdict, Some(Verdict::Deny(_)))) {
        let prefixes: BTreeSet<_> =
            deny.reaches.iter().map(|reach| reach.prefixes().last().unwrap_or_default()).collect();
        for prefix in prefixes {
            denies.entry(prefix).or_default().push(deny);
        }
    }
    let mut findings = Vec::new();
    let mut elsewhere: Vec<(&Ruled<'_>, Vec<&str>)> = Vec::new();
    for ruled in ruled.iter().filter(|ruled| !matches!(ruled.rule.verdict, Some(Verdict::Deny(_)))) {
        let prefixes = ruled.reaches.first().map(Reach::prefixes).into_iter().flatten();
        let candidates = prefixes.filter_map(|prefix| denies.get(&prefix)).flatten().copied();
        let Some(deny) = candidates.into_iter().find(|deny| covered(ruled, deny, left)) else { continue };
        if deny.policy == ruled.policy {
            findings.push(always_denied(ruled, deny));
        } else if let Some((_, names)) = elsewhere.iter_mut().find(|(known, _)| std::ptr::eq(*known, deny)) {
            names.push(&ruled.rule.name);
        } else {
            elsewhere.push((deny, vec![&ruled.rule.name]));
        }
    }
    findings.extend(elsewhere.iter().map(|(deny, names)| beats_others(deny, names, policies)));
    findings
}

fn always_denied(ruled: &Ruled<'_>, deny: &Ruled<'_>) -> Diagnostic {
    // A rule that fails denies, also where the other does not.
    let never =
        if ruled.rule.may_fail() { "the rule can do no more than fail" } else { "the rule never counts" };
    let message =
        format!("{never}: `{}` denies every call that `{}` applies to", deny.rule.name, ruled.rule.name);
    let help = "deny beats allow and hold, whatever the order of the rules: narrow the deny's `when`, or remove this rule";
    Diagnostic::warning("always-denied", message).at(ruled.rule.place.clone()).help(help)
}

/// One finding at a deny that beats rules of other policies, as an emergency stop does: not one at each of them.
fn beats_others(deny: &Ruled<'_>, names: &[&str], policies: &[Outline]) -> Diagnostic {
    let shown: Vec<_> = names.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect();
    let more = match names.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let everything = policies.len() > 1 && matches!(deny.formula, Formula::Constant(true));
    let message = format!("this deny beats {}{more} whenever they apply", shown.join(", "));
    let help = if everything {
        "right as an emergency stop; else give it a `when` or a narrower `match`"
    } else {
        "deny beats allow and hold, whatever the order: narrow it, or remove the other rules"
    };
    Diagnostic::warning("always-denied", message).at(deny.rule.place.clone()).help(help)
}

/// Whether `wider` applies to every call that `narrower` applies to.
fn covered(narrower: &Ruled<'_>, wider: &Ruled<'_>, left: &mut usize) -> bool {
    // Another policy's paths may capture other parts.
    let comparable = narrower.policy == wider.policy || !wider.rule.reads_captures;
    comparable
        && !narrower.ways.is_empty()
        && narrower.reaches.iter().all(|reach| {
            let given = reach.tests();
            narrower.ways.iter().all(|way| {
                let Some(fewer) = left.checked_sub(1) else { return false };
                *left = fewer;
                let both = [given.as_slice(), way.as_slice()].concat();
                implies(&both, &wider.formula) && wider.reaches.iter().any(|other| other.covers(reach, &both))
            })
        })
}

/// Whether `other`, which says the same, denies wherever `rule` denies by failing.
fn fails_no_more(rule: &RuleOutline, other: &RuleOutline) -> bool {
    let change = Transitions::between(&rule.formula(), &other.formula());
    let denies = matches!(other.verdict, Some(Verdict::Deny(_)));
    !change.failing_to_false && (denies || !change.failing_to_true) && (other.needs_body || !rule.needs_body)
}

/// Rules that only allow, or only deny in the same words, where another rule of the policy does so anyway.
fn redundant(ruled: &[Ruled<'_>], left: &mut usize) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (index, rule) in ruled.iter().enumerate().filter(|(_, ruled)| ruled.rule.only_verdict()) {
        let plain = matches!(rule.rule.verdict, Some(Verdict::Allow | Verdict::Deny(_)));
        let same = |other: &Ruled<'_>| other.policy == rule.policy && other.terms == rule.terms;
        let mut others = ruled.iter().enumerate().filter(|(at, other)| plain && *at != index && same(other));
        let found = others.find(|(at, other)| {
            // Of two that say the same, the second is reported.
            covered(rule, other, left)
                && fails_no_more(rule.rule, other.rule)
                && (*at < index || !covered(other, rule, left) || !other.rule.only_verdict())
        });
        if let Some((_, other)) = found {
            let message =
                format!("the rule adds nothing: `{}` says the same about every such call", other.rule.name);
            let finding = Diagnostic::warning("redundant-rule", message).at(rule.rule.place.clone());
            findings.push(finding.help("remove it, or make the other rule's `when` narrower"));
        }
    }
    findings
}
