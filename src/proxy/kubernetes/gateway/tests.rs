use super::*;
use crate::proxy::kubernetes::objects;
use crate::proxy::tree::Source;

fn object(kind: &str, name: &str, spec: &str) -> String {
    let group = if ["Gateway", "HTTPRoute", "ReferenceGrant"].contains(&kind) {
        "gateway.networking.k8s.io/v1"
    } else {
        "gateway.envoyproxy.io/v1alpha1"
    };
    format!(
        "---\napiVersion: {group}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop, labels: {{of: {name}}}}}\nspec: {spec}\n"
    )
}

const AUTH: &str = "extAuth: {grpc: {backendRefs: [{name: portcullis, port: 9191}]}}";

fn on(kind: &str, name: &str) -> String {
    format!("targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {name}}}]")
}

fn with<T>(text: &str, then: impl Fn(&Gateways<'_>) -> T) -> T {
    let source = Source::parse("m.yaml", text).unwrap();
    then(&Gateways::of(&objects([&source])))
}

/// The one connection manager's JSON, and how many patches could not be followed.
fn manager(text: &str) -> (serde_json::Value, usize) {
    with(text, |gateways| {
        let proxies = gateways.proxies();
        let [proxy] = proxies.as_slice() else { panic!("{}", proxies.len()) };
        let root = proxy.root.to_json();
        let filter = &root["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
        (filter["typed_config"].clone(), proxy.unread.len())
    })
}

#[test]
fn a_routes_gateway_is_told_by_its_parents() {
    let policy = object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("HTTPRoute", "orders")));
    let route = object("HTTPRoute", "orders", "{parentRefs: [{name: edge}]}");
    let client = |name: &str, word: &str| {
        let spec = format!("{{{}, path: {{escapedSlashesAction: {word}}}}}", on("Gateway", name));
        object("ClientTrafficPolicy", name, &spec)
    };
    let text =
        format!("{policy}{route}{}{}", client("edge", "RejectRequest"), client("other", "KeepUnchanged"));
    assert_eq!(manager(&text).0["path_with_escaped_slashes_action"], "REJECT_REQUEST");
}

#[test]
fn defaults_are_those_of_envoy_gateway() {
    let (manager, _) =
        manager(&object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("Gateway", "edge"))));
    assert_eq!(manager["merge_slashes"], true);
    assert_eq!(manager["path_with_escaped_slashes_action"], "UNESCAPE_AND_REDIRECT");
    assert_eq!(manager["http_filters"][0]["typed_config"]["grpc_service"]["timeout"], "10s");
}

#[test]
fn a_patch_is_followed_by_the_name_of_its_filter_and_by_no_number() {
    let policy = object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("Gateway", "edge")));
    let patch = |place: &str| {
        let listener = "type.googleapis.com/envoy.config.listener.v3.Listener";
        let operation = format!("{{op: add, {place}, value: true}}");
        let spec = format!(
            "{{type: JSONPatch, targetRef: {{kind: Gateway, name: edge}}, jsonPatches: [{{type: {listener}, name: x, operation: {operation}}}]}}"
        );
        manager(&format!("{policy}{}", object("EnvoyPatchPolicy", "e", &spec)))
    };
    let named = "jsonPath: \"..http_filters[?(@.name=='envoy.filters.http.ext_authz/securitypolicy/shop/p')].typed_config\"";
    let config = |manager: &serde_json::Value| manager["http_filters"][0]["typed_config"].clone();
    let (patched, unread) = patch(&format!("{named}, path: /encode_raw_headers"));
    assert_eq!((&config(&patched)["encode_raw_headers"], unread), (&true.into(), 0));
    let whole = named.replace("typed_config", "typed_config.with_request_body.pack_as_bytes");
    assert_eq!(config(&patch(&whole).0)["with_request_body"]["pack_as_bytes"], true);
    let (_, unread) = patch(
        "path: /default_filter_chain/filters/0/typed_config/http_filters/0/typed_config/encode_raw_headers",
    );
    assert_eq!(unread, 1);
}

