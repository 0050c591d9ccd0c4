//! `/metrics`, `/healthz` and `/readyz`: for kubelets and Prometheus, without authentication, nothing secret.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::bundle::Control;
use crate::engine::Engine;
use crate::store::Store;

/// What these answers are made from.
#[derive(Clone, Debug)]
pub struct Ops {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub control: Arc<Control>,
}

/// How many connections the metrics port takes at once: whoever opens more of them must not take those of proxies.
const MOST_CONNECTIONS: usize = 256;
/// How long a connection may take to say what it wants, also the next time.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// Serves the metrics port until it is dropped.
pub async fn serve(listener: TcpListener, ops: Ops) {
    let (router, turns) = (router(ops), Arc::new(Semaphore::new(MOST_CONNECTIONS)));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    loop {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly: that passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // How a connection ends is its client's business.
            let _ = connection.await;
            drop(turn);
        });
    }
}

/// The routes of the metrics port.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/.well-known/jwks.json", get(key_set))
        .with_state(ops)
}

/// What stands in the way of serving calls well; empty when the server is ready.
impl Ops {
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let snapshot = self.engine.snapshot();
        let checks = [
            ("draining", self.engine.lifecycle().is_draining()),
            ("no policies are loaded", snapshot.policies.is_empty()),
            ("an issuer's keys have not been fetched", !snapshot.authenticator.ready()),
            ("the store does not answer", self.store.ping().await.is_err()),
        ];
        checks.into_iter().filter(|(_, holds)| *holds).map(|(what, _)| what).collect()
    }
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    let metrics = ops.engine.metrics();
    for (issuer, age) in ops.engine.snapshot().authenticator.key_ages() {
        metrics.jwks_age(&issuer, age);
    }
    if let Some(age) = ops.engine.revocations().age() {
        metrics.revocations_age(age.as_secs_f64());
    }
    if let Some(age) = ops.control.poll_age() {
        metrics.poll_age(age);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

/// The keys that verify the tokens which upstreams get from us.
async fn key_set(State(ops): State<Ops>) -> impl IntoResponse {
    let snapshot = ops.engine.snapshot();
    match snapshot.authenticator.forward.key_set() {
        Some(keys) => {
            let kind = (header::CONTENT_TYPE, "application/jwk-set+json");
            ([kind, (header::CACHE_CONTROL, "public, max-age=300")], keys.to_owned()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "`identity.forward.jwt` is not configured\n").into_response(),
    }
}

async fn readyz(State(ops): State<Ops>) -> impl IntoResponse {
    let missing = ops.not_ready().await;
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({"ready": missing.is_empty(), "missing": missing})))
}
