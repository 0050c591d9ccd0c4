//! What policies ask of the proxy that calls: what it must show, how long it must wait, what it must let be changed.

use std::time::Duration;

use super::PolicySet;
use super::cel::Reads;
use super::decision::Needs;
use super::route::Entry;
use super::rule::{HeaderTemplate, Policy, Rule, Verdict};
use crate::mask::Part;

/// What one policy asks for, on the calls that its `match` is about.
#[derive(Clone, Debug)]
pub struct Demand<'s> {
    /// The policy's name.
    pub policy: &'s str,
    /// Empty: every call.
    pub entries: &'s [Entry],
    /// What its enforced rules must be given, or may do.
    pub needs: Needs,
    /// The longest time that one of its rules holds a call; `None` when none holds.
    pub longest_wait: Option<Duration>,
    /// What its rules read, those in shadow included.
    pub reads: Reads,
    /// Request headers that its rules set, append to or remove.
    pub changes_request: Vec<&'s str>,
    /// Response headers that its rules set, append to or remove, and the names of those that they mask: some end in `*`.
    pub changes_response: Vec<&'s str>,
}

impl PolicySet {
    /// One demand for each policy, in their order.
    pub fn demands(&self) -> impl Iterator<Item = Demand<'_>> {
        self.policies.iter().zip(&self.plans).map(|(policy, plan)| demand(policy, plan.needs))
    }
}

fn demand(policy: &Policy, needs: Needs) -> Demand<'_> {
    let mut reads = Reads::default();
    policy.rules.iter().for_each(|rule| reads.extend(&rule.reads));
    Demand {
        policy: policy.rules.first().and_then(|rule| rule.name.rsplit_once('/')).map_or("", |(name, _)| name),
        entries: &policy.entries,
        needs,
        longest_wait: policy.rules.iter().filter(|rule| rule.enforce).filter_map(wait).max(),
        reads,
        changes_request: policy.rules.iter().flat_map(|rule| &rule.headers.request).map(name).collect(),
        changes_response: policy.rules.iter().flat_map(changes_response).collect(),
    }
}

fn wait(rule: &Rule) -> Option<Duration> {
    match &rule.verdict {
        Some(Verdict::Hold(hold)) => Some(hold.terms.wait),
        _ => None,
    }
}

fn changes_response(rule: &Rule) -> impl Iterator<Item = &str> {
    let masked = rule.masks.iter().filter_map(|rule| match &rule.part {
        Part::Header(names) | Part::Trailer(names) => Some(names.as_str()),
        Part::Body => None,
    });
    rule.headers.response.iter().map(name).chain(masked)
}

fn name(change: &HeaderTemplate) -> &str {
    match change {
        HeaderTemplate::Set(name, _) | HeaderTemplate::Append(name, _) | HeaderTemplate::Remove(name) => name,
    }
}
