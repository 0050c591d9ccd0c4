//! Which calls routes take, and what is in force there.

use super::*;

/// A configuration whose virtual hosts are these; only routes to cluster `open` have no body shown.
fn with_hosts(hosts: &str) -> String {
    let (before, rest) = AUTHZ.split_once("                  virtual_hosts:\n").unwrap();
    let (_, clusters) = rest.split_once("  clusters:\n    - name: portcullis").unwrap();
    let hosts: String = hosts.lines().map(|line| format!("                  {line}\n")).collect();
    format!("{before}                  virtual_hosts:\n{hosts}  clusters:\n    - name: portcullis{clusters}")
}

const OPEN: &str = "typed_per_filter_config: {guard: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: {disable_request_body_buffering: true}}}";

/// The message of `no-request-body` for one virtual host with these routes; the last one shows no body.
fn reached(domains: &str, routes: &[&str], paths: &str) -> Option<String> {
    let mut hosts = format!("- name: h\n  domains: [{domains}]\n  routes:\n");
    for (place, matcher) in routes.iter().enumerate() {
        let open = if place + 1 == routes.len() { format!(", {OPEN}") } else { String::new() };
        hosts += &format!("    - {{match: {{{matcher}}}, route: {{cluster: upstream}}{open}}}\n");
    }
    let policy = POLICY.replace("paths: [\"/v1/refunds/{**}\"], methods: [POST]", paths);
    let files = [SourceFile { file: "p.yaml".into(), text: policy.into() }];
    let set = policy::compile(&files, &policy::Options { gateway: true }).set.unwrap();
    let mut server = server();
    server.known = false;
    let needs = Needs::of(&set, server);
    let examined = examined(&with_hosts(&hosts), &needs);
    examined
        .findings
        .into_iter()
        .find(|finding| finding.rule.id == "no-request-body")
        .map(|found| found.message)
}

#[test]
fn a_route_is_blamed_only_for_calls_that_take_it() {
    let paths = "paths: [\"/v1/refunds/{id}/pay\", \"/v1/bills/{**}\"], methods: [PUT]";
    for (routes, example) in [
        (&["prefix: /"] as &[_], Some("PUT any.example/v1/refunds/x/pay")),
        (&["prefix: /v1/refunds/eu"], Some("PUT any.example/v1/refunds/eu/pay")),
        (&["path: /v1/refunds/7/pay"], Some("PUT any.example/v1/refunds/7/pay")),
        (&["path: /v1/refunds/7"], None),
        (&["path_separated_prefix: /v1/bills"], Some("PUT any.example/v1/bills/x")),
        (&["prefix: /static"], None),
        (&["prefix: /v1/refundsx"], None),
        (&["safe_regex: {regex: \"/v1/refunds/[0-9]+/pay\"}"], Some("PUT any.example/v1/refunds/1/pay")),
        (&["safe_regex: {regex: \"/v1/refunds/[A-F]{8}/pay\"}"], Some("perhaps")),
        (&["safe_regex: {regex: \"/v2/.*\"}"], None),
        (
            &[
                "path_match_policy: {typed_config: {\"@type\": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: \"/v1/{kind}/**\"}}",
            ],
            Some("/v1/"),
        ),
        (&["prefix: /, headers: [{name: \":method\", string_match: {exact: PUT}}]"], Some("PUT")),
        (&["prefix: /, headers: [{name: \":method\", string_match: {exact: GET}}]"], None),
        (&["prefix: /, headers: [{name: x-canary, present_match: true}]"], Some("PUT")),
        (&["prefix: /v1", "prefix: /v1/refunds"], None),
        (&["prefix: /v1, headers: [{name: x, present_match: true}]", "prefix: /v1/refunds"], Some("PUT")),
        (&["path_separated_prefix: /v1/refunds", "prefix: /v1"], Some("PUT any.example/v1/bills/x")),
        (&["prefix: /V1/REFUNDS, case_sensitive: false", "prefix: /v1/refunds"], None),
    ] {
        let found = reached("\"*\"", routes, paths);
        match example {
            Some(example) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(example)), "{routes:?}: {found:?}")
            }
            None => assert_eq!(found, None, "{routes:?}"),
        }
    }
}

