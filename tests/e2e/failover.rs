//! Two replicas behind one Envoy with the generated configuration: one may be killed, or told to stop, while calls go on.

use std::path::Path;

use portcullis::proxy::config::Service;
use portcullis_sample::address;
use portcullis_sample::envoy::{Envoy, Settings};
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::upstream::Upstream;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{Options, World, between, generated};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// Callers at a time, each with one call after the other.
const CALLERS: usize = 4;

/// Calls of each caller once a replica is gone.
const AFTER: usize = 100;

struct Pair {
    servers: [Portcullis; 2],
    envoy: Envoy,
    _upstream: Upstream,
    _idp: IdentityProvider,
    _folder: TempDir,
}

impl Pair {
    async fn start(service: Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(address::ANY).await.unwrap();
        let idp = IdentityProvider::start(address::ANY).await.unwrap();
        let mut started = Vec::new();
        for name in ["first", "second"] {
            let config = Config::sample(idp.issuer(), folder.path().join(name)).unwrap();
            started.push((start(&config).await, config));
        }
        let [(first, config), (second, other)] = <[_; 2]>::try_from(started).unwrap();
        let mut options = between(service, config.grpc, upstream.address());
        options.portcullis.push(other.grpc.into());
        let text = generated(&options, &config.policies, &config.data.join("portcullis.yaml"));
        let envoy = Envoy::start(&Settings::new(text, config.grpc, upstream.address())).await.unwrap();
        Self { servers: [first, second], envoy, _upstream: upstream, _idp: idp, _folder: folder }
    }

    /// Callers that go on until they are told, and then for a while: the statuses of what failed.
    fn callers(&self, gone: &CancellationToken) -> JoinSet<Vec<u16>> {
        let url = format!("{}/public/hello", self.envoy.url());
        (0..CALLERS).map(|_| call(reqwest::Client::new(), url.clone(), gone.clone())).collect()
    }
}

async fn call(client: reqwest::Client, url: String, gone: CancellationToken) -> Vec<u16> {
    let (mut failed, mut after) = (Vec::new(), 0);
    while after < AFTER {
        after += usize::from(gone.is_cancelled());
        let status = client.get(&url).send().await.unwrap().status();
        if !status.is_success() {
            failed.push(status.as_u16());
        }
    }
    failed
}

/// A server that leaves time to notice that it stops, as by default.
async fn start(config: &Config) -> Portcullis {
    std::fs::create_dir_all(&config.data).unwrap();
    let path = config.data.join("portcullis.yaml");
    let text = config.render().unwrap();
    assert!(text.contains("shutdown_delay: 0s"), "{text}");
    std::fs::write(&path, text.replace("shutdown_delay: 0s", "shutdown_delay: 3s")).unwrap();
    let log = config.data.join("portcullis.log");
    Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap()
}

const SERVICES: [Service; 2] = [Service::ExtAuthz, Service::ExtProc];

/// What was under way there is lost, and fails closed; hardly anything else.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_replica_that_is_killed_others_take_over_at_once() {
    for service in SERVICES {
        let mut pair = Pair::start(service).await;
        let gone = CancellationToken::new();
        let callers = pair.callers(&gone);
        pair.servers[0].kill().await.unwrap();
        gone.cancel();
        let failed = callers.join_all().await.concat();
        assert!(failed.len() <= 3 * CALLERS, "{service:?}: {failed:?}");
        assert!(failed.iter().all(|status| *status == 503), "{failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_replica_stops() {
    for service in SERVICES {
        let mut pair = Pair::start(service).await;
        let gone = CancellationToken::new();
        let callers = pair.callers(&gone);
        assert!(pair.servers[0].terminate().await.unwrap().success());
        gone.cancel();
        assert_eq!(callers.join_all().await.concat(), [0_u16; 0], "{service:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so_and_takes_calls_until_its_delay_is_over() {
    let options = Options::ext_authz().edit_config("shutdown_delay: 0s", "shutdown_delay: 1h");
    let mut world = World::start(options).await;
    world.tell_to_stop();
    while !world.fetch("/readyz").await.contains("draining") {
        tokio::task::yield_now().await;
    }
    let checked = format!("http://{}", world.addresses.grpc.unwrap());
    let channel = tonic::transport::Endpoint::from_shared(checked).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        // It says so on either port, one after the other.
        while health.check(request.clone()).await.unwrap().into_inner().status != 2 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.get("/public/hello", None).await.status, 200);
    world.tell_to_stop();
    world.drain().await;
}

/// The second signal waits for nothing, not even for calls that are held.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_the_server_at_once() {
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    let path = folder.path().join("portcullis.yaml");
    let text = config.render().unwrap().replace("shutdown_delay: 0s", "shutdown_delay: 1h\ndrain: 1h");
    std::fs::write(&path, text).unwrap();
    let log = folder.path().join("portcullis.log");
    let mut server = Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap();
    server.child().interrupt().unwrap();
    while !std::fs::read_to_string(&log).unwrap().contains("not ready any more") {
        tokio::task::yield_now().await;
    }
    // It returns when the server has ended, and fails when it has not.
    server.terminate().await.unwrap();
}
