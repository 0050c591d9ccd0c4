//! What every form that changes something goes through: it is of a page of the session, its author has logged in a moment
//! ago, and what was written survives another login.

use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::Console;
use super::guard::Visitor;
use super::seal::Purpose;
use super::throttle::Source;
use super::trouble::Trouble;
use crate::admin::approvals;

/// For how long, in seconds, a reason is kept while its author logs in again.
const DRAFT_SECONDS: u64 = 600;

/// A reason, with the page it was written on.
#[derive(Serialize, Deserialize)]
struct Draft {
    page: String,
    subject: String,
    reason: String,
    /// The button that was pressed, as it reads; empty where it does not matter.
    #[serde(default)]
    button: String,
}

/// What a page takes up again after a fresh login.
#[derive(Default)]
pub struct Resumed {
    /// The reason that was written.
    pub reason: String,
    /// What to tell who is back: that nothing has happened yet. `None` for who did not just log in for this page.
    pub notice: Option<String>,
}

/// A form that changes something.
#[derive(Default, Deserialize)]
pub struct Change {
    #[serde(default)]
    pub csrf: String,
    #[serde(default)]
    pub reason: String,
    /// The revision meant, where policies are changed.
    #[serde(default)]
    pub revision: String,
    /// Whether what can't be undone is meant.
    #[serde(default)]
    confirm: String,
}

impl Change {
    pub fn is_confirmed(&self) -> bool {
        self.confirm == "yes"
    }

    /// Browsers end lines with two characters.
    pub fn reason(&self) -> String {
        self.reason.replace("\r\n", "\n")
    }
}

impl Console {
    /// What was written before its author had to log in again, for this page and this person.
    pub fn resumed(&self, visitor: &Visitor, headers: &HeaderMap, page: &str) -> Resumed {
        let draft: Option<Draft> = self.cookies.read(&self.parts.keys, Purpose::Draft, headers);
        let mine = |draft: &Draft| draft.page == page && draft.subject == visitor.session.subject;
        let Some(draft) = draft.filter(mine) else { return Resumed::default() };
        // Who turned back at the provider has not logged in again.
        let notice = self.is_fresh(&visitor.session).then(|| match draft.button.as_str() {
            "" => "You are logged in again. Nothing is changed yet.".to_owned(),
            button => format!("You are logged in again. Nothing is decided yet: press {button}."),
        });
        Resumed { reason: draft.reason, notice }
    }

    /// Whether a form may change something now; if not, the page that asks for a fresh login, with what was written
    /// kept for later. `button` is what was pressed, as it reads.
    pub async fn permit(
        &self,
        visitor: &Visitor,
        change: &Change,
        page: &str,
        button: &str,
    ) -> Result<Option<Response>, Trouble> {
        self.check_form(visitor, &change.csrf)?;
        approvals::check_reason(&change.reason())?;
        if self.is_fresh(&visitor.session) {
            return Ok(None);
        }
        self.admit(&Source::Browser(visitor.session.id.clone()), 1)?;
        let mut response = self.send_to_provider(page, true).await?;
        let draft = Draft {
            page: page.to_owned(),
            subject: visitor.session.subject.clone(),
            reason: change.reason(),
            button: button.to_owned(),
        };
        if let Some(cookie) = self.cookies.set(&self.parts.keys, Purpose::Draft, &draft, DRAFT_SECONDS) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(Some(response))
    }

    /// To a page after a change; what was written is not needed any more.
    pub fn go_to(&self, page: &str) -> Response {
        let mut response = Redirect::to(page).into_response();
        if let Some(cookie) = self.cookies.remove(Purpose::Draft) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}
