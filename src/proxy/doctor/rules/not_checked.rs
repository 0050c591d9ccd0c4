//! What could not be examined.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, cluster_of};

pub static RULE: Rule = Rule {
    id: "not-checked",
    severity: Severity::Warning,
    title: "part of the configuration was not examined",
    what: "Tables of routes, filters and clusters that the files speak of and don't hold; filters after \
          Portcullis of a type that this program doesn't know; filters without a configuration.",
    why: "What was not examined may be anything.",
    demonstrated: "What is in none of the files can't be known.",
    test: None,
    fix: "Give those files too, or examine the running proxy: `portcullis envoy doctor \
          http://127.0.0.1:9901`.",
    example: "# portcullis envoy doctor envoy.yaml routes.yaml clusters.yaml\n",
    envoy: Some(envoy),
};

/// Filters that change nothing that is decided on, or that have rules of their own here.
const KNOWN: [&str; 44] = [
    "adaptive_concurrency",
    "admission_control",
    "ai_protocol_manager",
    "alternate_protocols_cache",
    "aws_lambda",
    "aws_request_signing",
    "bandwidth_limit",
    "bandwidth_share",
    "body_size_limit",
    "buffer",
    "cache",
    "cache_v2",
    "cdn_loop",
    "compressor",
    "connect_grpc_bridge",
    "cors",
    "credential_injector",
    "csrf",
    "custom_response",
    "dynamic_forward_proxy",
    "fault",
    "file_system_buffer",
    "gcp_authn",
    "geoip",
    "grpc_field_extraction",
    "grpc_stats",
    "health_check",
    "ip_tagging",
    "json_to_metadata",
    "kill_request",
    "local_ratelimit",
    "oauth2",
    "on_demand",
    "original_src",
    "peer_metadata",
    "proto_message_extraction",
    "rate_limit_quota",
    "ratelimit",
    "rbac",
    "router",
    "set_filter_state",
    "set_metadata",
    "stateful_session",
    "upstream_codec",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (at, what) in &envoy.unread {
        let fix = "give the file that holds it too, or examine the running proxy's admin port";
        report.find(&RULE, at, format!("not examined: {what}"), fix);
    }
    for (_, filter) in envoy.asking() {
        let service = filter.service();
        // Google's client needs no cluster, and one that is nowhere is no matter of unread files.
        let fetched = service.get("envoy_grpc").exists() && !envoy.clusters_known;
        if fetched && envoy.cluster(&service).is_none() {
            let name = cluster_of(&service).unwrap_or("?");
            let message = format!("not examined: the cluster `{name}`, which is in none of the files");
            report.find(&RULE, &service, message, "give the file that holds the cluster too");
        }
    }
    for filter in envoy.managers.iter().flat_map(|manager| manager.after()) {
        let name = filter.kind.short();
        if !KNOWN.contains(&name) && !super::filter_order::CHANGING.contains(&name) {
            let shown = if name.is_empty() { filter.name } else { name };
            let message = format!("not examined: whether `{shown}` changes what Portcullis decided on");
            report.find(&RULE, &filter.entry, message, "put it before Portcullis, or ignore this");
        }
    }
}
