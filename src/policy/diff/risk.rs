//! What a change of a rule does to callers, worked out from which of its answers become which. A rule that can't be
//! evaluated denies, so its failing counts as much as its applying.

use serde::Serialize;

use crate::policy::lint::Transitions;
use crate::policy::outline::RuleOutline;
use crate::policy::rule::Verdict;

/// What a change does to callers, the most dangerous first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A deny, hold or mask is gone, is no longer enforced, or covers less. Other calls may be denied more.
    Unprotects,
    /// More is allowed, or approved more easily; nothing is denied more.
    Loosens,
    /// More or less may be allowed.
    Changes,
    /// Less is allowed, nothing more.
    Tightens,
    /// Only what people are told changes, or what is recorded.
    Wording,
}

/// The ways in which a change may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    unprotects: bool,
    loosens: bool,
    tightens: bool,
}

impl Effect {
    pub fn and(self, other: Self) -> Self {
        Self {
            unprotects: self.unprotects || other.unprotects,
            loosens: self.loosens || other.loosens,
            tightens: self.tightens || other.tightens,
        }
    }

    pub fn risk(self) -> Risk {
        match (self.unprotects, self.loosens, self.tightens) {
            (true, _, _) => Risk::Unprotects,
            (_, true, true) => Risk::Changes,
            (_, true, false) => Risk::Loosens,
            (_, false, true) => Risk::Tightens,
            (_, false, false) => Risk::Wording,
        }
    }

    /// The risk of two changes that are made at once.
    pub fn with(self, risk: Risk) -> Risk {
        let other = match risk {
            Risk::Unprotects => Self { unprotects: true, ..Self::default() },
            Risk::Loosens => Self { loosens: true, ..Self::default() },
            Risk::Changes => Self { loosens: true, tightens: true, ..Self::default() },
            Risk::Tightens => Self { tightens: true, ..Self::default() },
            Risk::Wording => Self::default(),
        };
        self.and(other).risk()
    }
}

/// What the rule does when calls come to it that it did not see before.
pub fn of_more(rule: &RuleOutline) -> Effect {
    let comes =
        Transitions { false_to_true: true, false_to_failing: rule.may_fail(), ..Transitions::default() };
    of(rule, &comes)
}

/// What it does when calls no longer come to it.
pub fn of_less(rule: &RuleOutline) -> Effect {
    let goes =
        Transitions { true_to_false: true, failing_to_false: rule.may_fail(), ..Transitions::default() };
    of(rule, &goes)
}

/// What it does when a call without a complete body is denied for its sake, or no longer is.
pub fn of_body(old: &RuleOutline, new: &RuleOutline) -> Effect {
    Effect {
        unprotects: false,
        loosens: old.needs_body && !new.needs_body,
        tightens: new.needs_body && !old.needs_body,
    }
}

/// What it does when its condition's answers change so; nothing for a rule that is not enforced.
pub fn of(rule: &RuleOutline, change: &Transitions) -> Effect {
    if !rule.enforce {
        return Effect::default();
    }
    let (more, less) = (applies(rule), applies_no_more(rule));
    let mut effect = Effect::default();
    if change.false_to_true {
        effect = effect.and(more);
    }
    if change.true_to_false {
        effect = effect.and(less);
    }
    // Headers that can't be filled in fail where the condition is true.
    let fills = rule.fills_headers;
    effect.tightens |= change.false_to_failing || (fills && change.false_to_true);
    effect.loosens |= change.failing_to_false || (fills && change.true_to_false);
    // Calls that were denied by failing pass as those do that were denied, held or masked.
    effect.unprotects |= rule.protects() && change.failing_to_false;
    if matches!(rule.verdict, Some(Verdict::Deny(_))) {
        // Both deny; the configuration may let failing pass, never a deny.
        effect.unprotects |= change.true_to_failing;
        effect.tightens |= change.failing_to_true;
    } else {
        effect.tightens |= change.true_to_failing;
        effect.loosens |= change.failing_to_true;
    }
    effect
}

/// A call to which the rule did not apply, and applies.
fn applies(rule: &RuleOutline) -> Effect {
    let (loosens, tightens) = match &rule.verdict {
        Some(Verdict::Allow) => (true, false),
        Some(Verdict::Deny(_)) => (false, true),
        // It holds what passed, and may let pass what was denied.
        Some(Verdict::Hold(_)) => (true, true),
        None if rule.masks.is_null() => (true, true),
        None => (false, true),
    };
    Effect { unprotects: false, loosens, tightens: tightens || !rule.masks.is_null() }
}

/// A call to which it applied, and does not.
fn applies_no_more(rule: &RuleOutline) -> Effect {
    let (loosens, tightens) = match &rule.verdict {
        Some(Verdict::Allow) => (false, true),
        Some(Verdict::Deny(_)) => (true, false),
        Some(Verdict::Hold(_)) => (true, true),
        None if rule.masks.is_null() => (true, true),
        None => (true, false),
    };
    Effect { unprotects: rule.protects(), loosens, tightens }
}
