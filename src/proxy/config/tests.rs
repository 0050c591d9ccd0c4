use super::*;
use crate::document::{Document, Node};
use crate::policy;
use crate::proxy::{BodySource, Server};

pub(super) fn needs(specs: &[&str]) -> Needs {
    let file = |(nth, spec): (usize, &&str)| policy::SourceFile {
        file: format!("p{nth}.yaml").into(),
        text: format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{nth}}}\nspec: {spec}\n"
        )
        .into(),
    };
    let files: Vec<_> = specs.iter().enumerate().map(file).collect();
    let compiled = policy::compile(&files, &policy::Options { gateway: true });
    let set = compiled.set.unwrap_or_else(|| panic!("{:?}", compiled.findings));
    Needs::of(&set, server())
}

fn server() -> Server {
    Server {
        known: true,
        full_duplex: false,
        max_message_timeout: Duration::from_secs(900),
        decision_timeout: Duration::from_millis(2_500),
        body_limit: 1 << 20,
        held: 10_000,
        shared_store: false,
        gateway: true,
        body: BodySource::ByRoute,
        mtls: false,
        tls: crate::proxy::ListenerTls::Off,
        credentials: vec!["authorization".into()],
        forwarded_certificates: false,
        changes: Vec::new(),
        changes_query: false,
        handover_always: false,
        digest_headers: Vec::new(),
    }
}

fn options(service: Service) -> Options {
    let address = |text: &str| text.parse().unwrap();
    Options {
        service,
        listen: address("127.0.0.1:10000"),
        admin: address("127.0.0.1:9901"),
        portcullis: vec![address("127.0.0.1:9191")],
        upstream: address("127.0.0.1:9081"),
        upstream_http2: false,
        tls: None,
    }
}

/// What is written, as plain text without comments.
fn written(needs: &Needs, options: &Options) -> String {
    let text = bootstrap(needs, options).unwrap();
    parsed(&text);
    text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect()
}

fn parsed(text: &str) -> Vec<Node> {
    Document::parse(&"envoy.yaml".into(), &text.into())
        .unwrap_or_else(|error| panic!("{error:?}\n{text}"))
        .roots
}

const READS: &str =
    "{match: [{paths: [/a], methods: [PUT]}], rules: [{name: r, when: request.body.n == 1, allow: {}}]}";
const HOLDS: &str =
    "{match: [{paths: [\"/h/{**}\"]}], rules: [{name: r, hold: {approvers: {groups: [g]}, wait: 5m}}]}";
const PLAIN: &str = "{match: [{paths: [/p]}], rules: [{name: r, when: identity.subject == 'a', allow: {}}]}";
const MASKS: &str =
    "{match: [{paths: [/m]}], rules: [{name: r, allow: {}, mask: [{field: a, with: redact}]}]}";

#[test]
fn only_routes_where_a_rule_reads_the_body_or_holds_wait_for_it() {
    // ext_authz has one in the filter too, and the virtual host switches it off.
    for (service, buffers, count) in
        [(Service::ExtAuthz, "with_request_body:", 2), (Service::ExtProc, "request_body_mode: BUFFERED", 1)]
    {
        let text = written(&needs(&[READS, HOLDS, PLAIN]), &options(service));
        assert_eq!(text.matches(buffers).count(), count, "once under the anchor\n{text}");
        let off = text.matches("disable_request_body_buffering: true").count();
        assert_eq!(off, count - 1, "{text}");
        assert_eq!(text.matches("typed_per_filter_config: *complete_request").count(), 1, "{text}");
        let routes: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("- match: ")).collect();
        let read = "{path: \"/a\", headers: [{name: \":method\", string_match: {exact: \"PUT\"}}]}";
        assert_eq!(routes, [read, "{path_separated_prefix: \"/h\"}", "{prefix: \"/\"}"]);
        let text = written(&needs(&[PLAIN, MASKS]), &options(service));
        assert!(!text.contains(buffers) && !text.contains("disable_request_body"), "{text}");
    }
}

#[test]
fn a_rule_about_every_call_makes_all_wait() {
    let all = needs(&[READS, "{rules: [{name: r, when: request.body.n == 1, allow: {}}]}"]);
    let text = written(&all, &options(Service::ExtAuthz));
    assert_eq!(text.matches("- match: ").count(), 1, "{text}");
    assert!(
        text.contains("- match: {prefix: \"/\"}") && text.contains("portcullis.request_body: buffered"),
        "{text}"
    );
    assert!(!text.contains("disable_request_body_buffering"), "{text}");
}

