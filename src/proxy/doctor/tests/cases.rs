//! A mistake for each rule.

use super::*;

/// Which of the right configurations an edit starts from; ext_proc with policies that mask, and without.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Base {
    Authz,
    Proc,
    Plain,
}
use Base::{Authz, Plain, Proc};

impl Base {
    pub fn text(self) -> &'static str {
        if self == Authz { AUTHZ } else { PROC }
    }

    pub fn needs(self) -> Needs {
        needs(self == Proc)
    }
}

/// A rule, where to begin, what to replace by what, and which other rules have to say something too.
pub(super) type Case = (&'static str, Base, &'static str, String, &'static [&'static str]);

const FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http";

fn authz_route(text: &str) -> String {
    format!(
        "typed_per_filter_config: {{guard: {{\"@type\": {FILTER}.ext_authz.v3.ExtAuthzPerRoute, {text}}}}}"
    )
}

fn proc_route(text: &str) -> String {
    format!("typed_per_filter_config: {{guard: {{\"@type\": {FILTER}.ext_proc.v3.ExtProcPerRoute, {text}}}}}")
}

fn filter(name: &str, kind: &str) -> String {
    format!("- {{name: {name}, typed_config: {{\"@type\": {FILTER}.{kind}}}}}")
}

/// The markers of the levels that a route's settings can be at.
pub(super) const LEVELS: [&str; 4] = ["# table", "# host", "# route", "# weight"];

pub(super) fn all() -> Vec<Case> {
    let mut cases = of_filters();
    cases.extend(of_managers());
    cases.extend(of_bodies());
    cases.extend(of_the_rest());
    for level in LEVELS {
        cases.extend(of_levels(level));
    }
    cases
}

/// Settings of routes; the same at each level.
fn of_levels(level: &'static str) -> Vec<Case> {
    let off = "\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true";
    let http =
        "check_settings: {http_service: {server_uri: {uri: 'http://x', cluster: upstream, timeout: 1s}}}";
    let other = "check_settings: {grpc_service: {envoy_grpc: {cluster_name: upstream}, timeout: 330s}}";
    let mode = |mode: &str| proc_route(&format!("overrides: {{processing_mode: {{{mode}}}}}"));
    vec![
        ("filter-disabled", Authz, level, authz_route("disabled: true"), &[]),
        ("filter-disabled", Plain, level, proc_route("disabled: true"), &[]),
        ("filter-disabled", Authz, level, format!("typed_per_filter_config: {{guard: {{{off}}}}}"), &[]),
        ("filter-disabled", Authz, level, authz_route(other), &[]),
        ("filter-disabled", Authz, level, authz_route(http), &[]),
        ("fail-open", Proc, level, proc_route("overrides: {failure_mode_allow: true}"), &[]),
        ("headers-skipped", Plain, level, mode("request_header_mode: SKIP"), &["no-request-body"]),
        (
            "no-request-body",
            Plain,
            level,
            mode("request_body_mode: STREAMED, request_trailer_mode: SEND"),
            &[],
        ),
        (
            "server-disagrees",
            Authz,
            level,
            authz_route("check_settings: {disable_request_body_buffering: true}"),
            &[],
        ),
        ("trailers-unseen", Plain, level, mode("request_body_mode: BUFFERED"), &[]),
        (
            "partial-body",
            Plain,
            level,
            mode("request_body_mode: BUFFERED_PARTIAL, request_trailer_mode: SEND"),
            &[],
        ),
        (
            "short-timeout",
            Authz,
            level,
            authz_route(
                "check_settings: {grpc_service: {envoy_grpc: {cluster_name: portcullis}, timeout: 1s}}",
            ),
            &[],
        ),
        (
            "missing-attributes",
            Plain,
            level,
            proc_route("overrides: {request_attributes: [request.id]}"),
            &[],
        ),
        (
            "metadata-namespaces",
            Plain,
            level,
            proc_route("overrides: {metadata_options: {forwarding_namespaces: {untyped: [x]}}}"),
            &[],
        ),
        (
            "dead-route-setting",
            Authz,
            level,
            authz_route("disabled: true").replace("guard", "envoy.filters.http.ext_authz"),
            &[],
        ),
        (
            "header-rewritten",
            Authz,
            level,
            "request_headers_to_add: [{header: {key: X-User, value: x}}]".into(),
            &[],
        ),
    ]
}

