//! Filters that ask somebody else, or nobody.

use super::*;

fn said(text: &str) -> Vec<(&'static str, String)> {
    let findings = examined(text, &needs(false)).findings;
    findings
        .into_iter()
        .map(|finding| (finding.rule.id, format!("{} {}", finding.message, finding.fix)))
        .collect()
}

fn parts(text: &str) -> (String, String) {
    let start = text.find("    - name: gateway").unwrap();
    let end = text.find("\n  clusters:\n").unwrap() + 1;
    (
        text[..end].to_owned() + &text[start..end].replace("name: gateway", "name: second"),
        text[end..].to_owned(),
    )
}

/// Two listeners; the filter of the second one is changed.
fn second(from: &str, to: &str) -> String {
    let (listeners, clusters) = parts(AUTHZ);
    let place = listeners.rfind(from).unwrap_or_else(|| panic!("`{from}` is not there"));
    let (before, after) = listeners.split_at(place);
    format!("{before}{to}{}{clusters}", &after[from.len()..])
}

#[test]
fn a_cluster_that_is_nowhere_is_an_error_where_no_other_can_come() {
    let (listeners, _) = parts(AUTHZ);
    let found = said(&listeners);
    assert!(found.iter().all(|(rule, _)| *rule == "cluster-missing"), "{found:?}");
    assert!(found[0].1.contains("add the cluster `portcullis`"), "{found:?}");
    for more in ["cds_config: {ads: {}}", "ads_config: {}"] {
        let fetched = edited(&listeners, "node:", &format!("dynamic_resources: {{{more}}}\nnode:"));
        assert!(rules(&fetched, &needs(false)).contains(&"not-checked"), "{more}");
        assert!(!rules(&fetched, &needs(false)).contains(&"cluster-missing"), "{more}");
    }
    let fetched = edited(AUTHZ, "node:", "dynamic_resources: {lds_config: {path: x}}\nnode:");
    let fetched = edited(&fetched, "cluster_name: portcullis", "cluster_name: portculis");
    let wanted = ["cluster-missing", "not-checked"];
    assert_eq!(rules(&fetched, &needs(false)), wanted, "clusters don't come with listeners");
}

#[test]
fn a_misspelt_cluster_is_named_with_the_one_that_is_meant() {
    for text in [
        edited(AUTHZ, "cluster_name: portcullis", "cluster_name: portculis"),
        second("cluster_name: portcullis", "cluster_name: portculis"),
    ] {
        let found = said(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "cluster-missing");
        assert!(found[0].1.contains("`portculis`, which doesn't exist"), "{found:?}");
        assert!(found[0].1.contains("write `cluster_name: portcullis`"), "{found:?}");
    }
    let open = second(
        "cluster_name: portcullis}, timeout: 330s}",
        "cluster_name: portculis}}\n                      failure_mode_allow: true",
    );
    assert_eq!(rules(&open, &needs(false)), ["cluster-missing", "filter-missing"], "its calls pass");
}

#[test]
fn a_filter_that_asks_somebody_else_is_said_to_do_so() {
    let service = "grpc_service: {envoy_grpc: {cluster_name: portcullis}, timeout: 330s}";
    let http = "http_service: {server_uri: {uri: 'http://a', cluster: portcullis, timeout: 1s}}";
    let kind = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
    for (from, to, words) in [
        (service, http, "asks by HTTP"),
        (service, &service.replace("portcullis", "upstream"), "asks `upstream`, which isn't Portcullis"),
        (service, "stat_prefix: x", "names no service"),
        (kind, "transport_api_version: V3", "has no `@type`"),
    ] {
        let found = said(&second(from, to));
        let missing: Vec<_> = found.iter().filter(|(rule, _)| *rule == "filter-missing").collect();
        assert_eq!(missing.len(), 1, "{found:?}");
        assert!(missing[0].1.contains(words) && missing[0].1.contains("listener `second`"), "{found:?}");
    }
}

