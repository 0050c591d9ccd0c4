//! From a configuration to a running server: load, bind, serve, drain.
//!
//! `load` finds every mistake without touching a socket (`serve --check` stops there). `build` binds every
//! socket and says where, so that tests run the real server on port 0. `Bound::serve` runs until it is told to
//! stop: not ready, GOAWAY, held calls answered with tickets, audit flushed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin;
use crate::audit::Audit;
use crate::authn::Authenticator;
use crate::authn::api_key::ApiKeys;
use crate::bundle::{Control, Ports as ControlPorts};
use crate::clock::Clock;
use crate::config::{self, Config, Patience};
use crate::engine::fault::Faults;
use crate::engine::{Comparison, Engine, Following, HashKeys, Ports, Settings, Snapshot};
use crate::envoy::{self, ServerConfig};
use crate::inbound;
use crate::lifecycle::Lifecycle;
use crate::metrics::{InboundListener, Metrics};
use crate::notify;
use crate::ops::{self, Ops};
use crate::policy::PolicySet;
use crate::store::Store;

mod admin_events;
mod candidate;
mod console;
mod credentials;
mod keys;
mod listen;
mod load;
mod notifications;
mod policies;
mod reload;

pub use candidate::Candidate;
use candidate::Trying;
use keys::Keys;
use listen::AdminListener;
pub use load::{Loaded, Refused, load};
pub use reload::Reloader;

/// Why a server did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// Its policies can't be used, and no others were active before.
    Refused(Refused),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotStarted {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Where a bound server listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// `None` for a Unix socket.
    pub grpc: Option<SocketAddr>,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
}

/// A server with all its sockets bound.
#[derive(Debug)]
pub struct Bound {
    pub addresses: Addresses,
    pub engine: Arc<Engine>,
    server: envoy::Server,
    admin: (AdminListener, axum::Router),
    ops: (TcpListener, Ops),
    notify: Option<(notify::Targets, notify::Ports)>,
    store: Store,
    audit: Audit,
    lifecycle: Lifecycle,
    patience: Patience,
    reloader: Arc<Reloader>,
    following: Followers,
}

/// When a server is to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// In order: others are told first, then calls may end.
    pub asked: CancellationToken,
    /// Without any further wait.
    pub at_once: CancellationToken,
}

/// What keeps this server in step with the store, until it is dropped.
type Followers = (Following, AbortOnDropHandle<()>, Option<AbortOnDropHandle<()>>);

/// Binds every socket, opens the store and the audit trail, and puts policies in force. Must run within a tokio runtime.
pub async fn build(loaded: Loaded, clock: Clock, faults: Faults) -> Result<Bound, NotStarted> {
    let Loaded {
        config,
        policies,
        candidate,
        authenticator,
        admin,
        keys,
        tls,
        credentials,
        console,
        notify,
        ..
    } = loaded;
    let metrics = Metrics::new().map_err(anyhow::Error::from)?;
    // Before anything is opened: a second server by mistake is told so before it touches the first one's files.
    let sockets = tls.bind(&config.listen, &metrics, &clock)?;
    let lifecycle = Lifecycle::new();
    let audit = Audit::open(&config.audit, metrics.clone()).map_err(anyhow::Error::from)?;
    let store = Store::connect(&config.store, config.retention, clock.clone()).await;
    let store = store.map_err(anyhow::Error::from)?.measured_by(metrics.clone());
    let empty = console::is_empty(&store).await.map_err(anyhow::Error::from)?;
    let following =
        credentials.clone().follow(store.clone(), faults.clone()).await.map_err(anyhow::Error::from)?;
    let ports = Ports {
        store: store.clone(),
        revocations: credentials.revocations.clone(),
        api_keys: credentials.api_keys.clone(),
        audit: audit.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
        lifecycle: lifecycle.clone(),
        faults,
    };
    let nothing = Snapshot { policies: Arc::new(PolicySet::none()), authenticator, candidate: None };
    let keys_change = keys::follow(&config, keys.handover.clone());
    let engine = Engine::new(nothing, ports, settings(&config, keys));
    let control_ports = ControlPorts {
        engine: engine.clone(),
        store: store.clone(),
        audit: audit.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
    };
    let (control, source) = policies.start(control_ports.clone()).await?;
    let following = (following, control.follow_store(), keys_change);
    let trying = tokio::sync::Mutex::new(Some(Trying::start(candidate, &control).await));
    let server = envoy::Server::new(sockets.grpc, engine.clone(), server_config(&config));
    let patience = config.patience;
    let ops = Ops { engine: engine.clone(), store: store.clone(), control: control.clone() };
    let pages = console::start(console, &config, &control_ports, &ops, sockets.addresses.admin, empty)?;
    let events = admin_events::Recorded { audit: audit.clone(), metrics, clock: clock.clone() };
    let state = admin_state(config.admin, admin, events, credentials.api_keys, &control_ports, &control);
    let reloader = Arc::new(Reloader { engine: engine.clone(), control, following: source, trying, clock });
    Ok(Bound {
        addresses: sockets.addresses,
        engine,
        server,
        admin: (sockets.admin, admin::router(state, pages)),
        ops: (sockets.metrics, ops),
        notify: notifications::subscribe(notify, &control_ports),
        store,
        audit,
        lifecycle,
        patience,
        reloader,
        following,
    })
}

