//! What is wrong with the objects of manifests themselves.

use super::*;

const MESH: &str = "meshConfig: {extensionProviders: [{name: portcullis, envoyExtAuthzGrpc: {service: portcullis.security.svc.cluster.local, port: 9191, timeout: 900s}}, {name: oauth, envoyExtAuthzHttp: {service: oauth.auth.svc.cluster.local, port: 80}}]}\n";

fn policy(name: &str, provider: &str, spec: &str) -> String {
    let selected = "selector: {matchLabels: {app: orders}}";
    let spec = if spec.is_empty() { selected } else { spec };
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{action: CUSTOM, provider: {{name: {provider}}}, rules: [{{}}], {spec}}}\n"
    )
}

fn workload(kind: &str, name: &str, labels: &str, metadata: &str, spec: &str) -> String {
    let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    format!(
        "---\napiVersion: {group}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{template: {{metadata: {{labels: {labels}, {metadata}}}, spec: {{{spec}}}}}}}\n"
    )
}

fn orders(metadata: &str, spec: &str) -> String {
    workload("Deployment", "orders", "{app: orders}", metadata, spec)
}

/// The findings of a rule in a mesh with these manifests.
fn found(rule: &str, manifests: &str) -> Vec<Finding> {
    let mut needs = needs(false);
    needs.server.gateway = false;
    let mut findings = examined(&format!("{MESH}{manifests}"), &needs).findings;
    findings.retain(|finding| finding.rule.id == rule);
    findings
}

fn severities(rule: &str, manifests: &str) -> Vec<Severity> {
    found(rule, manifests).iter().map(|finding| finding.severity).collect()
}

const ERROR: &[Severity] = &[Severity::Error];
const WARNING: &[Severity] = &[Severity::Warning];

#[test]
fn a_selected_workload_without_a_sidecar_is_reached_unasked() {
    let mesh = policy("p", "portcullis", "");
    let bypassed = |pod: &str| severities("sidecar-bypassed", &format!("{mesh}{pod}"));
    assert_eq!(bypassed(&orders("", "")), []);
    assert_eq!(bypassed(&orders("annotations: {sidecar.istio.io/inject: \"false\"}", "")), ERROR);
    let label = workload("Deployment", "orders", "{app: orders, sidecar.istio.io/inject: \"false\"}", "", "");
    assert_eq!(bypassed(&label), ERROR);
    assert_eq!(bypassed(&orders("annotations: {sidecar.istio.io/interceptionMode: NONE}", "")), ERROR);
    assert_eq!(bypassed(&orders("", "hostNetwork: true")), ERROR);
    let pods = "spec: {containers: [{name: a}]}";
    let pod = format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: o, namespace: shop, labels: {{app: orders, sidecar.istio.io/inject: \"false\"}}}}\n{pods}\n"
    );
    assert_eq!(bypassed(&pod), ERROR);
    let namespace = |word: &str| {
        format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{istio-injection: {word}}}}}\n"
        )
    };
    assert_eq!(bypassed(&format!("{}{}", orders("", ""), namespace("disabled"))), ERROR);
    assert_eq!(bypassed(&format!("{}{}", orders("", ""), namespace("enabled"))), []);
    // Not selected, no sidecar at all, or takes no calls.
    let other = workload("Deployment", "carts", "{app: carts}", "", "hostNetwork: true");
    assert_eq!(bypassed(&other), []);
    let gateway =
        workload("Deployment", "edge", "{app: orders, istio: ingressgateway}", "", "hostNetwork: true");
    assert_eq!(bypassed(&gateway), []);
    assert_eq!(bypassed(&workload("Job", "orders", "{app: orders}", "", "hostNetwork: true")), []);
}

