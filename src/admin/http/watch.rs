//! `/api/v1/approvals:watch` as server-sent events: each one's name is its kind, and its data the message as JSON.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt as _;

use super::{authorization, encode, method_not_allowed};
use crate::admin::AdminState;
use crate::admin::fault::Fault;
use crate::admin::watch::Item;
use crate::inbound::UnderWay;

pub(super) fn router() -> Router<AdminState> {
    Router::new().route("/api/v1/approvals:watch", get(watch).fallback(method_not_allowed))
}

async fn watch(
    State(state): State<AdminState>,
    headers: HeaderMap,
    under_way: Option<Extension<UnderWay>>,
) -> Result<Response, Fault> {
    let under_way = under_way.map(|Extension(under_way)| under_way);
    let events = state.watch(authorization(&headers), under_way).await?;
    let body = events.map(|item| Ok::<_, std::convert::Infallible>(Bytes::from(event(item))));
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        (CACHE_CONTROL.as_str(), "no-store"),
        (X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff"),
        // A proxy in between would keep what is to be seen at once.
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// JSON has no line ends of its own, so an event's data is one line.
fn event(item: Item) -> String {
    let encoded = item.and_then(|event| {
        let data = encode("portcullis.admin.v1.WatchApprovalsEvent", &event).ok_or(Fault::Unavailable)?;
        Ok((event.kind, String::from_utf8_lossy(&data).into_owned()))
    });
    let (name, data) = encoded.unwrap_or_else(|fault| {
        let data = serde_json::json!({"code": fault.code(), "message": fault.to_string()});
        ("error".to_owned(), data.to_string())
    });
    format!("event: {name}\ndata: {data}\n\n")
}
