//! How rules combine: deny beats hold, hold beats allow, and a call that nothing allows is denied. A rule that
//! can't be evaluated makes the call indeterminate unless a deny decided it; obligations add up.
//!
//! Rules are asked independently of each other, so that their order can never matter.

use std::sync::Arc;

use super::cel::{EvaluationError, Scope};
use super::decision::{Call, Decision, HoldRule, Outcome, Rare, Said, Shadow};
use super::memo::Memo;
use super::plan::Planned;
use super::route::Candidate;
use super::rule::{HeaderTemplate, Rule, Verdict};
use super::{ConditionError, Needs, PolicySet};
use crate::effect::{DenyTerms, HeaderChange, HeaderChanges};
use crate::mask;
use crate::reason::Reason;

/// A rule that counts for a call.
#[derive(Clone, Copy)]
pub struct Asked<'s> {
    pub candidate: Candidate,
    pub rule: &'s Rule,
    pub planned: &'s Planned,
}

/// Every rule of the candidates.
pub fn asked<'s>(set: &'s PolicySet, candidates: &'s [Candidate]) -> impl Iterator<Item = Asked<'s>> {
    candidates.iter().flat_map(|candidate| asked_of(set, *candidate))
}

#[inline]
fn asked_of(set: &PolicySet, candidate: Candidate) -> impl Iterator<Item = Asked<'_>> {
    let place = candidate.place();
    let (policy, plan) = (set.policies.get(place), set.plans.get(place));
    let rules = policy.map_or(&[][..], |policy| &policy.rules).iter();
    let rules = rules.zip(plan.map_or(&[][..], |plan| &plan.rules));
    rules.map(move |(rule, planned)| Asked { candidate, rule, planned })
}

pub fn needs(set: &PolicySet, candidates: &[Candidate]) -> Needs {
    let mut needs = Needs::default();
    for plan in candidates.iter().filter_map(|candidate| set.plans.get(candidate.place())) {
        needs.may_hold |= plan.needs.may_hold;
        needs.may_mask |= plan.needs.may_mask;
        needs.masked = needs.masked.and(plan.needs.masked);
        needs.body |= plan.needs.body;
    }
    needs
}

pub fn decide(set: &PolicySet, candidates: &[Candidate], call: &Call<'_>) -> Decision {
    if needs(set, candidates).body && call.request.body.complete().is_none() {
        return Decision::refused(Reason::BodyUnavailable);
    }
    let mut tally = Tally::default();
    let mut memo = Memo::new(candidates.len() > 1);
    let mut scope = Scope::of(*call);
    for &candidate in candidates {
        scope.capture(set.index.captures(candidate));
        for asked in asked_of(set, candidate) {
            if asked.planned.reads_response && call.response.is_none() {
                tally.may_mask |= asked.rule.enforce;
                continue;
            }
            match memo.applies(&asked, &scope) {
                Ok(false) => {}
                Ok(true) => tally.applies(&asked, &scope),
                Err(error) => tally.failed(&asked, &error),
            }
        }
    }
    tally.decision(call.identity.is_anonymous())
}

/// Every enforced mask that applies, now that the response's head is known.
pub fn response_masks(
    set: &PolicySet,
    candidates: &[Candidate],
    call: &Call<'_>,
) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
    masks_of(set, candidates, call, masking(set, candidates))
}

/// The enforced rules that mask.
fn masking<'s>(set: &'s PolicySet, candidates: &'s [Candidate]) -> impl Iterator<Item = Asked<'s>> {
    asked(set, candidates).filter(|asked| asked.rule.enforce && !asked.rule.masks.is_empty())
}

/// The masks of those of these rules that apply.
fn masks_of<'s>(
    set: &'s PolicySet,
    candidates: &[Candidate],
    call: &Call<'_>,
    rules: impl Iterator<Item = Asked<'s>>,
) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
    let mut masks: Vec<Arc<mask::Rule>> = Vec::new();
    let mut memo = Memo::new(candidates.len() > 1);
    let mut scope = Scope::of(*call);
    for asked in rules {
        scope.capture(set.index.captures(asked.candidate));
        let failed = |error: Box<EvaluationError>| ConditionError {
            rule: asked.rule.name.clone(),
            message: error.to_string(),
        };
        if memo.applies(&asked, &scope).map_err(failed)? {
            masks.extend(asked.rule.masks.iter().cloned());
        }
    }
    Ok(masks)
}