/// The filter of ext_authz alone says whether bodies are shown byte by byte.
#[test]
fn the_filter_that_shows_bodies_shows_their_bytes() {
    let bytes =
        "with_request_body: {max_request_bytes: 1048576, allow_partial_message: false, pack_as_bytes: true}";
    for service in [Service::ExtAuthz, Service::Both] {
        let text = written(&needs(&[READS]), &options(service));
        let filter = text.split("route_config:").next().unwrap();
        assert!(filter.contains(bytes), "{text}");
    }
}

#[test]
fn what_covers_another_route_takes_its_place() {
    let route = |paths: &str| {
        format!(
            "{{match: [{{paths: [{paths}]}}], rules: [{{name: r, when: request.body.n == 1, allow: {{}}}}]}}"
        )
    };
    let routes = buffered(&needs(&[&route("/a, /a/b"), &route("\"/a/{**}\""), &route("/a/c")]));
    let routes: Vec<_> = routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["{path_separated_prefix: \"/a\"}"]);
}

#[test]
fn every_timeout_outlasts_the_longest_hold() {
    let text = written(&needs(&[HOLDS]), &options(Service::ExtAuthz));
    // 5 minutes, a decision before and one after them, and room.
    assert!(text.contains("timeout: 310s\n") && text.contains("stream_idle_timeout: 965s"), "{text}");
    let text = written(&needs(&[HOLDS]), &options(Service::ExtProc));
    assert!(text.contains("message_timeout: 10s") && text.contains("max_message_timeout: 900s"), "{text}");
    let text = written(&needs(&[PLAIN]), &options(Service::ExtAuthz));
    assert!(text.contains(" timeout: 10s\n"), "{text}");
    let mut patient = needs(&[HOLDS]);
    patient.server = Server {
        max_message_timeout: Duration::from_millis(1_800_500),
        decision_timeout: Duration::from_secs(30),
        held: 50_000,
        body_limit: 8 << 20,
        ..server()
    };
    let text = written(&patient, &options(Service::ExtProc));
    for wanted in ["max_message_timeout: 1800.500s", "stream_idle_timeout: 1921s", "max_requests: 60000"] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(text.contains("per_connection_buffer_limit_bytes: 8388608"), "{text}");
}

#[test]
fn ext_proc_is_chosen_where_a_rule_masks() {
    assert_eq!(Service::for_needs(&needs(&[MASKS, PLAIN])), Service::ExtProc);
    assert_eq!(Service::for_needs(&needs(&[READS, HOLDS])), Service::ExtAuthz);
}

