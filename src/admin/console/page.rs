//! The templates of `templates/console/`, with what each is filled in with.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Console;
use super::guard::Visitor;
use super::shown::Shown;
use super::view::{ApprovalView, Bundle, Decision, Detail, Event, Standing};
use crate::approval::State;

/// A template as an answer.
pub fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "this page could not be written\n").into_response()
        }
    }
}

/// What stands around every page.
pub struct Frame {
    title: &'static str,
    /// The path of the section.
    section: &'static str,
    name: Shown,
    roles: &'static str,
    may_look: bool,
    csrf: String,
}

impl Frame {
    pub fn new(console: &Console, visitor: &Visitor, section: &'static str, title: &'static str) -> Self {
        let may_look = console.state.may_look(&visitor.who).is_ok();
        let admin = console.state.may_administer(&visitor.who).is_ok();
        Self {
            title,
            section,
            name: Shown::line(visitor.session.name()),
            // Who is caller or approver, each rule says of each call.
            roles: match (visitor.session.is_first(), admin, may_look) {
                (true, _, _) => "first login",
                (_, true, _) => "admin",
                (_, false, true) => "viewer",
                (_, false, false) => "",
            },
            may_look,
            csrf: console.parts.keys.form_token(&visitor.session.id),
        }
    }

    fn is(&self, section: &str) -> bool {
        self.section == section
    }
}

#[derive(Template)]
#[template(path = "console/pending.html")]
pub struct Pending {
    pub frame: Frame,
    pub list: PendingList,
    /// What was just done.
    pub done: Option<String>,
}

/// The part of it that is sent anew whenever something changes.
#[derive(Template)]
#[template(path = "console/pending_list.html")]
pub struct PendingList {
    pub approvals: Vec<ApprovalView>,
    /// Whether there are more than are shown.
    pub more: bool,
}

#[derive(Template)]
#[template(path = "console/ended.html")]
pub struct Ended;

#[derive(Template)]
#[template(path = "console/approval.html")]
pub struct ApprovalPage {
    pub frame: Frame,
    pub approval: ApprovalView,
    pub detail: Detail,
    /// A reason that was written before its author had to log in again.
    pub draft: String,
    /// What to tell who comes back from a fresh login.
    pub again: Option<String>,
    pub fresh: bool,
    pub fresh_for: String,
    /// What was just done.
    pub done: Option<&'static str>,
}

/// Whether somebody really means it.
#[derive(Template)]
#[template(path = "console/break_glass.html")]
pub struct BreakGlassPage {
    pub frame: Frame,
    pub approval: ApprovalView,
    pub detail: Detail,
    pub draft: String,
    /// What to tell who comes back from a fresh login.
    pub again: Option<String>,
    pub fresh: bool,
}

#[derive(Template)]
#[template(path = "console/history.html")]
pub struct History {
    pub frame: Frame,
    pub approvals: Vec<ApprovalView>,
    pub state: String,
    pub principal: String,
    pub rule: String,
    /// The query of the next page; empty on the last.
    pub older: String,
}

impl History {
    fn states(&self) -> [&'static str; 9] {
        State::ALL.map(State::as_str)
    }

    fn is_shown(&self, state: &str) -> bool {
        self.state == state
    }
}

#[derive(Template)]
#[template(path = "console/decisions.html")]
pub struct Decisions {
    pub frame: Frame,
    pub list: DecisionList,
    /// Which are shown; empty for all.
    pub outcome: String,
    /// The same as the query of an address, with its question mark.
    pub query: String,
    /// How many at most.
    pub shown: usize,
}

/// The part of it that is sent anew whenever there are more.
#[derive(Template)]
#[template(path = "console/decision_list.html")]
pub struct DecisionList {
    pub decisions: Vec<Decision>,
}

#[derive(Template)]
#[template(path = "console/policies.html")]
pub struct Policies {
    pub frame: Frame,
    pub bundles: Vec<Bundle>,
    pub standing: Standing,
    pub events: Vec<Event>,
    pub admin: bool,
    pub fresh: bool,
    pub draft: String,
    /// What to tell who comes back from a fresh login.
    pub again: Option<String>,
    /// What was just done.
    pub done: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "console/health.html")]
pub struct Health {
    pub frame: Frame,
    pub checks: Vec<super::Check>,
    pub good: bool,
}

#[derive(Template)]
#[template(path = "console/login.html")]
pub struct LoginPage {
    next: String,
    provider: Option<Shown>,
    one_time: bool,
}

impl LoginPage {
    pub fn new(next: String, provider: Option<String>, one_time: bool) -> Self {
        Self { next, provider: provider.map(Shown::line), one_time }
    }
}

/// A page that goes on by itself.
#[derive(Template)]
#[template(path = "console/hand_off.html")]
pub struct HandOff {
    heading: &'static str,
    text: &'static str,
    url: String,
}

impl HandOff {
    pub fn new(heading: &'static str, text: &'static str, url: String) -> Self {
        Self { heading, text, url }
    }
}

#[derive(Template)]
#[template(path = "console/refusal.html")]
pub struct Refusal {
    heading: &'static str,
    text: Shown,
    /// Where to go on, and what the link says.
    onward: (&'static str, &'static str),
}

impl Refusal {
    pub fn new(heading: &'static str, text: String, onward: (&'static str, &'static str)) -> Self {
        Self { heading, text: Shown::lines(text), onward }
    }
}
