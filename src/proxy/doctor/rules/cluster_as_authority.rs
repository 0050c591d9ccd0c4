//! `cluster-as-authority`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};

pub static RULE: Rule = Rule {
    id: "cluster-as-authority",
    severity: Severity::Error,
    title: "every call is refused, as Istio's name of a cluster is no host",
    what: "Istio: EnvoyFilters that insert an ext_proc or ext_authz filter whose `envoy_grpc` has a `cluster_name` with `|` \
           and no `authority`.",
    why: "Envoy sends the cluster's name as `:authority`. `|` may not stand there: the server refuses the stream, and \
          every call fails.",
    demonstrated: "A real Envoy with `outbound|9191||portcullis.security.svc.cluster.local` and no authority answered \
                   every call with 503; with an authority it did not (tests/e2e/kubernetes.rs).",
    test: None,
    fix: "Name the host of Portcullis's Service as `authority`.",
    example: "envoy_grpc:\n  cluster_name: outbound|9191||portcullis.security.svc.cluster.local\n  authority: \
              portcullis.security.svc.cluster.local\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    for patch in manifests.mesh.patches.iter().filter(|patch| patch.adds_service()) {
        let (_, config) = patch.value.get("typed_config").typed();
        let service = config.at(&["grpc_service", "envoy_grpc"]);
        let cluster = service.get("cluster_name");
        let name = cluster.text().unwrap_or_default();
        if name.contains('|') && service.get("authority").text().is_none_or(str::is_empty) {
            let host = name.rsplit('|').next().unwrap_or_default();
            let message = format!("`{name}` is sent as the authority, which no server accepts");
            report.find(&RULE, &cluster, message, format!("add `authority: {host}`"));
        }
    }
}
