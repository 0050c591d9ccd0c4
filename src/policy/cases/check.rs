//! Cases held against the policies: rules that do not exist, and rules that can't give the expected outcome.

use super::{Case, Expect};
use crate::diagnostic::{Diagnostic, closest};
use crate::policy::PolicySet;
use crate::policy::decision::Said;

/// Every mistake in the cases that the policies show.
pub fn check(cases: &[Case], set: &PolicySet) -> Vec<Diagnostic> {
    let finding = |case: &Case| {
        let name = case.expect.rule.as_deref()?;
        let finding = match set.says(name) {
            None => unknown(name, set),
            Some((said, enforce)) => conflict(name, &case.expect, said, enforce)?,
        };
        Some(finding.at(case.rule_place.clone().unwrap_or_else(|| case.place.clone())))
    };
    cases.iter().filter_map(finding).collect()
}

fn unknown(name: &str, set: &PolicySet) -> Diagnostic {
    let finding = Diagnostic::error("unknown-rule", format!("there is no rule `{name}`"));
    let of_some_policy =
        set.rule_names().find(|rule| rule.rsplit('/').next() == Some(name)).map(|rule| &**rule);
    match of_some_policy.or_else(|| closest(name, set.rule_names().map(|rule| &**rule))) {
        Some(meant) => finding.help(format!("did you mean `{meant}`?")),
        None => finding.help("rules are named `policy/rule`"),
    }
}

/// Why the rule can't be the one that gives the expected outcome.
fn conflict(name: &str, expect: &Expect, said: Said, enforce: bool) -> Option<Diagnostic> {
    // A rule of any kind can be the one that could not be evaluated.
    let outcome = expect.outcome.filter(|outcome| *outcome != "indeterminate")?;
    let error = |message: String| Some(Diagnostic::error("expectation-conflict", message));
    if !enforce {
        return error(format!("`{name}` is not enforced, so it never gives the outcome"));
    }
    let gives = match said {
        Said::Allow => "allow",
        Said::Deny => "deny",
        Said::Hold => "hold",
        Said::Mask | Said::Headers | Said::Error => {
            let finding =
                error(format!("`{name}` neither allows, denies nor holds, so it never gives the outcome"))?;
            return Some(
                finding.help(
                    "`rule` names the rule that decides; leave it out, or expect a `body` or `headers`",
                ),
            );
        }
    };
    if gives == outcome { None } else { error(format!("`{name}` gives `{gives}`, not `{outcome}`")) }
}
