//! `policy-without-rules`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "policy-without-rules",
    severity: Severity::Error,
    title: "a CUSTOM policy matches no call",
    what: "Istio: an AuthorizationPolicy with `action: CUSTOM` and no `rules`.",
    why: "Without rules a policy never matches. Portcullis is not asked, and every call passes as if \
          the policy weren't there.",
    demonstrated: "Known from Istio's sources (pilot's authz builder); not run in a mesh.",
    test: None,
    fix: "Give the policy one empty rule, which matches every call.",
    example: "spec:\n  action: CUSTOM\n  provider: {name: portcullis}\n  rules: [{}]\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    for policy in manifests.mesh.asking() {
        let rules = policy.object.spec().get("rules");
        if rules.items().is_empty() {
            let message = format!("{} matches no call: Portcullis is never asked", policy.object.title());
            report.find(&RULE, &rules, message, "write `rules: [{}]`, which matches every call");
        }
    }
}
