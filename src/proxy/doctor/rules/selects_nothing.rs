//! `selects-nothing`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::kubernetes::Object;

pub static RULE: Rule = Rule {
    id: "selects-nothing",
    severity: Severity::Error,
    title: "a policy is about nothing that is shown",
    what: "Istio: the namespace and the selector, or `targetRefs`, of a CUSTOM AuthorizationPolicy, and of an \
          EnvoyFilter that inserts or changes ext_authz or ext_proc. \
          Envoy Gateway: `targetRefs` of a SecurityPolicy or an EnvoyExtensionPolicy, \
          and the listeners that an EnvoyPatchPolicy names. Only where \
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
            None => mesh.shows_workloads(),
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
            None => mesh.shows_workloads(),
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
    gateways.patches.iter().for_each(|patch| listeners(patch, &gateways.gateways, report));
}

/// Finds the patches of listeners, `NAMESPACE/GATEWAY/LISTENER`, that a gateway that is shown doesn't have.
fn listeners(policy: &Object<'_>, gateways: &[Object<'_>], report: &mut Report<'_>) {
    for patch in policy.spec().get("json_patches").items() {
        let name = patch.get("name");
        let parts: Vec<_> = name.text().unwrap_or_default().split('/').collect();
        let [namespace, gateway, listener] = parts.as_slice() else { continue };
        let is_named = |object: &&Object<'_>| object.namespace == *namespace && object.name == *gateway;
        let Some(shown) = gateways.iter().find(is_named) else { continue };
        let listed = shown.spec().get("listeners").items();
        let names: Vec<_> = listed.iter().filter_map(|listed| listed.get("name").text()).collect();
        if !names.contains(listener) {
            let message = format!(
                "{} patches the listener `{listener}`, and {} has none of that name: the patch does nothing",
                policy.title(),
                shown.title()
            );
            let fix = format!("name one of its listeners: `{}`", names.join("`, `"));
            report.find(&RULE, &name, message, fix);
        }
    }
}