/// The enforced masks that apply whatever the response says, and whether others depend on it.
pub fn request_masks(
    set: &PolicySet,
    candidates: &[Candidate],
    call: &Call<'_>,
) -> Result<(Vec<Arc<mask::Rule>>, bool), ConditionError> {
    let depends = masking(set, candidates).any(|asked| asked.planned.reads_response);
    let known = masking(set, candidates).filter(|asked| !asked.planned.reads_response);
    masks_of(set, candidates, call, known).map(|masks| (masks, depends))
}

/// The enforced masks of rules that read the response, as far as they apply.
pub fn dependent_masks(
    set: &PolicySet,
    candidates: &[Candidate],
    call: &Call<'_>,
) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
    let dependent = masking(set, candidates).filter(|asked| asked.planned.reads_response);
    masks_of(set, candidates, call, dependent)
}

/// A rule and its rank among all rules.
type Ranked<'s> = (u32, &'s Rule);

/// What the rules said so far. What most calls lack takes no memory.
#[derive(Default)]
struct Tally<'s> {
    /// Of several, the first by name.
    denial: Option<(Ranked<'s>, &'s DenyTerms)>,
    allow: Option<Ranked<'s>>,
    /// An enforced rule that could not be evaluated.
    indeterminate: Option<Ranked<'s>>,
    may_mask: bool,
    rest: Option<Box<Rest<'s>>>,
}

/// What few calls come to.
#[derive(Default)]
struct Rest<'s> {
    holds: Vec<(u32, &'s Arc<HoldRule>)>,
    /// Those that approve by themselves.
    auto_approved: Vec<(u32, &'s Arc<HoldRule>)>,
    headers: Vec<(u32, HeaderChanges)>,
    shadow: Vec<Shadow>,
    errors: Vec<(Arc<str>, String)>,
}

impl<'s> Tally<'s> {
    fn rest(&mut self) -> &mut Rest<'s> {
        self.rest.get_or_insert_default()
    }

    #[inline]
    fn applies(&mut self, asked: &Asked<'s>, scope: &Scope<'_>) {
        let (rule, rank) = (asked.rule, asked.planned.rank);
        if !rule.headers.is_empty() {
            self.fill(asked, scope);
        }
        if !rule.enforce {
            return self.shadowed(rule);
        }
        match &rule.verdict {
            Some(Verdict::Allow) => first(&mut self.allow, (rank, rule)),
            Some(Verdict::Deny(terms)) if self.denial.is_none_or(|((known, _), _)| rank < known) => {
                self.denial = Some(((rank, rule), terms));
            }
            Some(Verdict::Hold(hold)) => {
                let holds = &mut self.rest().holds;
                if holds.iter().all(|(known, _)| *known != rank) {
                    holds.push((rank, hold));
                    self.auto_approve(asked, hold, scope);
                }
            }
            Some(Verdict::Deny(_)) | None => {}
        }
        self.may_mask |= !rule.masks.is_empty();
    }

    /// Asks whether the rule needs a person. One that can't be asked does.
    fn auto_approve(&mut self, asked: &Asked<'s>, hold: &'s Arc<HoldRule>, scope: &Scope<'_>) {
        match asked.rule.approves(scope) {
            Ok(false) => {}
            Ok(true) => self.rest().auto_approved.push((asked.planned.rank, hold)),
            Err(error) => {
                self.rest().errors.push((asked.rule.name.clone(), format!("`auto_approve`: {error}")))
            }
        }
    }

    /// Fills in the rule's headers, which can fail also in shadow mode.
    fn fill(&mut self, asked: &Asked<'s>, scope: &Scope<'_>) {
        match fill(asked.rule, scope) {
            Ok(headers) => {
                let filled = (asked.planned.rank, headers);
                let known = &mut self.rest().headers;
                if asked.rule.enforce && !known.contains(&filled) {
                    known.push(filled);
                }
            }
            Err(error) => self.failed(asked, &error),
        }
    }

    fn shadowed(&mut self, rule: &Rule) {
        let mut said = Vec::new();
        said.extend(rule.verdict.as_ref().map(|verdict| match verdict {
            Verdict::Allow => Said::Allow,
            Verdict::Deny(_) => Said::Deny,
            Verdict::Hold(_) => Said::Hold,
        }));
        said.extend((!rule.masks.is_empty()).then_some(Said::Mask));
        said.extend((!rule.headers.is_empty()).then_some(Said::Headers));
        let shadows = said.into_iter().map(|said| Shadow { rule: rule.name.clone(), said });
        self.rest().shadow.extend(shadows);
    }

    fn failed(&mut self, asked: &Asked<'s>, error: &EvaluationError) {
        let rule = asked.rule;
        self.rest().errors.push((rule.name.clone(), error.to_string()));
        if rule.enforce {
            self.may_mask |= !rule.masks.is_empty();
            first(&mut self.indeterminate, (asked.planned.rank, rule));
        } else {
            self.rest().shadow.push(Shadow { rule: rule.name.clone(), said: Said::Error });
        }
    }

    fn decision(mut self, anonymous: bool) -> Decision {
        let (outcome, reason, rule) = self.outcome(anonymous);
        // An indeterminate call may be let through by the operator's choice, and must be masked then.
        let may_mask = self.may_mask && !matches!(outcome, Outcome::Deny(_));
        let rare = self.rest.and_then(|rest| rest.rare(&outcome));
        Decision { outcome, reason, rule, may_mask, rare }
    }

    /// Deny beats an error, an error beats hold, hold beats allow, and a call that nothing allows is denied.
    fn outcome(&mut self, anonymous: bool) -> (Outcome, Reason, Option<Arc<str>>) {
        if let Some(((_, rule), terms)) = self.denial {
            return (Outcome::Deny(terms.clone()), Reason::DeniedByRule, Some(rule.name.clone()));
        }
        if let Some((_, rule)) = self.indeterminate {
            return (Outcome::Indeterminate, Reason::ConditionError, Some(rule.name.clone()));
        }
        if let Some(holds) = self.rest.as_mut().map(|rest| &mut rest.holds) {
            holds.sort_unstable_by_key(|(rank, _)| *rank);
            if let Some((_, first)) = holds.first() {
                let rule = first.name.clone();
                let holds = holds.iter().map(|(_, hold)| Arc::clone(hold)).collect();
                return (Outcome::Hold(holds), Reason::ApprovalPending, Some(rule));
            }
        }
        if let Some((_, rule)) = self.allow {
            return (Outcome::Allow, Reason::Allowed, Some(rule.name.clone()));
        }
        let reason = if anonymous { Reason::Unauthenticated } else { Reason::NoRuleAllows };
        (Decision::refused(reason).outcome, reason, None)
    }
}