#[test]
fn with_holds_the_first_replica_is_preferred_unless_all_share_a_store() {
    let replicas = ["10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
    let options = Options { portcullis: replicas.into(), ..options(Service::ExtAuthz) };
    let priorities = |needs: &Needs| {
        let text = written(needs, &options);
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("- priority: ").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(priorities(&needs(&[HOLDS])), ["0", "1"]);
    assert_eq!(priorities(&needs(&[PLAIN])), ["0"]);
    let mut shared = needs(&[HOLDS]);
    shared.server.shared_store = true;
    assert_eq!(priorities(&shared), ["0"]);
}

#[test]
fn names_are_resolved_and_sockets_stand_alone() {
    let with = |replicas: &[&str]| {
        let portcullis = replicas.iter().map(|text| text.parse().unwrap()).collect();
        bootstrap(&needs(&[]), &Options { portcullis, ..options(Service::ExtAuthz) })
    };
    let text = with(&["portcullis:9191", "10.0.0.1:9191"]).unwrap();
    assert!(text.contains("name: portcullis\n      type: STRICT_DNS"), "{text}");
    let text = with(&["unix:/run/p.sock", "10.0.0.1:9191"]).unwrap();
    assert!(text.contains("name: portcullis\n      type: STATIC"), "{text}");
    assert!(matches!(with(&["unix:/run/p.sock", "p:1"]), Err(Refused::MixedAddresses { .. })));
    assert!(matches!(with(&[]), Err(Refused::NoReplica)));
}

#[test]
fn metadata_is_forwarded_as_far_as_its_names_are_known() {
    let reads =
        |condition: &str| needs(&[&format!("{{rules: [{{name: r, when: '{condition}', allow: {{}}}}]}}")]);
    let named = reads("metadata[\"a.b\"].c == \"x\"");
    assert!(written(&named, &options(Service::ExtAuthz)).contains("metadata_context_namespaces: [\"a.b\"]"));
    assert!(
        written(&named, &options(Service::ExtProc)).contains("forwarding_namespaces: {untyped: [\"a.b\"]}")
    );
    let computed =
        bootstrap(&reads("metadata[request.host].c == \"x\""), &options(Service::ExtAuthz)).unwrap();
    assert!(
        !computed.contains("namespaces: [") && computed.contains("# A rule reads `metadata` by a name"),
        "{computed}"
    );
}

#[test]
fn nothing_in_a_policy_becomes_yaml() {
    let odd = "{match: [{paths: [\"/a'b\", \"/c:d/{x}/e#\\u0025C3\\u0025A4*\"]}], rules: [{name: r, when: request.body.n == 1, allow: {}}]}";
    let odd = odd.replace("e#\\u0025C3\\u0025A4*", "e,%C3%A4");
    let text = written(&needs(&[&odd]), &options(Service::ExtAuthz));
    assert!(text.contains("{path: \"/a'b\"}"), "{text}");
    assert!(text.contains("{safe_regex: {regex: \"/c:d/[^/]+/e,%C3%A4\"}}"), "{text}");
    let metadata = needs(&["{rules: [{name: r, when: 'metadata[\"x\\\"], y: [\"] == 1', allow: {}}]}"]);
    assert!(written(&metadata, &options(Service::ExtProc)).contains("untyped: [\"x\\\"], y: [\"]"));
}

#[test]
fn the_pieces_are_yaml_documents_with_the_same_content() {
    for service in [Service::ExtAuthz, Service::ExtProc] {
        let text = snippet(&needs(&[READS, HOLDS]), &options(service)).unwrap();
        assert_eq!(parsed(&text).len(), if service == Service::ExtAuthz { 6 } else { 5 }, "{text}");
        let whole = bootstrap(&needs(&[READS, HOLDS]), &options(service)).unwrap();
        let spaceless =
            |text: &str| text.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
        let whole = spaceless(&whole);
        for piece in text.split("---\n").filter(|piece| !piece.is_empty()).skip(1) {
            let body: String = spaceless(piece)
                .lines()
                .skip_while(|line| line.starts_with('#'))
                .skip(1)
                .map(|line| format!("{line}\n"))
                .collect();
            assert!(whole.contains(&body), "{body}\nis not in\n{whole}");
        }
        assert_eq!(parsed(&snippet(&needs(&[PLAIN]), &options(service)).unwrap()).len(), 4);
    }
}

#[test]
fn a_name_to_listen_on_is_refused() {
    let needs = needs(&[READS]);
    let name: Address = "localhost:8080".parse().unwrap();
    let listen = Options { listen: name.clone(), ..options(Service::ExtAuthz) };
    let admin = Options { admin: name.clone(), ..options(Service::ExtAuthz) };
    for (options, option) in [(listen, "--listen"), (admin, "--admin")] {
        for refused in [bootstrap(&needs, &options), snippet(&needs, &options)] {
            let said = refused.unwrap_err().to_string();
            assert!(
                said.starts_with(&format!("`{option} localhost:8080` is a name, and Envoy listens")),
                "{said}"
            );
        }
    }
    let socket: Address = "unix:/run/envoy.sock".parse().unwrap();
    let socket = Options { listen: socket, upstream: name, ..options(Service::ExtAuthz) };
    assert!(bootstrap(&needs, &socket).is_ok());
}

/// Why nothing is written where the server takes this long for a decision, and for a message.
fn refused(service: Service, decision: Duration, message: Duration) -> Option<String> {
    let mut needs = needs(&[READS]);
    needs.longest_wait = Some(Duration::MAX);
    (needs.server.decision_timeout, needs.server.max_message_timeout) = (decision, message);
    let said = bootstrap(&needs, &options(service)).err().map(|error| error.to_string());
    assert_eq!(snippet(&needs, &options(service)).err().map(|error| error.to_string()), said);
    said
}

#[test]
fn times_that_envoy_does_not_take_are_refused() {
    let hour = Duration::from_secs(3_600);
    let short = Duration::from_secs(1);
    assert_eq!(refused(Service::ExtProc, short, hour), None);
    let said = refused(Service::ExtProc, short, hour + short).unwrap();
    assert_eq!(
        said,
        "3601 s (`holds.max_message_timeout`) is more than the 3600 s that Envoy takes: shorten it; ext_authz takes more"
    );
    let said = refused(Service::ExtProc, hour, hour).unwrap();
    assert!(said.starts_with("7205 s (two `limits.decision_timeout` and 5 s)"), "{said}");
    assert_eq!(refused(Service::ExtAuthz, hour, hour + short), None);
    // 63 bits of nanoseconds.
    let ages = Duration::from_secs(9_223_372_036);
    let rest = Duration::from_secs(62);
    assert_eq!(
        refused(Service::ExtAuthz, Duration::from_secs(1), ages - Duration::from_secs(1) - rest),
        None
    );
    let said = refused(Service::ExtAuthz, short, ages - rest).unwrap();
    assert!(
        said.starts_with("9223372036 s (") && said.contains("the 9223372035 s that Envoy takes"),
        "{said}"
    );
    assert!(refused(Service::ExtAuthz, Duration::MAX, Duration::MAX).is_some());
    assert!(refused(Service::ExtProc, Duration::MAX, Duration::MAX).is_some());
}