fn server_config(config: &Config) -> ServerConfig {
    ServerConfig {
        gateway: config.listen.gateway,
        request_body: config.listen.request_body,
        max_message_timeout: config.holds.max_message_timeout,
        full_duplex: config.mask.full_duplex,
        reflection: config.listen.reflection,
        handover: config.listen.handover,
        max_message: (config.limits.body + (1 << 20)).max(16 << 20),
    }
}

fn admin_state(
    config: config::Admin,
    tokens: Arc<Authenticator>,
    events: admin_events::Recorded,
    api_keys: Option<ApiKeys>,
    ports: &ControlPorts,
    control: &Arc<Control>,
) -> admin::AdminState {
    admin::AdminState {
        store: ports.store.clone(),
        clock: ports.clock.clone(),
        verifier: Arc::new(admin_events::Tokens {
            tokens,
            revocations: ports.engine.revocations().clone(),
            metrics: ports.metrics.clone(),
        }),
        events: Arc::new(events),
        viewers: config.viewers.into(),
        admins: config.admins.into(),
        control: control.clone(),
        api_keys,
        comparison: Arc::new(comparison_of(&ports.engine)),
        limits: admin::Limits::default(),
    }
}

/// What the admin API asks the engine for.
fn comparison_of(engine: &Arc<Engine>) -> impl Fn() -> Option<Comparison> + Send + Sync + 'static {
    let engine = engine.clone();
    move || engine.snapshot().comparison()
}

fn settings(config: &Config, keys: Keys) -> Settings {
    Settings {
        limits: config.limits,
        decision_timeout: config.decision_timeout,
        held: config.holds.held,
        pending: config.holds.pending,
        digest_headers: config.holds.digest_headers.clone(),
        retry_window: config.holds.retry_window,
        ticket_status: config.holds.ticket_status,
        status_path: config.holds.status_path.clone(),
        hash_keys: HashKeys::new(keys.hash),
        handover: keys.handover,
        mask_limits: config.mask.limits,
        masking: keys.masking,
        decision_cache_bytes: config.decision_cache_bytes,
    }
}

/// How often readiness is looked at for `grpc.health.v1`, and histograms are folded.
const BEAT: Duration = Duration::from_secs(1);

/// How often it is counted what waits for a decision: whoever scrapes, and however often, costs the store nothing.
const COUNT: Duration = Duration::from_secs(5);

/// How long calls that are cut off have for their last message.
const CUT_OFF: Duration = Duration::from_secs(1);

impl Bound {
    /// Reads the configuration again, for SIGHUP.
    pub fn reloader(&self) -> Arc<Reloader> {
        self.reloader.clone()
    }

