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

#[test]
fn a_plugin_that_chooses_the_cluster_is_not_checked() {
    for setting in
        ["cluster_specifier_plugin: lua", "inline_cluster_specifier_plugin: {extension: {name: lua}}"]
    {
        assert_eq!(found(setting), [("not-checked", Severity::Warning)], "{setting}");
    }
}

#[test]
fn an_upstream_of_the_callers_choice_in_the_filter_state_is_an_error() {
    let item = |key: &str, format: &str| format!("[{{object_key: {key}, format_string: {{{format}}}}}]");
    let http = |list: &str| {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config";
        let filter =
            format!("- {{name: s, typed_config: {{\"@type\": {kind}, on_request_headers: {list}}}}}");
        let setting =
            format!("typed_per_filter_config: {{s: {{\"@type\": {kind}, on_request_headers: {list}}}}}");
        let of_route = rules(&edited(AUTHZ, "# route", &setting), &needs(false));
        let of_filter = rules(&edited(AUTHZ, "# before", &filter), &needs(false));
        assert_eq!(of_route, of_filter, "{list}");
        of_filter
    };
    let inline = |text: &str| format!("text_format_source: {{inline_string: '{text}'}}");
    let host = "envoy.upstream.dynamic_host";
    assert_eq!(http(&item(host, &inline("%REQ(x-host)%"))), ["routed-by-caller"]);
    assert_eq!(http(&item("envoy.upstream.dynamic_port", &inline("%REQ(x-port)%"))), ["routed-by-caller"]);
    assert_eq!(http(&item(host, "text_format_source: {filename: f}")), ["not-checked"]);
    assert_eq!(http(&item(host, &inline("%REQ(:authority)%"))), [""; 0], "it was decided on");
    assert_eq!(http(&item("shop.tenant", &inline("%REQ(x-tenant)%"))), [""; 0], "it chooses nothing");
    let network = format!(
        "- {{name: s, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, \
         on_new_connection: {}}}}}\n            - name: manager",
        item(host, &inline("%REQUESTED_SERVER_NAME%"))
    );
    assert_eq!(rules(&edited(AUTHZ, "- name: manager", &network), &needs(false)), ["routed-by-caller"]);
}

#[test]
fn policies_of_custom_responses_are_read_wherever_they_stand() {
    let filter = |policy: &str| {
        format!(
            "- {{name: c, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.custom_response.v3.CustomResponse, \
             custom_response_matcher: {{matcher_list: {{matchers: [{{on_match: {{action: {{name: a, typed_config: {policy}}}}}}}]}}}}}}}}"
        )
    };
    let policy = |name: &str, more: &str| {
        format!(
            "{{\"@type\": type.googleapis.com/envoy.extensions.http.custom_response.x.v3.{name}, {more}}}"
        )
    };
    let (local, redirect) = ("LocalResponsePolicy", "RedirectPolicy");
    for (policy, before, after) in [
        (
            policy(local, "status_code: 200"),
            &["denial-rewritten"] as &[&str],
            &["denial-rewritten"] as &[&str],
        ),
        (policy(local, "status_code: 503"), &[], &[]),
        (policy(redirect, "status_code: 202"), &["denial-rewritten"], &[]),
        (policy(redirect, "uri: x"), &["not-checked"], &[]),
        (policy("OddPolicy", "uri: x"), &["not-checked"], &["not-checked"]),
    ] {
        let filter = filter(&policy);
        assert_eq!(rules(&edited(AUTHZ, "# before", &filter), &needs(false)), before, "{policy}");
        assert_eq!(rules(&edited(AUTHZ, "# after", &filter), &needs(false)), after, "{policy}");
    }
}

#[test]
fn whom_an_extension_believes_about_addresses_is_told() {
    let with = |kind: &str, more: &str| {
        let kind = format!("type.googleapis.com/envoy.extensions.http.original_ip_detection.{kind}");
        let list = format!(
            "original_ip_detection_extensions: [{{name: x, typed_config: {{\"@type\": {kind}, {more}}}}}]"
        );
        rules(&edited(AUTHZ, "use_remote_address: true", &list), &needs(false))
    };
    assert_eq!(with("xff.v3.XffConfig", "xff_num_trusted_hops: 1"), ["forwarded-for-trust"]);
    assert_eq!(with("xff.v3.XffConfig", "xff_trusted_cidrs: {cidrs: []}"), [""; 0]);
    assert_eq!(with("custom_header.v3.CustomHeaderConfig", "header_name: x-ip"), ["forwarded-for-trust"]);
    assert_eq!(with("geo.v3.Odd", "x: 1"), ["not-checked"]);
    let empty = edited(AUTHZ, "use_remote_address: true", "original_ip_detection_extensions: []");
    assert_eq!(rules(&empty, &needs(false)), ["forwarded-for-trust"]);
}

#[test]
fn the_proxy_protocol_is_not_checked_where_rules_read_addresses() {
    let kind = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
    let text = edited(
        AUTHZ,
        "# listener",
        &format!("listener_filters: [{{name: p, typed_config: {{\"@type\": {kind}}}}}]"),
    );
    assert_eq!(rules(&text, &needs(false)), ["not-checked"]);
    let older = edited(AUTHZ, "- filters:", "- use_proxy_proto: true\n          filters:");
    assert_eq!(rules(&older, &needs(false)), ["not-checked"]);
    let mut needs = needs(false);
    needs.reads.attributes.clear();
    assert!(!rules(&text, &needs).contains(&"not-checked"));
}
