//! `portcullis envoy config`: what it writes is what Envoy takes, and what is shipped.

use std::path::Path;
use std::time::Duration;

use portcullis::proxy::config::{Options, Service, Tls, bootstrap};
use portcullis::proxy::tree::Source;
use portcullis::proxy::view::Given;
use portcullis::proxy::{ListenerTls, Needs, Server, doctor};
use portcullis_sample::envoy::{Envoy, Settings, validate};
use portcullis_sample::upstream::Upstream;
use portcullis_sample::{address, repository};

use crate::world::{self, between};

const SERVICES: [Service; 3] = [Service::ExtAuthz, Service::ExtProc, Service::Both];

/// Every kind of match, of metadata, of changed headers.
const ALL_KINDS: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: matches}
spec:
  match:
    - {paths: ["/", "/a", "/a/", "/a/{**}", "/b/{id}/c.d", "/b/{id}/{rest=**}", "/caf%C3%A9", "/q'$(.+)"], methods: [POST]}
    - {hosts: [api.example.com, "*.example.org", "::1"], methods: [PUT, PATCH]}
    - {hosts: ["*"], paths: [/h], ports: [8443], destinations: ["spiffe://a/*"], context: {a: b}}
  rules:
    - {name: read, when: 'request.body.n == 1 && metadata["a.b"].c == 1 && metadata[request.host].d == 1', allow: {}}
    - {name: change, headers: {request: {set: {x-envoy-peer: a}, remove: [x-b]}, response: {append: {x-c: d}}}}
"#;

const EVERYTHING: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  rules: [{name: held, hold: {approvers: {groups: [a]}, wait: 5m}}]
"#;

/// What a server without a configuration asks for.
fn defaults(policies: &str) -> Needs {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (folder.path().join("portcullis.yaml"), folder.path().join("p.yaml"));
    std::fs::write(&config, "policies: [p.yaml]\n").unwrap();
    std::fs::write(&file, policies).unwrap();
    world::needs(&file, &config)
}

fn shipped() -> Needs {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("portcullis.yaml");
    std::fs::write(&config, "policies: [policies]\n").unwrap();
    let needs = world::needs(&repository().join("policies"), &config);
    Needs { server: Server { known: false, ..needs.server }, ..needs }
}

