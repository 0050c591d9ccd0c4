//! What may be done with approvals and by whom; the one implementation behind gRPC and JSON.

use std::str::FromStr;
use std::sync::Arc;

use super::fault::Fault;
use super::page::{MAX_LIMIT, page};
use super::{AdminState, encode, v1, visible};
use crate::approval::{Approval, Choice, State, VoteRefused};
use crate::identity::Identity;
use crate::notice;
use crate::store::{Filter, VoteError};

const MAX_REASON: usize = 2_000;

/// How many earlier decisions an approver is shown.
const SIMILAR: usize = 5;

/// How many rows of other people's requests one listing skips before it hands back a page token.
const PAGES: usize = 8;

/// A request for approval, as one person sees it.
pub(super) struct Looked {
    pub approval: v1::Approval,
    /// Whether headers and body are shown.
    pub whole: bool,
    /// Why this person may not decide now.
    pub may_not: Option<VoteRefused>,
    /// The notification targets of this server that hear of it when somebody breaks the glass.
    pub told: Vec<String>,
}

impl AdminState {
    /// The identity behind an `authorization` header.
    pub(super) async fn authenticate(&self, authorization: Option<&str>) -> Result<Arc<Identity>, Fault> {
        let header = authorization.ok_or(Fault::Unauthenticated)?;
        let (scheme, token) = header.split_once(' ').ok_or(Fault::Unauthenticated)?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(Fault::Unauthenticated);
        }
        let identity = self.verifier.verify(token).await?;
        if identity.is_anonymous() { Err(Fault::CredentialRefused) } else { Ok(identity) }
    }

    pub(super) async fn list(
        &self,
        who: &Identity,
        request: v1::ListApprovalsRequest,
    ) -> Result<v1::ListApprovalsResponse, Fault> {
        let state = match request.state.as_str() {
            "" => None,
            name => Some(State::from_str(name).map_err(|error| Fault::Invalid(error.to_string()))?),
        };
        let (limit, before) = page(request.limit, &request.page_token);
        let mut before = before.map(str::to_owned);
        let mut response = v1::ListApprovalsResponse::default();
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        for _ in 0..PAGES {
            let page =
                self.store.approvals(Filter { state, limit: MAX_LIMIT, before: before.clone() }).await?;
            let Some(last) = page.last() else { return Ok(response) };
            let oldest = last.id.clone();
            for approval in page.iter().filter(|approval| self.may_see(approval, who)) {
                response.approvals.push(encode::listed(approval, &self.viewer(who)));
                if response.approvals.len() == wanted {
                    response.next_page_token = approval.id.clone();
                    return Ok(response);
                }
            }
            before = Some(oldest);
        }
        response.next_page_token = before.unwrap_or_default();
        Ok(response)
    }

    pub(super) async fn get(&self, who: &Identity, id: &str) -> Result<v1::Approval, Fault> {
        let approval = self.store.approval(id).await?.ok_or(Fault::NotFound)?;
        if !self.may_see(&approval, who) {
            return Err(Fault::NotVisible);
        }
        Ok(self.shown(&approval, who).await)
    }

    /// The same, with what is true of it for the person who looks; all of one moment.
    pub(super) async fn look(&self, who: &Identity, id: &str) -> Result<Looked, Fault> {
        let approval = self.store.approval(id).await?.ok_or(Fault::NotFound)?;
        if !self.may_see(&approval, who) {
            return Err(Fault::NotVisible);
        }
        Ok(Looked {
            approval: self.shown(&approval, who).await,
            whole: self.decides(&approval, who),
            may_not: approval.may_vote(who, self.clock.now()).err(),
            told: self.store.listeners(notice::Event::BreakGlass, &approval),
        })
    }

    /// Records a decision and tells of it: a task of its own, so that no decision stays untold because its author
    /// hung up, or ran out of time, between the commit and the telling.
    pub(super) async fn decide(
        &self,
        who: &Identity,
        request: v1::DecideApprovalRequest,
        choice: Choice,
    ) -> Result<v1::Approval, Fault> {
        check_reason(&request.reason)?;
        let (state, who) = (self.clone(), who.clone());
        let deciding = tokio::spawn(async move { state.vote(&who, &request, choice).await });
        deciding.await.unwrap_or(Err(Fault::Unavailable))
    }

    async fn vote(
        &self,
        who: &Identity,
        request: &v1::DecideApprovalRequest,
        choice: Choice,
    ) -> Result<v1::Approval, Fault> {
        let admin = self.may_administer(who).is_ok();
        let approval = match self.store.decide(&request.id, who, admin, choice, &request.reason).await {
            // The state of a request is told only to those who may see it.
            Err(VoteError::Refused(refused @ (VoteRefused::NotPending | VoteRefused::NotApproved))) => {
                self.get(who, &request.id).await?;
                return Err(Fault::Refused(refused));
            }
            voted => voted?,
        };
        self.events.decided(who, &approval, choice, &request.reason).await;
        Ok(self.shown(&approval, who).await)
    }

    /// The call itself is for those who decide on it.
    async fn shown(&self, approval: &Approval, who: &Identity) -> v1::Approval {
        let mut shown = encode::listed(approval, &self.viewer(who));
        if self.decides(approval, who) {
            encode::complete(&mut shown, approval);
            // Whoever can't be told of the past can decide all the same.
            let similar = self.store.similar(approval, SIMILAR).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "earlier decisions could not be read");
                Vec::new()
            });
            shown.similar = similar.iter().map(|past| encode::past(past, approval)).collect();
        }
        shown
    }

    pub(super) fn viewer<'a>(&self, who: &'a Identity) -> encode::Viewer<'a> {
        encode::Viewer { who, admin: self.may_administer(who).is_ok(), now: self.clock.now() }
    }

    /// Whether `who` is one of those who decide on such calls; nobody does on their own.
    fn decides(&self, approval: &Approval, who: &Identity) -> bool {
        !approval.speaks_for(who, self.clock.now()).is_empty() || approval.is_break_glass_member(who)
    }

    pub(super) fn may_see(&self, approval: &Approval, who: &Identity) -> bool {
        self.decides(approval, who)
            || approval.caller.is(who)
            || self.viewers.iter().chain(&*self.admins).any(|group| who.groups.contains(group))
    }
}

/// A reason is read by other people, the caller among them: nothing in it may hide or reorder what they read.
pub(super) fn check_reason(reason: &str) -> Result<(), Fault> {
    if reason.len() > MAX_REASON {
        return Err(Fault::Invalid(format!("the reason is longer than {MAX_REASON} bytes")));
    }
    let line = |character: char| matches!(character, '\n' | '\t');
    if reason.chars().any(|character| visible::is_deceptive(character) && !line(character)) {
        return Err(Fault::Invalid("the reason has control or invisible characters".to_owned()));
    }
    Ok(())
}
