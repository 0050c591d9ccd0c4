//! Finds policies that are well formed and yet can't mean what they say: rules that never apply, conditions that are
//! always true, rules that a deny always beats.
//!
//! Only what is proved is reported. An error is a mistake by which the policy lets through more than it says; anything
//! else is a warning. Works on outlines, so that it depends neither on how conditions are evaluated nor on how calls are
//! routed.

use super::outline::Outline;
use crate::diagnostic::Diagnostic;

mod answer;
mod compare;
mod fact;
mod failing;
mod formula;
mod reach;
mod rule;
mod set;
mod show;
mod solve;

pub use answer::may_fail;
pub use compare::{Relation, Transitions, routes};
pub use formula::Formula;

/// All findings about these policies, taken together.
pub fn findings(policies: &[Outline]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for policy in policies {
        let reaches = reach::reaches(&policy.entries);
        for rule in &policy.rules {
            findings.extend(rule::findings(rule, &reaches));
        }
    }
    findings.extend(set::findings(policies));
    findings
}

#[cfg(test)]
mod tests;
