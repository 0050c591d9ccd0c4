//! How rules combine: deny beats hold, hold beats allow, and a call that nothing allows is denied. A rule that
//! can't be evaluated makes the call indeterminate unless a deny decided it; obligations add up.
//!
//! Rules are asked independently of each other, so that their order can never matter.

use std::sync::Arc;

use super::cel::{EvaluationError, Scope};
use super::decision::{Call, Decision, HoldRule, Outcome, Said, Shadow};
use super::route::Candidate;
use super::rule::{HeaderTemplate, Policy, Rule, Verdict};
use super::{ConditionError, Needs};
use crate::effect::{DenyTerms, HeaderChange, HeaderChanges};
use crate::mask;
use crate::reason::Reason;

/// A rule that counts for a call, and the call as its policy sees it.
#[derive(Clone, Copy)]
pub struct Asked<'s> {
    pub rule: &'s Rule,
    pub candidate: &'s Candidate,
}

/// Every rule of the candidates.
pub fn asked<'s>(policies: &'s [Policy], candidates: &'s [Candidate]) -> impl Iterator<Item = Asked<'s>> {
    candidates.iter().flat_map(|candidate| {
        let rules = policies.get(candidate.policy).map_or(&[][..], |policy| &policy.rules);
        rules.iter().map(move |rule| Asked { rule, candidate })
    })
}

pub fn needs(policies: &[Policy], candidates: &[Candidate]) -> Needs {
    let mut needs = Needs::default();
    // A rule in shadow mode changes nothing, so it does not make the call wait for its body either.
    for Asked { rule, .. } in asked(policies, candidates).filter(|asked| asked.rule.enforce) {
        needs.may_hold |= rule.holds_calls();
        needs.may_mask |= !rule.masks.is_empty();
        needs.body |= rule.reads.body() || rule.holds_calls();
    }
    needs
}

pub fn decide(policies: &[Policy], candidates: &[Candidate], call: &Call<'_>) -> Decision {
    let needs = needs(policies, candidates);
    if needs.body && call.request.body.complete().is_none() {
        return Decision::refused(Reason::BodyUnavailable);
    }
    // What is parsed once for one policy is kept for the next.
    let mut tally = Tally::default();
    let shared = Scope::of(*call);
    for asked in asked(policies, candidates) {
        if asked.rule.reads_response() && call.response.is_none() {
            tally.may_mask |= asked.rule.enforce;
            continue;
        }
        let scope = shared.capturing(&asked.candidate.captures);
        match asked.rule.applies(&scope) {
            Ok(false) => {}
            Ok(true) => tally.applies(asked.rule, &scope),
            Err(error) => tally.failed(asked.rule, &error),
        }
    }
    tally.decision(call.identity.is_anonymous())
}

/// Every enforced mask that applies, now that the response's head is known.
pub fn response_masks(
    policies: &[Policy],
    candidates: &[Candidate],
    call: &Call<'_>,
) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
    let mut masks: Vec<Arc<mask::Rule>> = Vec::new();
    let shared = Scope::of(*call);
    let masking = |asked: &Asked<'_>| asked.rule.enforce && !asked.rule.masks.is_empty();
    for asked in asked(policies, candidates).filter(masking) {
        let scope = shared.capturing(&asked.candidate.captures);
        let applies = asked.rule.applies(&scope);
        let failed = |error: EvaluationError| ConditionError {
            rule: asked.rule.name.clone(),
            message: error.to_string(),
        };
        if applies.map_err(failed)? {
            masks.extend(asked.rule.masks.iter().cloned());
        }
    }
    Ok(masks)
}

/// What the rules said so far.
#[derive(Default)]
struct Tally {
    denials: Vec<(Arc<str>, DenyTerms)>,
    holds: Vec<Arc<HoldRule>>,
    allows: Vec<Arc<str>>,
    errors: Vec<(Arc<str>, String)>,
    /// An enforced rule could not be evaluated.
    indeterminate: Vec<Arc<str>>,
    may_mask: bool,
    headers: Vec<(Arc<str>, HeaderChanges)>,
    shadow: Vec<Shadow>,
}

impl Tally {
    fn applies<'s>(&mut self, rule: &'s Rule, scope: &'s Scope<'s>) {
        let headers = match fill(rule, scope) {
            Ok(headers) => headers,
            Err(error) => {
                self.failed(rule, &error);
                HeaderChanges::default()
            }
        };
        if !rule.enforce {
            return self.shadowed(rule);
        }
        match &rule.verdict {
            Some(Verdict::Allow) => self.allows.push(rule.name.clone()),
            Some(Verdict::Deny(terms)) => self.denials.push((rule.name.clone(), terms.clone())),
            Some(Verdict::Hold(hold)) if !self.holds.contains(hold) => self.holds.push(hold.clone()),
            Some(Verdict::Hold(_)) | None => {}
        }
        self.may_mask |= !rule.masks.is_empty();
        if headers != HeaderChanges::default()
            && !self.headers.contains(&(rule.name.clone(), headers.clone()))
        {
            self.headers.push((rule.name.clone(), headers));
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
        self.shadow.extend(said.into_iter().map(|said| Shadow { rule: rule.name.clone(), said }));
    }

    fn failed(&mut self, rule: &Rule, error: &EvaluationError) {
        self.errors.push((rule.name.clone(), error.to_string()));
        if rule.enforce {
            self.may_mask |= !rule.masks.is_empty();
            self.indeterminate.push(rule.name.clone());
        } else {
            self.shadow.push(Shadow { rule: rule.name.clone(), said: Said::Error });
        }
    }

    fn decision(mut self, anonymous: bool) -> Decision {
        self.denials.sort_by(|a, b| a.0.cmp(&b.0));
        self.holds.sort_by(|a, b| a.name.cmp(&b.name));
        self.allows.sort();
        self.indeterminate.sort();
        self.headers.sort_by(|a, b| a.0.cmp(&b.0));
        let denial = self.denials.into_iter().next();
        let (outcome, reason, rule) = if let Some((rule, terms)) = denial {
            (Outcome::Deny(terms), Reason::DeniedByRule, Some(rule))
        } else if let Some(rule) = self.indeterminate.into_iter().next() {
            (Outcome::Indeterminate, Reason::ConditionError, Some(rule))
        } else if let Some(first) = self.holds.first() {
            let rule = first.name.clone();
            (Outcome::Hold(self.holds), Reason::ApprovalPending, Some(rule))
        } else if let Some(rule) = self.allows.into_iter().next() {
            (Outcome::Allow, Reason::Allowed, Some(rule))
        } else {
            let reason = if anonymous { Reason::Unauthenticated } else { Reason::NoRuleAllows };
            (Decision::refused(reason).outcome, reason, None)
        };
        let goes_on = matches!(outcome, Outcome::Allow | Outcome::Hold(_));
        let mut headers = HeaderChanges::default();
        for (_, changes) in self.headers.into_iter().filter(|_| goes_on) {
            headers.request.extend(changes.request);
            headers.response.extend(changes.response);
        }
        self.shadow.retain(|shadow| matters(shadow.said, &outcome));
        // An indeterminate call may be let through by the operator's choice, and must be masked then.
        let may_mask = self.may_mask && !matches!(outcome, Outcome::Deny(_));
        let (shadow, errors) = (self.shadow, self.errors);
        Decision { outcome, reason, rule, may_mask, headers, shadow, errors }
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