fn of_filters() -> Vec<Case> {
    let second = "- {name: second, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, \
                  grpc_service: {envoy_grpc: {cluster_name: portcullis}, timeout: 330s}, encode_raw_headers: true, \
                  with_request_body: {max_request_bytes: 1048576, pack_as_bytes: true}, metadata_context_namespaces: [shop]}}";
    vec![
        ("fail-open", Authz, "# filter", "failure_mode_allow: true".into(), &[]),
        ("fail-open", Proc, "# filter", "failure_mode_allow: true".into(), &[]),
        ("status-on-error", Authz, "# filter", "status_on_error: {code: OK}".into(), &[]),
        ("status-on-error", Authz, "# filter", "status_on_error: {code: 204}".into(), &[]),
        ("status-on-error", Authz, "# filter", "status_on_error: {code: ok}".into(), &[]),
        ("filter-missing", Authz, "ext_authz.v3.ExtAuthz", "fault.v3.HTTPFault".into(), &[]),
        ("filter-disabled", Authz, "# entry", "disabled: true".into(), &[]),
        (
            "filter-conditional",
            Authz,
            "# filter",
            "filter_enabled: {default_value: {numerator: 50}}".into(),
            &[],
        ),
        (
            "filter-conditional",
            Authz,
            "# filter",
            "filter_enabled: {runtime_key: on, default_value: {numerator: 100}}".into(),
            &[],
        ),
        ("filter-conditional", Authz, "# filter", "filter_enabled_metadata: {filter: x}".into(), &[]),
        ("observability-mode", Proc, "# filter", "observability_mode: true".into(), &[]),
        ("observability-mode", Authz, "# filter", "shadow_mode: true".into(), &[]),
        ("denial-rewritten", Proc, "# filter", "disable_immediate_response: true".into(), &[]),
        ("filter-order", Authz, "# after", filter("lua", "lua.v3.Lua"), &[]),
        ("compressed-responses", Proc, "# after", filter("c", "compressor.v3.Compressor"), &[]),
        ("cache-before-portcullis", Authz, "# before", filter("c", "cache.v3.CacheConfig"), &[]),
        ("both-filters", Authz, "# after", second.into(), &[]),
        (
            "half-handover",
            Proc,
            "grpc_service: {envoy_grpc: {cluster_name: portcullis}}",
            "grpc_service: {envoy_grpc: {cluster_name: portcullis}, \
             initial_metadata: [{key: x-portcullis-handover, value: expects}]}"
                .into(),
            &[],
        ),
        ("clear-route-cache", Authz, "# filter", "clear_route_cache: true".into(), &[]),
        ("clear-route-cache", Proc, "# filter", "route_cache_action: CLEAR".into(), &[]),
        ("short-timeout", Authz, "timeout: 330s", "timeout: 60s".into(), &[]),
        ("short-timeout", Authz, ", timeout: 330s", String::new(), &[]),
        ("short-message-timeout", Proc, "message_timeout: 5s", "stat_prefix: x".into(), &[]),
        ("max-message-timeout", Proc, "max_message_timeout: 900s", "stat_prefix: x".into(), &[]),
        ("max-message-timeout", Proc, "max_message_timeout: 900s", "max_message_timeout: 600s".into(), &[]),
        ("lossy-headers", Authz, "encode_raw_headers: true", "encode_raw_headers: false".into(), &[]),
        (
            "unshown-headers",
            Authz,
            "# filter",
            "allowed_headers: {patterns: [{exact: authorization}]}".into(),
            &[],
        ),
        ("unshown-headers", Authz, "# filter", "disallowed_headers: {patterns: [{prefix: x-}]}".into(), &[]),
        (
            "unshown-headers",
            Proc,
            "# filter",
            "forward_rules: {allowed_headers: {patterns: [{prefix: x-}]}}".into(),
            &[],
        ),
        ("mode-override-off", Proc, "allow_mode_override: true", "allow_mode_override: false".into(), &[]),
        (
            "mode-override-off",
            Proc,
            "# filter",
            "allowed_override_modes: [{response_body_mode: NONE}]".into(),
            &[],
        ),
        // With this mode, of whichever half, Envoy ignores every override.
        (
            "mode-override-off",
            Proc,
            "request_body_mode: BUFFERED",
            "request_body_mode: FULL_DUPLEX_STREAMED".into(),
            &["no-request-body"],
        ),
        ("mutation-rules", Proc, "disallow_is_error: true", "disallow_is_error: false".into(), &[]),
        (
            "mutation-rules",
            Authz,
            "# filter",
            "decoder_header_mutation_rules: {disallow_all: true}".into(),
            &[],
        ),
        ("metadata-namespaces", Authz, "[shop]", "[other]".into(), &[]),
        ("metadata-namespaces", Proc, "[shop]", "[other]".into(), &[]),
        ("missing-attributes", Proc, "source.address, ", String::new(), &[]),
    ]
}

