//! The admin API as gRPC.

use tonic::{Request, Response, Status};

use super::fault::Fault;
use super::v1::approvals_server::{Approvals, ApprovalsServer};
use super::{AdminState, MAX_REQUEST, v1};
use crate::approval::Choice;

pub(super) fn service(state: AdminState) -> ApprovalsServer<Service> {
    ApprovalsServer::new(Service(state)).max_decoding_message_size(MAX_REQUEST)
}

pub(super) struct Service(AdminState);

/// The token of a call; a value that is not ASCII is no token, and neither are two.
fn authorization<T>(request: &Request<T>) -> Option<String> {
    let mut values = request.metadata().get_all("authorization").iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok().map(str::to_owned) }
}

fn answer<T>(result: Result<T, Fault>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

#[tonic::async_trait]
impl Approvals for Service {
    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let who = self.0.authenticate(authorization(&request).as_deref()).await?;
        answer(self.0.list(&who, request.into_inner()).await)
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = self.0.authenticate(authorization(&request).as_deref()).await?;
        answer(self.0.get(&who, &request.into_inner().id).await)
    }

    async fn approve_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = self.0.authenticate(authorization(&request).as_deref()).await?;
        answer(self.0.decide(&who, request.into_inner(), Choice::Approve).await)
    }

    async fn reject_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::Approval>, Status> {
        let who = self.0.authenticate(authorization(&request).as_deref()).await?;
        answer(self.0.decide(&who, request.into_inner(), Choice::Reject).await)
    }
}
