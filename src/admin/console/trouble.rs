//! What a page says when it can't be shown, or a change was not made.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Redirect, Response};

use super::page::{self, Refusal};
use super::provider::LoginError;
use crate::admin::fault::Fault;
use crate::approval::VoteRefused;

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody is logged in; the page to come back to, where that makes sense.
    NotLoggedIn(Option<String>),
    /// Whether a session holds can't be told now.
    Unchecked,
    /// The cookie is gone, and a copy of it would still be good.
    LogoutNotKept,
    /// The form is not from a page of this session.
    Form,
    /// The request was meant for another host.
    Host,
    Login(LoginError),
    /// What was asked for was refused.
    Fault(Fault),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<LoginError> for Trouble {
    fn from(error: LoginError) -> Self {
        Self::Login(error)
    }
}

impl Trouble {
    /// Where to go on from the page that tells of it, and what the link says.
    fn onward(&self) -> (&'static str, &'static str) {
        match self {
            Self::Login(_) => ("/login", "Try again"),
            Self::NotLoggedIn(_) | Self::LogoutNotKept => ("/login", "Log in"),
            _ => ("/", "To what waits"),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let wait = match &self {
            Self::Login(LoginError::TooMany(refused)) => Some(refused.seconds),
            _ => None,
        };
        let onward = self.onward();
        let (status, heading, text) = match self {
            Self::NotLoggedIn(Some(next)) => {
                let query =
                    form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
                return Redirect::to(&format!("/login?{query}")).into_response();
            }
            Self::NotLoggedIn(None) => {
                let text =
                    "You are not logged in, or your session has ended. Nothing was changed.".to_owned();
                (StatusCode::FORBIDDEN, "Log in first", text)
            }
            Self::Unchecked => {
                let text = "The server can't check sessions now: it can't read what was revoked. Nothing was changed, and \
                            your session is kept; try again in a moment.";
                (StatusCode::SERVICE_UNAVAILABLE, "Not now", text.to_owned())
            }
            Self::LogoutNotKept => {
                let text = "Your browser is logged out, and the server could not write that down. Until the session ends, \
                            a copy of its cookie would still be good. If that matters, have your sessions revoked.";
                (StatusCode::SERVICE_UNAVAILABLE, "You are logged out here only", text.to_owned())
            }
            Self::Form => {
                let text =
                    "This form is not from a page of your session. Nothing was changed; open the page again.";
                (StatusCode::FORBIDDEN, "Nothing was changed", text.to_owned())
            }
            Self::Host => {
                let text = "The console is not served under this name; `admin.url` says where it is.";
                (StatusCode::MISDIRECTED_REQUEST, "Not here", text.to_owned())
            }
            Self::Login(error) => {
                (login_status(&error), "You are not logged in", sentence(&error.to_string()))
            }
            Self::Fault(fault @ Fault::Change(_)) => {
                let text = format!("{}\n\nWhat was active still is.", sentence(&fault.to_string()));
                (fault.status(), "The policies were not changed", text)
            }
            Self::Fault(fault) => {
                let heading = match fault.status() {
                    StatusCode::NOT_FOUND => "There is no such thing",
                    StatusCode::FORBIDDEN => "Not for you",
                    StatusCode::CONFLICT => conflict(&fault),
                    StatusCode::SERVICE_UNAVAILABLE => "Not now",
                    _ => "That can't be done",
                };
                (fault.status(), heading, sentence(&fault.to_string()))
            }
        };
        let mut response = (status, page::html(&Refusal::new(heading, text, onward))).into_response();
        if let Some(seconds) = wait {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What stood in the way.
fn conflict(fault: &Fault) -> &'static str {
    match fault {
        Fault::Refused(VoteRefused::NotPending | VoteRefused::NotApproved) | Fault::Over(..) => "Too late",
        Fault::Refused(VoteRefused::VotedAlready) => "You have decided already",
        Fault::Refused(VoteRefused::OutsideHours) => "Not at this hour",
        _ => "Nothing was changed",
    }
}

fn login_status(error: &LoginError) -> StatusCode {
    match error {
        LoginError::Provider(_) | LoginError::Unavailable => StatusCode::BAD_GATEWAY,
        LoginError::NoProvider => StatusCode::NOT_FOUND,
        LoginError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::FORBIDDEN,
    }
}

/// Our messages begin small and end without a stop.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

pub async fn no_such_page() -> Trouble {
    Trouble::Fault(Fault::NoSuchAddress)
}

pub async fn wrong_method() -> Trouble {
    Trouble::Fault(Fault::Method)
}
