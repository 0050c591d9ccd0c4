//! How a candidate's decision differs from that of the active policies, as the caller and the approvers would see it.
//!
//! Which rule decided is no difference; what becomes of the call is.

use std::sync::Arc;

use super::PolicySet;
use super::call_file::CallFile;
use super::decision::{Call, Decision, HoldRule, Outcome};
use crate::disagreement::Disagreement;
use crate::effect::DenyTerms;
use crate::mask;
use crate::reason::Reason;

/// What becomes of a call. `masks` says whether the listener can mask: without, a call whose response must be masked
/// is denied.
fn becomes(decision: &Decision, masks: bool) -> Becomes<'_> {
    match &decision.outcome {
        Outcome::Allow | Outcome::Hold(_) if decision.may_mask && !masks => Becomes::Deny(MASK_UNAVAILABLE),
        Outcome::Allow => Becomes::Allow,
        Outcome::Hold(rules) => Becomes::Hold(rules),
        Outcome::Deny(terms) => Becomes::Deny((decision.reason, Some(terms))),
        Outcome::Indeterminate => Becomes::Indeterminate,
    }
}

type Denied<'d> = (Reason, Option<&'d DenyTerms>);

const MASK_UNAVAILABLE: Denied<'static> = (Reason::MaskUnavailable, None);