fn of_managers() -> Vec<Case> {
    let upgrades = "upgrade_configs: [{upgrade_type: websocket, filters: [{name: router, typed_config: {\"@type\": \
                    type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}]";
    vec![
        ("upgrade-filters", Authz, "# manager", upgrades.into(), &[]),
        ("upgrades", Proc, "# manager", "upgrade_configs: [{upgrade_type: websocket}]".into(), &[]),
        ("upgrades", Authz, "# manager", "upgrade_configs: [{upgrade_type: CONNECT}]".into(), &[]),
        ("upgrades", Proc, "# action", "upgrade_configs: [{upgrade_type: websocket}]".into(), &[]),
        ("stream-idle-timeout", Authz, "stream_idle_timeout: 1000s", "stat_prefix2: x".into(), &[]),
        ("stream-idle-timeout", Authz, "stream_idle_timeout: 1000s", "stream_idle_timeout: 60s".into(), &[]),
        ("stream-idle-timeout", Proc, "# action", "idle_timeout: 15s".into(), &[]),
        (
            "stream-duration",
            Authz,
            "REJECT_REQUEST}",
            "REJECT_REQUEST, max_stream_duration: 60s}".into(),
            &[],
        ),
        ("stream-duration", Authz, "# action", "max_stream_duration: {max_stream_duration: 60s}".into(), &[]),
        (
            "stream-duration",
            Authz,
            "# options",
            "common_http_protocol_options: {max_stream_duration: 60s}".into(),
            &[],
        ),
        ("path-not-normalized", Authz, "normalize_path: true", "normalize_path: false".into(), &[]),
        ("slashes-not-merged", Authz, "merge_slashes: true", "merge_slashes: false".into(), &[]),
        (
            "escaped-slashes",
            Authz,
            "slashes_action: REJECT_REQUEST",
            "slashes_action: KEEP_UNCHANGED".into(),
            &[],
        ),
        ("escaped-slashes", Authz, "slashes_action: REJECT_REQUEST", "slashes_action: 0".into(), &[]),
        (
            "underscore-headers",
            Authz,
            "underscores_action: REJECT_REQUEST",
            "underscores_action: ALLOW".into(),
            &[],
        ),
        (
            "forwarded-client-cert",
            Authz,
            "# manager",
            "forward_client_cert_details: APPEND_FORWARD".into(),
            &[],
        ),
        ("forwarded-for-trust", Authz, "use_remote_address: true", "use_remote_address: false".into(), &[]),
        (
            "denial-rewritten",
            Authz,
            "# manager",
            "local_reply_config: {mappers: [{status_code: 200}]}".into(),
            &[],
        ),
        ("http10", Authz, "# manager", "http_protocol_options: {accept_http_10: true}".into(), &[]),
    ]
}

