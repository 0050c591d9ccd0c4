use super::*;
use crate::proxy::kubernetes::objects;
use crate::proxy::tree::Source;

const PROVIDER: &str = "extensionProviders:\n  - {name: portcullis, envoyExtAuthzGrpc: {service: a.b.svc.cluster.local, port: 9191}}\n";

fn policy(namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {{action: CUSTOM, provider: {{name: portcullis}}, rules: [{{}}], {spec}}}\n"
    )
}

fn filter(namespace: &str, labels: &str, patch: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: f, namespace: {namespace}}}\nspec:\n  workloadSelector: {{labels: {labels}}}\n  configPatches: [{patch}]\n"
    )
}

const STRICT: &str = "{applyTo: NETWORK_FILTER, match: {context: SIDECAR_INBOUND}, patch: {operation: MERGE, value: {typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, merge_slashes: true}}}}";

fn with<T>(text: &str, then: impl Fn(&Mesh<'_>) -> T) -> T {
    let source = Source::parse("m.yaml", text).unwrap();
    let documents: Vec<_> = source.documents().collect();
    then(&Mesh::of(&documents, &objects([&source])))
}

/// `merge_slashes` of each group of proxies.
fn merged(text: &str) -> Vec<bool> {
    with(text, |mesh| {
        let of = |proxy: &Proxy<'_>| {
            let root = proxy.draft.finish("drawn", proxy.root.clone());
            let root = root.documents().next().unwrap();
            let listener = root.at(&["static_resources", "listeners"]).items().remove(0);
            let filter = listener.get("filter_chains").items().remove(0).get("filters").items().remove(0);
            filter.at(&["typed_config", "merge_slashes"]).is_true()
        };
        mesh.proxies(false).iter().map(of).collect()
    })
}

#[test]
fn a_patch_reaches_the_workloads_that_it_selects_and_no_others() {
    let orders = policy("shop", "selector: {matchLabels: {app: orders}}");
    let all = |patch: &str| merged(&format!("{PROVIDER}{orders}{patch}"));
    assert_eq!(all(""), [false]);
    assert_eq!(all(&filter("shop", "{app: orders}", STRICT)), [true]);
    assert_eq!(all(&filter("shop", "{}", STRICT)), [true], "the whole namespace");
    assert_eq!(all(&filter("istio-system", "{}", STRICT)), [true], "the whole mesh");
    assert_eq!(all(&filter("shop", "{app: carts}", STRICT)), [false]);
    assert_eq!(all(&filter("other", "{}", STRICT)), [false]);
    assert_eq!(all(&filter("shop", "{}", &STRICT.replace("INBOUND", "OUTBOUND"))), [false], "callers");
}

#[test]
fn the_root_namespace_is_the_mesh_configurations() {
    let text =
        format!("rootNamespace: mesh\n{PROVIDER}{}{}", policy("shop", ""), filter("mesh", "{}", STRICT));
    assert_eq!(merged(&text), [true]);
}

#[test]
fn each_target_is_a_group_of_proxies() {
    let text = format!("{PROVIDER}{}{}", policy("shop", ""), policy("books", ""));
    with(&text, |mesh| {
        let namespaces: Vec<_> = mesh.proxies(false).iter().map(|proxy| proxy.target.namespace).collect();
        assert_eq!(namespaces, ["shop", "books"]);
    });
}

#[test]
fn mesh_configurations_are_found_in_every_form() {
    let inner = "{extensionProviders: [{name: portcullis, envoyExtAuthzGrpc: {service: a, port: 9191}}]}";
    for text in [
        PROVIDER.to_owned(),
        format!("meshConfig: {inner}"),
        format!("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {{meshConfig: {inner}}}"),
        format!("apiVersion: sailoperator.io/v1\nkind: Istio\nspec: {{values: {{meshConfig: {inner}}}}}"),
    ] {
        with(&text, |mesh| assert_eq!(mesh.providers.len(), 1, "{text}"));
    }
}

#[test]
fn where_one_provider_is_named_so_the_others_are_not_meant() {
    let other = PROVIDER.replace("name: portcullis", "name: opa");
    let both = format!("{PROVIDER}{}", other.trim_start_matches("extensionProviders:\n"));
    with(&both, |mesh| {
        assert_eq!(mesh.providers.iter().map(|provider| provider.name).collect::<Vec<_>>(), ["portcullis"]);
    });
    with(&other, |mesh| assert_eq!(mesh.providers.len(), 1));
}

#[test]
fn a_policy_for_another_kind_of_provider_is_no_business_of_ours() {
    let http = "extensionProviders:\n  - {name: oauth, envoyExtAuthzHttp: {service: a, port: 80}}\n";
    let policy = policy("shop", "").replace("name: portcullis", "name: oauth");
    with(&format!("{http}{policy}"), |mesh| assert!(!mesh.asks()));
    let ours = format!("{http}{policy}").replace("oauth", "portcullis");
    with(&ours, |mesh| assert!(mesh.asks(), "it is meant to"));
}

