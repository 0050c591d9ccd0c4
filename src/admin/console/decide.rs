//! One request for approval: looking at it, and each thing that people may do to it.

use std::sync::Arc;

use axum::extract::{Form, Path, Query, State};
use axum::http::HeaderMap;

use super::Console;
use super::change::Change;
use super::guard::Visitor;
use super::page::{self, ApprovalPage, BreakGlassPage, Frame};
use super::pages::{Done, Page};
use super::trouble::Trouble;
use super::view::{ApprovalView, Detail, span};
use crate::admin::fault::Fault;
use crate::admin::{Looked, v1};
use crate::approval::{Choice, VoteRefused};

/// `GET /approvals/{id}`
pub async fn approval(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<Done>,
) -> Page {
    let looked = console.state.look(&visitor.who, &id).await?;
    let now = console.now();
    let resumed = console.resumed(&visitor, &headers, &format!("/approvals/{id}"));
    let page = ApprovalPage {
        frame: Frame::new(&console, &visitor, "/approvals", title(&looked.approval.state)),
        detail: Detail::of(&looked, now),
        draft: resumed.reason,
        again: resumed.notice.filter(|_| looked.approval.state == "pending" || looked.approval.may_revoke),
        fresh: console.is_fresh(&visitor.session),
        fresh_for: span(console.parts.times.fresh.as_secs()),
        approval: ApprovalView::of(&looked.approval, now),
        done: done(&looked.approval, &visitor, &query.done),
    };
    Ok(page::html(&page))
}

fn title(state: &str) -> &'static str {
    match state {
        "pending" => "A call that waits",
        "approved" => "An approved call",
        "rejected" => "A rejected call",
        "releasing" | "used" | "released_unconfirmed" => "A released call",
        _ => "A request that is over",
    }
}

impl Console {
    /// What to say on the list of what this person just decided on the request `id`; nothing where they did not.
    pub async fn decided(&self, visitor: &Visitor, id: &str) -> Option<String> {
        if id.is_empty() {
            return None;
        }
        let looked = self.state.look(&visitor.who, id).await.ok()?.approval;
        let mine = |vote: &&v1::Vote| {
            vote.issuer == visitor.who.issuer && vote.subject == visitor.who.subject && vote.voided.is_none()
        };
        let vote = looked.votes.iter().rev().find(mine)?;
        Some(match (vote.choice.as_str(), looked.state.as_str()) {
            ("approve", "pending") => {
                let missing = missing(&looked);
                let needed = if missing == 1 {
                    "1 more is needed".to_owned()
                } else {
                    format!("{missing} more are needed")
                };
                format!("Your approval is recorded; {needed}.")
            }
            ("approve", "approved" | "releasing" | "used" | "released_unconfirmed") => {
                "Approved. Your decision is recorded.".to_owned()
            }
            ("approve", state) => format!("Your approval is recorded; the request is {state}."),
            ("reject", _) => "Rejected. Your decision is recorded.".to_owned(),
            _ => return None,
        })
    }
}

/// How many approvals a request still needs.
fn missing(approval: &v1::Approval) -> u64 {
    let open = approval.requires.iter().filter(|part| !part.by_itself);
    let of = |part: &v1::Requirement| u64::from(part.count.max(1)).saturating_sub(part.given_by.len() as u64);
    open.map(of).sum()
}

/// What to say of what this person just did; nothing for a link that only pretends it.
fn done(approval: &v1::Approval, visitor: &Visitor, what: &str) -> Option<&'static str> {
    let last = approval.votes.last()?;
    let mine = last.issuer == visitor.who.issuer && last.subject == visitor.who.subject;
    match what {
        _ if !mine || last.choice != what => None,
        "withdraw" => Some("Withdrawn. The request is taken back, and the call is not released."),
        "revoke" => Some("Revoked. The approval releases nothing any more."),
        "break_glass" => Some("You broke the glass: the call is released, and what you did is on record."),
        _ => None,
    }
}

/// `POST /approvals/{id}/approve`, `reject`, `withdraw` and `revoke`
pub async fn decide(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path((id, choice)): Path<(String, String)>,
    Form(form): Form<Change>,
) -> Page {
    // Breaking the glass has a page of its own.
    let choices = [Choice::Approve, Choice::Reject, Choice::Withdraw, Choice::Revoke];
    let choice = choices.into_iter().find(|known| known.as_str() == choice).ok_or(Fault::NoSuchAddress)?;
    let page = format!("/approvals/{id}");
    if let Some(response) = console.permit(&visitor, &form, &page, button(choice)).await? {
        return Ok(response);
    }
    let request = v1::DecideApprovalRequest { id: id.clone(), reason: form.reason() };
    console.state.decide(&visitor.who, request, choice).await?;
    let then = match choice {
        Choice::Approve | Choice::Reject => format!("/?done={id}"),
        _ => format!("{page}?done={}", choice.as_str()),
    };
    Ok(console.go_to(&then))
}

/// What the button of a choice reads.
fn button(choice: Choice) -> &'static str {
    match choice {
        Choice::Approve => "Approve",
        Choice::Reject => "Reject",
        Choice::Withdraw => "Withdraw the request",
        Choice::Revoke => "Revoke the approval",
        Choice::BreakGlass => "Break the glass",
    }
}

/// `GET /approvals/{id}/break-glass`: asks whether that is meant, and changes nothing.
pub async fn confirm_break_glass(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Page {
    let looked = console.state.look(&visitor.who, &id).await?;
    may_break_glass(&looked)?;
    let now = console.now();
    let resumed = console.resumed(&visitor, &headers, &format!("/approvals/{id}/break-glass"));
    let page = BreakGlassPage {
        frame: Frame::new(&console, &visitor, "/approvals", "Break the glass"),
        detail: Detail::of(&looked, now),
        draft: resumed.reason,
        again: resumed.notice,
        fresh: console.is_fresh(&visitor.session),
        approval: ApprovalView::of(&looked.approval, now),
    };
    Ok(page::html(&page))
}

/// `POST /approvals/{id}/break-glass`
pub async fn break_glass(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Change>,
) -> Page {
    console.check_form(&visitor, &form.csrf)?;
    if !form.is_confirmed() {
        return Err(
            Fault::Invalid("nothing was released: tick that you mean to break the glass".into()).into()
        );
    }
    // Before anybody is sent to log in again for nothing.
    if form.reason().trim().is_empty() {
        return Err(Fault::Refused(VoteRefused::NoReason).into());
    }
    may_break_glass(&console.state.look(&visitor.who, &id).await?)?;
    let page = format!("/approvals/{id}/break-glass");
    if let Some(response) = console.permit(&visitor, &form, &page, button(Choice::BreakGlass)).await? {
        return Ok(response);
    }
    let request = v1::DecideApprovalRequest { id: id.clone(), reason: form.reason() };
    console.state.decide(&visitor.who, request, Choice::BreakGlass).await?;
    Ok(console.go_to(&format!("/approvals/{id}?done={}", Choice::BreakGlass.as_str())))
}

/// The decision itself asks again; this one is for the page.
fn may_break_glass(looked: &Looked) -> Result<(), Trouble> {
    if looked.approval.may_break_glass {
        return Ok(());
    }
    Err(Fault::Refused(match looked.may_not {
        Some(refused @ (VoteRefused::NotPending | VoteRefused::OwnCall | VoteRefused::NoPerson)) => refused,
        _ => VoteRefused::MayNotBreakGlass,
    })
    .into())
}
