//! What policies say, with layout and defaults out of the way, and where they say it: what lints reason about and what
//! two sets of policies are compared by.

use std::sync::Arc;

use serde_json::Value as Json;

use super::lint::{Formula, may_fail};
use super::route::Entry;
use super::rule::Verdict;
use crate::diagnostic::Place;

/// One policy that has no mistake.
#[derive(Clone, Debug)]
pub struct Outline {
    pub name: String,
    /// Of its name.
    pub place: Place,
    pub enforce: bool,
    pub entries: Vec<Entry>,
    /// `match` as written.
    pub matches: Json,
    pub rules: Vec<RuleOutline>,
}

#[derive(Clone, Debug)]
pub struct RuleOutline {
    /// `policy/rule`.
    pub name: Arc<str>,
    /// Of its name.
    pub place: Place,
    /// Whether it counts: its own `enforce` and the policy's.
    pub enforce: bool,
    /// Where the rule itself says `enforce: true`.
    pub says_enforce: Option<Place>,
    pub when: Option<When>,
    pub verdict: Option<Verdict>,
    /// Whether calls of its policy are denied whose body is not there in full: the rule is enforced, and reads it or
    /// holds calls.
    pub needs_body: bool,
    /// Whether its condition or its headers read what the policy's paths capture.
    pub reads_captures: bool,
    /// Whether values of its headers are made for each call, which can fail.
    pub fills_headers: bool,
    /// `mask` and `headers` as written; null without them.
    pub masks: Json,
    pub headers: Json,
}

/// A rule's condition.
#[derive(Clone, Debug)]
pub struct When {
    pub text: String,
    pub place: Place,
    pub formula: Formula,
    /// Whether it reads nothing of a call.
    pub constant: bool,
}

impl RuleOutline {
    /// The condition's formula; a rule without one always applies.
    pub fn formula(&self) -> Formula {
        self.when.as_ref().map_or(Formula::Constant(true), |when| when.formula.clone())
    }

    /// The same text for conditions that say the same.
    pub fn condition(&self) -> String {
        self.formula().canonical()
    }

    /// Whether the rule stands between a caller and something: without it, more would pass.
    pub fn protects(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Deny(_) | Verdict::Hold(_))) || !self.masks.is_null()
    }

    /// Whether the rule may deny a call because it can't be evaluated.
    pub fn may_fail(&self) -> bool {
        self.needs_body || self.fills_headers || may_fail(&[], &self.formula())
    }

    pub fn allows(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Allow))
    }

    /// Whether it does nothing but allow or deny.
    pub fn only_verdict(&self) -> bool {
        self.masks.is_null() && self.headers.is_null()
    }
}