#[test]
fn ports_around_a_sidecar_are_errors_where_calls_come_by_them() {
    let mesh = policy("p", "portcullis", "");
    let excluded = |name: &str, ports: &str, spec: &str, more: &str| {
        let pod = orders(&format!("annotations: {{traffic.sidecar.istio.io/{name}: {ports}}}"), spec);
        severities("sidecar-bypassed", &format!("{mesh}{pod}{more}"))
    };
    let containers = "containers: [{name: a, ports: [{name: http, containerPort: 8080}]}]";
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: orders, namespace: shop}\nspec: {selector: {app: orders}, ports: [{port: 80, targetPort: http}]}\n";
    let out = "excludeInboundPorts";
    assert_eq!(excluded(out, "\"8080\"", "", ""), ERROR, "nothing tells what it serves");
    assert_eq!(excluded(out, "8080", containers, ""), ERROR);
    assert_eq!(excluded(out, "\"9090,8080\"", containers, service), ERROR, "by its name");
    assert_eq!(excluded(out, "\"9090\"", containers, ""), WARNING);
    assert_eq!(excluded(out, "\"9090\"", containers, service), WARNING);
    assert_eq!(excluded(out, "\"\"", containers, service), []);
    let only = "includeInboundPorts";
    assert_eq!(excluded(only, "\"*\"", containers, ""), []);
    assert_eq!(excluded(only, "\"9090\"", containers, ""), ERROR);
    assert_eq!(excluded(only, "\"8080\"", containers, ""), WARNING);
    assert_eq!(excluded(only, "\"\"", containers, ""), ERROR, "none goes through it");
}

#[test]
fn two_providers_for_one_workload_are_told() {
    let ours = policy("ours", "portcullis", "");
    let several = |other: &str| severities("several-providers", &format!("{ours}{other}"));
    assert_eq!(several(&policy("theirs", "oauth", "")), ERROR);
    assert_eq!(several(&policy("theirs", "oauth", "selector: {}")), ERROR, "the whole namespace");
    assert_eq!(several(&policy("theirs", "portcullis", "selector: {}")), []);
    assert_eq!(several(&policy("theirs", "oauth", "selector: {matchLabels: {app: carts}}")), []);
    let v1 = policy("theirs", "oauth", "selector: {matchLabels: {version: v1}}");
    assert_eq!(several(&v1), ERROR, "pods may have both labels");
    let carts = workload("Deployment", "carts", "{app: carts, version: v1}", "", "");
    assert_eq!(several(&format!("{v1}{}{carts}", orders("", ""))), [], "none that is shown has both");
    let neither = format!("{}{}", policy("a", "oauth", ""), policy("b", "other", ""));
    let of = |text: &str| {
        let needs = needs(false);
        let findings = examined(text, &needs).findings;
        findings.iter().filter(|finding| finding.rule.id == "several-providers").count()
    };
    let mesh = MESH.replace("name: oauth,", "name: other, envoyExtAuthzHttp: {}}, {name: oauth,");
    let carts = policy("c", "portcullis", "selector: {matchLabels: {app: carts}}");
    assert_eq!(of(&format!("{mesh}{neither}{carts}")), 0, "neither is Portcullis");
}

#[test]
fn a_workload_that_nothing_makes_ask_is_named_beside_those_that_do() {
    let mesh = format!("{}{}", policy("p", "portcullis", ""), orders("", ""));
    let missing = |more: &str| severities("filter-missing", &format!("{mesh}{more}"));
    assert_eq!(missing(""), []);
    let carts = workload("Deployment", "carts", "{app: carts}", "", "");
    assert_eq!(missing(&carts), WARNING);
    assert_eq!(
        missing(&format!("{carts}{}", policy("c", "portcullis", "selector: {matchLabels: {app: carts}}"))),
        []
    );
    assert_eq!(missing(&workload("Job", "export", "{app: export}", "", "")), [], "it takes no calls");
    assert_eq!(missing(&workload("StatefulSet", "portcullis", "{app: portcullis}", "", "")), []);
    assert_eq!(
        missing(&workload("Deployment", "edge", "{istio: ingressgateway}", "", "")),
        [],
        "only sidecars ask"
    );
    let istiod = workload("Deployment", "istiod", "{app: istiod}", "", "").replace("shop", "istio-system");
    assert_eq!(missing(&istiod), []);
}

