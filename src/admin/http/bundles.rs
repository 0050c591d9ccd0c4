//! `/api/v1/bundles` as JSON.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Page, Who, Why, asked, json, method_not_allowed, read};
use crate::admin::fault::Fault;
use crate::admin::{AdminState, v1};

const BUNDLE: &str = "portcullis.admin.v1.Bundle";

pub(super) fn router(state: &AdminState) -> Router<AdminState> {
    let activate = post(activate).fallback(method_not_allowed);
    Router::new()
        .route("/api/v1/bundles", get(list).fallback(method_not_allowed))
        .route("/api/v1/bundles/history", get(history).fallback(method_not_allowed))
        .route("/api/v1/bundles:activate", activate.layer(DefaultBodyLimit::max(state.max_upload())))
        .route("/api/v1/bundles:rollback", post(rollback).fallback(method_not_allowed))
        .route("/api/v1/bundles:pin", post(pin).fallback(method_not_allowed))
        .route("/api/v1/bundles:unpin", post(unpin).fallback(method_not_allowed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Activation {
    /// Base64.
    archive: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    #[serde(default)]
    to: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    #[serde(default)]
    revision: String,
    #[serde(default)]
    reason: String,
}

async fn list(State(state): State<AdminState>, Who(who): Who) -> Result<Response, Fault> {
    json("portcullis.admin.v1.ListBundlesResponse", &state.bundles(&who).await?)
}

async fn history(
    State(state): State<AdminState>,
    Who(who): Who,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Fault> {
    let Page { limit, page_token } = asked(query)?;
    let events = state.bundle_events(&who, v1::ListBundleEventsRequest { limit, page_token }).await?;
    json("portcullis.admin.v1.ListBundleEventsResponse", &events)
}

/// Who may not change anything is told so before the archive is read.
async fn activate(
    State(state): State<AdminState>,
    Who(who): Who,
    request: Request,
) -> Result<Response, Fault> {
    state.may_administer(&who)?;
    let body = Bytes::from_request(request, &()).await;
    let Activation { archive, reason } = read(body, "{\"archive\": \"<base64>\", \"reason\": \"...\"}")?;
    let archive = STANDARD
        .decode(archive)
        .map_err(|error| Fault::Invalid(format!("`archive` is not base64: {error}")))?;
    let request = v1::ActivateBundleRequest { archive, reason };
    json(BUNDLE, &state.activate_bundle(&who, request).await?)
}

async fn rollback(
    State(state): State<AdminState>,
    Who(who): Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let Rollback { to, reason } = read(body, "{\"to\": \"...\", \"reason\": \"...\"}")?;
    json(BUNDLE, &state.rollback_bundle(&who, v1::RollbackBundleRequest { to, reason }).await?)
}

async fn pin(
    State(state): State<AdminState>,
    Who(who): Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let Pin { revision, reason } = read(body, "{\"revision\": \"...\", \"reason\": \"...\"}")?;
    json(BUNDLE, &state.pin_bundle(&who, v1::PinBundleRequest { revision, reason }).await?)
}

async fn unpin(
    State(state): State<AdminState>,
    Who(who): Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let Why { reason } = read(body, Why::SHAPE)?;
    json(BUNDLE, &state.unpin_bundle(&who, v1::UnpinBundleRequest { reason }).await?)
}
