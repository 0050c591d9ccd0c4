//! TLS to Portcullis: which proxies may ask, certificates that change while calls run, and the admin API over https.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis::proxy::config::{Service, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;

use crate::world::{Options, World, command, run};

const ALLOW: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec: {rules: [{name: all, allow: {}}]}
";

const ENVOY: &str = "spiffe://example.com/ns/edge/sa/envoy";
const LISTED: &str = "spiffe://example.com/ns/edge/sa/*";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The files of one test: `ca.pem`, `server.crt` and `server.key`, `envoy.crt` and `envoy.key`.
struct Files {
    folder: TempDir,
    authority: Authority,
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "mesh");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn uris(names: &[&str]) -> Vec<SanType> {
    names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect()
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), authority: authority() };
        std::fs::write(files.at("ca.pem"), files.authority.pem()).unwrap();
        files.renew_server();
        files.issue("envoy", uris(&[ENVOY]), &files.authority);
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn issue(&self, name: &str, names: Vec<SanType>, authority: &Authority) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        for (ending, text) in [("crt", certificate.pem()), ("key", key.serialize_pem())] {
            // Whole at once, as whoever renews certificates does it.
            let next = self.at(&format!("{name}.next"));
            std::fs::write(&next, text).unwrap();
            std::fs::rename(next, self.at(&format!("{name}.{ending}"))).unwrap();
        }
    }

    fn renew_server(&self) {
        let names = vec![SanType::IpAddress(IpAddr::from([127, 0, 0, 1]))];
        self.issue("server", names, &self.authority);
    }

    /// What Envoy has and wants.
    fn of_envoy(&self) -> Tls {
        Tls {
            ca: self.text("ca.pem"),
            certificate: Some((self.text("envoy.crt"), self.text("envoy.key"))),
            names: Vec::new(),
        }
    }

    /// A listener with these files.
    fn listener(&self, name: &str, more: &str) -> String {
        let (certificate, key) = (self.text("server.crt"), self.text("server.key"));
        format!(
            "{name}: {{address: \"127.0.0.1:0\", tls: {{certificate: \"{certificate}\", private_key: \"{key}\"{more}}}}}"
        )
    }

    fn demanding(&self, name: &str) -> String {
        let ca = self.text("ca.pem");
        self.listener(name, &format!(", client_ca: \"{ca}\", client_spiffe: [\"{LISTED}\"]"))
    }

    /// A set-up in which Envoy speaks mTLS to the server.
    fn options(&self, service: Service) -> Options {
        let options = Options { service, tls: Some(self.of_envoy()), ..Options::default() };
        options.policies(ALLOW).edit_config("grpc: 127.0.0.1:0", self.demanding("grpc").leak())
    }

    /// The same, with a handshake for each call.
    fn anew_for_each_call(&self, service: Service) -> Options {
        self.options(service).edit(
            "common_http_protocol_options: {idle_timeout: 300s}",
            "common_http_protocol_options: {idle_timeout: 300s, max_requests_per_connection: 1}",
        )
    }
}

const SERVICES: [Service; 2] = [Service::ExtAuthz, Service::ExtProc];

