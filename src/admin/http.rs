//! The admin API as JSON: the canonical protobuf JSON of the same messages.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;

mod bundles;
mod credentials;
mod watch;

use super::fault::Fault;
use super::{AdminState, limits, openapi, v1};
use crate::approval::Choice;
use crate::identity::Identity;

pub(super) static DESCRIPTORS: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(v1::DESCRIPTORS).ok());

pub(super) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/api/v1/approvals", get(list).fallback(method_not_allowed))
        .route("/api/v1/approvals/{id}", get(show).post(decide).fallback(method_not_allowed))
        .merge(bundles::router(&state))
        .merge(credentials::router())
        .merge(watch::router())
        .route(openapi::ADDRESS, get(description).fallback(method_not_allowed))
        .route("/api/v1/candidate", get(candidate).fallback(method_not_allowed))
        .route("/api/{*rest}", any(no_such_address))
        .with_state(state)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    page_token: String,
}

/// Which part of a listing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Page {
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    page_token: String,
}

/// The body of a change that needs nothing but a reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: String,
}

impl Why {
    const SHAPE: &str = "{\"reason\": \"...\"}";
}

/// Who asks; a handler that takes this is not run for anybody else, and before it nothing of a body is read.
struct Who(Arc<Identity>);

impl FromRequestParts<AdminState> for Who {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Fault> {
        let who = state.authenticate(authorization(&parts.headers)).await?;
        limits::known(&parts.extensions, &who);
        Ok(Self(who))
    }
}

async fn list(
    State(state): State<AdminState>,
    Who(who): Who,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Fault> {
    let query = asked(query)?;
    let request =
        v1::ListApprovalsRequest { state: query.state, limit: query.limit, page_token: query.page_token };
    json("portcullis.admin.v1.ListApprovalsResponse", &state.list(&who, request).await?)
}

async fn show(
    State(state): State<AdminState>,
    Who(who): Who,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    json("portcullis.admin.v1.Approval", &state.get(&who, &id).await?)
}

/// `POST .../{id}:approve` and the other decisions.
async fn decide(
    State(state): State<AdminState>,
    Who(who): Who,
    Path(target): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Fault> {
    let (id, choice) = match target.rsplit_once(':') {
        Some((id, "approve")) => (id, Choice::Approve),
        Some((id, "reject")) => (id, Choice::Reject),
        Some((id, "breakGlass")) => (id, Choice::BreakGlass),
        Some((id, "withdraw")) => (id, Choice::Withdraw),
        Some((id, "revoke")) => (id, Choice::Revoke),
        _ => {
            let verbs = "`approve`, `reject`, `breakGlass`, `withdraw` or `revoke`";
            return Err(Fault::Invalid(format!("post to `{{id}}:` and one of {verbs}")));
        }
    };
    let Why { reason } = read(body, Why::SHAPE)?;
    let request = v1::DecideApprovalRequest { id: id.to_owned(), reason };
    json("portcullis.admin.v1.Approval", &state.decide(&who, request, choice).await?)
}

fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Fault> {
    query.map(|Query(asked)| asked).map_err(|error| {
        // Of the sentence only what it names is kept: names of fields are written as they are.
        let text = error.body_text();
        let named = text.split_once(": ").map_or(text.as_str(), |(_, named)| named);
        Fault::Invalid(format!("the query can't be read: {named}"))
    })
}

/// A JSON body; `shape` is what it should look like. No body is one without fields.
fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, shape: &str) -> Result<T, Fault> {
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge,
        _ => Fault::Invalid(error.body_text().to_lowercase()),
    })?;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(body)
        .map_err(|error| Fault::Invalid(format!("the body is not `{shape}`: {error}")))
}

async fn candidate(State(state): State<AdminState>, Who(who): Who) -> Result<Response, Fault> {
    json("portcullis.admin.v1.Candidate", &state.candidate(&who)?)
}

/// The OpenAPI description of all this.
async fn description(_: Who) -> Result<Response, Fault> {
    let document = DESCRIPTORS.as_ref().and_then(openapi::document).ok_or(Fault::Unavailable)?;
    Ok(response(StatusCode::OK, document.to_string().into_bytes()))
}

async fn method_not_allowed() -> Fault {
    Fault::Method
}

async fn no_such_address() -> Fault {
    Fault::NoSuchAddress
}

/// Two tokens are no token, and neither is one that is not ASCII.
pub(super) fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

fn json<M: Message>(name: &str, message: &M) -> Result<Response, Fault> {
    let encoded = encode(name, message).ok_or(Fault::Unavailable)?;
    Ok(response(StatusCode::OK, encoded))
}

fn encode<M: Message>(name: &str, message: &M) -> Option<Vec<u8>> {
    let descriptor = DESCRIPTORS.as_ref()?.get_message_by_name(name)?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).ok()?;
    let mut encoded = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut encoded);
    dynamic.serialize_with_options(&mut serializer, &SerializeOptions::new()).ok()?;
    Some(encoded)
}

fn response(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body).into_response()
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"code": self.code(), "message": self.to_string()});
        let mut response = response(self.status(), body.to_string().into_bytes());
        if self.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