#[test]
fn hosts_lead_to_the_best_domain() {
    let paths = "paths: [\"/v1/refunds/{**}\"], hosts: [\"*.shop.example\", api.example]";
    for (domains, example) in [
        ("\"*.shop.example\"", Some("x.shop.example/")),
        ("api.example", Some("api.example/")),
        ("\"api.example:8443\"", Some("api.example:8443/")),
        ("www.example", None),
        ("\"*\"", Some(".shop.example/")),
    ] {
        let found = reached(domains, &["prefix: /"], paths);
        match example {
            Some(example) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(example)), "{domains}: {found:?}")
            }
            None => assert_eq!(found, None, "{domains}"),
        }
    }
    // Calls of that host go to another virtual host.
    let hosts = format!(
        "- name: a\n  domains: [api.example]\n  routes: [{{match: {{prefix: /}}, route: {{cluster: upstream}}}}]\n- name: b\n  domains: [\"*\"]\n  routes: [{{match: {{prefix: /}}, route: {{cluster: upstream}}, {OPEN}}}]\n"
    );
    let mut needs = needs(false);
    needs.server.known = false;
    assert_eq!(rules(&with_hosts(&hosts), &needs), ["no-request-body"], "every host");
    let only: Vec<_> = needs
        .bodies
        .iter()
        .cloned()
        .map(|mut entry| {
            entry.hosts = vec![crate::policy::HostPattern::Exact("api.example".to_owned())];
            entry
        })
        .collect();
    needs.bodies = only;
    assert_eq!(rules(&with_hosts(&hosts), &needs), [""; 0]);
}

#[test]
fn the_most_specific_level_wins() {
    let set = |text: &str, level: &str, disabled: bool| {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
        let value = if disabled { "disabled: true" } else { "check_settings: {}" };
        edited(text, level, &format!("typed_per_filter_config: {{guard: {{\"@type\": {kind}, {value}}}}}"))
    };
    for pair in cases::LEVELS.windows(2) {
        let on = set(&set(AUTHZ, pair[0], true), pair[1], false);
        assert_eq!(rules(&on, &needs(false)), [""; 0], "{pair:?}");
        let off = set(&set(AUTHZ, pair[0], false), pair[1], true);
        assert_eq!(rules(&off, &needs(false)), ["filter-disabled"], "{pair:?}");
    }
    let off = edited(AUTHZ, "# entry", "disabled: true");
    assert_eq!(rules(&set(&off, "# host", false), &needs(false)), [""; 0], "a route's setting turns it on");
}

#[test]
fn filters_of_one_list_may_share_its_routes() {
    let second = "- {name: second, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor, \
                  grpc_service: {envoy_grpc: {cluster_name: portcullis}}, message_timeout: 5s, max_message_timeout: 900s, \
                  mutation_rules: {disallow_is_error: true}, allow_mode_override: true}}";
    let off = "typed_per_filter_config: {second: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute, disabled: true}}";
    let text = edited(&edited(AUTHZ, "# after", second), "# route", off);
    assert_eq!(rules(&text, &needs(false)), [""; 0], "one is off where the other asks");
}

#[test]
fn what_a_route_says_of_the_bytes_of_bodies_does_not_count() {
    let buffer = "with_request_body: {max_request_bytes: 1048576, pack_as_bytes: true}";
    let route = format!(
        "typed_per_filter_config: {{guard: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: {{{buffer}}}}}}}"
    );
    let on_the_route = edited(AUTHZ, "# route", &route);
    assert_eq!(rules(&on_the_route, &needs(false)), [""; 0]);
    for filter in ["with_request_body: {max_request_bytes: 1048576}", "stat_prefix: x"] {
        let text = on_the_route.replacen(buffer, filter, 1);
        assert_eq!(rules(&text, &needs(false)), ["lossy-body"], "{filter}");
    }
}

#[test]
fn replicas_of_one_store_may_share_the_load() {
    let two =
        "# options\n      load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {}}, {endpoint: {}}]}]}\n";
    let text = edited(AUTHZ, "# options\n", two);
    assert_eq!(rules(&text, &needs(false)), ["replicas-unordered"]);
    let mut shared = needs(false);
    shared.server.shared_store = true;
    assert_eq!(rules(&text, &shared), [""; 0]);
}

#[test]
fn findings_know_their_line_path_and_example() {
    let text = edited(AUTHZ, ", pack_as_bytes: true", "");
    let examined = examined(&text, &needs(false));
    let finding = &examined.findings[0];
    assert_eq!(
        finding.path,
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.with_request_body.pack_as_bytes"
    );
    let line =
        u32::try_from(text.lines().position(|line| line.contains("with_request_body")).unwrap()).unwrap() + 1;
    assert_eq!(finding.line, Some(line));
    let shown = finding.diagnostic().to_string();
    assert!(shown.contains("lossy-body") && shown.contains("set `pack_as_bytes: true`"), "{shown}");
}

