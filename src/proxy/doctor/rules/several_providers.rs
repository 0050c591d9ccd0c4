//! `several-providers`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "several-providers",
    severity: Severity::Error,
    title: "CUSTOM policies name different providers for one workload",
    what: "Istio: pairs of AuthorizationPolicies with `action: CUSTOM`, of which one asks Portcullis and the other another \
          provider, and that select the same workloads. Where workloads are shown, only those count.",
    why: "Istio takes one provider for a workload. With two it builds neither: it denies the calls that the rules match \
          with 403, and no log of Portcullis tells why.",
    demonstrated: "Known from Istio's sources (pilot's authz builder: \"only 1 provider can be used per workload\") and \
                   its issue 55142; not run in a mesh. Istio 1.29 has `PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS`, \
                   off by default, which lifts this for sidecars and gateways.",
    test: None,
    fix: "Let one provider decide for a workload. Where istiod has \
          `PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: \"true\"`, ignore it.",
    example: "spec:\n  selector: {matchLabels: {app: orders}}\n  action: CUSTOM\n  provider: {name: portcullis}   # the same in all policies of these pods\n  rules: [{}]\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let mesh = &manifests.mesh;
    let asks = |name: &str| mesh.asking().any(|policy| policy.provider == name);
    for (place, policy) in mesh.policies.iter().enumerate() {
        let differs = mesh.policies.iter().take(place).find(|other| {
            other.provider != policy.provider
                && (asks(other.provider) || asks(policy.provider))
                && mesh.meet(&policy.target, &other.target)
        });
        if let Some(other) = differs {
            let message = format!(
                "{} names the provider `{}`, and {} names `{}` for the same workloads: Istio denies their calls",
                policy.object.title(),
                policy.provider,
                other.object.title(),
                other.provider
            );
            let fix = "let one provider decide for a workload";
            report.find(&RULE, &policy.object.spec().at(&["provider", "name"]), message, fix);
        }
    }
}
