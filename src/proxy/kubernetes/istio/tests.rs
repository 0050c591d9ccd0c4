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

const STRICT: &str = "{applyTo: NETWORK_FILTER, match: {context: SIDECAR_INBOUND}, patch: {operation: MERGE, value: {typed_config: {merge_slashes: true}}}}";

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
    assert_eq!(all(&filter("shop", "{app: orders, version: v1}", STRICT)), [false], "only some of them");
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
    let http = "extensionProviders:\n  - {name: portcullis, envoyExtAuthzHttp: {service: a, port: 80}}\n";
    with(&format!("{http}{}", policy("shop", "")), |mesh| assert!(!mesh.asks()));
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
