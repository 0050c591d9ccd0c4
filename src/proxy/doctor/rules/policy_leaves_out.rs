//! `policy-leaves-out`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::tree::At;

pub static RULE: Rule = Rule {
    id: "policy-leaves-out",
    severity: Severity::Warning,
    title: "a CUSTOM policy's rules leave calls out",
    what: "Istio: the rules of an AuthorizationPolicy with `action: CUSTOM`: each of them asks for \
          sources, operations or conditions.",
    why: "A call that no rule matches passes unasked. Paths are compared as texts, so that another \
          spelling of a path, another host name or another method goes around Portcullis. What \
          Portcullis's own policies say of such calls has no effect.",
    demonstrated: "Known from Istio's sources (pilot's authz builder); not run in a mesh.",
    test: None,
    fix: "Let the policy match every call, and say in Portcullis's policies which calls need no \
          permission. Where calls must stay out, say it with a DENY policy for the rest.",
    example: "rules: [{}]\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    for policy in manifests.mesh.asking() {
        let rules = policy.object.spec().get("rules").items();
        let of = |rule: &At<'_>| {
            ["from", "to", "when"].into_iter().filter(|name| narrows(&rule.get(name))).collect()
        };
        let asked: Vec<Vec<&str>> = rules.iter().map(of).collect();
        let (Some(rule), Some(first)) = (rules.first(), asked.first()) else { continue };
        if asked.iter().all(|asked| !asked.is_empty()) {
            let message = format!(
                "{} leaves calls out (by `{}`): those pass unasked",
                policy.object.title(),
                first.join("`, `")
            );
            report.find(
                &RULE,
                rule,
                message,
                "write `rules: [{}]`, and leave calls free in Portcullis's policies",
            );
        }
    }
}

/// Whether a part of a rule names anything: `to: [{operation: {}}]` is every operation.
fn narrows(at: &At<'_>) -> bool {
    let items = at.items();
    items.iter().any(|item| item.text().is_some() || narrows(item))
        || at.fields().iter().any(|(_, field)| narrows(field))
}
