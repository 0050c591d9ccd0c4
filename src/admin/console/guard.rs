//! What stands before every page: the host that was asked for, where a form comes from, who is logged in; and what the
//! browser is told about the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::Console;
use super::seal::Purpose;
use super::session::Session;
use super::trouble::Trouble;
use crate::admin::limits;
use crate::identity::Identity;
use crate::reason::Reason;

/// Nothing but our own files, in no frame. Scripts and styles that stand in the page itself don't run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How much older, in seconds, the last request may be than the session says: not every page sets a cookie.
const SEEN_EVERY: i64 = 30;

/// How long the session of a first login lasts: nothing can prove anew who sits there, so all of it counts as fresh.
pub const LONGEST_FIRST: Duration = Duration::from_secs(15 * 60);

/// Who asks for a page.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub session: Session,
    pub who: Arc<Identity>,
}

/// The session of a request, if it has a valid one, put there by `guard`.
#[derive(Clone, Debug)]
pub struct MaybeVisitor(pub Option<Visitor>);

/// Marks a request whose session may hold, and that can't be checked now.
#[derive(Clone, Copy)]
struct Unchecked;

/// Lets a request through to its page. Pages that ask for a `Visitor` have one.
pub async fn guard(State(console): State<Arc<Console>>, mut request: Request, next: Next) -> Response {
    let mut response = match console.turned_away(request.method(), request.uri(), request.headers()) {
        Some(refused) => refused,
        None => {
            let visitor = match console.visitor(request.headers()) {
                Err(Reason::RevocationsStale) => {
                    request.extensions_mut().insert(Unchecked);
                    None
                }
                visitor => visitor.ok().flatten(),
            };
            if let Some(visitor) = &visitor {
                limits::known(request.extensions(), &visitor.who);
            }
            request.extensions_mut().insert(MaybeVisitor(visitor.clone()));
            let path = request.uri().path();
            // What a page asks for by itself keeps no session alive.
            let by_itself = path.starts_with("/live") || request.headers().contains_key("hx-request");
            let mut response = next.run(request).await;
            if let Some(visitor) = visitor.filter(|_| !by_itself) {
                console.seen(visitor.session, &mut response);
            }
            response
        }
    };
    protect(response.headers_mut(), console.parts.origin.is_secure());
    response
}

fn protect(headers: &mut HeaderMap, secure: bool) {
    let fixed: [(HeaderName, &'static str); 7] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: forms would then not say where they come from.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

impl Console {
    /// The answer to a request that was not meant for this host, or that would change something and is not from a page of
    /// ours.
    fn turned_away(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let asking = matches!(*method, Method::GET | Method::HEAD);
        let origin = &self.parts.origin;
        let host = uri.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| only(headers, &HOST)).unwrap_or_default();
        if !origin.is_named(host) {
            // A login comes back to one name only, so it begins there.
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            return Some(if asking && origin.is_elsewhere_named(host) && path.starts_with('/') {
                Redirect::to(&format!("{origin}{path}")).into_response()
            } else {
                Trouble::Host.into_response()
            });
        }
        let ours = asking || only(headers, &ORIGIN) == Some(origin.to_string().as_str());
        (!ours).then(|| Trouble::Form.into_response())
    }

    /// Who shows a session that holds: sealed by us, not ended, not revoked; or why it doesn't.
    fn visitor(&self, headers: &HeaderMap) -> Result<Option<Visitor>, Reason> {
        let session: Option<Session> = self.cookies.read(&self.parts.keys, Purpose::Session, headers);
        let Some(session) = session else { return Ok(None) };
        let who = self.holds(&session)?;
        Ok(Some(Visitor { session, who }))
    }

    /// Whether a session still holds: for whom, or why not.
    pub fn holds(&self, session: &Session) -> Result<Arc<Identity>, Reason> {
        let now = self.now().as_second();
        let within = |since: i64, time: std::time::Duration| {
            let age = now.saturating_sub(since);
            u64::try_from(age).map_or(age > -60, |age| age < time.as_secs())
        };
        let times = self.parts.times;
        let longest = if session.is_first() { times.longest.min(LONGEST_FIRST) } else { times.longest };
        if !within(session.started, longest) || !within(session.seen, times.idle) {
            return Err(Reason::TokenExpired);
        }
        let who = session.identity();
        self.parts.revocations.check(&who, [])?;
        if self.parts.revocations.is_logged_out(&session.id) { Err(Reason::Revoked) } else { Ok(who) }
    }

    /// Lets the session live on. A page that ends or replaces it has said so itself.
    fn seen(&self, mut session: Session, response: &mut Response) {
        let name = self.cookies.name(Purpose::Session);
        let begins = |value: &HeaderValue| value.as_bytes().starts_with(format!("{name}=").as_bytes());
        let decided = response.headers().get_all(SET_COOKIE).iter().any(begins);
        let now = self.now().as_second();
        if decided || now.saturating_sub(session.seen) < SEEN_EVERY {
            return;
        }
        session.seen = now;
        if let Some(cookie) = self.session_cookie(&session) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }

    /// `None` where no browser would keep it.
    pub fn session_cookie(&self, session: &Session) -> Option<HeaderValue> {
        let seconds = self.parts.times.longest.as_secs();
        self.cookies.set(&self.parts.keys, Purpose::Session, session, seconds)
    }
}

/// The one value of a header, if it has one.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

impl FromRequestParts<Arc<Console>> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Console>) -> Result<Self, Trouble> {
        if let Some(MaybeVisitor(Some(visitor))) = parts.extensions.get::<MaybeVisitor>() {
            return Ok(visitor.clone());
        }
        if parts.extensions.get::<Unchecked>().is_some() {
            return Err(Trouble::Unchecked);
        }
        // A stream can't show the page that a redirect would lead to.
        let asking = parts.method == Method::GET && !parts.uri.path().starts_with("/live");
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Err(Trouble::NotLoggedIn(asking.then(|| path.to_owned())))
    }
}

impl FromRequestParts<Arc<Console>> for MaybeVisitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Console>) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self(None)))
    }
}
