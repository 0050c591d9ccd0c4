//! The pages, each for one request: what is asked of `AdminState`, and what is made of the answer.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::Console;
use super::guard::Visitor;
use super::page::{self, Frame, Health, History, Pending, PendingList};
use super::trouble::Trouble;
use super::view::ApprovalView;
use crate::admin::fault::Fault;
use crate::admin::{encode, v1};
use crate::approval::Approval;
use crate::identity::Identity;

/// How many requests a page lists.
const LISTED: u32 = 100;
/// How many listings a filter looks through before it says where it stopped. Each may read many rows.
const SEARCHED: usize = 1;

pub type Page = Result<Response, Trouble>;

#[derive(Deserialize)]
pub struct Done {
    #[serde(default)]
    pub done: String,
}

/// `GET /`
pub async fn pending(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(query): Query<Done>,
) -> Page {
    let list = console.pending_list(&visitor.who).await?;
    let done = console.decided(&visitor, &query.done).await;
    let frame = Frame::new(&console, &visitor, "/", "Waiting for approval");
    Ok(page::html(&Pending { frame, list, done }))
}

impl Console {
    pub async fn pending_list(&self, who: &Identity) -> Result<PendingList, Fault> {
        let request =
            v1::ListApprovalsRequest { state: "pending".into(), limit: LISTED, page_token: String::new() };
        let listed = self.state.list(who, request).await?;
        let now = self.now();
        let approvals = listed.approvals.iter().map(|one| ApprovalView::of(one, now)).collect();
        Ok(PendingList { approvals, more: !listed.next_page_token.is_empty() })
    }

    /// The same of what was read for everybody; `more`: it was not all.
    pub fn list_of(&self, pending: &[Approval], more: bool, who: &Identity) -> PendingList {
        let (now, most) = (self.now(), LISTED as usize);
        let visible = pending.iter().filter(|one| self.state.may_see(one, who)).take(most.saturating_add(1));
        let mut approvals: Vec<_> =
            visible.map(|one| ApprovalView::of(&encode::listed(one, &self.state.viewer(who)), now)).collect();
        let more = more || approvals.len() > most;
        approvals.truncate(most);
        PendingList { approvals, more }
    }

    /// Requests for approval, newest first, that fit; and the token of the next page.
    async fn search(
        &self,
        who: &Identity,
        state: &str,
        mut page_token: String,
        wanted: usize,
        fits: impl Fn(&v1::Approval) -> bool,
    ) -> Result<(Vec<v1::Approval>, String), Fault> {
        let mut found = Vec::new();
        for _ in 0..SEARCHED {
            let request = v1::ListApprovalsRequest { state: state.to_owned(), limit: LISTED, page_token };
            let listed = self.state.list(who, request).await?;
            page_token = listed.next_page_token;
            for approval in listed.approvals {
                if fits(&approval) {
                    found.push(approval);
                    if found.len() == wanted {
                        let last = found.last().map(|approval: &v1::Approval| approval.id.clone());
                        return Ok((found, last.unwrap_or_default()));
                    }
                }
            }
            if page_token.is_empty() {
                break;
            }
        }
        Ok((found, page_token))
    }
}

#[derive(Deserialize)]
pub struct HistoryQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    principal: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    page: String,
}

/// `GET /history`
pub async fn history(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(query): Query<HistoryQuery>,
) -> Page {
    let HistoryQuery { state, principal, rule, page } = query;
    let lower = |text: &str| text.trim().to_lowercase();
    let (person, wanted) = (lower(&principal), lower(&rule));
    let fits = |one: &v1::Approval| {
        let caller = one.caller.clone().unwrap_or_default();
        let names = [caller.person, caller.subject, caller.spiffe, caller.issuer];
        names.iter().any(|name| lower(name).contains(&person))
            && (wanted.is_empty() || one.rules.iter().any(|name| lower(name).contains(&wanted)))
    };
    let found = console.search(&visitor.who, &state, page, LISTED as usize / 2, fits).await?;
    let (approvals, next) = found;
    let mut older = String::new();
    if !next.is_empty() {
        let pairs = [("state", &state), ("principal", &principal), ("rule", &rule), ("page", &next)];
        older = form_urlencoded::Serializer::new(older).extend_pairs(pairs).finish();
    }
    let now = console.now();
    let page = History {
        frame: Frame::new(&console, &visitor, "/history", "History"),
        approvals: approvals.iter().map(|one| ApprovalView::of(one, now)).collect(),
        state,
        principal,
        rule,
        older,
    };
    Ok(page::html(&page))
}

/// `GET /health`
pub async fn health(State(console): State<Arc<Console>>, visitor: Visitor) -> Page {
    console.state.may_look(&visitor.who)?;
    let checks = console.parts.insight.health().await;
    let good = checks.iter().all(|check| check.good);
    let frame = Frame::new(&console, &visitor, "/health", "Health");
    Ok(page::html(&Health { frame, checks, good }))
}
