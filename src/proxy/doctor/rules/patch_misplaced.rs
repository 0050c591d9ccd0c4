//! `patch-misplaced`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::kubernetes::istio::{Class, Context, Mesh, Patch};

pub static RULE: Rule = Rule {
    id: "patch-misplaced",
    severity: Severity::Error,
    title: "an EnvoyFilter puts Portcullis where it sees the wrong calls, or none",
    what: "Istio: EnvoyFilters that insert an ext_proc or ext_authz filter: `match.context`, the \
          operation, and the filter beside which it goes; against the workloads that are shown, which are gateways or have \
          sidecars.",
    why: "Behind the router a filter is never reached, and Envoy refuses the listener. Without a \
          context, or with `SIDECAR_OUTBOUND`, it sits in the caller's own proxy, which the caller may \
          go around, and calls are decided twice. Beside a filter that isn't there it is not inserted \
          at all. A patch for gateways does nothing in a sidecar, nor one for sidecars in a gateway: no call is asked about.",
    demonstrated: "Known from Istio's documentation and sources (EnvoyFilter patches of listeners); not run in \
          a mesh.",
    test: None,
    fix: "Insert it before `envoy.filters.http.router`, in the context `SIDECAR_INBOUND` of a workload \
          or `GATEWAY` of a gateway.",
    example: "match:\n  context: SIDECAR_INBOUND\n  listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}\npatch: {operation: INSERT_BEFORE}\n",
    envoy: None,
};

const ROUTER: &str = "envoy.filters.http.router";

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    for patch in manifests.mesh.patches.iter().filter(|patch| patch.adds_service()) {
        let context = patch.at.at(&["match", "context"]);
        let wrong = match patch.context {
            Context::Any => Some("in every direction, also in the proxies of callers"),
            Context::SidecarOutbound => Some("in the proxies of callers, which they can go around"),
            Context::SidecarInbound | Context::Gateway => nowhere(&manifests.mesh, patch),
        };
        if let Some(wrong) = wrong {
            let message = format!("{} puts Portcullis {wrong}", patch.object.title());
            report.find(
                &RULE,
                &context,
                message,
                "set `context: SIDECAR_INBOUND` for workloads with sidecars, or `GATEWAY` for a gateway",
            );
        }
        if let Some(wrong) = misplaced(patch) {
            let message = format!("{} {wrong}", patch.object.title());
            let fix = "use `operation: INSERT_BEFORE` with the sub-filter `envoy.filters.http.router`";
            report.find(&RULE, &patch.at.at(&["patch", "operation"]), message, fix);
        }
    }
}

/// What is wrong with a context that none of the selected proxies has.
fn nowhere<'a>(mesh: &Mesh<'a>, patch: &Patch<'a>) -> Option<&'static str> {
    let classes = mesh.classes(&patch.target);
    match patch.context {
        Context::Gateway if !classes.contains(&Class::Gateway) => {
            Some("into gateways, and what it selects are workloads with sidecars: it does nothing")
        }
        Context::SidecarInbound if !classes.contains(&Class::Sidecar) => {
            Some("into sidecars, and what it selects are gateways: it does nothing")
        }
        _ => None,
    }
}

/// Where the filter goes, if it is a place where it doesn't work.
fn misplaced(patch: &Patch<'_>) -> Option<&'static str> {
    match (patch.operation, patch.sub_filter()) {
        ("INSERT_AFTER", Some(ROUTER) | None) => {
            Some("puts Portcullis behind the router, where no call comes: Envoy refuses the listener")
        }
        _ => None,
    }
}