fn reloads(result: &str, count: usize) -> String {
    format!("portcullis_tls_reloads_total{{listener=\"grpc\",result=\"{result}\"}} {count}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_envoy_asks_over_mutual_tls() {
    for service in SERVICES {
        let files = Files::new();
        let world = World::start(files.options(service)).await;
        assert_eq!(world.get("/public/hello", None).await.status, 200, "{service:?}");
        let metrics = world.metrics().await;
        assert!(!metrics.contains("portcullis_tls_handshake_failures_total{"), "{metrics}");
        let plain = format!("http://{}/x", world.addresses.grpc.unwrap());
        assert!(world.client.get(plain).send().await.is_err(), "plain text gets nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_is_not_listed_gets_no_connection_and_denies_its_calls() {
    let other = "spiffe://example.com/ns/shop/sa/envoy";
    let (upper, nul) = ("spiffe://Example.com/ns/edge/sa/envoy", "spiffe://example.com/ns/edge/sa/envoy\0");
    for service in SERVICES {
        for (names, ours, reason) in [
            (uris(&[other]), true, "spiffe_not_listed"),
            (uris(&[ENVOY]), false, "unknown_issuer"),
            (uris(&[ENVOY, other]), true, "spiffe_several"),
            (uris(&[]), true, "spiffe_missing"),
            (uris(&[upper]), true, "spiffe_invalid"),
            (uris(&[nul]), true, "spiffe_invalid"),
            (Vec::new(), true, "no_certificate"),
        ] {
            let files = Files::new();
            let forger = authority();
            files.issue("envoy", names, if ours { &files.authority } else { &forger });
            let mut options = files.options(service);
            if reason == "no_certificate" {
                options = options.edit("tls_certificates:\n", "tls_certificates: []\n");
                let (chain, key) = (files.text("envoy.crt"), files.text("envoy.key"));
                options = options.edit(format!("- certificate_chain: {{filename: \"{chain}\"}}").leak(), "#");
                options = options.edit(format!("private_key: {{filename: \"{key}\"}}").leak(), "#");
            }
            let world = World::start(options).await;
            let got = world.get("/public/hello", None).await;
            assert!([403, 500, 503].contains(&got.status), "{service:?} {reason}: {got:?}");
            assert_eq!(world.upstream.calls(), 0, "{service:?} {reason}");
            let line =
                format!("portcullis_tls_handshake_failures_total{{listener=\"grpc\",reason=\"{reason}\"}}");
            world.counted(&line).await;
            let metrics = world.metrics().await;
            let asked = metrics
                .lines()
                .find(|line| line.starts_with("grpc_server_started_total{") && !line.ends_with(" 0"));
            assert_eq!(asked, None, "{service:?} {reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_does_not_ask_a_server_that_it_can_not_verify() {
    for (name, names) in [("another CA", None), ("another name", Some("spiffe://example.com/portcullis"))] {
        let files = Files::new();
        if names.is_none() {
            std::fs::write(files.at("theirs.pem"), authority().pem()).unwrap();
        }
        let ca = if names.is_none() { "theirs.pem" } else { "ca.pem" };
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let tls = Tls { ca: files.text(ca), names, ..files.of_envoy() };
        let world = World::start(Options { tls: Some(tls), ..files.options(Service::ExtAuthz) }).await;
        assert_eq!(world.get("/public/hello", None).await.status, 503, "{name}");
        assert_eq!(world.upstream.calls(), 0, "{name}");
        world.counted("reason=\"refused_by_client\"").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_load_without_a_failed_call() {
    for service in SERVICES {
        let files = Files::new();
        let world = Arc::new(World::start(files.anew_for_each_call(service)).await);
        let (over, passed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (world, over, passed) = (world.clone(), over.clone(), passed.clone());
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        let got = world.get("/public/hello", None).await;
                        assert_eq!(got.status, 200, "{}", got.text());
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for count in 1..=3 {
            let before = passed.load(Ordering::Relaxed);
            files.renew_server();
            world.counted(&reloads("accepted", count)).await;
            while passed.load(Ordering::Relaxed) < before + 20 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.unwrap();
        }
        let metrics = world.metrics().await;
        assert!(!metrics.contains("portcullis_tls_handshake_failures_total{"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_the_old_certificate_and_another_authority_ends_what_the_old_one_signed() {
    let files = Files::new();
    let world = World::start(files.anew_for_each_call(Service::ExtAuthz)).await;
    let key = std::fs::read(files.at("server.key")).unwrap();
    std::fs::write(files.at("server.key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    world.counted(&reloads("refused", 1)).await;
    assert_eq!(world.get("/public/hello", None).await.status, 200, "the old certificate");
    std::fs::write(files.at("server.key"), key).unwrap();
    // From now on another authority signs proxies: Envoy's certificate is of the old one.
    std::fs::write(files.at("ca.pem"), authority().pem()).unwrap();
    world.counted(&reloads("accepted", 1)).await;
    assert_eq!(world.get("/public/hello", None).await.status, 503);
    world
        .counted("portcullis_tls_handshake_failures_total{listener=\"grpc\",reason=\"unknown_issuer\"}")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_speak_to_the_admin_api_over_https_and_say_what_is_wrong() {
    let files = Files::new();
    files.issue("person", uris(&["spiffe://example.com/ns/edge/sa/person"]), &files.authority);
    files.issue("stranger", uris(&["spiffe://example.com/ns/shop/sa/stranger"]), &files.authority);
    let options = Options::default().edit_config("admin: 127.0.0.1:0", files.demanding("admin").leak());
    let world = World::start(options).await;
    let port = world.addresses.admin.port();
    let token = world.idp.token("bob", "portcullis-admin").unwrap();
    let list = async |server: &str, options: &[&str]| {
        run(&mut command(server, &token, &[&["approvals", "list"], options].concat())).await
    };
    let at = |name: &str| files.text(name);
    let (ca, [cert, key]) = (at("ca.pem"), [at("person.crt"), at("person.key")]);
    let trusting = ["--ca", ca.as_str()];
    let known = [&trusting[..], &["--client-cert", &cert, "--client-key", &key]].concat();
    let right = format!("https://127.0.0.1:{port}");
    let (done, said) = list(&right, &known).await;
    assert!(done, "{said}");
    let (foreign, other) = ([at("stranger.crt"), at("stranger.key")], format!("https://localhost:{port}"));
    let stranger = [&trusting[..], &["--client-cert", &foreign[0], "--client-key", &foreign[1]]].concat();
    for (server, options, said) in [
        (&right, &[][..], "by no authority that is trusted here; name its CA with `--ca FILE`"),
        (&other, &known, "its certificate is for another name"),
        (&right, &trusting, "without a client certificate; give `--client-cert FILE`"),
        (&right, &stranger, "most likely for the client certificate"),
        (&right, &known[..4], "`--client-cert` and `--client-key` go together"),
        (&right, &["--ca", &key], "it holds no certificate in PEM"),
        (&right, &["--ca", "/nowhere"], "can't use the TLS file `/nowhere`"),
        (&format!("http://127.0.0.1:{port}"), &trusting, "are for https://, and the server is http://"),
        (&format!("https://{}", world.addresses.metrics), &trusting, "it does not speak TLS; is it http://?"),
    ] {
        let (done, text) = list(server, options).await;
        assert!(!done && text.contains(said), "{options:?}: {text}");
    }
    let plain = world.client.get(format!("http://127.0.0.1:{port}/api/v1/approvals")).send().await;
    assert!(plain.is_err(), "plain text gets nothing");
}