    /// Serves until it is asked to stop, says so, and drains after `shutdown_delay`. `false` when calls were still running at
    /// the drain's limit, or when it was told to stop at once.
    pub async fn serve(self, stop: Stop) -> anyhow::Result<bool> {
        let Self {
            engine,
            server,
            admin,
            ops,
            notify,
            store,
            audit,
            lifecycle,
            patience,
            reloader,
            following,
            ..
        } = self;
        let health = server.health();
        let (metrics_listener, ops) = ops;
        let of_ops = report(&engine, InboundListener::Metrics);
        let ops_router = ops::router(ops.clone());
        let ops_task =
            tokio::spawn(inbound::serve(metrics_listener, ops_router, inbound::Limits::default(), of_ops));
        let notifier = notify.map(|(targets, ports)| targets.start(ports));
        let for_admin = inbound::Limits { most: admin::CONNECTIONS, ..inbound::Limits::default() };
        let of_admin = report(&engine, InboundListener::Admin);
        let admin_task = tokio::spawn(inbound::serve(admin.0, admin.1, for_admin, of_admin));
        let beat_task = tokio::spawn(look_after(ops, health.clone()));
        let mut grpc_task = tokio::spawn(server.serve());
        tokio::select! {
            () = stop.asked.cancelled() => {}
            ended = &mut grpc_task => {
                ended?;
                anyhow::bail!("the gRPC server ended by itself");
            }
        }
        lifecycle.leave();
        beat_task.abort();
        // It may be about to say that all is well.
        beat_task.await.ok();
        health.set_serving(false).await;
        stop.let_others_notice(patience.delay).await;
        reloader.following.stop();
        reloader.trying.lock().await.take();
        let in_time = stop.drain(&lifecycle, grpc_task, patience.drain).await;
        admin_task.abort();
        if let Some(notifier) = notifier {
            notifier.stop().await;
        }
        drop(following);
        store.close().await;
        audit.close().await;
        ops_task.abort();
        drop(engine);
        tracing::info!(in_time, "stopped");
        Ok(in_time)
    }
}

impl Stop {
    /// In order the first time, at once the second.
    pub fn again(&self) {
        if self.asked.is_cancelled() {
            self.at_once.cancel();
        }
        self.asked.cancel();
    }

    /// Proxies and load balancers ask every so often whether the server is ready; until they know, they send calls.
    async fn let_others_notice(&self, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        tracing::info!(
            seconds = delay.as_secs_f64(),
            "not ready any more; draining begins after `shutdown_delay`"
        );
        tokio::time::timeout(delay, self.at_once.cancelled()).await.ok();
    }

    /// Takes no more calls, and gives those under way until `limit`. `false`: some were cut off.
    async fn drain(&self, lifecycle: &Lifecycle, mut grpc: JoinHandle<()>, limit: Duration) -> bool {
        tracing::info!("draining");
        lifecycle.drain();
        let in_time = tokio::select! {
            drained = tokio::time::timeout(limit, &mut grpc) => drained.is_ok(),
            () = self.at_once.cancelled() => grpc.is_finished(),
        };
        if !in_time {
            tracing::warn!("calls were still under way at the drain's limit; they are cut off");
            lifecycle.cut_off();
            tokio::time::timeout(CUT_OFF, grpc).await.ok();
        }
        lifecycle.drained(CUT_OFF).await;
        in_time
    }
}

fn report(engine: &Engine, listener: InboundListener) -> Option<inbound::Report> {
    Some(inbound::Report { metrics: engine.metrics().clone(), listener })
}

/// What has to be done every so often, for as long as the server runs. One that waits for the store delays no other.
async fn look_after(ops: Ops, health: envoy::Health) {
    tokio::join!(beat(ops.clone(), health), count(ops));
}

/// Keeps count of what waits for a decision.
async fn count(ops: Ops) {
    let mut interval = tokio::time::interval(COUNT);
    loop {
        interval.tick().await;
        ops.count_pending().await;
    }
}

/// Keeps `grpc.health.v1` in step with `/readyz`, and metrics from piling up samples.
async fn beat(ops: Ops, health: envoy::Health) {
    let mut interval = tokio::time::interval(BEAT);
    loop {
        interval.tick().await;
        health.set_serving(ops.not_ready().await.is_empty()).await;
        ops.engine.metrics().upkeep();
    }
}