#[test]
fn a_policy_that_names_the_provider_without_custom_asks_nobody() {
    let of = |provider: &str, action: &str| {
        let policy = policy("p", provider, "").replace("action: CUSTOM, ", action);
        // Something has to ask, for there to be a mesh to examine.
        let carts = self::policy("c", "portcullis", "selector: {matchLabels: {app: carts}}");
        found("filter-missing", &format!("{policy}{carts}"))
    };
    for action in ["action: ALLOW, ", "action: AUDIT, ", ""] {
        let findings = of("portcullis", action);
        assert_eq!(findings.len(), 1, "{action}");
        assert_eq!(
            (findings[0].severity, findings[0].path.as_str()),
            (Severity::Error, "spec.action"),
            "{action}"
        );
    }
    assert!(of("oauth", "action: ALLOW, ").is_empty());
    assert!(of("portcullis", "action: CUSTOM, ").is_empty());
    // Alone it is examined too.
    let alone = policy("p", "portcullis", "").replace("CUSTOM", "ALLOW");
    assert_eq!(found("filter-missing", &alone).len(), 1);
}

#[test]
fn a_provider_by_http_is_told_whether_a_policy_names_it_or_not() {
    let text = MESH.replace("envoyExtAuthzGrpc", "envoyExtAuthzHttp");
    let of = |text: &str| rules(text, &needs(false));
    assert!(of(&format!("{text}{}", policy("p", "portcullis", ""))).contains(&"http-provider"));
    let by_service = text.replace("{name: portcullis", "{name: ours");
    assert!(of(&format!("{by_service}{}", policy("p", "ours", ""))).contains(&"http-provider"));
    assert!(
        !of(&format!("{MESH}{}", policy("p", "portcullis", ""))).contains(&"http-provider"),
        "others may be"
    );
}

#[test]
fn hosts_are_the_callers_in_sidecars_alone() {
    let claimed = |gateway: bool, known: bool, spec: &str| {
        let mut needs = needs(false);
        (needs.server.gateway, needs.server.known) = (gateway, known);
        rules(&format!("{MESH}{}", policy("p", "portcullis", spec)), &needs).contains(&"host-claimed")
    };
    assert!(claimed(true, true, ""));
    assert!(!claimed(false, true, ""));
    assert!(!claimed(true, false, ""), "the server's configuration is not known");
    assert!(!claimed(true, true, "selector: {matchLabels: {istio: ingressgateway}}"));
    assert!(!claimed(true, true, "targetRefs: [{kind: Gateway, name: edge}]"));
}

#[test]
fn a_filter_for_the_other_kind_of_proxy_is_misplaced() {
    let misplaced = |context: &str, pod: &str| {
        let filter = format!(
            "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: f, namespace: shop}}\nspec:\n  configPatches:\n    - applyTo: HTTP_FILTER\n      match: {{context: {context}, listener: {{filterChain: {{filter: {{subFilter: {{name: envoy.filters.http.router}}}}}}}}}}\n      patch: {{operation: INSERT_BEFORE, value: {{name: portcullis, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor}}}}}}\n"
        );
        severities("patch-misplaced", &format!("{filter}{pod}"))
    };
    let gateway = workload("Deployment", "edge", "{istio: ingressgateway}", "", "");
    assert_eq!(misplaced("GATEWAY", &orders("", "")), ERROR);
    assert_eq!(misplaced("SIDECAR_INBOUND", &orders("", "")), []);
    assert_eq!(misplaced("SIDECAR_INBOUND", &gateway), ERROR);
    assert_eq!(misplaced("GATEWAY", &gateway), []);
    assert_eq!(misplaced("GATEWAY", &format!("{gateway}{}", orders("", ""))), [], "some are");
    assert_eq!(misplaced("GATEWAY", ""), [], "nothing tells");
}

#[test]
fn replicas_of_portcullis_are_told_where_calls_are_held() {
    let mesh = policy("p", "portcullis", "");
    let replicas = |name: &str, count: u8| {
        let set = workload("StatefulSet", name, "{app: x}", "", "");
        let set = set.replace("spec: {template", &format!("spec: {{replicas: {count}, template"));
        severities("replicas-unordered", &format!("{mesh}{set}"))
    };
    assert_eq!(replicas("portcullis", 2), WARNING);
    assert_eq!(replicas("portcullis", 1), []);
    assert_eq!(replicas("orders", 2), []);
    let mut quiet = needs(false);
    quiet.longest_wait = None;
    let set = workload("StatefulSet", "portcullis", "{app: x}", "", "")
        .replace("spec: {template", "spec: {replicas: 2, template");
    assert!(!rules(&format!("{MESH}{mesh}{set}"), &quiet).contains(&"replicas-unordered"));
}
