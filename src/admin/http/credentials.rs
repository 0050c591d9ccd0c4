//! `/api/v1/keys` and `/api/v1/revocations` as JSON.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Page, Who, Why, asked, json, method_not_allowed, read};
use crate::admin::encode::timestamp;
use crate::admin::fault::Fault;
use crate::admin::{AdminState, v1};

const API_KEY: &str = "portcullis.admin.v1.ApiKey";
const REVOCATION: &str = "portcullis.admin.v1.Revocation";

pub(super) fn router() -> Router<AdminState> {
    Router::new()
        .route("/api/v1/keys", get(list_keys).post(create_key).fallback(method_not_allowed))
        .route("/api/v1/keys/{id}", post(revoke_key).fallback(method_not_allowed))
        .route("/api/v1/revocations", get(list_revocations).post(revoke).fallback(method_not_allowed))
        .route("/api/v1/revocations/{id}", post(undo).fallback(method_not_allowed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    owner: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    name: String,
    expires: Option<Timestamp>,
    #[serde(default)]
    person: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewRevocation {
    kind: String,
    value: String,
    #[serde(default)]
    issuer: String,
    issued_before: Option<Timestamp>,
    #[serde(default)]
    issued_before_now: bool,
    until: Option<Timestamp>,
    #[serde(default)]
    reason: String,
}

async fn list_keys(
    State(state): State<AdminState>,
    Who(who): Who,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Fault> {
    let Page { limit, page_token } = asked(query)?;
    let listed = state.list_api_keys(&who, v1::ListApiKeysRequest { limit, page_token }).await?;
    json("portcullis.admin.v1.ListApiKeysResponse", &listed)
}

async fn create_key(
    State(state): State<AdminState>,
    Who(who): Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let new: NewKey = read(body, "{\"owner\": \"...\", \"groups\": [\"...\"]}")?;
    let request = v1::CreateApiKeyRequest {
        owner: new.owner,
        groups: new.groups,
        name: new.name,
        expires: new.expires.map(timestamp),
        person: new.person,
    };
    json("portcullis.admin.v1.CreateApiKeyResponse", &state.create_api_key(&who, request).await?)
}

/// `POST .../{id}:revoke`.
async fn revoke_key(
    State(state): State<AdminState>,
    Who(who): Who,
    Path(target): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let id = target.strip_suffix(":revoke");
    let id = id.ok_or_else(|| Fault::Invalid("post to `{id}:revoke`".to_owned()))?.to_owned();
    let Why { reason } = read(body, Why::SHAPE)?;
    json(API_KEY, &state.revoke_api_key(&who, v1::RevokeApiKeyRequest { id, reason }).await?)
}

async fn list_revocations(
    State(state): State<AdminState>,
    Who(who): Who,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Fault> {
    let Page { limit, page_token } = asked(query)?;
    let listed = state.list_revocations(&who, v1::ListRevocationsRequest { limit, page_token }).await?;
    json("portcullis.admin.v1.ListRevocationsResponse", &listed)
}

async fn revoke(
    State(state): State<AdminState>,
    Who(who): Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let new: NewRevocation = read(body, "{\"kind\": \"subject\", \"value\": \"...\"}")?;
    let request = v1::CreateRevocationRequest {
        kind: new.kind,
        value: new.value,
        issuer: new.issuer,
        issued_before: new.issued_before.map(timestamp),
        issued_before_now: new.issued_before_now,
        until: new.until.map(timestamp),
        reason: new.reason,
    };
    json(REVOCATION, &state.create_revocation(&who, request).await?)
}

/// `POST .../{id}:undo`.
async fn undo(
    State(state): State<AdminState>,
    Who(who): Who,
    Path(target): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let id = target.strip_suffix(":undo");
    let id = id.ok_or_else(|| Fault::Invalid("post to `{id}:undo`".to_owned()))?.to_owned();
    let Why { reason } = read(body, Why::SHAPE)?;
    json(REVOCATION, &state.undo_revocation(&who, v1::UndoRevocationRequest { id, reason }).await?)
}
