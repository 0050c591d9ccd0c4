//! Routes that let the caller, or the router, undo what was decided.

use crate::diagnostic::Severity;

use super::*;

/// What is found with this setting in the action of a route.
fn found(setting: &str) -> Vec<(&'static str, Severity)> {
    let examined = examined(&edited(AUTHZ, "# action", setting), &needs(false));
    examined.findings.iter().map(|finding| (finding.rule.id, finding.severity)).collect()
}

#[test]
fn a_path_host_or_cluster_of_the_callers_choice_is_an_error() {
    for setting in [
        "path_rewrite: '%REQ(x-path)%'",
        "path_rewrite: '/v1%%%QUERY_PARAM(p)%'",
        "path_rewrite: '%REQ(x-path?:path)%'",
        "path_rewrite: '%PATH(NQ:ORIG)%'",
        "host_rewrite: '%REQ(:authority)%%REQ(x-host)%'",
        "host_rewrite: 'a.%DYNAMIC_METADATA(shop:host)%'",
        "host_rewrite_header: x-host",
        "cluster_header: x-cluster",
    ] {
        assert_eq!(found(setting), [("routed-by-caller", Severity::Error)], "{setting}");
    }
    let split = edited(AUTHZ, "# weight", "cluster_header: x-cluster");
    assert_eq!(rules(&split, &needs(false)), ["routed-by-caller"]);
}

#[test]
fn a_choice_that_policies_may_make_is_a_warning() {
    for setting in ["cluster_header: X-User", "host_rewrite: '%REQ(x-user)%'"] {
        assert_eq!(found(setting), [("routed-by-caller", Severity::Warning)], "{setting}");
    }
}

#[test]
fn rewrites_of_what_was_decided_on_are_left_alone() {
    for setting in [
        "path_rewrite: '/v2%REQ(:path)%'",
        "path_rewrite: '/100%%'",
        "host_rewrite: orders.internal",
        "host_rewrite: '%ENVIRONMENT(REGION)%.internal'",
        "host_rewrite_literal: orders.internal",
        "host_rewrite_header: ':authority'",
        "prefix_rewrite: /v2",
    ] {
        assert_eq!(found(setting), [], "{setting}");
    }
}

#[test]
fn a_header_that_policies_set_and_a_level_removes_is_a_warning() {
    for level in super::cases::LEVELS {
        let removes = |name: &str| edited(AUTHZ, level, &format!("request_headers_to_remove: [{name}]"));
        assert_eq!(rules(&removes("X-User"), &needs(false)), ["header-rewritten"], "{level}");
        assert_eq!(rules(&removes("x-other"), &needs(false)), [""; 0], "{level}");
    }
}

/// A second listener, which passes bytes on.
fn piped(more: &str, proxy: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.filters.network";
    let chain = format!(
        "{{filters: [{more}{{name: tcp, typed_config: {{\"@type\": {kind}.tcp_proxy.v3.TcpProxy, {proxy}}}}}]}}"
    );
    edited(
        AUTHZ,
        "  clusters:\n    - name: portcullis",
        &format!("    - {{name: raw, filter_chains: [{chain}]}}\n  clusters:\n    - name: portcullis"),
    )
}

#[test]
fn bytes_that_reach_a_protected_upstream_are_an_error() {
    let whole = examined(&piped("", "cluster: upstream"), &needs(false)).findings;
    let said: Vec<_> = whole.iter().map(|finding| (finding.rule.id, finding.message.as_str())).collect();
    let message = "connections of the listener `raw` reach `upstream` as bytes, without asking Portcullis";
    assert_eq!(said, [("filter-missing", message)]);
    let weighted = "weighted_clusters: {clusters: [{name: other, weight: 1}, {name: upstream, weight: 1}]}";
    assert_eq!(rules(&piped("", weighted), &needs(false)), ["filter-missing"]);
}

#[test]
fn bytes_for_other_upstreams_or_asked_about_are_left_alone() {
    assert_eq!(rules(&piped("", "cluster: database"), &needs(false)), [""; 0]);
    let asks = "{name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz}}, ";
    assert_eq!(rules(&piped(asks, "cluster: upstream"), &needs(false)), [""; 0]);
}
