//! `http-provider`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "http-provider",
    severity: Severity::Error,
    title: "Istio asks Portcullis by HTTP, which it doesn't speak",
    what: "Istio: entries of `extensionProviders` with `envoyExtAuthzHttp` whose name or service has `portcullis` in it.",
    why: "Portcullis is asked by gRPC. Asked by HTTP it answers nothing that Envoy takes for a permission: every call fails; \
          with `failOpen` every call passes.",
    demonstrated: "Known from Istio's sources (pilot's authz builder) and Envoy's ext_authz; not run in a mesh.",
    test: None,
    fix: "Write `envoyExtAuthzGrpc`, with the port of `listen.grpc`.",
    example: "extensionProviders:\n  - name: portcullis\n    envoyExtAuthzGrpc: {service: portcullis.security.svc.cluster.local, port: 9191}\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    for provider in &manifests.mesh.http_providers {
        let message =
            format!("the provider `{}` asks by HTTP, and Portcullis is asked by gRPC", provider.name);
        report.find(&RULE, &provider.at, message, "write `envoyExtAuthzGrpc` in its place");
    }
}