#[test]
fn labels_select_what_is_shown() {
    let selector =
        "targetSelectors: [{group: gateway.networking.k8s.io, kind: Gateway, matchLabels: {of: edge}}]";
    let policy = object("SecurityPolicy", "p", &format!("{{{selector}, {AUTH}}}"));
    let gateway = object("Gateway", "edge", "{gatewayClassName: envoy}");
    with(&format!("{policy}{gateway}"), |gateways| {
        assert_eq!(
            gateways.policies[0].targets.iter().map(Target::title).collect::<Vec<_>>(),
            ["Gateway edge"]
        );
    });
    with(&policy, |gateways| assert!(gateways.policies[0].targets.is_empty()));
}

#[test]
fn a_processor_of_another_name_is_not_meant_where_one_is_named_so() {
    let spec = format!(
        "{{{}, extProc: [{{backendRefs: [{{name: ratelimit}}]}}, {{backendRefs: [{{name: portcullis}}]}}]}}",
        on("Gateway", "edge")
    );
    with(&object("EnvoyExtensionPolicy", "p", &spec), |gateways| {
        let kinds: Vec<_> = gateways.policies[0].asks.iter().map(|ask| ask.kind).collect();
        assert_eq!(kinds, [AskKind::ExtProc(1)]);
    });
}

#[test]
fn a_policy_without_portcullis_asks_nobody() {
    let spec = format!("{{{}, cors: {{}}}}", on("Gateway", "edge"));
    with(&object("SecurityPolicy", "p", &spec), |gateways| assert!(!gateways.asks()));
}

/// The manager of a route in namespace shop whose gateway lies in namespace infra, with more manifests.
fn abroad(more: &str) -> (serde_json::Value, usize) {
    let policy = object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("HTTPRoute", "orders")));
    let route = object("HTTPRoute", "orders", "{parentRefs: [{name: edge, namespace: infra}]}");
    manager(&format!("{policy}{route}{more}"))
}

#[test]
fn a_gateway_of_another_namespace_brings_its_own_settings() {
    let client = object(
        "ClientTrafficPolicy",
        "c",
        &format!("{{{}, path: {{escapedSlashesAction: RejectRequest}}}}", on("Gateway", "edge")),
    );
    let there = client.replace("namespace: shop", "namespace: infra");
    assert_eq!(abroad(&there).0["path_with_escaped_slashes_action"], "REJECT_REQUEST");
    assert_eq!(
        abroad(&client).0["path_with_escaped_slashes_action"],
        "UNESCAPE_AND_REDIRECT",
        "another gateway"
    );
    let patch = object(
        "EnvoyPatchPolicy",
        "e",
        "{type: JSONPatch, targetRef: {kind: Gateway, name: edge}, jsonPatches: [{type: type.googleapis.com/envoy.config.cluster.v3.Cluster, name: c, operation: {op: remove, path: /x}}]}",
    );
    assert_eq!(abroad(&patch.replace("namespace: shop", "namespace: infra")).1, 1);
    assert_eq!(abroad(&patch).1, 0, "another gateway");
}

#[test]
fn a_route_is_under_the_policy_of_its_gateway_wherever_that_lies() {
    let policy = object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("Gateway", "edge")));
    let policy = policy.replace("namespace: shop", "namespace: infra");
    let route = |namespace: &str| {
        object("HTTPRoute", "orders", &format!("{{parentRefs: [{{name: edge, namespace: {namespace}}}]}}"))
    };
    let of = |namespace: &str| {
        with(&format!("{policy}{}", route(namespace)), |gateways| {
            let target = Target { namespace: "shop", kind: "HTTPRoute", name: "orders", section: None };
            gateways.policy_for("SecurityPolicy", &target).is_some()
        })
    };
    assert!(of("infra"));
    assert!(!of("shop"), "a gateway of the same name");
}

/// The action of the one drawn route, and what could not be told, of each proxy.
fn actions(text: &str) -> Vec<(serde_json::Value, usize)> {
    with(text, |gateways| {
        let of = |proxy: &Proxy<'_>| {
            let root = proxy.root.to_json();
            let place = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/0/route";
            (root.pointer(place).unwrap().clone(), proxy.unread.len())
        };
        gateways.proxies().iter().map(of).collect()
    })
}

