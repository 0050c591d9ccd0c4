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
