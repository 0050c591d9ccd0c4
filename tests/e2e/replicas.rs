//! Two replicas on one PostgreSQL, each the binary behind an Envoy of its own: what one decides holds on the other, a
//! replica may die, and the database may go away.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portcullis::proxy::config::Service;
use portcullis_sample::address;
use portcullis_sample::envoy::{Envoy, Settings};
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::postgres::{self, Postgres};
use portcullis_sample::upstream::Upstream;
use portcullis_sample::wire::Wire;
use reqwest::Method;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::world::{Got, between, cli, envoy_before, generated};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const DATABASE: &str = "portcullis";

struct Replica {
    config: Config,
    server: Portcullis,
    envoy: Envoy,
}

struct Replicas {
    postgres: Postgres,
    /// Between the first replica and the database.
    wire: Wire,
    idp: IdentityProvider,
    upstream: Upstream,
    replicas: Vec<Replica>,
    client: reqwest::Client,
    _folder: TempDir,
}

impl Replicas {
    /// `None` where no PostgreSQL can be started; the test is then named as skipped.
    async fn start(count: usize) -> Option<Self> {
        if let Err(reason) = postgres::programs() {
            assert!(std::env::var_os("PORTCULLIS_REQUIRE_POSTGRES").is_none(), "{reason}");
            let thread = std::thread::current();
            let line = format!("test {} ... ignored, {reason}\n", thread.name().unwrap_or("replicas"));
            // Past the capture of the test's output: `scripts/skipped` reads this.
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
            return None;
        }
        let postgres = Postgres::start().unwrap();
        postgres.create_database(DATABASE).unwrap();
        let wire = Wire::to(postgres.address()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(address::ANY).await.unwrap();
        let idp = IdentityProvider::start(address::ANY).await.unwrap();
        let mut replicas = Vec::new();
        for number in 0..count {
            let by = if number == 0 { wire.address() } else { postgres.address() };
            let data = folder.path().join(number.to_string());
            replicas.push(Replica::start(&idp, &upstream, data, by).await);
        }
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Some(Self { postgres, wire, idp, upstream, replicas, client, _folder: folder })
    }

    /// A refund of ana's of so much, which waits for somebody in finance.
    fn refund(&self, replica: usize, amount: u32) -> tokio::task::JoinHandle<Got> {
        self.refund_by(&self.replicas[replica].envoy, amount)
    }

    fn refund_by(&self, envoy: &Envoy, amount: u32) -> tokio::task::JoinHandle<Got> {
        let url = format!("{}/v1/refunds", envoy.url());
        let request = self.client.post(url).bearer_auth(self.idp.token("ana", "portcullis").unwrap());
        let body = format!(r#"{{"order": "o-1", "amount": {amount}}}"#);
        let request = request.header("content-type", "application/json").body(body);
        tokio::spawn(async move { Got::from(request.send().await.unwrap()).await })
    }

    async fn plain(&self, replica: usize) -> u16 {
        let url = format!("{}/public/hello", self.replicas[replica].envoy.url());
        self.client.get(url).send().await.unwrap().status().as_u16()
    }

    async fn orders(&self, replica: usize) -> u16 {
        let url = format!("{}/v1/orders", self.replicas[replica].envoy.url());
        let request = self.client.get(url).bearer_auth(self.idp.token("ana", "portcullis").unwrap());
        request.send().await.unwrap().status().as_u16()
    }

    async fn admin(&self, replica: usize, method: Method, path: &str) -> Got {
        let url = format!("http://{}{path}", self.replicas[replica].config.admin);
        let token = self.idp.token("bob", "portcullis-admin").unwrap();
        let request = self.client.request(method, url).bearer_auth(token);
        Got::from(request.json(&serde_json::json!({"reason": "seen"})).send().await.unwrap()).await
    }

    /// The ids in this state, once there are `count` of them.
    async fn ids(&self, replica: usize, state: &str, count: usize) -> Vec<String> {
        for _ in 0..400 {
            let listed = self.listed(replica, state).await;
            if listed.len() == count {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("there were never {count} {state} requests");
    }

    async fn listed(&self, replica: usize, state: &str) -> Vec<String> {
        let listed = self.admin(replica, Method::GET, &format!("/api/v1/approvals?state={state}")).await;
        let list = listed.json()["approvals"].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn approve(&self, replica: usize, id: &str) -> u16 {
        self.admin(replica, Method::POST, &format!("/api/v1/approvals/{id}:approve")).await.status
    }

    async fn cli(&self, replica: usize, arguments: &[&str]) {
        let token = self.idp.token("bob", "portcullis-admin").unwrap();
        let (done, said) = cli(self.replicas[replica].config.admin, &token, arguments).await;
        assert!(done, "{said}");
    }

    async fn ops(&self, replica: usize, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.replicas[replica].config.metrics);
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        for _ in 0..400 {
            if is().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never: {what}\n{}", self.logs());
    }

    fn logs(&self) -> String {
        let log = |replica: &Replica| {
            std::fs::read_to_string(replica.config.data.join("portcullis.log")).unwrap_or_default()
        };
        self.replicas.iter().map(log).collect()
    }

    /// The database is away: plain calls go on, what needs it is refused, and readiness says so.
    async fn is_away(&self, how: &str) {
        let began = Instant::now();
        let refused = self.refund(0, 998).await.unwrap();
        println!("{how}: a call that a rule holds was refused after {:?}", began.elapsed());
        assert_eq!((refused.status, refused.error().as_str()), (503, "store_unavailable"));
        self.until("not ready", async || self.ops(0, "/readyz").await.0 == 503).await;
        assert_eq!((self.plain(0).await, self.orders(0).await), (200, 200));
        let before = self.upstream.calls_to("/v1/refunds");
        let refused = self.refund(0, 999).await.unwrap();
        assert_eq!((refused.status, refused.error().as_str()), (503, "store_unavailable"));
        assert_eq!(self.upstream.calls_to("/v1/refunds"), before);
        let (status, said) = self.ops(0, "/readyz").await;
        assert!(status == 503 && said.contains("the store does not answer"), "{said}");
        let (status, said) = self.ops(0, "/readyz?exclude=store").await;
        assert!(status == 200 && said.contains("the store does not answer"), "{said}");
        self.until("a metric", async || self.ops(0, "/metrics").await.1.contains("portcullis_store_up 0"))
            .await;
        assert_eq!((self.plain(0).await, self.orders(0).await), (200, 200));
    }

    /// It is back: nothing acknowledged is lost, and calls are held and released again.
    async fn is_back(&self, approved: &str, amount: u32) {
        let began = Instant::now();
        self.until("ready", async || self.ops(0, "/readyz").await.0 == 200).await;
        self.until("a metric", async || self.ops(0, "/metrics").await.1.contains("portcullis_store_up 1"))
            .await;
        assert_eq!(self.ids(0, "approved", 1).await, [approved]);
        let before = self.upstream.calls_to("/v1/refunds");
        assert_eq!(self.refund(0, amount).await.unwrap().status, 200, "the approval was kept");
        let (held, id) = self.held(amount + 1).await;
        assert_eq!(self.approve(0, &id).await, 200);
        assert_eq!(held.await.unwrap().status, 200);
        println!("back after {:?}, two calls released", began.elapsed());
        assert_eq!(self.upstream.calls_to("/v1/refunds"), before + 2);
    }

    /// One Envoy that asks both replicas, and one where the other is gone.
    async fn envoy_before_both(&self) -> Envoy {
        let [first, second] = self.replicas.as_slice() else { panic!("two replicas") };
        let mut options = between(Service::ExtProc, first.config.grpc, self.upstream.address());
        options.portcullis.push(second.config.grpc.into());
        let config = first.config.data.join("portcullis.yaml");
        let text = generated(&options, &first.config.policies, &config);
        Envoy::start(&Settings::new(text, first.config.grpc, self.upstream.address())).await.unwrap()
    }

    /// A refund that waits, and its request. A database that stood still may open one more, of a call that was refused
    /// meanwhile: it is older.
    async fn held(&self, amount: u32) -> (tokio::task::JoinHandle<Got>, String) {
        let earlier = self.listed(0, "pending").await;
        let held = self.refund(0, amount);
        loop {
            let now = self.listed(0, "pending").await;
            if let Some(id) = now.into_iter().find(|id| !earlier.contains(id)) {
                return (held, id);
            }
            assert!(!held.is_finished(), "it waits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An approval that is given and not used yet, of ana's refund of so much.
    async fn given(&self, amount: u32) -> String {
        let (held, id) = self.held(amount).await;
        // Whoever hangs up leaves the request.
        held.abort();
        let _ = held.await;
        self.until("the call is gone", async || {
            self.ops(0, "/metrics").await.1.contains("portcullis_held_calls 0")
        })
        .await;
        assert_eq!(self.approve(0, &id).await, 200);
        id
    }
}

impl Replica {
    async fn start(
        idp: &IdentityProvider,
        upstream: &Upstream,
        data: std::path::PathBuf,
        database: SocketAddr,
    ) -> Self {
        let config = Config::sample(idp.issuer(), data).unwrap();
        std::fs::create_dir_all(&config.data).unwrap();
        std::fs::write(config.data.join("password"), postgres::PASSWORD).unwrap();
        let file = format!("store: {{path: \"{}/portcullis.db\"}}", config.data.display());
        // All tests at once are more than a machine can do in the time that it has otherwise.
        let timeout = std::env::var("PORTCULLIS_TEST_STORE_TIMEOUT").unwrap_or_else(|_| "3s".to_owned());
        let shared = format!(
            "store: {{postgres: {{url: \"postgres://postgres@{database}/{DATABASE}\", password_file: password, timeout: {timeout}}}}}"
        );
        let text = config.render().unwrap();
        assert!(text.contains(&file), "{text}");
        let path = config.data.join("portcullis.yaml");
        std::fs::write(&path, text.replace(&file, &shared)).unwrap();
        let log = config.data.join("portcullis.log");
        let server = Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap();
        let envoy = envoy_before(&config, upstream).await;
        Self { config, server, envoy }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_held_at_one_replica_is_released_by_an_approval_given_at_another() {
    let Some(world) = Replicas::start(2).await else { return };
    let held = world.refund(0, 700);
    let [id] = world.ids(1, "pending", 1).await.try_into().unwrap();
    assert_eq!(world.approve(1, &id).await, 200);
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(world.ids(1, "used", 1).await, [id]);
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
    let logs = world.logs();
    assert!(!logs.contains(postgres::PASSWORD), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_loses_no_approval_and_the_same_call_finds_it_at_another() {
    let Some(mut world) = Replicas::start(2).await else { return };
    let both = world.envoy_before_both().await;
    let held = world.refund_by(&both, 700);
    let [id] = world.ids(1, "pending", 1).await.try_into().unwrap();
    // They share the load: either may hold it.
    let holder = usize::from(!world.ops(0, "/metrics").await.1.contains("portcullis_held_calls 1"));
    let other = 1 - holder;
    world.replicas[holder].server.kill().await.unwrap();
    assert!(held.await.unwrap().status >= 400);
    // Sent again until the proxy has found out which replica lives.
    let again = 'sent: loop {
        let again = world.refund_by(&both, 700);
        while !again.is_finished() {
            if world.ops(other, "/metrics").await.1.contains("portcullis_held_calls 1") {
                break 'sent again;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(again.await.unwrap().status >= 400);
    };
    assert_eq!(world.ids(other, "pending", 1).await, std::slice::from_ref(&id), "the same approval");
    assert_eq!(world.approve(other, &id).await, 200);
    assert_eq!(again.await.unwrap().status, 200);
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
    // It is used: the same call again is a retry of it.
    assert_eq!(world.refund_by(&both, 700).await.unwrap().status, 409);
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_and_the_choice_of_policies_reach_every_replica() {
    let Some(world) = Replicas::start(2).await else { return };
    assert_eq!((world.orders(0).await, world.orders(1).await), (200, 200));
    world.cli(1, &["revoke", "--subject", "ana", "--reason", "left"]).await;
    world.until("refused", async || world.orders(0).await == 401).await;
    world.cli(0, &["bundle", "pin", "--reason", "careful"]).await;
    world
        .until("pinned", async || world.ops(1, "/metrics").await.1.contains("portcullis_bundle_pinned 1"))
        .await;
    world.cli(1, &["bundle", "unpin", "--reason", "done"]).await;
    world
        .until("unpinned", async || world.ops(0, "/metrics").await.1.contains("portcullis_bundle_pinned 0"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_plain_calls_go_on_and_holds_fail_closed_until_it_is_back() {
    let Some(mut world) = Replicas::start(1).await else { return };
    let approved = world.given(700).await;
    world.postgres.kill().unwrap();
    world.is_away("killed").await;
    world.postgres.start_again().unwrap();
    world.is_back(&approved, 700).await;

    let approved = world.given(710).await;
    world.postgres.pause().unwrap();
    world.is_away("paused").await;
    world.postgres.resume().unwrap();
    world.is_back(&approved, 710).await;

    // No packet passes, and nobody is told.
    let approved = world.given(720).await;
    world.wire.cut();
    world.is_away("cut off").await;
    world.wire.mend();
    world.is_back(&approved, 720).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_still_does_not_keep_the_others_from_writing() {
    let Some(mut world) = Replicas::start(2).await else { return };
    // Wherever it is: in the middle of a transaction, one time or another.
    for round in 0..5 {
        world.replicas[0].server.child().pause().unwrap();
        let id = {
            let held = world.refund(1, 700 + round);
            let [id] = world.ids(1, "pending", 1).await.try_into().unwrap();
            assert_eq!(world.approve(1, &id).await, 200);
            assert_eq!(held.await.unwrap().status, 200);
            id
        };
        world.replicas[0].server.child().resume().unwrap();
        assert!(world.ids(0, "used", usize::try_from(round).unwrap() + 1).await.contains(&id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_is_not_there_does_not_start_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    let [nowhere] = address::free().unwrap();
    std::fs::write(folder.path().join("url"), format!("postgres://p:hunter2@{nowhere}/portcullis\n"))
        .unwrap();
    let file = format!("store: {{path: \"{}/portcullis.db\"}}", config.data.display());
    let text = config.render().unwrap().replace(&file, "store: {postgres: {url_file: url}}");
    let path = folder.path().join("portcullis.yaml");
    std::fs::write(&path, text).unwrap();
    let serve = async |check: bool| {
        let mut command = tokio::process::Command::new(BINARY);
        command.args(["serve", "--config"]).arg(&path);
        let output = if check { command.arg("--check") } else { &mut command }.output().await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(serve(true).await, (true, String::new()), "a check does not connect");
    let (started, said) = serve(false).await;
    let place = format!("postgres://p@{nowhere}/portcullis");
    assert!(!started && said.contains(&place) && !said.contains("hunter2"), "{said}");
    std::fs::write(folder.path().join("url"), "postgres://p:hunter2@\n").unwrap();
    let (checked, said) = serve(true).await;
    assert!(!checked && said.contains("invalid-store") && !said.contains("hunter2"), "{said}");
}
