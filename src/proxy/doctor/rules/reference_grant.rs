//! `reference-grant`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::kubernetes::Object;
use crate::proxy::kubernetes::gateway::GROUP;
use crate::proxy::tree::At;

pub static RULE: Rule = Rule {
    id: "reference-grant",
    severity: Severity::Error,
    title: "Portcullis lies in another namespace, and nothing grants the reference",
    what: "Envoy Gateway: `backendRefs` of `extAuth` and `extProc` into another namespace, against the \
          ReferenceGrants that are shown.",
    why: "Envoy Gateway doesn't follow a reference across namespaces that is not granted. It answers \
          every call of the route with 500.",
    demonstrated: "Known from Envoy Gateway's documentation and sources; not run in a cluster.",
    test: None,
    fix: "Put a ReferenceGrant into Portcullis's namespace.",
    example: "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: portcullis, namespace: security}\nspec:\n  from: [{group: gateway.envoyproxy.io, kind: SecurityPolicy, namespace: shop}]\n  to: [{group: \"\", kind: Service, name: portcullis}]\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let gateways = &manifests.gateways;
    for policy in &gateways.policies {
        for backend in policy.asks.iter().flat_map(|ask| &ask.backends) {
            let namespace = backend.get("namespace").text().unwrap_or(policy.object.namespace);
            let granted =
                || gateways.grants.iter().any(|grant| grants(grant, &policy.object, namespace, backend));
            if namespace != policy.object.namespace && !granted() {
                let message = format!(
                    "{} refers to namespace `{namespace}`, and no ReferenceGrant there lets it",
                    policy.object.title()
                );
                let fix = format!(
                    "add a ReferenceGrant to namespace `{namespace}`, from {} of namespace `{}`",
                    policy.object.kind, policy.object.namespace
                );
                report.find(&RULE, &backend.get("namespace"), message, fix);
            }
        }
    }
}

fn grants(grant: &Object<'_>, policy: &Object<'_>, namespace: &str, backend: &At<'_>) -> bool {
    let spec = grant.spec();
    let from = spec.get("from").items().iter().any(|from| {
        from.get("group").text() == Some(GROUP)
            && from.get("kind").text() == Some(policy.kind)
            && from.get("namespace").text() == Some(policy.namespace)
    });
    let kind = backend.get("kind").text().unwrap_or("Service");
    let to = spec.get("to").items().iter().any(|to| {
        to.get("kind").text() == Some(kind)
            && to.get("name").text().is_none_or(|name| Some(name) == backend.get("name").text())
    });
    grant.namespace == namespace && from && to
}
