//! The person who approves: lists what waits, and approves one by one, as fast as the server acknowledges.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use portcullis::admin::v1::approvals_client::ApprovalsClient;
use portcullis::admin::v1::{DecideApprovalRequest, ListApprovalsRequest};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::token;

/// Whom the approver's token is for.
pub const AUDIENCE: &str = "portcullis-admin";
/// Decisions under way at once.
const AT_ONCE: usize = 256;

/// A connection to the admin port, with a token.
#[derive(Clone)]
pub struct Approver {
    client: ApprovalsClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Approver {
    /// Connects to the admin port at `address`.
    pub async fn new(address: SocketAddr, issuer: &token::Issuer) -> Result<Self> {
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        let token = issuer.token_for(AUDIENCE, "approver", &["approvers"])?;
        Ok(Self { client: ApprovalsClient::new(channel), bearer: format!("Bearer {token}").parse()? })
    }

    /// The ids of the pending requests.
    pub async fn pending(&mut self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut page_token = String::new();
        loop {
            let ask = ListApprovalsRequest { state: "pending".to_owned(), limit: 500, page_token };
            let page = self.client.list_approvals(self.signed(ask)).await?.into_inner();
            ids.extend(page.approvals.into_iter().map(|approval| approval.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ids);
            }
        }
    }

    /// Approves all of `ids`; every one is acknowledged when this returns.
    pub async fn approve(&self, ids: Vec<String>) -> Result<()> {
        let decide = async |id: String| {
            let ask = DecideApprovalRequest { id, reason: "load".to_owned() };
            let approved = self.client.clone().approve_approval(self.signed(ask)).await;
            approved.map(drop).context("an approval was refused")
        };
        stream::iter(ids).map(decide).buffer_unordered(AT_ONCE).try_collect().await
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }
}
