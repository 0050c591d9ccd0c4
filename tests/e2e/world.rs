//! One test's set-up: sample upstream, sample identity provider, Portcullis in this process, and a real Envoy.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::app::{self, Addresses};
use portcullis::clock::Clock;
use portcullis::config;
use portcullis::engine::Engine;
use portcullis::engine::fault::Faults;
use portcullis::proxy::Needs;
use portcullis::proxy::config::{self as proxy_config, Service};
use portcullis::{bundle, policy};
use portcullis_sample::envoy::{Envoy, Settings};
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::upstream::Upstream;
use portcullis_sample::{address, repository};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

/// Refunds wait for one of finance; a ticket comes after a second.
pub const REFUNDS_WAIT: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - {name: ask, hold: {approvers: {groups: [finance-oncall]}, wait: 1s}}
"#;

pub struct World {
    pub upstream: Upstream,
    pub idp: IdentityProvider,
    pub server: Option<Server>,
    pub envoy: Envoy,
    pub client: reqwest::Client,
    pub folder: TempDir,
    pub addresses: Addresses,
}

/// Portcullis in this process.
pub struct Server {
    pub engine: Arc<Engine>,
    pub faults: Faults,
    pub addresses: Addresses,
    reloader: Arc<app::Reloader>,
    stop: app::Stop,
    task: tokio::task::JoinHandle<anyhow::Result<bool>>,
}

/// How a test's set-up differs from the sample's.
pub struct Options {
    pub service: Service,
    /// Policies in place of the sample's.
    pub policies: Option<String>,
    /// A whole Envoy configuration in place of a generated one; `${LISTENER_PORT}` and the like in it are filled in.
    pub envoy: Option<String>,
    /// Policies that the Envoy configuration is generated for, where they are not the same.
    pub configured_for: Option<String>,
    /// What Envoy takes for the server, in place of it.
    pub portcullis: Option<SocketAddr>,
    /// What Envoy takes for the upstream, in place of it.
    pub upstream: Option<SocketAddr>,
    /// Speak HTTP/2 to the upstream: trailers pass.
    pub upstream_http2: bool,
    /// TLS from Envoy to the server.
    pub tls: Option<proxy_config::Tls>,
    /// Text replaced in the generated Envoy configuration.
    pub edits: Vec<(&'static str, &'static str)>,
    /// Text replaced in the server's configuration.
    pub config_edits: Vec<(&'static str, &'static str)>,
    /// Lines added to the server's configuration.
    pub config: &'static str,
    pub audit_mode: &'static str,
    /// What the section `policies` says, in place of the folder.
    pub source: Option<String>,
    /// Files beside the server's configuration.
    pub files: Vec<(&'static str, &'static str)>,
    /// The server's time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service: Service::ExtProc,
            policies: None,
            envoy: None,
            configured_for: None,
            portcullis: None,
            upstream: None,
            upstream_http2: false,
            tls: None,
            edits: Vec::new(),
            config_edits: Vec::new(),
            config: "",
            audit_mode: "best_effort",
            source: None,
            files: Vec::new(),
            clock: Clock::system(),
        }
    }
}

impl Options {
    pub fn ext_authz() -> Self {
        Self { service: Service::ExtAuthz, ..Self::default() }
    }

    /// ext_authz decides, ext_proc masks.
    pub fn both() -> Self {
        Self { service: Service::Both, ..Self::default() }
    }

    pub fn policies(self, policies: &str) -> Self {
        Self { policies: Some(policies.to_owned()), ..self }
    }

    /// Replaces text of the Envoy configuration, which must be there.
    pub fn edit(mut self, from: &'static str, to: &'static str) -> Self {
        self.edits.push((from, to));
        self
    }

    /// Replaces text of the server's configuration, which must be there.
    pub fn edit_config(mut self, from: &'static str, to: &'static str) -> Self {
        self.config_edits.push((from, to));
        self
    }

    /// Writes a file beside the server's configuration.
    pub fn file(mut self, name: &'static str, text: &'static str) -> Self {
        self.files.push((name, text));
        self
    }