fn of_bodies() -> Vec<Case> {
    let buffer = "with_request_body: {max_request_bytes: 1048576, pack_as_bytes: true}";
    let partial =
        "with_request_body: {max_request_bytes: 1048576, allow_partial_message: true, pack_as_bytes: true}";
    vec![
        ("server-disagrees", Authz, buffer, "stat_prefix: x".into(), &[]),
        ("no-request-body", Proc, "request_body_mode: BUFFERED, ", String::new(), &[]),
        ("small-request-body", Authz, "max_request_bytes: 1048576", "max_request_bytes: 8192".into(), &[]),
        ("small-request-body", Authz, "max_request_bytes: 1048576", "max_request_bytes: 9999999".into(), &[]),
        ("small-request-body", Proc, "# listener", "per_connection_buffer_limit_bytes: 32768".into(), &[]),
        ("partial-body", Authz, buffer, partial.into(), &[]),
        (
            "partial-body",
            Proc,
            "request_body_mode: BUFFERED",
            "request_body_mode: BUFFERED_PARTIAL".into(),
            &[],
        ),
        ("lossy-body", Authz, ", pack_as_bytes: true", String::new(), &[]),
        ("trailers-unseen", Proc, "request_trailer_mode: SEND", "request_trailer_mode: SKIP".into(), &[]),
        (
            "trailers-unseen",
            Proc,
            "response_header_mode: SKIP",
            "response_header_mode: SEND, response_body_mode: STREAMED".into(),
            &[],
        ),
    ]
}

fn of_the_rest() -> Vec<Case> {
    let version = "node: {id: gateway, user_agent_build_version: {version: {major_number: 1, minor_number: 38, patch: 3}}}";
    vec![
        ("circuit-breakers", Authz, "{max_requests: 100000}", "{max_requests: 1024}".into(), &[]),
        (
            "circuit-breakers",
            Proc,
            "{max_requests: 100000}",
            "{priority: HIGH, max_requests: 100000}".into(),
            &[],
        ),
        ("http1-to-portcullis", Authz, "http2_protocol_options: {}", "http_protocol_options: {}".into(), &[]),
        ("replicas-unordered", Authz, "# options\n", "# options\n      load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {}}]}, {lb_endpoints: [{endpoint: {}}]}]}\n".into(), &[]),
        ("admin-exposed", Authz, "address: 127.0.0.1", "address: 0.0.0.0".into(), &[]),
        ("envoy-version", Authz, "node: {id: gateway}", version.into(), &[]),
        ("routed-by-caller", Authz, "# action", "cluster_header: x-cluster".into(), &[]),
        ("not-checked", Authz, "# after", filter("odd", "odd.v3.Odd"), &[]),
        ("cluster-missing", Authz, "cluster_name: portcullis", "cluster_name: portcullis2".into(), &[]),
    ]
}

