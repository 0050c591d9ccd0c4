//! `/metrics`, `/healthz` and `/readyz`: for kubelets and Prometheus, without authentication, nothing secret.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

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

/// What is said of a store that fails.
const STORE_MISSING: &str = "the store does not answer";

/// The routes of the metrics port.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/.well-known/jwks.json", get(key_set))
        .with_state(ops)
}

impl Ops {
    /// What stands in the way of serving calls well; empty when the server is ready.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let snapshot = self.engine.snapshot();
        let store = self.store.ping().await.is_ok();
        self.engine.metrics().store_up(store);
        let checks = [
            ("draining", self.engine.lifecycle().is_leaving()),
            ("no policies are loaded", snapshot.policies.is_empty()),
            ("an issuer's keys have not been fetched", !snapshot.authenticator.ready()),
            (STORE_MISSING, !store),
        ];
        checks.into_iter().filter(|(_, holds)| *holds).map(|(what, _)| what).collect()
    }

    /// Counts what waits for a decision, for `/metrics`. Where the store does not answer, the last count stands.
    pub async fn count_pending(&self) {
        match self.store.count_pending().await {
            Ok(pending) => self.engine.metrics().pending_approvals(pending),
            Err(error) => tracing::debug!(%error, "what waits for a decision could not be counted"),
        }
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

/// `?exclude=store` leaves out the store: servers that share one would all be taken out of service with it, and most
/// calls need none. It is named either way.
async fn readyz(State(ops): State<Ops>, Query(asked): Query<Readiness>) -> impl IntoResponse {
    let missing = ops.not_ready().await;
    let tolerated = asked.exclude.as_deref() == Some("store");
    let ready = missing.iter().all(|what| tolerated && *what == STORE_MISSING);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({"ready": ready, "missing": missing})))
}

#[derive(Deserialize)]
struct Readiness {
    exclude: Option<String>,
}
