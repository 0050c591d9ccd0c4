//! What may be done with approvals and by whom; the one implementation behind gRPC and JSON.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::page::{MAX_LIMIT, page};
use super::{AdminState, encode, v1, visible};
use crate::approval::{Approval, Choice, State, VoteRefused};
use crate::clock;
use crate::identity::Identity;
use crate::notice;
use crate::store::{Filter, VoteError};

const MAX_REASON: usize = 2_000;

/// How many earlier decisions an approver is shown.
const SIMILAR: usize = 5;

/// How many rows of other people's requests one listing skips before it hands back a page token.
const PAGES: usize = 8;

/// After which time a listing reads no further pages, and hands back a page token: others wait for their turn.
const LONGEST_TURN: Duration = Duration::from_millis(500);

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
        let (limit, before) = page(request.limit, &request.page_token)?;
        let mut before = before.map(str::to_owned);
        let mut response = v1::ListApprovalsResponse::default();
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        // Who sees everything needs no more rows than are shown.
        let limit = if self.sees_all(who) { limit } else { MAX_LIMIT };
        let _turn = self.limits.scan(Some(who)).await?;
        let begun = clock::instant();
        for _ in 0..PAGES {
            let page = self.store.approvals(Filter { state, limit, before }).await?;
            before = page.before;
            for approval in page.approvals.iter().filter(|approval| self.may_see(approval, who)) {
                response.approvals.push(encode::listed(approval, &self.viewer(who)));
                if response.approvals.len() == wanted {
                    response.next_page_token = approval.id.clone();
                    return Ok(response);
                }
            }
            if before.is_none() || begun.elapsed() > LONGEST_TURN {
                break;
            }
        }
        response.next_page_token = before.unwrap_or_default();
        Ok(response)
    }

    /// What waits for a decision, the newest first, whoever may see it; and whether there is more than was read.
    pub(super) async fn pending(&self) -> Result<(Vec<Approval>, bool), Fault> {
        let _turn = self.limits.scan(None).await?;
        let (mut pending, mut before) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = self
                .store
                .approvals(Filter { state: Some(State::Pending), limit: MAX_LIMIT, before })
                .await?;
            pending.extend(page.approvals);
            before = page.before;
            if before.is_none() {
                break;
            }
        }
        Ok((pending, before.is_some()))
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
        let reason = check_reason(&request.reason)?;
        let request = v1::DecideApprovalRequest { reason, ..request };
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
                let now = self.get(who, &request.id).await?;
                return Err(Fault::Over(refused, encode::standing(&now, self.clock.now())));
            }
            // It may be in force all the same.
            Err(VoteError::Store(error)) => {
                self.events.decision_unknown(who, &request.id, choice, &request.reason).await;
                return Err(error.into());
            }
            voted => voted?,
        };
        self.events.decided(who, &approval, choice, &request.reason).await;
        Ok(encode::listed(&approval, &self.viewer(who)))
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
            let seen = similar.iter().filter(|past| self.may_see(past, who));
            shown.similar = seen.map(|past| encode::past(past, approval)).collect();
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
        self.decides(approval, who) || approval.caller.is_surely(who) || self.sees_all(who)
    }

    fn sees_all(&self, who: &Identity) -> bool {
        self.viewers.iter().chain(&*self.admins).any(|group| who.groups.contains(group))
    }
}

/// A reason as it is kept. It is read by other people, the caller among them: nothing in it may hide or reorder what they
/// read. What keyboards add unseen, a space that breaks no line and the mark of an emoji, is replaced and left out.
pub(super) fn check_reason(reason: &str) -> Result<String, Fault> {
    let plain = reason.chars().filter(|c| *c != '\u{fe0f}').map(|c| if c == '\u{a0}' { ' ' } else { c });
    let plain: String = plain.collect();
    if plain.len() > MAX_REASON {
        let long = plain.len();
        return Err(Fault::Invalid(format!("the reason has {long} bytes; {MAX_REASON} are the most")));
    }
    let line = |character: char| matches!(character, '\n' | '\t');
    let hidden = |character: char| visible::is_deceptive(character) && !line(character);
    if let Some((at, found)) = plain.chars().enumerate().find(|(_, character)| hidden(*character)) {
        return Err(Fault::Invalid(format!(
            "character {} of the reason, U+{:04X}, is a control or invisible character (emoji are joined by such); leave it out",
            at.saturating_add(1),
            u32::from(found)
        )));
    }
    Ok(plain)
}
