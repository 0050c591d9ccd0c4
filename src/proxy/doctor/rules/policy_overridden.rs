//! `policy-overridden`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::kubernetes::gateway::{Gateways, Policy, Target};

pub static RULE: Rule = Rule {
    id: "policy-overridden",
    severity: Severity::Error,
    title: "another policy takes Portcullis off a route",
    what: "Envoy Gateway: a SecurityPolicy (or EnvoyExtensionPolicy) of a route or a listener without \
          Portcullis, below one of the gateway that asks it.",
    why: "The more specific policy replaces the gateway's as a whole. A route whose own policy only \
          sets CORS is no longer authorized.",
    demonstrated: "Known from Envoy Gateway's documentation and sources; not run in a cluster.",
    test: None,
    fix: "Repeat `extAuth` or `extProc` in the route's policy, or set its `mergeType`.",
    example: "spec:\n  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]\n  mergeType: StrategicMerge\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let gateways = &manifests.gateways;
    let merges = |policy: &&Policy<'_>| policy.object.spec().get("merge_type").exists();
    for policy in gateways.policies.iter().filter(|policy| policy.asks.is_empty() && !merges(policy)) {
        for target in &policy.targets {
            if let Some(above) = above(gateways, policy, target) {
                let message = format!(
                    "{} replaces {} for {}: Portcullis is not asked there",
                    policy.object.title(),
                    above.object.title(),
                    target.title()
                );
                let fix = "repeat its `extAuth` or `extProc` here, or set `mergeType: StrategicMerge`";
                report.find(&RULE, &policy.object.spec(), message, fix);
            }
        }
    }
}

/// The policy of the gateway, of the same kind and asking Portcullis, that this one replaces for a target.
fn above<'g, 'a>(
    gateways: &'g Gateways<'a>,
    policy: &Policy<'a>,
    target: &Target<'a>,
) -> Option<&'g Policy<'a>> {
    let whole = target.kind == "Gateway" && target.section.is_none();
    let known = gateways.gateways_of(target);
    let is_above = |other: &Target<'a>| {
        // A route that is not shown may hang on any gateway of its namespace.
        let near = known.is_empty() && other.kind == "Gateway" && other.namespace == target.namespace;
        other.section.is_none() && (near || known.contains(other))
    };
    gateways.policies.iter().filter(|_| !whole).find(|other| {
        other.object.kind == policy.object.kind
            && !other.asks.is_empty()
            && other.targets.iter().any(is_above)
    })
}
