//! Coming in and going out: at the identity provider, or by the one-time token of an empty store.
//!
//! No page is reached by a redirect from another site, where the browser would keep the session's cookie to itself:
//! the way there and the way back each end in a small page that goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Form, Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::client::Client;
use super::guard::{MaybeVisitor, Visitor};
use super::page::{self, HandOff, LoginPage};
use super::provider::{Flow, LoginError, Provider};
use super::seal::{Purpose, random_text};
use super::session::Session;
use super::throttle::GUESS;
use super::trouble::Trouble;
use super::{Console, SessionChange, first_login};
use crate::admin::VerifyToken;
use crate::approval::later;
use crate::credential::RevocationKind;
use crate::identity::Identity;
use crate::metrics::ConsoleLogin;
use crate::store::{Actor, Changed, CredentialChange, MAX_LOGOUTS, NewRevocation};

/// How long somebody may take to log in at the provider.
pub const LONGEST_FLOW: Duration = Duration::from_secs(600);

/// The longest path to come back to, in bytes.
const MAX_NEXT: usize = 1_000;

#[derive(Deserialize)]
pub struct LoginQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub struct Begin {
    #[serde(default)]
    next: String,
}

/// What the provider sends along; whatever else it sends is left alone.
#[derive(Deserialize)]
pub struct Answer {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    iss: Option<String>,
    error: Option<String>,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
pub struct OneTime {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
pub struct FormToken {
    #[serde(default)]
    pub csrf: String,
}

/// `GET /login`
pub async fn page(
    State(console): State<Arc<Console>>,
    MaybeVisitor(visitor): MaybeVisitor,
    Query(query): Query<LoginQuery>,
) -> Response {
    let next = safe_next(&query.next);
    if visitor.is_some() {
        return Redirect::to(&next).into_response();
    }
    let provider = console.parts.provider.as_ref().map(|provider| provider.issuer().to_owned());
    let one_time = console.parts.first_login.is_open(console.now());
    page::html(&LoginPage::new(next, provider, one_time)).into_response()
}

/// `POST /login`: to the provider.
pub async fn begin(
    State(console): State<Arc<Console>>,
    Client(client): Client,
    Form(form): Form<Begin>,
) -> Result<Response, Trouble> {
    console.admit(&client, 1)?;
    console.send_to_provider(&form.next, false).await
}

/// `GET /login/callback`: back from the provider. Makes a session, and changes nothing else.
pub async fn callback(
    State(console): State<Arc<Console>>,
    Client(client): Client,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Result<Response, Trouble> {
    console.admit(&client, 1)?;
    let came = console.come_back(&headers, answer).await;
    console.count(came.as_ref().map(|_| ConsoleLogin::LoggedIn));
    let (session, cookie, next) = came?;
    console.parts.insight.session_changed(&session.identity(), SessionChange::LoggedIn).await;
    let page = HandOff::new("You are logged in", "Going on to the console", next);
    let mut response = page::html(&page).into_response();
    response.headers_mut().append(SET_COOKIE, cookie);
    add(&mut response, console.cookies.remove(Purpose::Flow));
    add(&mut response, console.known_cookie(client));
    Ok(response)
}

/// `POST /login/first`
pub async fn first(
    State(console): State<Arc<Console>>,
    Client(client): Client,
    Form(form): Form<OneTime>,
) -> Result<Response, Trouble> {
    console.admit(&client, GUESS)?;
    let now = console.now();
    if !console.parts.first_login.redeem(&form.token, now) {
        tracing::warn!("a one-time token for the console was refused");
        console.count(Err(&LoginError::OneTimeToken));
        return Err(LoginError::OneTimeToken.into());
    }
    let groups = console.state.viewers.iter().chain(console.state.admins.iter()).cloned().collect();
    let who = first_login::operator(groups, now);
    let session = Session::of(&who, Some(now.as_second()), now).ok_or(LoginError::Unavailable)?;
    let cookie = console.session_cookie(&session).ok_or(LoginError::TooManyGroups)?;
    console.parts.insight.session_changed(&who, SessionChange::LoggedInFirst).await;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().append(SET_COOKIE, cookie);
    add(&mut response, console.known_cookie(client));
    console.count(Ok(ConsoleLogin::OneTimeToken));
    Ok(response)
}

/// `POST /logout`: the session is worth nothing any more, on any replica, also where somebody copied its cookie.
pub async fn logout(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Form(form): Form<FormToken>,
) -> Result<Response, Trouble> {
    console.check_form(&visitor, &form.csrf)?;
    let kept = console.keep_logout(&visitor).await;
    console.parts.insight.session_changed(&visitor.who, SessionChange::LoggedOut).await;
    let mut response = match kept {
        Ok(()) => Redirect::to("/login").into_response(),
        Err(why) => {
            tracing::error!(%why, "a log-out could not be kept: a copy of its cookie holds until the session ends");
            Trouble::LogoutNotKept.into_response()
        }
    };
    for purpose in [Purpose::Session, Purpose::Draft, Purpose::Flow] {
        add(&mut response, console.cookies.remove(purpose));
    }
    Ok(response)
}

impl Console {
    /// Ends the session everywhere, for as long as it would have lasted. The error is for the log.
    async fn keep_logout(&self, visitor: &Visitor) -> Result<(), String> {
        let started = Timestamp::from_second(visitor.session.started).unwrap_or(self.now());
        let revocation = NewRevocation {
            kind: RevocationKind::ConsoleSession,
            value: visitor.session.id.clone(),
            issuer: String::new(),
            issued_before: None,
            until: Some(later(started, self.parts.times.longest)),
            created_by: Actor::of(&visitor.who),
            reason: "logged out of the console".into(),
        };
        match self.state.store.change_credential(CredentialChange::Revoke(revocation)).await {
            Ok(Changed::Revocation(_)) => Ok(()),
            Ok(_) => Err(format!("there are {MAX_LOGOUTS} log-outs already")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whom an answer of the provider logs in, and where they wanted to go.
    async fn come_back(
        &self,
        headers: &HeaderMap,
        answer: Answer,
    ) -> Result<(Session, HeaderValue, String), LoginError> {
        let flow: Option<Flow> = self.cookies.read(&self.parts.keys, Purpose::Flow, headers);
        let flow = flow.ok_or(LoginError::Flow)?;
        let logged_in = self.finish(&flow, answer).await;
        if let Err(error) = &logged_in {
            tracing::info!(%error, "a login at the console was refused");
        }
        let session = logged_in?;
        let cookie = self.session_cookie(&session).ok_or(LoginError::TooManyGroups)?;
        Ok((session, cookie, flow.next))
    }

    /// The page that takes the browser to the provider; `again`: to prove anew who is sitting there.
    pub async fn send_to_provider(&self, next: &str, again: bool) -> Result<Response, Trouble> {
        let provider = self.parts.provider.as_ref().ok_or(LoginError::NoProvider)?;
        let random = || random_text().ok_or(LoginError::Unavailable);
        let flow = Flow {
            state: random()?,
            nonce: random()?,
            verifier: random()?,
            next: safe_next(next),
            started: self.now().as_second(),
            again,
        };
        let max_age = if again { self.parts.times.fresh } else { self.parts.times.longest };
        let url = provider.authorization_url(&flow, &self.callback_url(), max_age.as_secs()).await?;
        let cookie = self.cookies.set(&self.parts.keys, Purpose::Flow, &flow, LONGEST_FLOW.as_secs());
        let (heading, text) = if again {
            ("Once more, please", "A change needs a fresh login; nothing was changed yet")
        } else {
            ("Log in", "Going on to your identity provider")
        };
        let page = HandOff::new(heading, text, url.into());
        let mut response = page::html(&page).into_response();
        response.headers_mut().append(SET_COOKIE, cookie.ok_or(LoginError::Unavailable)?);
        Ok(response)
    }

    /// Whose session an answer of the provider makes.
    async fn finish(&self, flow: &Flow, answer: Answer) -> Result<Session, LoginError> {
        let provider = self.parts.provider.as_ref().ok_or(LoginError::NoProvider)?;
        self.check_flow(flow, &answer.state)?;
        check_issuer(provider, answer.iss.as_deref()).await?;
        if let Some(error) = answer.error {
            return Err(LoginError::Refused(format!("{error} {}", answer.error_description)));
        }
        let token = provider.redeem(&answer.code, flow, &self.callback_url()).await?;
        let who = self.verified(&token).await?;
        let now = self.now();
        let proven = provider.check(&who, flow, now.as_second())?;
        Session::of(&who, proven, now).ok_or(LoginError::Unavailable)
    }

    /// An answer is taken once, by the browser that asked, in time.
    fn check_flow(&self, flow: &Flow, state: &str) -> Result<(), LoginError> {
        let same = verify_slices_are_equal(flow.state.as_bytes(), state.as_bytes()).is_ok();
        let age = self.now().as_second().saturating_sub(flow.started);
        let in_time = u64::try_from(age).is_ok_and(|age| age <= LONGEST_FLOW.as_secs());
        let first = same && self.finished.entry(flow.state.clone()).or_insert(()).is_fresh();
        if first && in_time { Ok(()) } else { Err(LoginError::Flow) }
    }

    async fn verified(&self, token: &str) -> Result<Arc<Identity>, LoginError> {
        let verifier: &dyn VerifyToken = self.parts.id_tokens.as_deref().ok_or(LoginError::NoProvider)?;
        let who = verifier.verify(token).await?;
        if who.is_anonymous() { Err(LoginError::Token("it names nobody")) } else { Ok(who) }
    }

    fn callback_url(&self) -> String {
        format!("{}/login/callback", self.parts.origin)
    }

    /// Whether a form is from a page of this session.
    pub fn check_form(&self, visitor: &Visitor, token: &str) -> Result<(), Trouble> {
        if self.parts.keys.is_form_token(&visitor.session.id, token) { Ok(()) } else { Err(Trouble::Form) }
    }
}

/// RFC 9207: an answer that names another issuer, or none though the provider always does, is somebody else's.
async fn check_issuer(provider: &Provider, named: Option<&str>) -> Result<(), LoginError> {
    match named {
        Some(issuer) if issuer == provider.issuer() => Ok(()),
        Some(_) => Err(LoginError::MixedUp),
        None if provider.endpoints().await?.names_itself => Err(LoginError::MixedUp),
        None => Ok(()),
    }
}

/// A page of the console, whatever was asked for: never another site, and never a page that changes something.
fn safe_next(next: &str) -> String {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    // Browsers walk along them before they ask, also where they are encoded.
    let dots = |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    let within = next.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(dots)
        && next.len() <= MAX_NEXT
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !["/login", "/logout", "/live", "/api", "/assets"].iter().any(|start| next.starts_with(start));
    if within { next.to_owned() } else { "/".to_owned() }
}

fn add(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_login_nobody_is_sent_elsewhere() {
        for good in
            ["/", "/approvals/1", "/history?state=approved&page=2", "/decisions?outcome=a//../b", "/a..b"]
        {
            assert_eq!(safe_next(good), good);
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil.example",
            "/a\r\nset-cookie: a=b",
            "/\tevil.example",
            "/logout",
            "/login/callback?code=1",
            "/api/v1/approvals",
            "\\\\evil.example",
            "/\u{e9}",
            "/./logout",
            "/x/../logout",
            "/x/%2E%2e/logout",
            "/..//evil.example",
            "/x//evil.example",
            "/..",
            "/x/.%2e?a",
        ] {
            assert_eq!(safe_next(bad), "/", "{bad:?}");
        }
    }
}