#[test]
fn each_mistake_is_found_and_nothing_else() {
    let mut wrong = Vec::new();
    for (rule, base, from, to, also) in all() {
        let found = rules(&edited(base.text(), from, &to), &base.needs());
        let mut wanted: Vec<_> = also.iter().copied().chain([rule]).collect();
        wanted.sort_unstable();
        if found != wanted {
            wrong.push(format!("{found:?} instead of {wanted:?}: `{from}` replaced by `{to}`"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_has_a_case() {
    let cases = all();
    // These have tests of their own: they are about the server's side, or spelling.
    let others = [
        "duplicate-field",
        "masks-need-ext-proc",
        "peer-certificate",
        "server-disagrees",
        "tls-to-portcullis",
    ];
    for rule in RULES.iter().filter(|rule| rule.envoy.is_some() && !others.contains(&rule.id)) {
        assert!(cases.iter().any(|case| case.0 == rule.id), "{}", rule.id);
    }
}

#[test]
fn a_route_may_add_what_policies_leave_alone_or_out() {
    for harmless in
        ["{header: {key: x-other, value: x}}", "{header: {key: x-user, value: x}, append_action: 1}"]
    {
        let text = edited(AUTHZ, "# host", &format!("request_headers_to_add: [{harmless}]"));
        assert_eq!(rules(&text, &needs(false)), [""; 0], "{harmless}");
    }
    let mapper = "local_reply_config: {mappers: [{status_code: 503}]}";
    assert_eq!(rules(&edited(AUTHZ, "# manager", mapper), &needs(false)), [""; 0]);
}

#[test]
fn ext_authz_can_not_mask() {
    assert_eq!(rules(AUTHZ, &needs(true)), ["masks-need-ext-proc"]);
}

#[test]
fn the_server_and_the_filter_have_to_agree_on_bodies() {
    let mut needs = needs(false);
    needs.server.body = BodySource::NotBuffered;
    assert_eq!(rules(AUTHZ, &needs), ["server-disagrees"]);
    let unseen = |level: &str| {
        edited(AUTHZ, level, &authz_route("check_settings: {disable_request_body_buffering: true}"))
    };
    needs.server.body = BodySource::ByRoute;
    assert_eq!(rules(AUTHZ, &needs), ["server-disagrees"], "no route says that it buffers");
    let (key, value) = BodySource::MARK;
    let marked = |more: &str| {
        let mark = format!("check_settings: {{context_extensions: {{{key}: {value}}}{more}}}");
        edited(AUTHZ, "# route", &authz_route(&mark))
    };
    assert_eq!(rules(&marked(""), &needs), [""; 0]);
    let lies = marked(", disable_request_body_buffering: true");
    assert_eq!(rules(&lies, &needs), ["no-request-body", "server-disagrees"]);
    for level in LEVELS {
        assert_eq!(rules(&unseen(level), &needs), ["no-request-body"], "{level}");
    }
    // The real server may be configured otherwise.
    needs.server.known = false;
    assert_eq!(rules(AUTHZ, &needs), [""; 0]);
}

#[test]
fn certificates_that_stand_for_callers_have_to_be_verified() {
    let mut needs = needs(false);
    needs.server.mtls = true;
    let tls = |text: &str| {
        let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        let socket = format!(
            "- transport_socket: {{name: tls, typed_config: {{\"@type\": {kind}, {text}}}}}\n          filters:"
        );
        edited(AUTHZ, "- filters:", &socket)
    };
    let right = tls(
        "require_client_certificate: true, common_tls_context: {validation_context: {trusted_ca: {filename: ca}}}",
    );
    assert_eq!(rules(&right, &needs), [""; 0]);
    let sds = tls("common_tls_context: {validation_context_sds_secret_config: {name: ca}}");
    assert_eq!(rules(&sds, &needs), [""; 0]);
    for wrong in [
        AUTHZ.to_owned(),
        tls("require_client_certificate: true, common_tls_context: {}"),
        tls("common_tls_context: {validation_context: {match_typed_subject_alt_names: []}}"),
        tls("common_tls_context: {validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}}"),
    ] {
        assert_eq!(rules(&wrong, &needs), ["peer-certificate"], "{wrong}");
    }
    needs.server.mtls = false;
    assert_eq!(rules(AUTHZ, &needs), [""; 0]);
}

#[test]
fn tls_to_portcullis_has_to_be_verified_and_to_be_what_the_listener_wants() {
    let with = |tls: ListenerTls| {
        let mut needs = needs(false);
        needs.server.tls = tls;
        needs
    };
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let cluster = |text: &str| {
        let socket = format!("transport_socket: {{name: tls, typed_config: {{\"@type\": {kind}, {text}}}}}");
        edited(AUTHZ, "    - name: portcullis\n", &format!("    - name: portcullis\n      {socket}\n"))
    };
    let common = |text: &str| cluster(&format!("common_tls_context: {{{text}}}"));
    let (ca, name) = ("trusted_ca: {filename: ca}", "match_typed_subject_alt_names: [{san_type: DNS}]");
    let own = "tls_certificates: [{}]";
    let right = common(&format!("{own}, validation_context: {{{ca}, {name}}}"));
    for (text, tls) in [
        (right.clone(), ListenerTls::Mutual),
        (common(&format!("validation_context: {{{ca}, {name}}}")), ListenerTls::On),
        (
            cluster(&format!(
                "auto_sni_san_validation: true, common_tls_context: {{validation_context: {{{ca}}}}}"
            )),
            ListenerTls::On,
        ),
        (common("validation_context: {verify_certificate_spki: [a]}"), ListenerTls::On),
        (common("validation_context_sds_secret_config: {name: ca}"), ListenerTls::On),
        (
            common(&format!(
                "combined_validation_context: {{default_validation_context: {{{name}}}, validation_context_sds_secret_config: {{name: ca}}}}"
            )),
            ListenerTls::On,
        ),
        (AUTHZ.to_owned(), ListenerTls::Off),
    ] {
        assert_eq!(rules(&text, &with(tls)), [""; 0], "{text}");
    }
    for (text, tls) in [
        (AUTHZ.to_owned(), ListenerTls::On),
        (right.clone(), ListenerTls::Off),
        (common(&format!("validation_context: {{{ca}, {name}}}")), ListenerTls::Mutual),
        (common(&format!("tls_certificates: [], validation_context: {{{ca}, {name}}}")), ListenerTls::Mutual),
        (common(""), ListenerTls::On),
        (common(&format!("validation_context: {{{name}}}")), ListenerTls::On),
        (common(&format!("validation_context: {{{ca}}}")), ListenerTls::On),
        (
            common(&format!("validation_context: {{{ca}, match_typed_subject_alt_names: []}}")),
            ListenerTls::On,
        ),
        (
            common(&format!(
                "validation_context: {{{ca}, {name}, trust_chain_verification: ACCEPT_UNTRUSTED}}"
            )),
            ListenerTls::On,
        ),
        (
            common(&format!("combined_validation_context: {{default_validation_context: {{{ca}}}}}")),
            ListenerTls::On,
        ),
    ] {
        assert_eq!(rules(&text, &with(tls)), ["tls-to-portcullis"], "{text}");
    }
    // What the real server asks for is not known; that an answer can be forged is.
    let mut unknown = with(ListenerTls::Off);
    unknown.server.known = false;
    assert_eq!(rules(&right, &unknown), [""; 0]);
    assert_eq!(rules(&common(""), &unknown), ["tls-to-portcullis"]);
}

#[test]
fn ext_proc_answers_no_success_on_errors_whatever_it_is_told() {
    let text = edited(PROC, "# filter", "status_on_error: {code: OK}");
    assert_eq!(rules(&text, &needs(true)), [""; 0]);
}

#[test]
fn replicas_in_order_or_without_holds_are_right() {
    let with = |second: &str| {
        let groups =
            format!("{{lb_endpoints: [{{endpoint: {{}}}}]}}, {{lb_endpoints: [{{endpoint: {{}}}}]{second}}}");
        edited(
            AUTHZ,
            "# options\n",
            &format!("# options\n      load_assignment: {{endpoints: [{groups}]}}\n"),
        )
    };
    assert_eq!(rules(&with(", priority: 1"), &needs(false)), [""; 0]);
    let mut without = needs(false);
    without.longest_wait = None;
    assert_eq!(rules(&with(""), &without), [""; 0]);
}
