//! The service that is worth protecting: a shop with orders, refunds and reports, all of them full of card numbers.
//!
//! It trusts every caller, and knows nothing of Envoy and Portcullis: whatever reaches it was let through.

mod orders;
mod scripted;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_TYPE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

pub use orders::CARD_NUMBERS;
pub use scripted::Answer;

use crate::serving::Serving;
use state::State;

/// A running upstream; stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    serving: Serving,
    state: Arc<State>,
}

impl Upstream {
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let state = Arc::new(State::default());
        let serving = Serving::start("the sample upstream", address, router(Arc::clone(&state))).await?;
        Ok(Self { serving, state })
    }

    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// How many calls arrived, without those to `/_stats`.
    pub fn calls(&self) -> u64 {
        self.state.calls()
    }

    /// How many calls to this path (without its query) arrived.
    pub fn calls_to(&self, path: &str) -> u64 {
        self.state.calls_to(path)
    }

    /// How often each refund arrived: by its `x-request-tag`, or by its body when it has none.
    pub fn refunds(&self) -> BTreeMap<String, u64> {
        self.state.refunds()
    }

    /// From now on every call to this path gets exactly this.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.state.set_answer(path, answer);
    }

    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/orders", get(list_orders))
        .route("/v1/orders/{id}", get(show_order).delete(delete_order))
        .route("/v1/orders/stream", get(stream_orders))
        .route("/v1/orders/export", get(export_orders))
        .route("/v1/reports/large", get(large_report))
        .route("/v1/refunds", post(refund))
        .route("/public/hello", get(async || Json(json!({"hello": "world"}))))
        .route("/echo", any(echo))
        .route("/echo/{*rest}", any(echo))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), count_and_dictate))
        // After the layer: looking at the counters does not count.
        .route("/_stats", get(async |Extract(state): Extract<Arc<State>>| Json(state.stats())))
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

/// Counts the call, and answers it as dictated if a test has dictated something for its path.
async fn count_and_dictate(Extract(state): Extract<Arc<State>>, request: Request, next: Next) -> Response {
    state.count_call(request.uri().path());
    match state.answer(request.uri().path()) {
        Some(answer) => answer.response(),
        None => next.run(request).await,
    }
}

async fn list_orders() -> Json<Value> {
    Json(json!({"orders": orders::all()}))
}

async fn show_order(Path(id): Path<String>) -> Response {
    match orders::all().into_iter().find(|order| order.get("id").is_some_and(|known| *known == id)) {
        Some(order) => Json(order).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": format!("no order `{id}`")}))).into_response(),
    }
}

async fn delete_order(Path(id): Path<String>) -> Json<Value> {
    Json(json!({"deleted": id}))
}

#[derive(Deserialize)]
struct Pace {
    #[serde(default = "Pace::events")]
    events: usize,
    #[serde(default = "Pace::interval_ms")]
    interval_ms: u64,
}

impl Pace {
    fn events() -> usize {
        5
    }

    fn interval_ms() -> u64 {
        100
    }
}

/// Server-sent events: one order each, the first at once.
async fn stream_orders(Query(pace): Query<Pace>) -> Response {
    let interval = Duration::from_millis(pace.interval_ms);
    let events = stream::iter(0..pace.events).then(move |sequence| async move {
        if sequence > 0 {
            tokio::time::sleep(interval).await;
        }
        Ok::<_, Infallible>(format!("event: order\nid: {sequence}\ndata: {}\n\n", orders::order(sequence)))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Newline-delimited JSON.
async fn export_orders() -> Response {
    let lines: String = orders::all().iter().map(|order| format!("{order}\n")).collect();
    ([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}

#[derive(Deserialize)]
struct Size {
    #[serde(default = "Size::mb")]
    mb: usize,
}

impl Size {
    fn mb() -> usize {
        1
    }
}

/// A JSON array of at least `mb` megabytes, written in blocks of 64 KiB that are rendered once.
async fn large_report(Query(Size { mb }): Query<Size>) -> Response {
    let mut block = String::with_capacity(70_000);
    for sequence in 0.. {
        block.push_str(&orders::order(sequence).to_string());
        block.push_str(",\n");
        if block.len() >= 64 * 1024 {
            break;
        }
    }
    let blocks = (mb * 1_000_000).div_ceil(block.len());
    let block = Bytes::from(block);
    let body = stream::iter([Bytes::from_static(b"[\n")])
        .chain(stream::iter((0..blocks).map(move |_| block.clone())))
        .chain(stream::iter([Bytes::from(format!("{}\n]\n", orders::order(0)))]))
        .map(Ok::<_, Infallible>);
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response()
}

/// Pays out whatever it is asked for.
async fn refund(Extract(state): Extract<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let tag = headers.get("x-request-tag").map(|tag| String::from_utf8_lossy(tag.as_bytes()).into_owned());
    state.count_refund(tag.unwrap_or_else(|| text.clone()));
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(amount) = asked.get("amount") else {
        let error = Json(json!({"error": "a refund needs an `amount`"}));
        return (StatusCode::BAD_REQUEST, error).into_response();
    };
    Json(json!({"refunded": amount, "order": asked.get("order"), "currency": "EUR"})).into_response()
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    Json(state::echo(&method, &uri, &headers, &body))
}
