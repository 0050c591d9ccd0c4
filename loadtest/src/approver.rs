//! A person who approves, on the admin API: what waits, decisions, and what became of requests.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use portcullis::admin::v1::approvals_client::ApprovalsClient;
use portcullis::admin::v1::{Approval, DecideApprovalRequest, GetApprovalRequest, ListApprovalsRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::{caller, token};

/// Whom an approver's token is for.
pub const AUDIENCE: &str = "portcullis-admin";
/// Decisions under way at once.
const AT_ONCE: usize = 256;
/// The largest page.
const PAGE: u32 = 500;

/// What a person can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Approve,
    Reject,
}

impl Choice {
    /// As votes name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// A connection to the admin port, with a token. A broken connection is opened again for the next call.
#[derive(Clone)]
pub struct Approver {
    client: ApprovalsClient<Channel>,
    bearer: MetadataValue<Ascii>,
    subject: String,
}

impl Approver {
    /// Somebody of the group of approvers, on the admin port at `address`.
    pub fn new(address: SocketAddr, issuer: &token::Issuer, subject: &str) -> Result<Self> {
        let client = ApprovalsClient::new(caller::connection(address)?).max_decoding_message_size(64 << 20);
        let token = issuer.token_for(AUDIENCE, subject, &["approvers"])?;
        Ok(Self { client, bearer: format!("Bearer {token}").parse()?, subject: subject.to_owned() })
    }

    /// As votes name this person.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// All pending requests, the newest first.
    pub async fn pending(&self) -> Result<Vec<Approval>> {
        let mut all = Vec::new();
        self.each("pending", |approval| all.push(approval)).await?;
        Ok(all)
    }

    /// The newest pending requests, `count` of them at most.
    pub async fn newest(&self, count: u32) -> Result<Vec<Approval>, Status> {
        let ask = ListApprovalsRequest {
            state: "pending".to_owned(),
            limit: count,
            ..ListApprovalsRequest::default()
        };
        Ok(self.client.clone().list_approvals(self.signed(ask)).await?.into_inner().approvals)
    }

    /// Shows all requests in this state to `see`; in any, where it is empty.
    pub async fn each(&self, state: &str, mut see: impl FnMut(Approval)) -> Result<()> {
        let mut page_token = String::new();
        loop {
            let ask = ListApprovalsRequest { state: state.to_owned(), limit: PAGE, page_token };
            let page = self.client.clone().list_approvals(self.signed(ask)).await;
            let page = page.context("the requests for approval can't be listed")?.into_inner();
            page.approvals.into_iter().for_each(&mut see);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }

    /// The request with this id, if there is one.
    pub async fn approval(&self, id: &str) -> Result<Option<Approval>> {
        let ask = GetApprovalRequest { id: id.to_owned() };
        match self.client.clone().get_approval(self.signed(ask)).await {
            Ok(found) => Ok(Some(found.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status).context("a request for approval can't be read"),
        }
    }

    /// Decides on one request; acknowledged when this is `Ok`. After an error nobody knows.
    pub async fn decide(&self, id: &str, choice: Choice, reason: &str) -> Result<(), Status> {
        let ask = self.signed(DecideApprovalRequest { id: id.to_owned(), reason: reason.to_owned() });
        let mut client = self.client.clone();
        match choice {
            Choice::Approve => client.approve_approval(ask).await.map(drop),
            Choice::Reject => client.reject_approval(ask).await.map(drop),
        }
    }

    /// Approves all of `ids`; every one is acknowledged when this returns.
    pub async fn approve(&self, ids: Vec<String>) -> Result<()> {
        let decide = async |id: String| {
            let decided = self.decide(&id, Choice::Approve, "load").await;
            decided.context("an approval was refused")
        };
        stream::iter(ids).map(decide).buffer_unordered(AT_ONCE).try_collect().await
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }
}
