//! A way to an upstream without Portcullis.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Filter, Kind, Route, cluster_of};
use std::collections::BTreeSet;

pub static RULE: Rule = Rule {
    id: "filter-missing",
    severity: Severity::Error,
    title: "calls reach an upstream without asking Portcullis",
    what: "HTTP connection managers with routes to a cluster and without a filter that asks Portcullis; \
          `tcp_proxy` to a cluster that calls reach elsewhere by way of Portcullis. In Istio: policies that name the \
          provider without `action: CUSTOM`, and, as a warning, workloads that nothing makes ask, where others of \
          their kind (sidecars, gateways) do.",
    why: "Who finds that listener, or that filter chain, is not asked who they are.",
    demonstrated: "Envoy 1.40.0: an anonymous call was refused on the listener with the filter, and answered \
          with 200 and card numbers on the one without.",
    test: Some("filter_missing"),
    fix: "Put the filter into this list too, before the router. If these calls are to pass unasked, \
          say so with `--ignore filter-missing@PATH`.",
    example: "http_filters:\n  - name: envoy.filters.http.ext_authz\n    typed_config: {}   # as in the other listeners\n  - name: envoy.filters.http.router\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    // Lists of upgrades have a rule of their own.
    let silent = envoy.managers.iter().filter(|manager| manager.upgrade.is_none());
    let silent = silent.filter(|manager| manager.asking().next().is_none());
    for manager in silent.filter(|manager| envoy.spots(manager).next().is_some()) {
        let name = manager.listener.get("name").text().unwrap_or("without a name");
        let passes = format!("calls of the listener `{name}` reach an upstream without asking Portcullis");
        match manager.filters.iter().find(|filter| filter.is_meant_to_ask()) {
            Some(filter) => instead(envoy, filter, &passes, report),
            None => {
                let fix = "add the filter to this list, before the router; or name the cluster of Portcullis with `--cluster`";
                report.find(&RULE, &manager.at.get("http_filters"), passes, fix);
            }
        }
    }
    pipes(envoy, report);
}

/// A filter that could ask Portcullis, and does something else.
fn instead(envoy: &Envoy<'_>, filter: &Filter<'_>, passes: &str, report: &mut Report<'_>) {
    let portcullis = envoy.asking().find_map(|(_, filter)| cluster_of(&filter.service()));
    let right = portcullis.map_or_else(String::new, |name| format!(", as `{name}` in the other listeners"));
    let (service, http) = (filter.service(), filter.config.get("http_service"));
    let (at, why, fix) = if let Kind::Other(_) = filter.kind {
        let why = "has no `@type`, so that Envoy refuses it".to_owned();
        (filter.entry.clone(), why, "write the `@type` of ext_authz or ext_proc in `typed_config`".to_owned())
    } else if http.exists() {
        let fix = "put `grpc_service` in its place, with the cluster of Portcullis".to_owned();
        (http, "asks by HTTP, and Portcullis is asked by gRPC".to_owned(), fix)
    } else if let Some(asked) = cluster_of(&service) {
        let unknown =
            envoy.clusters_known && service.get("envoy_grpc").exists() && !envoy.clusters.contains_key(asked);
        // Said by `cluster-missing`: nothing passes, short of failing open.
        if unknown && !filter.config.get("failure_mode_allow").is_true() {
            return;
        }
        // An address may be anybody's.
        if service.get("google_grpc").exists() {
            let message =
                format!("not examined: whether `{asked}`, which `{}` asks, is Portcullis", filter.name);
            let fix = "ask the cluster that the other listeners ask, by `envoy_grpc`; or name the target with `--cluster`";
            return report.find(&super::not_checked::RULE, &service, message, fix);
        }
        let why = format!("asks `{asked}`, which isn't Portcullis");
        (service, why, format!("write the cluster of Portcullis here{right}; or name it with `--cluster`"))
    } else {
        let why = "names no service that it asks".to_owned();
        (filter.entry.clone(), why, "set `grpc_service`, with the cluster of Portcullis".to_owned())
    };
    report.find(&RULE, &at, format!("{passes}: `{}` {why}", filter.name), fix);
}

/// Connections to the upstreams that calls reach only when Portcullis lets them.
fn pipes(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let managers = envoy.managers.iter().filter(|manager| manager.asking().next().is_some());
    let spots = managers.flat_map(|manager| envoy.spots(manager)).filter_map(|spot| spot.route);
    let protected: BTreeSet<_> = spots.flat_map(Route::clusters).collect();
    for pipe in envoy.pipes.iter().filter(|pipe| !pipe.asks()) {
        for cluster in pipe.clusters() {
            let Some(upstream) = cluster.text().filter(|name| protected.contains(name)) else { continue };
            let name = pipe.listener.get("name").text().unwrap_or("without a name");
            let message = format!(
                "connections of the listener `{name}` reach `{upstream}` as bytes, without asking Portcullis"
            );
            let fix =
                "remove it, or put an HTTP connection manager with the filter in the place of `tcp_proxy`";
            report.find(&RULE, &cluster, message, fix);
        }
    }
}