#[test]
fn many_findings_of_one_rule_are_counted() {
    let mut hosts = "- name: h\n  domains: [\"*\"]\n  routes:\n".to_owned();
    for place in 0..150 {
        hosts += &format!(
            "    - {{match: {{prefix: /v1/refunds/{place}/}}, route: {{cluster: upstream}}, {}}}\n",
            OPEN.replace("check_settings: {disable_request_body_buffering: true}", "disabled: true")
        );
    }
    let examined = examined(&with_hosts(&hosts), &needs(false));
    assert_eq!(examined.findings.len(), 100);
    assert!(examined.findings[99].message.ends_with("so it is in 50 more places"));
}

#[test]
fn upgrades_are_warned_of_on_routes_with_masked_responses_only() {
    let hosts = |refunds: &str, live: &str| {
        let route = |prefix: &str, more: &str| {
            format!("    - {{match: {{prefix: {prefix}}}, route: {{cluster: upstream{more}}}}}\n")
        };
        let routes = route("/v1/refunds", refunds) + &route("/live", live);
        format!("- name: h\n  domains: [\"*\"]\n  routes:\n{routes}")
    };
    let found = |manager: &str, refunds: &str, live: &str| {
        let text = edited(PROC, "# manager", manager);
        let (before, rest) = text.split_once("                  virtual_hosts:\n").unwrap();
        let (_, clusters) = rest.split_once("  clusters:\n    - name: portcullis").unwrap();
        let hosts: String =
            hosts(refunds, live).lines().map(|line| format!("                  {line}\n")).collect();
        let text = format!(
            "{before}                  virtual_hosts:\n{hosts}  clusters:\n    - name: portcullis{clusters}"
        );
        let examined = examined(&text, &needs(true));
        let upgrades = examined.findings.into_iter().filter(|finding| finding.rule.id == "upgrades");
        upgrades
            .map(|finding| finding.path.rsplit("typed_config.").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let on = ", upgrade_configs: [{upgrade_type: WebSocket}]";
    let off = ", upgrade_configs: [{upgrade_type: websocket, enabled: false}]";
    let (all, none) = (on.trim_start_matches(", "), off.trim_start_matches(", "));
    let of_route = "route_config.virtual_hosts[0].routes[0].route.upgrade_configs[0]";
    assert_eq!(found("", "", on), [""; 0], "no rule masks there");
    assert_eq!(found(none, "", on), [""; 0], "off, but for a route that no rule masks");
    assert_eq!(found(all, off, ""), [""; 0], "on, but for the route that rules mask");
    assert_eq!(found(all, "", off), ["upgrade_configs[0]"]);
    assert_eq!(found(none, on, ""), [of_route], "a route's own word is in force");
}

/// The path, message and fix of the one `no-request-body`.
fn body_missing(text: &str, needs: &Needs) -> (String, String, String) {
    let mut found = examined(text, needs).findings;
    found.retain(|finding| finding.rule.id == "no-request-body");
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found.remove(0);
    (found.path.rsplit("route_config.").next().unwrap().to_owned(), found.message, found.fix)
}

#[test]
fn a_body_is_asked_for_on_the_route_that_needs_it() {
    let mut needs = needs(false);
    needs.server.known = false;
    let bare = edited(PROC, "request_body_mode: BUFFERED, ", "");
    let of_authz = "with_request_body: {max_request_bytes: 1048576, pack_as_bytes: true}";
    for (text, kind) in
        [(&bare, "ExtProcPerRoute"), (&edited(AUTHZ, of_authz, "stat_prefix: x"), "ExtAuthzPerRoute")]
    {
        let (path, _, fix) = body_missing(text, &needs);
        assert_eq!(path, "virtual_hosts[0].routes[0]");
        assert!(fix.contains("add `typed_per_filter_config` to this route") && fix.contains(kind), "{fix}");
    }
    let set = |name: &str, mode: &str| {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute";
        let mode = format!(
            "overrides: {{processing_mode: {{request_body_mode: {mode}, request_trailer_mode: SEND}}}}"
        );
        edited(
            &bare,
            "# route\n",
            &format!("typed_per_filter_config: {{{name}: {{\"@type\": {kind}, {mode}}}}}\n"),
        )
    };
    let (path, _, fix) = body_missing(&set("guard", "STREAMED"), &needs);
    let own = "virtual_hosts[0].routes[0].typed_per_filter_config.guard.overrides.processing_mode.request_body_mode";
    assert_eq!((path.as_str(), fix.as_str()), (own, "set `request_body_mode: BUFFERED`"));
    let (path, message, _) = body_missing(&set("gard", "BUFFERED"), &needs);
    assert_eq!(path, "virtual_hosts[0].routes[0]");
    assert!(message.contains("what the route sets for `gard` is not for the filter `guard`"), "{message}");
}
