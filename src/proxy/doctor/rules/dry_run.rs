//! `dry-run`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "dry-run",
    severity: Severity::Error,
    title: "a CUSTOM policy is on trial only",
    what: "Istio: the annotation `istio.io/dry-run` of an AuthorizationPolicy with `action: CUSTOM`.",
    why: "A policy on trial is not enforced, and Istio doesn't even ask the provider for its sake: \
          calls pass, and Portcullis sees none of them.",
    demonstrated: "Known from Istio's sources (pilot's authz builder); not run in a mesh.",
    test: None,
    fix: "Remove the annotation. Portcullis has trials of its own: `enforce: false` for a policy or a \
          rule, and a candidate in shadow.",
    example: "metadata: {name: portcullis, namespace: shop}\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    for policy in manifests.mesh.asking() {
        let trial = policy.object.at.at(&["metadata", "annotations", "istio.io/dry-run"]);
        // What Go's ParseBool takes for true.
        if trial.is_true() || matches!(trial.text(), Some("1" | "t" | "T" | "TRUE" | "True")) {
            let message = format!("{} is on trial: Portcullis is never asked", policy.object.title());
            report.find(&RULE, &trial, message, "remove `istio.io/dry-run`");
        }
    }
}
