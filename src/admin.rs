//! The admin API: people look at held calls and decide on them, say which policies decide, hand out keys and revoke, over
//! gRPC and JSON, and by the console's pages.
//!
//! `approvals`, `bundles` and `credentials` are the one implementation; `grpc`, `http` and `console` translate. Every call of the API carries a
//! bearer token, every page shows a session; there is no anonymous way in. Knows nothing of Envoy and of how tokens are verified.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;

use crate::approval::{Approval, Choice};
use crate::authn::api_key::ApiKeys;
use crate::bundle::Control;
use crate::clock::Clock;
use crate::credential::{ApiKey, Revocation};
use crate::engine::Comparison;
use crate::identity::Identity;
use crate::reason::Reason;
use crate::store::Store;
pub use crate::visible;

pub mod ago;
mod approvals;
mod bundles;
mod candidate;
pub mod console;
mod credentials;
mod encode;
mod fault;
mod grpc;
mod http;
mod limits;
mod openapi;
mod page;
mod pretty;
#[cfg(test)]
mod tests;
mod watch;

use approvals::Looked;
pub use limits::{CONNECTIONS, Limits};

/// The messages and the service of `proto/portcullis/admin/v1/admin.proto`.
pub mod v1 {
    #![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]
    tonic::include_proto!("portcullis.admin.v1");

    /// The descriptors of this API, for gRPC reflection and for its JSON form.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptors.bin"));
}

/// No admin call takes longer.
const DEADLINE: Duration = Duration::from_secs(15);

/// The largest request but for an uploaded bundle: a decision with its reason.
const MAX_REQUEST: usize = 64 << 10;

impl AdminState {
    /// The largest upload: a bundle, with what its encoding adds.
    fn max_upload(&self) -> usize {
        (self.max_packed() / 3).saturating_mul(4).saturating_add(MAX_REQUEST)
    }

    /// The largest bundle, in bytes.
    fn max_packed(&self) -> usize {
        usize::try_from(self.control.admission().limits.packed).unwrap_or(usize::MAX)
    }
}

/// Turns the bearer token of an admin call into an identity.
pub trait VerifyToken: Send + Sync {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, Reason>>;
}

/// Is told of every decision, of those of which nobody knows whether they count, and of every change of a key or revocation, that was recorded, before the one who made it is answered.
pub trait AdminEvents: Send + Sync {
    fn decided<'a>(
        &'a self,
        who: &'a Identity,
        approval: &'a Approval,
        choice: Choice,
        reason: &'a str,
    ) -> BoxFuture<'a, ()>;

    /// The store did not say whether it wrote this decision on `approval`; it may be in force.
    fn decision_unknown<'a>(
        &'a self,
        who: &'a Identity,
        approval: &'a str,
        choice: Choice,
        reason: &'a str,
    ) -> BoxFuture<'a, ()>;

    fn credential_changed<'a>(&'a self, who: &'a Identity, event: CredentialEvent<'a>) -> BoxFuture<'a, ()>;
}

/// What became of a key or revocation.
#[derive(Clone, Copy, Debug)]
pub enum CredentialEvent<'a> {
    KeyCreated(&'a ApiKey),
    KeyRevoked(&'a ApiKey, &'a str),
    Revoked(&'a Revocation),
    /// With the reason.
    Undone(&'a Revocation, &'a str),
}

/// What the admin API works with.
#[derive(Clone)]
pub struct AdminState {
    pub store: Store,
    pub clock: Clock,
    pub verifier: Arc<dyn VerifyToken>,
    pub events: Arc<dyn AdminEvents>,
    /// Members of these groups see every request for approval, without headers and bodies.
    pub viewers: Arc<[String]>,
    /// Members of these groups change which policies decide, hand out keys, and revoke.
    pub admins: Arc<[String]>,
    pub control: Arc<Control>,
    /// What makes keys; `None` where they are not accepted.
    pub api_keys: Option<ApiKeys>,
    /// How the candidate compares with the active policies; `None` without a candidate.
    pub comparison: Arc<dyn Fn() -> Option<Comparison> + Send + Sync>,
    pub limits: Limits,
}

/// Everything that the admin port serves; `console` is what its pages are made with, where there are any.
pub fn router(state: AdminState, console: Option<console::Parts>) -> axum::Router {
    let approvals = grpc::approvals(state.clone());
    let bundles = grpc::bundles(state.clone());
    let candidates = grpc::candidates(state.clone());
    let (keys, revocations) = (grpc::api_keys(state.clone()), grpc::revocations(state.clone()));
    let grpc = axum::Router::new()
        .route_service("/portcullis.admin.v1.Approvals/{method}", approvals)
        .route_service("/portcullis.admin.v1.Bundles/{method}", bundles)
        .route_service("/portcullis.admin.v1.Candidates/{method}", candidates)
        .route_service("/portcullis.admin.v1.ApiKeys/{method}", keys)
        .route_service("/portcullis.admin.v1.Revocations/{method}", revocations)
        .layer(middleware::from_fn_with_state(state.clone(), grpc::admit));
    let pages = console.map(|parts| console::router(state.clone(), parts)).unwrap_or_default();
    http::router(state)
        .merge(grpc)
        .merge(pages)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_REQUEST))
        .layer(middleware::from_fn(within_deadline))
}

async fn within_deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => fault::Fault::Deadline.into_response(),
    }
}
