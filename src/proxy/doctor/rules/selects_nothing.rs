//! `selects-nothing`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "selects-nothing",
    severity: Severity::Error,
    title: "a policy is about nothing that is shown",
    what: "Istio: the namespace and the selector, or `targetRefs`, of a CUSTOM AuthorizationPolicy, and of an \
          EnvoyFilter that inserts or changes ext_authz or ext_proc. \
          Envoy Gateway: `targetRefs` of a SecurityPolicy or an EnvoyExtensionPolicy. Only where \
          workloads, gateways or routes are among the manifests.",
    why: "A selector with a misspelt label, or a policy in another namespace than the workload, \
          protects nothing, and nothing complains.",
    demonstrated: "Known from the documentation of both; not run in a cluster.",
    test: None,
    fix: "Put the policy into the namespace of what it protects, with labels that its pods have, or \
          the name of its gateway or route.",
    example: "spec:\n  selector: {matchLabels: {app: orders}}\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let mesh = &manifests.mesh;
    for policy in mesh.asking() {
        let shown = match policy.target.gateway {
            Some(_) => !mesh.gateways.is_empty(),
            None => !mesh.workloads.is_empty(),
        };
        if shown && !mesh.selects_any(&policy.target) {
            let spec = policy.object.spec();
            let reference = ["selector", "target_refs", "target_ref"].map(|name| spec.get(name));
            let at = reference.iter().find(|at| at.exists()).unwrap_or(&spec);
            let message = format!("{} selects none of the workloads that are shown", policy.object.title());
            let fix = "give it the namespace and labels of the pods that it should protect";
            report.find(&RULE, at, message, fix);
        }
    }
    for patch in mesh.patches.iter().filter(|patch| patch.is_about_service()) {
        let shown = match patch.target.gateway {
            Some(_) => !mesh.gateways.is_empty(),
            None => !mesh.workloads.is_empty(),
        };
        if shown && !mesh.selects_any(&patch.target) {
            let message = format!("{} selects none of the workloads that are shown", patch.object.title());
            let fix = "give it the namespace and labels of the pods that it should protect";
            report.find(&RULE, &patch.object.spec().get("workload_selector"), message, fix);
        }
    }
    let gateways = &manifests.gateways;
    for policy in gateways.policies.iter().filter(|policy| !policy.asks.is_empty()) {
        for target in &policy.targets {
            if gateways.shows(target.kind) && gateways.find(target).is_none() {
                let message = format!(
                    "{} is attached to {}, and no such one is shown in its namespace",
                    policy.object.title(),
                    target.title()
                );
                let fix = format!("name a {} of namespace `{}`", target.kind, target.namespace);
                report.find(&RULE, &policy.object.spec().get("target_refs"), message, fix);
            }
        }
    }
}
