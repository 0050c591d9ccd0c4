//! A handover of which one filter knows nothing.

use crate::diagnostic::Severity;
use crate::proxy::doctor::handover::{self, Missing};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Filter, Spot};

pub static RULE: Rule = Rule {
    id: "half-handover",
    severity: Severity::Error,
    title: "one filter hands over, and the other knows nothing of it",
    what: "Routes on which ext_authz hands calls over to an ext_proc that does not expect it, or is not shown its word; and those on \
          which ext_proc expects the word of an ext_authz that does not give it, or is not there.",
    why: "An ext_proc that expects nothing decides each call a second time: an approval that is good for one call is used up by \
          ext_authz, and the call refused as `already_used`. An ext_proc that expects a word and sees none denies every call, with \
          `handover_missing`.",
    demonstrated: "Envoy 1.40.0: behind an ext_authz that hands over, an ext_proc without its mark refused an approved refund as \
          `already_used`. With the mark and no ext_authz, it denied a public call as `handover_missing`; without it the call passed.",
    test: Some("half_handover"),
    fix: "Set all three pieces, as `portcullis envoy config --service both` writes them: `gives` at ext_authz, `expects` at ext_proc, and \
          `envoy.filters.http.ext_authz` among the namespaces that ext_proc is shown. Or none of them, with one of the two filters alone.",
    example: "- name: envoy.filters.http.ext_proc\n  typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor\n    grpc_service:\n      envoy_grpc: {cluster_name: portcullis}\n      initial_metadata: [{key: x-portcullis-handover, value: expects}]\n    metadata_options: {forwarding_namespaces: {untyped: [envoy.filters.http.ext_authz]}}\n",
    envoy: Some(envoy),
};

const FIX: &str = "set `gives` at ext_authz, `expects` and the namespace at ext_proc, as `portcullis envoy config --service both` \
                   writes it; or none of them";

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in &envoy.managers {
        for spot in envoy.spots(manager) {
            let mut filters = manager.asking().filter(|filter| spot.asks(filter));
            let Some(first) = filters.next() else { continue };
            match filters.next() {
                Some(second) => pair(&spot, first, second, report),
                None => alone(&spot, first, report),
            }
        }
    }
}

fn pair(spot: &Spot<'_, '_>, first: &Filter<'_>, second: &Filter<'_>, report: &mut Report<'_>) {
    let server = &report.needs.server;
    let Err(Missing::Piece(what)) = handover::is_complete(spot, first, second, server) else { return };
    let speaks = if handover::is_given(spot, first, server) && !handover::is_expected(spot, second, server) {
        first
    } else {
        second
    };
    let message = format!("`{}` hands over half: {what}", first.name);
    report.find(&RULE, &mark(spot, speaks), message, FIX);
}

fn alone(spot: &Spot<'_, '_>, filter: &Filter<'_>, report: &mut Report<'_>) {
    // Each manifest is drawn up by itself: its ext_authz may be another one's.
    if !report.is_of_manifests() && handover::is_expected(spot, filter, &report.needs.server) {
        let message = format!(
            "`{}` expects what ext_authz decided, and no ext_authz asks before it: {} denied",
            filter.name,
            spot.calls_are()
        );
        report.find(&RULE, &mark(spot, filter), message, FIX);
    }
}

/// Where the filter's mark stands, or is missing.
fn mark<'a>(spot: &Spot<'a, '_>, filter: &Filter<'a>) -> At<'a> {
    spot.service(filter).get("initial_metadata")
}