    /// Generates the Envoy configuration for these policies, as one that nobody wrote again when the policies changed.
    pub fn configured_for(self, policies: &str) -> Self {
        Self { configured_for: Some(policies.to_owned()), ..self }
    }
}

impl World {
    pub async fn start(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(address::ANY).await.unwrap();
        let idp = IdentityProvider::start(address::ANY).await.unwrap();
        if let Some(policies) = &options.policies {
            std::fs::create_dir(folder.path().join("policies")).unwrap();
            std::fs::write(folder.path().join("policies/test.yaml"), policies).unwrap();
        }
        write_config(folder.path(), &idp, &options);
        let server = Server::start_at(folder.path(), options.clock.clone()).await;
        let addresses = server.addresses.clone();
        let envoy = Envoy::start(&settings(&options, folder.path(), &addresses, &upstream)).await.unwrap();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { upstream, idp, server: Some(server), envoy, client, folder, addresses }
    }

    pub fn faults(&self) -> &Faults {
        &self.server.as_ref().unwrap().faults
    }

    /// Stops the server as SIGTERM does. `true`: every call ended in time.
    pub async fn drain(&mut self) -> bool {
        self.server.take().unwrap().stop().await
    }

    /// Tells the server to stop, as a signal does. A second time: at once.
    pub fn tell_to_stop(&self) {
        self.server.as_ref().unwrap().stop.again();
    }

    /// Starts the server again on the same ports, store and audit file.
    pub async fn restart(&mut self) {
        self.restart_at(Clock::system()).await;
    }

    /// The same, at the time of this clock.
    pub async fn restart_at(&mut self, clock: Clock) {
        let text = std::fs::read_to_string(self.folder.path().join("portcullis.yaml")).unwrap();
        let fixed = text
            .replace("grpc: 127.0.0.1:0", &format!("grpc: {}", self.addresses.grpc.unwrap()))
            .replace("admin: 127.0.0.1:0", &format!("admin: {}", self.addresses.admin))
            .replace("metrics: 127.0.0.1:0", &format!("metrics: {}", self.addresses.metrics));
        std::fs::write(self.folder.path().join("portcullis.yaml"), fixed).unwrap();
        self.server = Some(Server::start_at(self.folder.path(), clock).await);
    }

    /// Reads the configuration again, as SIGHUP does.
    pub async fn reload(&self) {
        self.server.as_ref().unwrap().reloader.reload(&self.folder.path().join("portcullis.yaml")).await;
    }

