//! `unknown-provider`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "unknown-provider",
    severity: Severity::Error,
    title: "a CUSTOM policy names a provider that the mesh doesn't have",
    what: "Istio: `provider.name` of an AuthorizationPolicy with `action: CUSTOM`, against \
          `extensionProviders` of the mesh configurations that are shown.",
    why: "Istio then denies every call to the workload with 403, and no log of Portcullis tells why.",
    demonstrated: "Known from Istio's sources (pilot's authz builder); not run in a mesh.",
    test: None,
    fix: "Use the name of an entry of `extensionProviders` with `envoyExtAuthzGrpc`.",
    example: "extensionProviders:\n  - name: portcullis\n    envoyExtAuthzGrpc: {service: portcullis.security.svc.cluster.local, port: 9191}\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let mesh = &manifests.mesh;
    if mesh.configs.is_empty() {
        return;
    }
    for policy in mesh.policies.iter().filter(|policy| !mesh.has_provider(policy.provider)) {
        let names: Vec<_> = mesh.providers.iter().map(|provider| provider.name).collect();
        let message = format!(
            "{} names the provider `{}`, and the mesh has none of that name",
            policy.object.title(),
            policy.provider
        );
        let fix = match names.as_slice() {
            [] => "add it to `extensionProviders` of the mesh configuration".to_owned(),
            names => format!("name one of `{}`, or add it to `extensionProviders`", names.join("`, `")),
        };
        report.find(&RULE, &policy.object.spec().at(&["provider", "name"]), message, fix);
    }
}