impl Rest<'_> {
    /// What the outcome leaves of it.
    fn rare(mut self, outcome: &Outcome) -> Option<Box<Rare>> {
        let goes_on = matches!(outcome, Outcome::Allow | Outcome::Hold(_));
        let mut headers = HeaderChanges::default();
        self.headers.sort_by_key(|(rank, _)| *rank);
        for (_, changes) in self.headers.into_iter().filter(|_| goes_on) {
            headers.request.extend(changes.request);
            headers.response.extend(changes.response);
        }
        self.shadow.retain(|shadow| matters(shadow.said, outcome));
        self.auto_approved.sort_unstable_by_key(|(rank, _)| *rank);
        let reason = |hold: &HoldRule| {
            hold.terms
                .auto_approve
                .as_ref()
                .map_or_else(Arc::default, |auto| Arc::from(auto.because.as_str()))
        };
        let held = self.auto_approved.iter().filter(|_| matches!(outcome, Outcome::Hold(_)));
        let auto_approved = held.map(|(_, hold)| (hold.name.clone(), reason(hold))).collect();
        Rare { headers, auto_approved, shadow: self.shadow, errors: self.errors }.boxed()
    }
}

/// Keeps the rule that comes first by name.
fn first<'s>(kept: &mut Option<Ranked<'s>>, rule: Ranked<'s>) {
    if kept.is_none_or(|(rank, _)| rule.0 < rank) {
        *kept = Some(rule);
    }
}

/// Whether a rule in shadow mode would have changed this outcome.
fn matters(said: Said, outcome: &Outcome) -> bool {
    match said {
        Said::Error | Said::Deny => !matches!(outcome, Outcome::Deny(_)) || said == Said::Error,
        Said::Hold => !matches!(outcome, Outcome::Hold(_) | Outcome::Indeterminate),
        Said::Allow => matches!(outcome, Outcome::Deny(_)),
        Said::Mask | Said::Headers => matches!(outcome, Outcome::Allow | Outcome::Hold(_)),
    }
}

fn fill<'s>(rule: &'s Rule, scope: &'s Scope<'s>) -> Result<HeaderChanges, EvaluationError> {
    let fill = |templates: &'s [HeaderTemplate]| -> Result<Vec<HeaderChange>, EvaluationError> {
        templates.iter().map(|template| template.fill(scope)).collect()
    };
    Ok(HeaderChanges { request: fill(&rule.headers.request)?, response: fill(&rule.headers.response)? })
}