    /// Waits until `/metrics` has this line.
    pub async fn counted(&self, line: &str) {
        for _ in 0..400 {
            if self.metrics().await.contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {line} in\n{}", self.metrics().await);
    }

    // === calls ===

    pub fn call(&self, method: Method, path: &str, person: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.envoy.url()));
        match person {
            Some(person) => request.bearer_auth(self.idp.token(person, "portcullis").unwrap()),
            None => request,
        }
    }

    pub async fn get(&self, path: &str, person: Option<&str>) -> Got {
        Got::from(self.call(Method::GET, path, person).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, person: Option<&str>, body: &str) -> Got {
        Got::from(self.post_request(path, person, body).send().await.unwrap()).await
    }

    pub fn post_request(&self, path: &str, person: Option<&str>, body: &str) -> reqwest::RequestBuilder {
        let request = self.call(Method::POST, path, person);
        request.header("content-type", "application/json").body(body.to_owned())
    }

    /// Sends a call in the background.
    pub fn send(&self, request: reqwest::RequestBuilder) -> tokio::task::JoinHandle<Got> {
        tokio::spawn(async move { Got::from(request.send().await.unwrap()).await })
    }

    // === people ===

    pub async fn admin(&self, method: Method, path: &str, person: &str) -> Got {
        let token = self.idp.token(person, "portcullis-admin").unwrap();
        let request = self.client.request(method, format!("http://{}{path}", self.addresses.admin));
        Got::from(
            request.bearer_auth(token).json(&serde_json::json!({"reason": "seen"})).send().await.unwrap(),
        )
        .await
    }

    /// Runs the command line against the server as this person: whether it succeeded, and what it said on either stream.
    pub async fn cli(&self, person: &str, arguments: &[&str]) -> (bool, String) {
        cli(self.addresses.admin, &self.idp.token(person, "portcullis-admin").unwrap(), arguments).await
    }

    pub async fn decide(&self, id: &str, person: &str, choice: &str) -> Got {
        self.admin(Method::POST, &format!("/api/v1/approvals/{id}:{choice}"), person).await
    }

    /// The ids of the pending requests, once there are `count` of them.
    pub async fn pending(&self, count: usize) -> Vec<String> {
        for _ in 0..600 {
            let listed = self.admin(Method::GET, "/api/v1/approvals?state=pending&limit=500", "bob").await;
            let ids: Vec<_> = listed.json()["approvals"]
                .as_array()
                .map(|approvals| approvals.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect())
                .unwrap_or_default();
            if ids.len() == count {
                return ids;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("there were never {count} pending requests");
    }

    // === what is left behind ===

    pub fn audit_text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default()
    }

    pub fn audit(&self) -> Vec<Value> {
        self.audit_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first record that fits, once it is written.
    pub async fn recorded(&self, fits: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            if let Some(found) = self.audit().into_iter().find(|record| fits(record)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no such record in\n{}", self.audit_text());
    }

    pub async fn metrics(&self) -> String {
        self.fetch("/metrics").await
    }

    /// What the metrics port answers.
    pub async fn fetch(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.addresses.metrics);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }
}

impl Server {
    /// One whose configuration lies in `folder`.
    pub async fn start(folder: &Path) -> Self {
        Self::start_at(folder, Clock::system()).await
    }

    pub async fn start_at(folder: &Path, clock: Clock) -> Self {
        let loaded = match app::load(config::read(&folder.join("portcullis.yaml")), &clock).await {
            Ok(loaded) => loaded,
            Err(refused) => {
                let colour = false;
                let text = portcullis::diagnostic::render::human(&refused.findings, &refused.sources, colour);
                panic!("the configuration was refused:\n{text}");
            }
        };
        let faults = Faults::settable();
        let bound = app::build(loaded, clock, faults.clone()).await.unwrap();
        let (engine, addresses) = (bound.engine.clone(), bound.addresses.clone());
        let reloader = bound.reloader();
        let stop = app::Stop::default();
        let task = tokio::spawn(bound.serve(stop.clone()));
        Self { engine, faults, addresses, reloader, stop, task }
    }

    async fn stop(self) -> bool {
        let Self { engine, reloader, stop, task, .. } = self;
        drop((engine, reloader));
        stop.asked.cancel();
        task.await.unwrap().unwrap()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    /// What arrived of the body, also when it was cut off.
    pub body: Vec<u8>,
    /// Whether the body ended as HTTP says it should.
    pub complete: bool,
}

impl Got {
    pub async fn from(mut response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        let complete = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Self { status, headers, body, complete }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {self:?} {}", self.text()))
    }

    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

fn write_config(folder: &Path, idp: &IdentityProvider, options: &Options) {
    let policies = match options.policies {
        Some(_) => folder.join("policies"),
        None => repository().join("policies"),
    };
    let issuer = |audience: &str| {
        format!(
            "{{issuer: \"{}\", audiences: [{audience}], algorithms: [RS256], jwks: {{url: \"{}\"}}, claims: {{groups: groups, person: person, email: email}}}}",
            idp.issuer(),
            idp.jwks_url()
        )
    };
    let mut text = format!(
        "listen: {{grpc: 127.0.0.1:0, admin: 127.0.0.1:0, metrics: 127.0.0.1:0, gateway: true, request_body: {}}}\n\
         policies: {}\n\
         identity: {{jwt: [{}]}}\n\
         admin: {{jwt: [{}]}}\n\
         store: {{path: portcullis.db}}\n\
         audit: {{path: audit.jsonl, mode: {}}}\n\
         shutdown_delay: 0s\n{}\n",
        // Configurations that are not generated are of filters that buffer everything.
        if options.envoy.is_some() { "buffered" } else { "by_route" },
        options.source.clone().unwrap_or_else(|| format!("[\"{}\"]", policies.display())),
        issuer("portcullis"),
        issuer("portcullis-admin"),
        options.audit_mode,
        options.config,
    );
    for (from, to) in &options.config_edits {
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        text = text.replace(from, to);
    }
    for (name, text) in &options.files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join("hash.key"), [7; 32]).unwrap();
    let key = folder.join("handover.key");
    std::fs::write(&key, [8; 32]).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(folder.join("portcullis.yaml"), text).unwrap();
}

/// What Envoy is started with: generated, and edited.
fn settings(options: &Options, folder: &Path, addresses: &Addresses, upstream: &Upstream) -> Settings {
    let policies = match (&options.configured_for, &options.policies) {
        (Some(others), _) => {
            let path = folder.join("configured-for.yaml");
            std::fs::write(&path, others).unwrap();
            path
        }
        (None, Some(_)) => folder.join("policies"),
        (None, None) => repository().join("policies"),
    };
    let portcullis = options.portcullis.unwrap_or(addresses.grpc.unwrap());
    let proxy = proxy_config::Options {
        upstream_http2: options.upstream_http2,
        tls: options.tls.clone(),
        ..between(options.service, portcullis, options.upstream.unwrap_or(upstream.address()))
    };
    let given = options.envoy.clone();
    let mut text = given.unwrap_or_else(|| generated(&proxy, &policies, &folder.join("portcullis.yaml")));
    for (from, to) in &options.edits {
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        text = text.replace(from, to);
    }
    Settings::new(text, portcullis, upstream.address())
}

/// An Envoy on any free port.
pub fn between(service: Service, portcullis: SocketAddr, upstream: SocketAddr) -> proxy_config::Options {
    proxy_config::Options {
        service,
        listen: address::ANY.into(),
        admin: address::ANY.into(),
        portcullis: vec![portcullis.into()],
        upstream: upstream.into(),
        upstream_http2: false,
        tls: None,
    }
}

/// What `portcullis envoy config` writes for these policies and this configuration of the server.
pub fn generated(options: &proxy_config::Options, policies: &Path, config: &Path) -> String {
    proxy_config::bootstrap(&needs(policies, config), options).unwrap()
}

/// What these policies and this configuration of the server need.
pub fn needs(policies: &Path, config: &Path) -> Needs {
    let files = bundle::gather(&[policies.to_owned()]).unwrap();
    let compiled = policy::compile(&files.policies, &policy::Options { gateway: true });
    let server = config::read(config).config.unwrap().for_proxies();
    Needs::of(&compiled.set.unwrap_or_else(|| panic!("{:?}", compiled.findings)), server)
}

/// Starts an Envoy in front of a server that runs by itself: ext_proc, generated for the server's policies.
pub async fn envoy_before(server: &portcullis_sample::portcullis::Config, upstream: &Upstream) -> Envoy {
    let options = between(Service::ExtProc, server.grpc, upstream.address());
    let text = generated(&options, &server.policies, &server.data.join("portcullis.yaml"));
    Envoy::start(&Settings::new(text, server.grpc, upstream.address())).await.unwrap()
}

/// A command that asks the server at this URL with this token.
pub fn command(server: &str, token: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).args(["--server", server]).env("PORTCULLIS_TOKEN", token);
    command
}

/// Runs a command that asks the server at `admin`: whether it ended well, and all that it printed.
pub async fn cli(admin: SocketAddr, token: &str, arguments: &[&str]) -> (bool, String) {
    run(&mut command(&format!("http://{admin}"), token, arguments)).await
}

/// Runs a command: whether it ended well, and all that it printed.
pub async fn run(command: &mut tokio::process::Command) -> (bool, String) {
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
