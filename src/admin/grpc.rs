//! The admin API as gRPC.

use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::middleware::Next;
use axum::response::Response as HttpResponse;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::fault::Fault;
use super::v1::api_keys_server::{ApiKeys, ApiKeysServer};
use super::v1::approvals_server::{Approvals, ApprovalsServer};
use super::v1::bundles_server::{Bundles, BundlesServer};
use super::v1::candidates_server::{Candidates, CandidatesServer};
use super::v1::revocations_server::{Revocations, RevocationsServer};
use super::{AdminState, MAX_REQUEST, limits, v1};
use crate::approval::Choice;
use crate::identity::Identity;
use crate::inbound::UnderWay;

const ACTIVATE: &str = "/portcullis.admin.v1.Bundles/ActivateBundle";

pub(super) fn approvals(state: AdminState) -> ApprovalsServer<Service> {
    ApprovalsServer::new(Service(state)).max_decoding_message_size(MAX_REQUEST)
}

pub(super) fn bundles(state: AdminState) -> BundlesServer<Service> {
    let most = state.max_upload();
    BundlesServer::new(Service(state)).max_decoding_message_size(most)
}

pub(super) fn candidates(state: AdminState) -> CandidatesServer<Service> {
    CandidatesServer::new(Service(state)).max_decoding_message_size(MAX_REQUEST)
}

pub(super) fn api_keys(state: AdminState) -> ApiKeysServer<Service> {
    ApiKeysServer::new(Service(state)).max_decoding_message_size(MAX_REQUEST)
}

pub(super) fn revocations(state: AdminState) -> RevocationsServer<Service> {
    RevocationsServer::new(Service(state)).max_decoding_message_size(MAX_REQUEST)
}

pub(super) struct Service(AdminState);

/// Who calls, as `admit` found.
fn caller<T>(request: &Request<T>) -> Result<Arc<Identity>, Fault> {
    request.extensions().get::<Arc<Identity>>().cloned().ok_or(Fault::Unauthenticated)
}

/// Lets a call in whose token is good, before anything of its message is read; an upload only of somebody who may make
/// it active.
pub(super) async fn admit(
    State(state): State<AdminState>,
    mut request: HttpRequest,
    next: Next,
) -> HttpResponse {
    let who = match state.authenticate(super::http::authorization(request.headers())).await {
        Ok(who) => who,
        Err(fault) => return refused(fault),
    };
    if request.uri().path() == ACTIVATE
        && let Err(fault) = state.may_administer(&who)
    {
        return refused(fault);
    }
    limits::known(request.extensions(), &who);
    request.extensions_mut().insert(who);
    next.run(request).await
}

fn refused(fault: Fault) -> HttpResponse {
    Status::from(fault).into_http()
}

fn answer<T>(result: Result<T, Fault>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

#[tonic::async_trait]
impl Approvals for Service {
    type WatchApprovalsStream = BoxStream<'static, Result<v1::WatchApprovalsEvent, Status>>;

    async fn watch_approvals(
        &self,
        request: Request<v1::WatchApprovalsRequest>,
    ) -> Result<Response<Self::WatchApprovalsStream>, Status> {
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let under_way = request.extensions().get::<UnderWay>().cloned();
        let events = self.0.watch(authorization, under_way).await?;
        Ok(Response::new(events.map(|event| event.map_err(Status::from)).boxed()))
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let who = caller(&request)?;
        answer(self.0.list(&who, request.into_inner()).await)
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = caller(&request)?;
        answer(self.0.get(&who, &request.into_inner().id).await)
    }

    async fn approve_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = caller(&request)?;
        answer(self.0.decide(&who, request.into_inner(), Choice::Approve).await)
    }

    async fn reject_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = caller(&request)?;
        answer(self.0.decide(&who, request.into_inner(), Choice::Reject).await)
    }

    async fn break_glass_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = caller(&request)?;
        answer(self.0.decide(&who, request.into_inner(), Choice::BreakGlass).await)
    }

    async fn withdraw_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = caller(&request)?;
        answer(self.0.decide(&who, request.into_inner(), Choice::Withdraw).await)
    }

    async fn revoke_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = caller(&request)?;
        answer(self.0.decide(&who, request.into_inner(), Choice::Revoke).await)
    }
}

#[tonic::async_trait]
impl Bundles for Service {
    async fn list_bundles(
        &self,
        request: Request<v1::ListBundlesRequest>,
    ) -> Result<Response<v1::ListBundlesResponse>, Status> {
        let who = caller(&request)?;
        answer(self.0.bundles(&who).await)
    }

    async fn list_bundle_events(
        &self,
        request: Request<v1::ListBundleEventsRequest>,
    ) -> Result<Response<v1::ListBundleEventsResponse>, Status> {
        let who = caller(&request)?;
        answer(self.0.bundle_events(&who, request.into_inner()).await)
    }

    async fn activate_bundle(
        &self,
        request: Request<v1::ActivateBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        let who = caller(&request)?;
        answer(self.0.activate_bundle(&who, request.into_inner()).await)
    }

    async fn rollback_bundle(
        &self,
        request: Request<v1::RollbackBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        let who = caller(&request)?;
        answer(self.0.rollback_bundle(&who, request.into_inner()).await)
    }

    async fn pin_bundle(
        &self,
        request: Request<v1::PinBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        let who = caller(&request)?;
        answer(self.0.pin_bundle(&who, request.into_inner()).await)
    }

    async fn unpin_bundle(
        &self,
        request: Request<v1::UnpinBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        let who = caller(&request)?;
        answer(self.0.unpin_bundle(&who, request.into_inner()).await)
    }
}

#[tonic::async_trait]
impl Candidates for Service {
    async fn get_candidate(
        &self,
        request: Request<v1::GetCandidateRequest>,
    ) -> Result<Response<v1::Candidate>, Status> {
        let who = caller(&request)?;
        answer(self.0.candidate(&who))
    }
}

#[tonic::async_trait]
impl ApiKeys for Service {
    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let who = caller(&request)?;
        answer(self.0.list_api_keys(&who, request.into_inner()).await)
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let who = caller(&request)?;
        answer(self.0.create_api_key(&who, request.into_inner()).await)
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::ApiKey>, Status> {
        let who = caller(&request)?;
        answer(self.0.revoke_api_key(&who, request.into_inner()).await)
    }
}

#[tonic::async_trait]
impl Revocations for Service {
    async fn list_revocations(
        &self,
        request: Request<v1::ListRevocationsRequest>,
    ) -> Result<Response<v1::ListRevocationsResponse>, Status> {
        let who = caller(&request)?;
        answer(self.0.list_revocations(&who, request.into_inner()).await)
    }

    async fn create_revocation(
        &self,
        request: Request<v1::CreateRevocationRequest>,
    ) -> Result<Response<v1::Revocation>, Status> {
        let who = caller(&request)?;
        answer(self.0.create_revocation(&who, request.into_inner()).await)
    }

    async fn undo_revocation(
        &self,
        request: Request<v1::UndoRevocationRequest>,
    ) -> Result<Response<v1::Revocation>, Status> {
        let who = caller(&request)?;
        answer(self.0.undo_revocation(&who, request.into_inner()).await)
    }
}
