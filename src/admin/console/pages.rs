//! The pages, each for one request: what is asked of `AdminState`, and what is made of the answer.

use std::sync::Arc;

use axum::extract::{Form, Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::Console;
use super::guard::Visitor;
use super::page::{self, ApprovalPage, Decisions, Frame, Health, History, Pending, PendingList, Policies};
use super::seal::Purpose;
use super::trouble::Trouble;
use super::view::{ApprovalView, Bundle, Decision, Detail, Event, Standing, span};
use crate::admin::fault::Fault;
use crate::admin::{approvals, v1};
use crate::approval::Choice;
use crate::identity::Identity;

/// How many requests a page lists.
const LISTED: u32 = 100;
/// How many pages of the store a filter looks through before it says where it stopped.
const SEARCHED: usize = 8;
/// How many of each a page shows.
const SIMILAR: usize = 5;
const DECISIONS: usize = 200;
const EVENTS: u32 = 30;

/// For how long, in seconds, a reason is kept while its author logs in again.
const DRAFT_SECONDS: u64 = 600;

type Page = Result<Response, Trouble>;

#[derive(Deserialize)]
pub struct Done {
    #[serde(default)]
    done: String,
}

/// `GET /`
pub async fn pending(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(query): Query<Done>,
) -> Page {
    let list = console.pending_list(&visitor.who).await?;
    let done = match query.done.as_str() {
        "approve" => Some("Approved. Your decision is recorded."),
        "reject" => Some("Rejected. Your decision is recorded."),
        _ => None,
    };
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

    /// What was written before its author had to log in again, for this page and this person.
    fn draft(&self, visitor: &Visitor, headers: &HeaderMap, page: &str) -> String {
        let draft: Option<Draft> = self.cookies.read(&self.parts.keys, Purpose::Draft, headers);
        let mine = |draft: &Draft| draft.page == page && draft.subject == visitor.session.subject;
        draft.filter(mine).map(|draft| draft.reason).unwrap_or_default()
    }

    /// Whether a form may change something now; if not, the page that asks for a fresh login, with what was written
    /// kept for later.
    async fn permit(
        &self,
        visitor: &Visitor,
        change: &Change,
        page: &str,
    ) -> Result<Option<Response>, Trouble> {
        self.check_form(visitor, &change.csrf)?;
        approvals::check_reason(&change.reason())?;
        if self.is_fresh(visitor.session.proven) {
            return Ok(None);
        }
        let mut response = self.send_to_provider(page, true).await?;
        let draft = Draft {
            page: page.to_owned(),
            subject: visitor.session.subject.clone(),
            reason: change.reason(),
        };
        if let Some(cookie) = self.cookies.set(&self.parts.keys, Purpose::Draft, &draft, DRAFT_SECONDS) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(Some(response))
    }

    /// To a page after a change; what was written is not needed any more.
    fn go_to(&self, page: &str) -> Response {
        let mut response = Redirect::to(page).into_response();
        if let Some(cookie) = self.cookies.remove(Purpose::Draft) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
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

/// A reason, with the page it was written on.
#[derive(Serialize, Deserialize)]
struct Draft {
    page: String,
    subject: String,
    reason: String,
}

/// A form that changes something.
#[derive(Deserialize)]
pub struct Change {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    reason: String,
    /// The revision meant, where policies are changed.
    #[serde(default)]
    revision: String,
}

impl Change {
    /// Browsers end lines with two characters.
    fn reason(&self) -> String {
        self.reason.replace("\r\n", "\n")
    }
}

/// `GET /approvals/{id}`
pub async fn approval(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Page {
    let approval = console.state.get(&visitor.who, &id).await?;
    let similar = console.similar(&visitor.who, &approval).await?;
    let now = console.now();
    let because = |rule: &str| console.parts.insight.because(rule);
    let whole = console.state.sees_call(&visitor.who, &id).await?;
    let page = ApprovalPage {
        frame: Frame::new(&console, &visitor, "/approvals", "A call that waits"),
        detail: Detail::of(&approval, because, whole, now),
        draft: console.draft(&visitor, &headers, &format!("/approvals/{id}")),
        fresh: console.is_fresh(visitor.session.proven),
        fresh_for: span(console.parts.times.fresh.as_secs()),
        similar: similar.iter().map(|one| ApprovalView::of(one, now)).collect(),
        approval: ApprovalView::of(&approval, now),
    };
    Ok(page::html(&page))
}

impl Console {
    /// What became of earlier calls that the same rules held, of the same caller.
    async fn similar(&self, who: &Identity, to: &v1::Approval) -> Result<Vec<v1::Approval>, Fault> {
        let caller = |approval: &v1::Approval| {
            let caller = approval.caller.clone().unwrap_or_default();
            (caller.issuer, caller.subject, caller.spiffe)
        };
        let wanted = caller(to);
        let fits = |one: &v1::Approval| {
            one.id != to.id && one.state != "pending" && one.rules == to.rules && caller(one) == wanted
        };
        Ok(self.search(who, "", String::new(), SIMILAR, fits).await?.0)
    }
}

/// `POST /approvals/{id}/approve` and `.../reject`
pub async fn decide(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path((id, choice)): Path<(String, String)>,
    Form(form): Form<Change>,
) -> Page {
    let choices = [Choice::Approve, Choice::Reject];
    let choice = choices.into_iter().find(|known| known.as_str() == choice).ok_or(Fault::NoSuchAddress)?;
    if let Some(response) = console.permit(&visitor, &form, &format!("/approvals/{id}")).await? {
        return Ok(response);
    }
    let request = v1::DecideApprovalRequest { id, reason: form.reason() };
    console.state.decide(&visitor.who, request, choice).await?;
    Ok(console.go_to(&format!("/?done={}", choice.as_str())))
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

#[derive(Deserialize)]
pub struct DecisionsQuery {
    #[serde(default)]
    outcome: String,
}

/// `GET /decisions`
pub async fn decisions(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(query): Query<DecisionsQuery>,
) -> Page {
    console.state.may_look(&visitor.who)?;
    let records = console.parts.insight.records(DECISIONS * 4).await.map_err(|error| {
        tracing::error!(%error, "the audit trail can't be read");
        Fault::Unavailable
    })?;
    let now = console.now();
    let all = records.iter().filter_map(|record| Decision::of(record, now));
    let fitting = all.filter(|one| query.outcome.is_empty() || one.outcome == query.outcome);
    let decisions: Vec<_> = fitting.take(DECISIONS).collect();
    let page = Decisions {
        frame: Frame::new(&console, &visitor, "/decisions", "Decisions"),
        decisions,
        outcome: query.outcome,
        shown: DECISIONS,
    };
    Ok(page::html(&page))
}

/// `GET /policies`
pub async fn policies(State(console): State<Arc<Console>>, visitor: Visitor, headers: HeaderMap) -> Page {
    let listing = console.state.bundles(&visitor.who).await?;
    let request = v1::ListBundleEventsRequest { limit: EVENTS, page_token: String::new() };
    let events = console.state.bundle_events(&visitor.who, request).await?;
    let now = console.now();
    let page = Policies {
        frame: Frame::new(&console, &visitor, "/policies", "Policies"),
        bundles: listing.bundles.iter().map(|bundle| Bundle::of(bundle, now)).collect(),
        standing: Standing::of(&listing, now),
        events: events.events.iter().map(|event| Event::of(event, now)).collect(),
        admin: console.state.may_administer(&visitor.who).is_ok(),
        fresh: console.is_fresh(visitor.session.proven),
        draft: console.draft(&visitor, &headers, "/policies"),
    };
    Ok(page::html(&page))
}

/// `POST /policies/activate`, `rollback`, `pin` and `unpin`
pub async fn change_policies(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(change): Path<String>,
    Form(form): Form<Change>,
) -> Page {
    // Before anybody is sent to log in again for nothing.
    console.state.may_administer(&visitor.who)?;
    if let Some(response) = console.permit(&visitor, &form, "/policies").await? {
        return Ok(response);
    }
    let (state, who, reason) = (&console.state, &visitor.who, form.reason());
    match change.as_str() {
        "activate" if form.revision.is_empty() => return Err(Fault::NoSuch("revision").into()),
        "activate" => {
            state.rollback_bundle(who, v1::RollbackBundleRequest { to: form.revision, reason }).await?
        }
        "rollback" => {
            state.rollback_bundle(who, v1::RollbackBundleRequest { to: String::new(), reason }).await?
        }
        "pin" => state.pin_bundle(who, v1::PinBundleRequest { revision: form.revision, reason }).await?,
        "unpin" => state.unpin_bundle(who, v1::UnpinBundleRequest { reason }).await?,
        _ => return Err(Fault::NoSuchAddress.into()),
    };
    Ok(console.go_to("/policies"))
}

/// `GET /health`
pub async fn health(State(console): State<Arc<Console>>, visitor: Visitor) -> Page {
    console.state.may_look(&visitor.who)?;
    let checks = console.parts.insight.health().await;
    let good = checks.iter().all(|check| check.good);
    let frame = Frame::new(&console, &visitor, "/health", "Health");
    Ok(page::html(&Health { frame, checks, good }))
}