/// A Deployment of namespace shop, with more fields of its pods' metadata and spec.
fn deployment(labels: &str, metadata: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: shop}}\nspec: {{template: {{metadata: {{labels: {labels}, {metadata}}}, spec: {{{spec}}}}}}}\n"
    )
}

#[test]
fn a_patch_for_some_of_the_proxies_makes_a_group_of_its_own() {
    let orders = policy("shop", "selector: {matchLabels: {app: orders}}");
    let v1 = filter("shop", "{app: orders, version: v1}", STRICT);
    let text = format!("{PROVIDER}{orders}{v1}");
    assert_eq!(merged(&text), [false, true]);
    let only_v1 = deployment("{app: orders, version: v1}", "", "");
    assert_eq!(merged(&format!("{text}{only_v1}")), [true], "nothing that is shown is without the patch");
    let v2 = deployment("{app: orders, version: v2}", "", "");
    assert_eq!(merged(&format!("{text}{v2}")), [false], "nothing that is shown has the patch");
    assert_eq!(merged(&format!("{text}{only_v1}{v2}")), [false, true]);
    let mesh = format!("{PROVIDER}{}{}", policy("istio-system", ""), filter("shop", "{}", STRICT));
    assert_eq!(merged(&mesh), [false, true], "the mesh, and one namespace of it");
    let other = filter("shop", "{app: carts}", STRICT);
    assert_eq!(merged(&format!("{PROVIDER}{orders}{other}")), [false], "no proxy has both labels");
}

#[test]
fn too_many_groups_are_not_taken_for_all() {
    let filters: String = (0..9).map(|label| filter("shop", &format!("{{l{label}: x}}"), STRICT)).collect();
    with(&format!("{PROVIDER}{}{filters}", policy("shop", "")), |mesh| {
        let proxies = mesh.proxies(false);
        assert!(proxies.len() <= 200, "{}", proxies.len());
        assert!(proxies[0].unread.iter().any(|(_, what)| what.contains("too many")));
    });
}

#[test]
fn a_patch_counts_where_its_context_is() {
    let orders = policy("shop", "selector: {matchLabels: {app: orders}}");
    let gateway = STRICT.replace("SIDECAR_INBOUND", "GATEWAY");
    let all =
        |patch: &str, pod: &str| merged(&format!("{PROVIDER}{orders}{}{pod}", filter("shop", "{}", patch)));
    let sidecar = deployment("{app: orders}", "", "");
    let router = "containers: [{name: istio-proxy, args: [proxy, router]}]";
    let by_arguments = deployment("{app: orders}", "", router);
    let by_template = deployment("{app: orders}", "annotations: {inject.istio.io/templates: gateway}", "");
    let by_label = deployment("{app: orders, istio: eastwestgateway}", "", "");
    assert_eq!(all(STRICT, &sidecar), [true]);
    assert_eq!(all(&gateway, &sidecar), [false]);
    for pod in [&by_arguments, &by_template, &by_label] {
        assert_eq!(all(STRICT, pod), [false], "{pod}");
        assert_eq!(all(&gateway, pod), [true], "{pod}");
    }
    assert_eq!(all(&gateway, ""), [true], "nothing tells otherwise");
}

/// What could not be drawn up of one patch for the workload, and the drawn root.
fn drawn(patch: &str) -> (Vec<String>, serde_json::Value) {
    let text = format!("{PROVIDER}{}{}", policy("shop", ""), filter("shop", "{}", patch));
    with(&text, |mesh| {
        let proxies = mesh.proxies(false);
        let [proxy] = proxies.as_slice() else { panic!("{}", proxies.len()) };
        (proxy.unread.iter().map(|(_, what)| what.clone()).collect(), proxy.root.to_json())
    })
}

#[test]
fn what_patches_add_to_listeners_clusters_and_the_bootstrap_is_drawn_up() {
    for (patch, place, value) in [
        (
            "{applyTo: LISTENER, patch: {operation: MERGE, value: {perConnectionBufferLimitBytes: 7}}}",
            "/static_resources/listeners/0/per_connection_buffer_limit_bytes",
            "7",
        ),
        (
            "{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {admin: {profile_path: x}}}}",
            "/admin/profile_path",
            "\"x\"",
        ),
        (
            "{applyTo: CLUSTER, patch: {operation: ADD, value: {name: more}}}",
            "/static_resources/clusters/2/name",
            "\"more\"",
        ),
        (
            "{applyTo: CLUSTER, match: {cluster: {service: a.b.svc.cluster.local}}, patch: {operation: MERGE, value: {connect_timeout: 9s}}}",
            "/static_resources/clusters/1/connect_timeout",
            "\"9s\"",
        ),
        (
            "{applyTo: CLUSTER, match: {cluster: {service: other}}, patch: {operation: MERGE, value: {connect_timeout: 9s}}}",
            "/static_resources/clusters/1/connect_timeout",
            "\"1s\"",
        ),
        (
            "{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {portNumber: 9191}}, patch: {operation: MERGE, value: {connect_timeout: 9s}}}",
            "/static_resources/clusters/1/connect_timeout",
            "\"9s\"",
        ),
        (
            "{applyTo: HTTP_FILTER, patch: {operation: REMOVE}}",
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters",
            "[]",
        ),
        (
            "{applyTo: VIRTUAL_HOST, patch: {operation: MERGE, value: {include_request_attempt_count: true}}}",
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/include_request_attempt_count",
            "true",
        ),
    ] {
        let (unread, root) = drawn(patch);
        assert_eq!(unread, Vec::<String>::new(), "{patch}");
        assert_eq!(root.pointer(place).map(ToString::to_string).as_deref(), Some(value), "{patch}");
    }
}

