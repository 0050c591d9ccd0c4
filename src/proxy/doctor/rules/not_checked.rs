//! What could not be examined.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::{At, is_field};
use crate::proxy::view::{Envoy, Filter, Kind, cluster_of};

pub static RULE: Rule = Rule {
    id: "not-checked",
    severity: Severity::Warning,
    title: "part of the configuration was not examined",
    what: "Listeners, tables of routes, filters and clusters that the files speak of and don't hold; filters after \
          Portcullis of a type that this program doesn't know; filters without a configuration; times that Envoy can't \
          read, filters after the router, and unknown fields of the filter that asks; plugins and extensions that choose \
          clusters, addresses or statuses; patterns of headers that only Envoy can read; who may speak the PROXY protocol.",
    why: "What was not examined may be anything.",
    demonstrated: "What is in none of the files can't be known.",
    test: None,
    fix: "First let Envoy judge what it can: `envoy --mode validate -c envoy.yaml`; what it refuses is not examined here. \
          Give the files that are missing too, or examine the running proxy: `portcullis envoy doctor \
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
    refused(envoy, report);
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

/// What Envoy refuses, and would be taken for unset here.
fn refused(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    // What was drawn up from manifests has their forms of times, and is no file that Envoy reads.
    if report.lens.is_some() {
        return;
    }
    let fix = "mend it: `envoy --mode validate` names all that Envoy refuses";
    let mut refuse = |at: &At<'_>, what: String| report.find(&RULE, at, format!("not examined: {what}"), fix);
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let options = manager.at.get("common_http_protocol_options");
        for at in unreadable(&manager.at).into_iter().chain(unreadable(&options)) {
            refuse(
                &at,
                format!("`{}`, which is no time for Envoy: write seconds, such as `900s`", shown(&at)),
            );
        }
        let router = manager.filters.iter().position(|filter| filter.is(&Kind::Router));
        let late = router.and_then(|router| manager.filters.get(router + 1..)).unwrap_or_default();
        for filter in late {
            refuse(&filter.entry, format!("`{}` stands after the router, which Envoy refuses", filter.name));
        }
        for filter in manager.asking() {
            for at in unreadable(&filter.config).into_iter().chain(unreadable(&filter.service())) {
                refuse(
                    &at,
                    format!("`{}`, which is no time for Envoy: write seconds, such as `900s`", shown(&at)),
                );
            }
            for (name, at) in unknown(filter) {
                refuse(
                    &at,
                    format!("`{name}`, a field of {} that this program doesn't know", filter.kind.short()),
                );
            }
        }
    }
}

fn shown(at: &At<'_>) -> String {
    let name = at.path().rsplit('.').next().unwrap_or_default();
    match (at.text(), at.number()) {
        (Some(text), _) => format!("{name}: {text}"),
        (None, Some(number)) => format!("{name}: {number}"),
        (None, None) => name.to_owned(),
    }
}

/// The times of a message that Envoy can't read: it takes `1.5s`, and nothing but seconds.
fn unreadable<'a>(message: &At<'a>) -> Vec<At<'a>> {
    let fields = TIMES.iter().map(|name| message.get(name));
    fields.filter(|at| at.exists() && !at.text().is_some_and(is_time)).collect()
}

fn is_time(text: &str) -> bool {
    let Some(number) = text.strip_suffix('s') else { return false };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(part)
}

/// Fields that the filter's message has not, with their names.
fn unknown<'a>(filter: &Filter<'a>) -> Vec<(&'a str, At<'a>)> {
    let known = if filter.is(&Kind::ExtAuthz) { EXT_AUTHZ.as_slice() } else { &EXT_PROC };
    let is_known = |name: &str| known.iter().any(|field| is_field(field, name));
    let fields = filter.config.fields().into_iter();
    fields.filter(|(name, at)| !name.starts_with('@') && at.exists() && !is_known(name)).collect()
}

/// The fields of ext_authz.
const EXT_AUTHZ: [&str; 32] = [
    "allowed_headers",
    "bootstrap_metadata_labels_key",
    "charge_cluster_response_stats",
    "clear_route_cache",
    "decoder_header_mutation_rules",
    "deny_at_disable",
    "disallowed_headers",
    "emit_client_span",
    "emit_filter_state_stats",
    "enable_dynamic_metadata_ingestion",
    "encode_raw_headers",
    "enforce_response_header_limits",
    "failure_mode_allow",
    "failure_mode_allow_header_add",
    "filter_enabled",
    "filter_enabled_metadata",
    "filter_metadata",
    "grpc_service",
    "http_service",
    "include_peer_certificate",
    "include_tls_session",
    "max_denied_response_body_bytes",
    "metadata_context_namespaces",
    "route_metadata_context_namespaces",
    "route_typed_metadata_context_namespaces",
    "shadow_mode",
    "stat_prefix",
    "status_on_error",
    "transport_api_version",
    "typed_metadata_context_namespaces",
    "validate_mutations",
    "with_request_body",
];

/// The fields of ext_proc.
const EXT_PROC: [&str; 26] = [
    "allow_content_length_header",
    "allow_mode_override",
    "allowed_override_modes",
    "deferred_close_timeout",
    "disable_clear_route_cache",
    "disable_immediate_response",
    "emit_client_span",
    "failure_mode_allow",
    "filter_metadata",
    "forward_rules",
    "grpc_service",
    "http_service",
    "max_message_timeout",
    "message_timeout",
    "metadata_options",
    "mutation_rules",
    "observability_mode",
    "on_processing_response",
    "processing_mode",
    "processing_request_modifier",
    "request_attributes",
    "response_attributes",
    "route_cache_action",
    "send_body_without_waiting_for_header_response",
    "stat_prefix",
    "status_on_error",
];

/// Times of connection managers, filters and services.
const TIMES: [&str; 12] = [
    "delayed_close_timeout",
    "drain_timeout",
    "idle_timeout",
    "max_connection_duration",
    "max_message_timeout",
    "max_stream_duration",
    "message_timeout",
    "request_headers_timeout",
    "request_timeout",
    "stream_flush_timeout",
    "stream_idle_timeout",
    "timeout",
];
