use super::*;
use crate::proxy::config::tests::needs;

const READS_ADDRESS: &str = "{rules: [{name: r, when: 'source.address == \"10.0.0.7\"', allow: {}}]}";
const READS_BODY: &str =
    "{match: [{paths: [/a]}], rules: [{name: r, when: 'request.body.x == 1', allow: {}}]}";
const MASKS: &str = "{rules: [{name: r, mask: [{field: card, with: last4}]}]}";

fn options(selection: Selection, service: Service) -> IstioOptions {
    IstioOptions {
        service,
        portcullis: ServiceName::of(&"portcullis.security:9191".parse().unwrap()).unwrap(),
        namespace: "shop".parse().unwrap(),
        selection,
        mesh: true,
        manifests: true,
    }
}

fn workload(labels: &[&str]) -> Selection {
    Selection::Workloads(labels.iter().map(|label| label.parse().unwrap()).collect())
}

#[test]
fn names_of_kubernetes_are_plain_texts_of_yaml() {
    for name in ["shop", "a-1.b", "0"] {
        assert!(name.parse::<Name>().is_ok(), "{name}");
    }
    for name in ["", "Shop", "a: b", "-a", "a-", "a_b", "a\nb", "é"] {
        assert!(name.parse::<Name>().is_err(), "{name}");
    }
    let shown = |name: &str| name.parse::<Name>().unwrap().to_string();
    assert_eq!([shown("shop"), shown("123"), shown("true")], ["shop", "\"123\"", "\"true\""]);
}

#[test]
fn labels_are_quoted() {
    assert_eq!(
        "app.kubernetes.io/name=yes".parse::<Label>().unwrap().to_string(),
        "\"app.kubernetes.io/name\": \"yes\""
    );
    for label in ["app", "=a", "a=b\"", "a b=c"] {
        assert!(label.parse::<Label>().is_err(), "{label}");
    }
}

#[test]
fn a_service_is_named_with_its_namespace() {
    let of = |text: &str| ServiceName::of(&text.parse().unwrap());
    let service = of("portcullis.security.svc.cluster.local:9191").unwrap();
    assert_eq!(service.host(), "portcullis.security.svc.cluster.local");
    assert_eq!(service, of("portcullis.security:9191").unwrap());
    for other in ["portcullis:9191", "10.0.0.1:9191", "unix:/run/p", "portcullis.example.com:9191"] {
        assert!(of(other).is_err(), "{other}");
    }
}

#[test]
fn bodies_are_asked_for_as_the_server_expects_them() {
    let mut needs = needs(&[READS_BODY]);
    let by_route = istio(&needs, &options(workload(&["app=a"]), Service::ExtAuthz)).unwrap();
    assert!(
        by_route.contains("portcullis.request_body: buffered")
            && !by_route.contains("includeRequestBodyInCheck")
    );
    needs.server.body = BodySource::Buffered;
    let everywhere = istio(&needs, &options(workload(&["app=a"]), Service::ExtAuthz)).unwrap();
    assert!(!everywhere.contains("HTTP_ROUTE") && everywhere.contains("includeRequestBodyInCheck"));
    assert!(everywhere.contains("listen.request_body: buffered"));
}

#[test]
fn bodies_that_no_rule_reads_are_not_asked_for() {
    let text = istio(&needs(&[READS_ADDRESS]), &options(workload(&[]), Service::ExtAuthz)).unwrap();
    assert!(!text.contains("with_request_body") && !text.contains("includeRequestBodyInCheck"), "{text}");
    assert!(!text.contains("workloadSelector") && !text.contains("selector:"), "the whole namespace");
}

#[test]
fn a_sidecar_is_told_to_take_the_peers_address_where_a_rule_reads_it() {
    let set = "use_remote_address: true";
    let written =
        |policy: &str, selection| istio(&needs(&[policy]), &options(selection, Service::ExtAuthz)).unwrap();
    assert!(written(READS_ADDRESS, workload(&["app=a"])).contains(set));
    assert!(!written(READS_BODY, workload(&["app=a"])).contains(set));
    // Istio's gateways do so by themselves.
    assert!(!written(READS_ADDRESS, Selection::Gateway("edge".parse().unwrap())).contains(set));
    assert!(!written(READS_ADDRESS, workload(&["istio=ingressgateway"])).contains(set));
}

#[test]
fn masks_take_ext_proc_in_place_of_the_policy() {
    let text = istio(&needs(&[MASKS]), &options(workload(&["app=a"]), Service::ExtProc)).unwrap();
    assert!(!text.contains("AuthorizationPolicy") && !text.contains("extensionProviders"), "{text}");
    assert!(
        text.contains("cluster_name: \"outbound|9191||portcullis.security.svc.cluster.local\""),
        "{text}"
    );
    assert!(text.contains("operation: INSERT_BEFORE"));
}

#[test]
fn a_grant_is_written_only_across_namespaces() {
    let written = |namespace: &str| {
        let options = GatewayOptions {
            service: Service::ExtAuthz,
            portcullis: ServiceName::of(&"portcullis.security:9191".parse().unwrap()).unwrap(),
            namespace: namespace.parse().unwrap(),
            gateway: "edge".parse().unwrap(),
            route: None,
            listeners: vec!["http".parse().unwrap(), "https".parse().unwrap()],
        };
        envoy_gateway(&needs(&[READS_BODY]), &options).unwrap()
    };
    assert!(written("shop").contains("kind: ReferenceGrant"));
    assert!(!written("security").contains("kind: ReferenceGrant"));
    let raw = "path: /encode_raw_headers";
    assert_eq!(written("shop").matches(raw).count(), 2, "each listener is patched");
}