#[test]
fn what_a_patch_does_is_drawn_up_or_named() {
    let filter = "{name: x, typed_config: {\"@type\": type.googleapis.com/a.B}}";
    let beside =
        "match: {listener: {filterChain: {filter: {subFilter: {name: envoy.filters.http.jwt_authn}}}}}";
    let ours = beside.replace("jwt_authn", "ext_authz");
    for patch in [
        format!("{{applyTo: NETWORK_FILTER, patch: {{operation: INSERT_FIRST, value: {filter}}}}}"),
        format!("{{applyTo: NETWORK_FILTER, patch: {{operation: MERGE, value: {filter}}}}}"),
        "{applyTo: NETWORK_FILTER, patch: {operation: REMOVE}}".to_owned(),
        format!("{{applyTo: HTTP_FILTER, patch: {{operation: MERGE, value: {filter}}}}}"),
        format!("{{applyTo: HTTP_FILTER, {ours}, patch: {{operation: MERGE, value: {filter}}}}}"),
        format!("{{applyTo: HTTP_FILTER, {beside}, patch: {{operation: INSERT_BEFORE, value: {filter}}}}}"),
        format!("{{applyTo: HTTP_FILTER, {beside}, patch: {{operation: REMOVE}}}}"),
        "{applyTo: HTTP_ROUTE, patch: {operation: INSERT_FIRST, value: {match: {prefix: /}}}}".to_owned(),
        "{applyTo: VIRTUAL_HOST, patch: {operation: ADD, value: {name: v}}}".to_owned(),
        "{applyTo: ROUTE_CONFIGURATION, patch: {operation: REMOVE}}".to_owned(),
        "{applyTo: LISTENER, patch: {operation: ADD, value: {name: l}}}".to_owned(),
        "{applyTo: LISTENER, patch: {operation: MERGE, value: {filter_chains: []}}}".to_owned(),
        "{applyTo: FILTER_CHAIN, patch: {operation: MERGE, value: {}}}".to_owned(),
        "{applyTo: LISTENER_FILTER, patch: {operation: INSERT_FIRST, value: {}}}".to_owned(),
        "{applyTo: CLUSTER, patch: {operation: REMOVE}}".to_owned(),
        "{applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {}}}".to_owned(),
        "{patch: {operation: MERGE}}".to_owned(),
    ] {
        let (unread, _) = drawn(&patch);
        assert!(unread.len() == 1 && unread[0].contains("EnvoyFilter shop/f does: "), "{patch}: {unread:?}");
        // Nor is it said of callers' proxies, which are not examined.
        let outbound = patch.replacen('{', "{match: {context: SIDECAR_OUTBOUND}, ", 1);
        if !patch.contains("match: {listener") && !patch.contains("CLUSTER") {
            assert_eq!(drawn(&outbound).0, Vec::<String>::new(), "{outbound}");
        }
    }
}

#[test]
fn a_patch_for_some_calls_of_a_proxy_is_named() {
    for (part, named) in [
        ("proxy: {proxyVersion: \"^1.2.*\"}", Some("`proxy`")),
        ("listener: {portNumber: 8080}", Some("`portNumber`")),
        ("listener: {name: virtualInbound}", None),
        ("listener: {name: 0.0.0.0_8080}", Some("`name`")),
        ("listener: {filterChain: {sni: shop}}", Some("`sni`")),
        ("listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}", None),
        ("routeConfiguration: {vhost: {name: inbound}}", Some("`vhost`")),
    ] {
        let patch = STRICT.replace("context: SIDECAR_INBOUND", &format!("context: SIDECAR_INBOUND, {part}"));
        let (unread, _) = drawn(&patch);
        assert_eq!(unread.len(), usize::from(named.is_some()), "{part}: {unread:?}");
        assert!(named.is_none_or(|named| unread[0].contains(named)), "{part}: {unread:?}");
    }
}

#[test]
fn workloads_are_selected_by_namespace_and_labels() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: o, namespace: shop, labels: {app: orders, tier: web}}\n";
    let selects = |policy: String| {
        with(&format!("{PROVIDER}{policy}{pod}"), |mesh| mesh.selects_any(&mesh.policies[0].target))
    };
    assert!(selects(policy("shop", "selector: {matchLabels: {app: orders}}")));
    assert!(selects(policy("istio-system", "selector: {matchLabels: {app: orders}}")));
    assert!(!selects(policy("shop", "selector: {matchLabels: {app: order}}")));
    assert!(!selects(policy("books", "")));
    assert!(!selects(policy("shop", "targetRefs: [{kind: Gateway, name: edge}]")));
}