enum Becomes<'d> {
    Allow,
    Hold(&'d [Arc<HoldRule>]),
    Deny(Denied<'d>),
    Indeterminate,
}

/// How `candidate` differs from `active` on one call, before its response is known. Masks count where only one of
/// them may mask; where both may, [`masks`] compares them once the response's head is there.
pub fn decisions(active: &Decision, candidate: &Decision, masks: bool) -> Vec<Disagreement> {
    let (before, after) = (becomes(active, masks), becomes(candidate, masks));
    let outcome = match (&before, &after) {
        (Becomes::Allow, Becomes::Allow) | (Becomes::Indeterminate, Becomes::Indeterminate) => None,
        (Becomes::Hold(active), Becomes::Hold(candidate)) => {
            (!same_terms(active, candidate)).then_some(Disagreement::HoldTerms)
        }
        (Becomes::Deny(active), Becomes::Deny(candidate)) => {
            (active != candidate).then_some(Disagreement::DenyTerms)
        }
        (Becomes::Hold(_), Becomes::Allow) => Some(Disagreement::NoLongerHeld),
        (_, Becomes::Allow) => Some(Disagreement::NewlyAllowed),
        (_, Becomes::Hold(_)) => Some(Disagreement::NewlyHeld),
        (Becomes::Indeterminate, Becomes::Deny(_)) => Some(Disagreement::NoLongerIndeterminate),
        (_, Becomes::Deny(_)) => Some(Disagreement::NewlyDenied),
        (_, Becomes::Indeterminate) => Some(Disagreement::NewlyIndeterminate),
    };
    let mut found = Vec::from_iter(outcome);
    let goes_on = |becomes: &Becomes<'_>| matches!(becomes, Becomes::Allow | Becomes::Hold(_));
    if goes_on(&before) && goes_on(&after) {
        found.extend((active.headers() != candidate.headers()).then_some(Disagreement::Headers));
        match (active.may_mask, candidate.may_mask) {
            (false, true) => found.push(Disagreement::NewlyMasked),
            (true, false) => found.push(Disagreement::NewlyUnmasked),
            (true, true) | (false, false) => {}
        }
    }
    found
}

/// What two sets say about one call, and how that differs.
#[derive(Clone, Debug)]
pub struct Replayed {
    pub active: Decision,
    pub candidate: Decision,
    pub kinds: Vec<Disagreement>,
}

/// Asks both sets about a call, as on a listener that can mask. Its response, where it has one, is compared too.
pub fn replay(active: &PolicySet, candidate: &PolicySet, file: &CallFile) -> Replayed {
    let before = Call { request: &file.request, identity: &file.identity, response: None };
    let asked = |set: &PolicySet| {
        let routes = set.candidates(&file.request, file.gateway);
        let decision = match file.request.defect {
            Some(defect) => Decision::refused(defect),
            None => set.decide(&routes, &before),
        };
        let head = file.response.as_ref().map(|response| &response.head);
        let after = Call { response: head, ..before };
        let masks = head.filter(|_| decision.may_mask).map(|_| set.response_masks(&routes, &after).ok());
        (decision, masks)
    };
    let ((active, before), (candidate, after)) = (asked(active), asked(candidate));
    let mut kinds = decisions(&active, &candidate, true);
    if let (Some(before), Some(after)) = (before, after) {
        kinds.extend(masks(before.as_deref(), after.as_deref()));
    }
    Replayed { active, candidate, kinds }
}

/// Whether the same people must approve on the same terms; rules may have other names.
fn same_terms(active: &[Arc<HoldRule>], candidate: &[Arc<HoldRule>]) -> bool {
    let has = |rules: &[Arc<HoldRule>], wanted: &HoldRule| {
        rules.iter().any(|rule| rule.terms == wanted.terms && rule.because == wanted.because)
    };
    active.iter().all(|rule| has(candidate, rule)) && candidate.iter().all(|rule| has(active, rule))
}

/// How the masks of one response differ. `None`: the response is blocked.
pub fn masks(active: Option<&[Arc<mask::Rule>]>, candidate: Option<&[Arc<mask::Rule>]>) -> Vec<Disagreement> {
    let (active, candidate) = match (active, candidate) {
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec![Disagreement::NewlyBlocked],
        (None, Some(_)) => return vec![Disagreement::NoLongerBlocked],
        (Some(active), Some(candidate)) => (active, candidate),
    };
    let lacks = |rules: &[Arc<mask::Rule>], others: &[Arc<mask::Rule>]| {
        others.iter().any(|rule| !rules.contains(rule))
    };
    let mut found = Vec::new();
    found.extend(lacks(active, candidate).then_some(Disagreement::NewlyMasked));
    found.extend(lacks(candidate, active).then_some(Disagreement::NewlyUnmasked));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::HeaderChanges;
    use crate::effect::{Approvers, HeaderChange, HoldTerms};
    use crate::policy::HeadersRead;
    use crate::policy::decision::Rare;

    fn decision(outcome: Outcome, reason: Reason) -> Decision {
        Decision { outcome, ..Decision::refused(reason) }
    }

    fn hold(name: &str, group: &str) -> Decision {
        let rule = HoldRule {
            name: name.into(),
            terms: HoldTerms::of(vec![Approvers { groups: vec![group.into()], people: vec![], count: 1 }]),
            content: [0; 32],
            headers_read: HeadersRead::All,
            because: String::new(),
        };
        decision(Outcome::Hold(vec![Arc::new(rule)]), Reason::ApprovalPending)
    }

    fn kinds(active: &Decision, candidate: &Decision) -> Vec<&'static str> {
        decisions(active, candidate, true).into_iter().map(Disagreement::as_str).collect()
    }

    #[test]
    fn every_pair_of_outcomes_has_its_kind() {
        let all = [
            decision(Outcome::Allow, Reason::Allowed),
            Decision::refused(Reason::NoRuleAllows),
            hold("p/h", "ops"),
            decision(Outcome::Indeterminate, Reason::ConditionError),
        ];
        let expected = [
            ["", "newly_denied", "newly_held", "newly_indeterminate"],
            ["newly_allowed", "", "newly_held", "newly_indeterminate"],
            ["no_longer_held", "newly_denied", "", "newly_indeterminate"],
            ["newly_allowed", "no_longer_indeterminate", "newly_held", ""],
        ];
        for (active, row) in all.iter().zip(expected) {
            for (candidate, kind) in all.iter().zip(row) {
                let wanted: Vec<&str> = [kind].into_iter().filter(|kind| !kind.is_empty()).collect();
                assert_eq!(kinds(active, candidate), wanted, "{active:?} {candidate:?}");
            }
        }
    }

    #[test]
    fn the_same_outcome_can_differ_in_its_terms() {
        assert!(kinds(&hold("p/a", "ops"), &hold("q/b", "ops")).is_empty(), "names are no difference");
        assert_eq!(kinds(&hold("p/a", "ops"), &hold("p/a", "finance")), ["hold_terms"]);
        let told = |status, because: &str| {
            let terms = DenyTerms { status, because: (!because.is_empty()).then(|| because.into()) };
            decision(Outcome::Deny(terms), Reason::DeniedByRule)
        };
        assert!(kinds(&told(403, "no"), &told(403, "no")).is_empty());
        assert_eq!(kinds(&told(403, "no"), &told(404, "no")), ["deny_terms"]);
        assert_eq!(kinds(&told(403, "no"), &told(403, "never")), ["deny_terms"]);
        assert_eq!(kinds(&told(403, ""), &Decision::refused(Reason::NoRuleAllows)), ["deny_terms"]);
    }

    #[test]
    fn obligations_count_on_calls_that_go_on() {
        let plain = decision(Outcome::Allow, Reason::Allowed);
        let mut other = plain.clone();
        let request = vec![HeaderChange::Remove { name: "x-a".into() }];
        let headers = HeaderChanges { request, response: Vec::new() };
        other.rare = Rare { headers, ..Rare::default() }.boxed();
        other.may_mask = true;
        assert_eq!(kinds(&plain, &other), ["headers", "newly_masked"]);
        assert_eq!(kinds(&other, &plain), ["headers", "newly_unmasked"]);
        let denied = Decision { may_mask: true, ..Decision::refused(Reason::NoRuleAllows) };
        assert_eq!(kinds(&denied, &other), ["newly_allowed"]);
    }

    #[test]
    fn a_mask_on_a_listener_that_can_not_mask_is_a_denial() {
        let plain = decision(Outcome::Allow, Reason::Allowed);
        let masked = Decision { may_mask: true, ..plain.clone() };
        let on_ext_authz = |active, candidate| {
            decisions(active, candidate, false).into_iter().map(Disagreement::as_str).collect::<Vec<_>>()
        };
        assert_eq!(on_ext_authz(&plain, &masked), ["newly_denied"]);
        assert_eq!(on_ext_authz(&masked, &plain), ["newly_allowed"]);
        assert!(on_ext_authz(&masked, &masked).is_empty());
    }

    #[test]
    fn masks_are_compared_rule_by_rule() {
        let rule = |field: &str| {
            let field = mask::FieldPath::parse(field).unwrap();
            Arc::new(mask::Rule::new(field, mask::Method::Hash))
        };
        let kinds = |active, candidate| {
            masks(active, candidate).into_iter().map(Disagreement::as_str).collect::<Vec<_>>()
        };
        let (one, both, other) = (vec![rule("a")], vec![rule("b"), rule("a")], vec![rule("b")]);
        assert!(kinds(Some(&one), Some(&one)).is_empty());
        assert_eq!(kinds(Some(&one), Some(&both)), ["newly_masked"]);
        assert_eq!(kinds(Some(&both), Some(&one)), ["newly_unmasked"]);
        assert_eq!(kinds(Some(&one), Some(&other)), ["newly_masked", "newly_unmasked"]);
        assert_eq!(kinds(Some(&one), None), ["newly_blocked"]);
        assert_eq!(kinds(None, Some(&one)), ["no_longer_blocked"]);
        assert!(kinds(None, None).is_empty());
    }
}