#[test]
fn a_target_of_googles_client_is_portcullis_where_its_cluster_lies() {
    let endpoint = "{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 9191}}}}";
    let lies = format!("# options\n      load_assignment: {{endpoints: [{{lb_endpoints: [{endpoint}]}}]}}");
    let with = |target: &str| {
        let google = format!("google_grpc: {{target_uri: '{target}', stat_prefix: x}}");
        edited(&second("envoy_grpc: {cluster_name: portcullis}", &google), "# options", &lies)
    };
    for target in ["10.0.0.1:9191", "ipv4:10.0.0.1:9191", "dns:///portcullis.example:9191"] {
        assert_eq!(rules(&with(target), &needs(false)), [""; 0], "{target}");
    }
    let found = said(&with("10.0.0.2:9191"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == "not-checked" && found[0].1.contains("whether `10.0.0.2:9191`"), "{found:?}");
}

#[test]
fn googles_client_needs_no_cluster() {
    let google = "google_grpc: {target_uri: '10.0.0.1:9191', stat_prefix: x}";
    let text = edited(AUTHZ, "envoy_grpc: {cluster_name: portcullis}", google);
    assert_eq!(rules(&text, &needs(false)), [""; 0]);
}

#[test]
fn a_setting_of_the_other_service_is_never_read_under_any_name() {
    let setting = |name: &str, service: &str, more: &str| {
        let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{service}");
        format!("typed_per_filter_config: {{{name}: {{\"@type\": {kind}, {more}}}}}")
    };
    let off = "disabled: true";
    for (text, name, service, wanted) in [
        (
            AUTHZ,
            "guard",
            "ext_proc.v3.ExtProcPerRoute",
            "`guard` is a filter of ext_authz, and this a setting of ext_proc",
        ),
        (
            PROC,
            "guard",
            "ext_authz.v3.ExtAuthzPerRoute",
            "`guard` is a filter of ext_proc, and this a setting of ext_authz",
        ),
        (AUTHZ, "envoy.filters.http.ext_proc", "ext_proc.v3.ExtProcPerRoute", "no filter has the name"),
    ] {
        for level in super::cases::LEVELS {
            let found = said(&edited(text, level, &setting(name, service, off)));
            assert_eq!(found.len(), 1, "{found:?}: it switches nothing off");
            assert_eq!(found[0].0, "dead-route-setting");
            assert!(found[0].1.contains(wanted), "{found:?}");
            let right = if text == AUTHZ {
                "write an `ExtAuthzPerRoute` for `guard`"
            } else {
                "write an `ExtProcPerRoute` for `guard`"
            };
            assert!(found[0].1.contains(right), "{found:?}");
        }
    }
    let found = said(&edited(AUTHZ, "# route", &setting("other", "ext_authz.v3.ExtAuthzPerRoute", off)));
    assert!(found[0].1.ends_with("write `guard`"), "{found:?}");
    // What it shows of bodies doesn't count either.
    let buffers = "overrides: {processing_mode: {request_body_mode: NONE}}";
    assert_eq!(
        rules(
            &edited(AUTHZ, "# route", &setting("guard", "ext_proc.v3.ExtProcPerRoute", buffers)),
            &needs(false)
        ),
        ["dead-route-setting"]
    );
}

#[test]
fn what_envoy_refuses_is_said_to_be_unexamined_and_not_taken_for_unset() {
    for (base, from, to, words) in [
        (
            AUTHZ,
            "stream_idle_timeout: 1000s",
            "stream_idle_timeout: 1000s\n                request_timeout: 15m",
            "`request_timeout: 15m`",
        ),
        (
            AUTHZ,
            "REJECT_REQUEST}",
            "REJECT_REQUEST, max_stream_duration: 9000}",
            "`max_stream_duration: 9000`",
        ),
        (AUTHZ, "# filter", "failure_mode_alow: false", "`failure_mode_alow`"),
        (PROC, "# filter", "deferred_close_timeot: 1s", "`deferred_close_timeot`"),
        (PROC, "message_timeout: 5s", "message_timeout: '5'", "`message_timeout: 5`"),
    ] {
        let found = said(&edited(base, from, to));
        let unread: Vec<_> = found.iter().filter(|(rule, _)| *rule == "not-checked").collect();
        assert_eq!(unread.len(), 1, "{to}: {found:?}");
        assert!(unread[0].1.contains(words) && unread[0].1.contains("--mode validate"), "{found:?}");
    }
    let router = "- {name: router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";
    let found = said(&edited(AUTHZ, "# before", router));
    assert!(
        found.iter().any(|(rule, text)| *rule == "not-checked" && text.contains("after the router")),
        "{found:?}"
    );
}

#[test]
fn a_pattern_that_only_re2_reads_is_not_checked() {
    let with = |list: &str, patterns: &str| {
        rules(&edited(AUTHZ, "# filter", &format!("{list}: {{patterns: [{patterns}]}}")), &needs(false))
    };
    let re2 = "{safe_regex: {regex: '\\Qx-\\E.*'}}";
    for pattern in [re2, "{custom: {name: x}}"] {
        assert_eq!(with("disallowed_headers", pattern), ["not-checked"], "{pattern}");
        assert_eq!(with("allowed_headers", pattern), ["not-checked"], "{pattern}");
    }
    let known = format!("{re2}, {{exact: authorization}}");
    assert_eq!(with("disallowed_headers", &known), ["not-checked", "unshown-headers"]);
    assert_eq!(with("allowed_headers", "{exact: authorization}"), ["unshown-headers"]);
}