#[test]
fn a_backend_traffic_policy_sets_the_times_of_its_routes() {
    let policy = object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("Gateway", "edge")));
    let route = object("HTTPRoute", "orders", "{parentRefs: [{name: edge}]}");
    let times = "timeout: {http: {maxStreamDuration: 1m, streamIdleTimeout: 30s}}";
    let of = |kind: &str, name: &str, more: &str| {
        let backend = object("BackendTrafficPolicy", "b", &format!("{{{}, {times}{more}}}", on(kind, name)));
        actions(&format!("{policy}{route}{backend}"))
    };
    let limits = |action: &serde_json::Value| {
        (action["max_stream_duration"]["max_stream_duration"].clone(), action["idle_timeout"].clone())
    };
    let set = ("60s".into(), "30s".into());
    let unset = (serde_json::Value::Null, serde_json::Value::Null);
    let all = of("Gateway", "edge", "");
    assert_eq!(all.iter().map(|(action, _)| limits(action)).collect::<Vec<_>>(), std::slice::from_ref(&set));
    let own = of("HTTPRoute", "orders", "");
    assert_eq!(own.iter().map(|(action, _)| limits(action)).collect::<Vec<_>>(), [unset.clone(), set]);
    let other = of("Gateway", "other", "");
    assert_eq!(other.iter().map(|(action, _)| limits(action)).collect::<Vec<_>>(), [unset]);
    for field in [
        "compression: [{type: Gzip}]",
        "compressor: [{type: Gzip}]",
        "httpUpgrade: [{type: websocket}]",
        "responseOverride: []",
    ] {
        assert_eq!(of("Gateway", "edge", &format!(", {field}"))[0].1, 1, "{field}");
    }
    assert_eq!(all[0].1, 0);
}

#[test]
fn the_time_of_a_call_to_the_service_is_its_clusters() {
    let auth = AUTH.replace(
        "port: 9191}]",
        "port: 9191}], backendSettings: {timeout: {http: {maxStreamDuration: 20s}}}",
    );
    let text = object("SecurityPolicy", "p", &format!("{{{}, {auth}}}", on("Gateway", "edge")));
    with(&text, |gateways| {
        let cluster = &gateways.proxies()[0].root.to_json()["static_resources"]["clusters"][1];
        assert_eq!(cluster["common_http_protocol_options"]["max_stream_duration"], "20s");
    });
}

#[test]
fn patches_of_routes_count_for_the_one_that_is_drawn_up() {
    let policy = object("SecurityPolicy", "p", &format!("{{{}, {AUTH}}}", on("Gateway", "edge")));
    let patch = |operation: &str| {
        let spec = format!(
            "{{type: JSONPatch, targetRef: {{kind: Gateway, name: edge}}, jsonPatches: [{{type: type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: x, operation: {{{operation}}}}}]}}"
        );
        manager(&format!("{policy}{}", object("EnvoyPatchPolicy", "e", &spec)))
    };
    let route = "/route_config/virtual_hosts/0/routes/0";
    for (operation, place) in [
        (
            "op: add, path: /virtual_hosts/3/routes/7/typed_per_filter_config/x, value: 1",
            format!("{route}/typed_per_filter_config/x"),
        ),
        (
            "op: add, jsonPath: \"..routes[?(@.name=='r')]\", path: /typed_per_filter_config/x, value: 1",
            format!("{route}/typed_per_filter_config/x"),
        ),
        (
            "op: add, jsonPath: \"..routes[*].route\", path: idle_timeout, value: 1",
            format!("{route}/route/idle_timeout"),
        ),
        (
            "op: add, jsonPath: \"$.virtual_hosts[?(@.name=='v')].routes[*]\", path: /x, value: 1",
            format!("{route}/x"),
        ),
        (
            "op: replace, jsonPath: \"..virtual_hosts[*]\", path: /x, value: 1",
            "/route_config/virtual_hosts/0/x".to_owned(),
        ),
        (
            "op: add, path: /request_headers_to_remove, value: 1",
            "/route_config/request_headers_to_remove".to_owned(),
        ),
    ] {
        let (manager, unread) = patch(operation);
        assert_eq!((manager.pointer(&place), unread), (Some(&1.into()), 0), "{operation}");
    }
    for operation in [
        "op: add, path: /virtual_hosts/0/routes/0, value: {}",
        "op: add, path: /virtual_hosts/-, value: {}",
        "op: replace, path: /virtual_hosts, value: []",
        "op: copy, from: /x, path: /virtual_hosts/0/routes/0/y",
        "op: remove, path: \"\"",
    ] {
        assert_eq!(patch(operation).1, 1, "{operation}");
    }
}