fn options(service: Service, replicas: &[&str], upstream: &str) -> Options {
    Options {
        portcullis: replicas.iter().map(|text| text.parse().unwrap()).collect(),
        upstream: upstream.parse().unwrap(),
        ..between(service, address::ANY, address::ANY)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_what_is_written_for_any_policies_and_options() {
    let nothing = Needs::of(&portcullis::policy::PolicySet::none(), shipped().server);
    for needs in [shipped(), nothing, defaults(ALL_KINDS), defaults(EVERYTHING)] {
        for service in SERVICES {
            for (replicas, upstream, http2) in [
                (&["127.0.0.1:9191"][..], "127.0.0.1:80", false),
                (&["portcullis-0.portcullis:9191", "portcullis-1.portcullis:9191"], "shop.internal:80", true),
                (&["unix:/run/portcullis/grpc.sock"], "unix:/run/shop.sock", false),
                (&["[::1]:9191", "127.0.0.1:9191"], "[::1]:80", true),
            ] {
                let options = Options { upstream_http2: http2, ..options(service, replicas, upstream) };
                let text = bootstrap(&needs, &options).unwrap();
                validate(&text).await.unwrap_or_else(|error| panic!("{error}\n{text}"));
            }
        }
    }
}

#[test]
fn the_shipped_files_are_what_the_command_writes() {
    for (service, name) in SERVICES.into_iter().zip(["ext-authz.yaml", "ext-proc.yaml", "both.yaml"]) {
        let options = Options {
            listen: "0.0.0.0:10000".parse().unwrap(),
            admin: "127.0.0.1:9901".parse().unwrap(),
            ..options(service, &["127.0.0.1:9191"], "127.0.0.1:9081")
        };
        let file = std::fs::read_to_string(repository().join("envoy").join(name)).unwrap();
        assert!(
            file == bootstrap(&shipped(), &options).unwrap(),
            "envoy/{name} is old: `make envoy` writes it again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_while_portcullis_is_away() {
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let [nobody] = address::free().unwrap();
    for service in SERVICES {
        let text = bootstrap(&shipped(), &between(service, nobody, upstream.address())).unwrap();
        let settings = Settings::new(text, nobody, upstream.address());
        let envoy = Envoy::start(&settings).await.unwrap();
        let refund =
            reqwest::Client::new().post(format!("{}/v1/refunds", envoy.url())).body(r#"{"amount":1}"#);
        for call in [reqwest::Client::new().get(format!("{}/public/hello", envoy.url())), refund] {
            assert_eq!(call.send().await.unwrap().status(), 503, "{service:?}");
        }
        assert_eq!(upstream.calls(), 0);
    }
}

#[test]
fn the_command_writes_to_a_file_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("envoy.yaml");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let policies = repository().join("policies");
        let output =
            command.args(["envoy", "config", "--policies"]).arg(policies).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let written = |path: &Path| std::fs::read_to_string(path).unwrap();
    // Rules mask, so it is ext_proc.
    assert_eq!(run(&["--out", out.to_str().unwrap()]), (0, String::new(), String::new()));
    assert!(written(&out).contains("http.ext_proc.v3.ExternalProcessor"));
    let (code, text, warned) = run(&["--for", "envoy", "--service", "ext_authz", "--output", "snippet"]);
    assert!(code == 0 && text.contains("http.ext_authz.v3.ExtAuthz"), "{text}");
    assert!(warned.contains("mask_unavailable"), "{warned}");
    let config = folder.path().join("portcullis.yaml");
    std::fs::write(&config, "policies: [p]\nlisten: {request_body: buffered}\n").unwrap();
    let (code, _, warned) = run(&["--service", "ext_authz", "--config", config.to_str().unwrap()]);
    assert!(code == 0 && warned.contains("`listen.request_body: buffered`"), "{warned}");
    let tls = "{certificate: a, private_key: b, client_ca: c}";
    let listen = format!("listen: {{grpc: {{address: 0.0.0.0:9191, tls: {tls}}}}}");
    std::fs::write(&config, format!("policies: [p]\n{listen}\n")).unwrap();
    let with_tls = |arguments: &[&str]| run(&[&["--config", config.to_str().unwrap()], arguments].concat());
    let mutual = ["--tls-ca", "/ca.pem", "--tls-certificate", "/e.pem", "--tls-key", "/e.key"];
    let (code, text, _) = with_tls(&[&mutual[..], &["--portcullis", "pdp.security:9191"]].concat());
    let name = "- {san_type: DNS, matcher: {exact: \"pdp.security\"}}";
    assert!(code == 0 && text.contains(name) && text.contains("sni: \"pdp.security\""), "{text}");
    let (code, text, _) = with_tls(&[&mutual[..], &["--tls-san", "spiffe://a/b"]].concat());
    let name = "- {san_type: URI, matcher: {exact: \"spiffe://a/b\"}}";
    assert!(code == 0 && text.contains(name) && !text.contains("sni:"), "{text}");
    for (arguments, said) in [
        (&[][..], "`listen.grpc` has TLS: say with `--tls-ca FILE`"),
        (&mutual[..2], "has a `client_ca`: say with `--tls-certificate FILE`"),
        (&mutual[..4], "--tls-key"),
        (&["--tls-san", "a"], "--tls-ca"),
        (
            &[&mutual[..], &["--portcullis", "unix:/s"]].concat(),
            "`unix:/s` is a Unix socket, which has no TLS",
        ),
        (&["--for", "istio", "--tls-ca", "a"], "`--tls-ca` has no meaning for `--for istio`"),
    ] {
        let (code, text, error) = with_tls(arguments);
        assert!(code == 2 && text.is_empty() && error.contains(said), "{arguments:?}: {error}");
    }
    std::fs::write(&config, "policies: [p]\n").unwrap();
    let (code, _, error) = with_tls(&mutual);
    assert!(code == 2 && error.contains("`listen.grpc` has no TLS: leave out `--tls-ca`"), "{error}");
    for (arguments, said) in [
        (&["--portcullis", "unix:/run/a.sock", "--portcullis", "b:1"][..], "can't be in one cluster"),
        (&["--listen", "here"], "write HOST:PORT or unix:PATH"),
        (
            &["--listen", "localhost:8080"],
            "`--listen localhost:8080` is a name, and Envoy listens on addresses",
        ),
        (&["--admin", "localhost:9901"], "`--admin localhost:9901` is a name"),
        (&["--listen", "0.0.0.0:0"], "`0` is not a port"),
        (&["--portcullis", "portcullis:80000"], "`80000` is not a port"),
        (&["--for", "nginx"], "invalid value 'nginx'"),
        (&["--namespace", "shop"], "`--namespace` has no meaning for `--for envoy`"),
        (&["--for", "istio", "--output", "snippet"], "`--output` has no meaning for `--for istio`"),
        (&["--for", "envoy-gateway", "--gateway", "edge", "--selector", "a=b"], "'--selector"),
        (
            &["--for", "envoy-gateway", "--part", "manifests"],
            "`--part` has no meaning for `--for envoy-gateway`",
        ),
    ] {
        let (code, text, error) = run(arguments);
        assert!(code == 2 && text.is_empty() && error.contains(said), "{arguments:?}: {error}");
    }
}

/// The command refuses one second more; so does Envoy, which says less about it.
#[tokio::test]
async fn envoy_takes_the_longest_times_that_are_written() {
    for (service, longest) in [(Service::ExtProc, 3_600), (Service::ExtAuthz, 9_223_372_035 - 65)] {
        let mut needs = defaults(EVERYTHING);
        needs.server.max_message_timeout = Duration::from_secs(longest);
        needs.longest_wait = Some(Duration::MAX);
        let options = options(service, &["127.0.0.1:9191"], "127.0.0.1:9081");
        let text = bootstrap(&needs, &options).unwrap();
        validate(&text).await.unwrap_or_else(|error| panic!("{service:?}: {error}"));
        needs.server.max_message_timeout += Duration::from_secs(1);
        assert!(bootstrap(&needs, &options).is_err(), "{service:?}");
        let written = format!("{longest}s");
        let more = text.replace(&written, &format!("{}s", longest + 1));
        if service == Service::ExtProc {
            assert!(more != text && validate(&more).await.is_err());
        }
    }
}

#[test]
fn a_file_that_is_there_stays_when_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("envoy.yaml");
    std::fs::write(&out, "what runs").unwrap();
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["envoy", "config", "--listen", "localhost:1", "--out"])
        .arg(&out)
        .stderr(std::process::Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(2));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "what runs");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The same needs, of a server that demands client certificates.
fn mutual(mut needs: Needs) -> Needs {
    (needs.server.known, needs.server.tls) = (true, ListenerTls::Mutual);
    needs
}

/// What the doctor reports, the generator must not write.
#[test]
fn the_doctor_finds_nothing_in_what_is_written() {
    for needs in [shipped(), defaults(ALL_KINDS), defaults(EVERYTHING), mutual(defaults(EVERYTHING))] {
        for service in SERVICES {
            let replicas = &["10.0.0.1:9191", "10.0.0.2:9191"];
            let own = Some(("e.crt".to_owned(), "e.key".to_owned()));
            let tls = Tls { ca: "ca".into(), certificate: own, names: Vec::new() };
            let tls = (needs.server.tls == ListenerTls::Mutual).then_some(tls);
            let options = Options { tls, ..options(service, replicas, "10.0.0.3:80") };
            let text = bootstrap(&needs, &options).unwrap();
            let source = Source::parse("envoy.yaml", &text).unwrap();
            let examined = doctor::examine(&[source], &needs, &Given::default()).unwrap();
            // What it was asked for against its advice.
            let known =
                |id: &str| id == "masks-need-ext-proc" && needs.masks() && service == Service::ExtAuthz;
            let findings = examined.findings.iter().filter(|finding| !known(finding.rule.id));
            let shown: Vec<_> = findings.map(|finding| (finding.rule.id, &finding.message)).collect();
            assert!(shown.is_empty(), "{shown:#?}\n{text}");
        }
    }
}
