//! The console: the admin API as pages for people, on the same port.
//!
//! Pages read and change through `AdminState`, as the API does: who may see and decide what is said there and in
//! `crate::approval`, once. What is said here is who sits before the browser: `guard` lets in requests of our own pages
//! only, `login` makes sessions, `session` keeps them. Works without scripts; `live` adds what happens meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::limits::Turns;
use super::{AdminState, VerifyToken};
use crate::authn::revocation::Revocations;
use crate::identity::Identity;
use crate::metrics::Metrics;

mod assets;
mod change;
mod client;
mod decide;
mod decisions;
mod first_login;
mod guard;
mod live;
mod login;
mod origin;
mod page;
mod pages;
mod policies;
mod provider;
mod seal;
mod session;
mod shown;
#[cfg(test)]
mod tests;
mod throttle;
mod trouble;
mod view;

pub use first_login::FirstLogin;
pub use origin::Origin;
pub use provider::{Provider, ProviderConfig};
pub use seal::{KeyError, Keys};
use session::{Cookies, Session};
use throttle::Throttle;

/// What the configuration says of the console.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where browsers find it; `None` for the address that the admin port listens on, which is a loopback one.
    pub url: Option<Origin>,
    /// `None`: nobody logs in but by the one-time token.
    pub provider: Option<ProviderConfig>,
    /// The secret that seals sessions, shared by replicas; `None` for one beside the store.
    pub key_file: Option<PathBuf>,
    pub times: Times,
}

/// One thing that must hold for the server to serve well.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    pub good: bool,
    /// A figure, or what is wrong.
    pub detail: String,
}

/// What pages show beyond what the API knows.
pub trait Insight: Send + Sync {
    fn health(&self) -> BoxFuture<'_, Vec<Check>>;

    /// The newest records of the audit trail, the newest first; at most `limit`.
    fn records(&self, limit: usize) -> BoxFuture<'_, std::io::Result<Vec<Value>>>;

    /// Changes when records were added to the trail.
    fn records_changed(&self) -> watch::Receiver<()>;

    /// Is told who came in and who left, before they are answered.
    fn session_changed<'a>(&'a self, who: &'a Identity, change: SessionChange) -> BoxFuture<'a, ()>;
}

/// What became of a session, as the audit trail calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    LoggedIn,
    LoggedInFirst,
    LoggedOut,
}

impl SessionChange {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged_in",
            Self::LoggedInFirst => "logged_in_by_one_time_token",
            Self::LoggedOut => "logged_out",
        }
    }
}

/// How long sessions last, and how fresh a proof must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A session ends when nobody asked for a page for so long,
    pub idle: Duration,
    /// or so long after the login.
    pub longest: Duration,
    /// How old the proof of who somebody is may be for a change.
    pub fresh: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            longest: Duration::from_secs(8 * 3_600),
            fresh: Duration::from_secs(5 * 60),
        }
    }
}

/// What the console works with.
pub struct Parts {
    pub origin: Origin,
    pub times: Times,
    pub keys: Keys,
    pub provider: Option<Provider>,
    /// Verifies id tokens; `None` without a provider.
    pub id_tokens: Option<Arc<dyn VerifyToken>>,
    pub first_login: FirstLogin,
    pub revocations: Revocations,
    pub insight: Arc<dyn Insight>,
    pub metrics: Metrics,
}

/// Streams of one live page at once, each of which takes up a connection of the admin port; who comes later reloads the
/// page.
const MOST_LIVE: usize = 100;

/// The console, running.
pub(super) struct Console {
    state: AdminState,
    parts: Parts,
    cookies: Cookies,
    /// The flows that were finished, so that none is finished twice.
    finished: moka::sync::Cache<String, ()>,
    live: Turns,
    live_decisions: Turns,
    pending_feed: live::PendingFeed,
    throttle: Throttle,
    feed: decisions::Feed,
}

impl Console {
    fn now(&self) -> Timestamp {
        self.state.clock.now()
    }

    /// Whether the proof of a session is new enough for a change. That of a first login is as long as the session lasts:
    /// without a provider nobody can prove anything anew.
    fn is_fresh(&self, session: &Session) -> bool {
        let fresh = i64::try_from(self.parts.times.fresh.as_secs()).unwrap_or(i64::MAX);
        let proven = session.proven;
        session.is_first() || proven.is_some_and(|at| self.now().as_second().saturating_sub(at) <= fresh)
    }
}

/// The console's pages; all else is not found here.
pub(super) fn router(state: AdminState, parts: Parts) -> Router {
    let largest = state.max_packed().saturating_add(super::MAX_REQUEST);
    let cookies = Cookies { secure: parts.origin.is_secure() };
    let finished =
        moka::sync::Cache::builder().max_capacity(100_000).time_to_live(login::LONGEST_FLOW * 2).build();
    let console = Arc::new(Console {
        state,
        parts,
        cookies,
        finished,
        live: Turns::new(MOST_LIVE),
        live_decisions: Turns::new(MOST_LIVE),
        pending_feed: live::PendingFeed::default(),
        throttle: Throttle::default(),
        feed: decisions::Feed::default(),
    });
    Router::new()
        .route("/", get(pages::pending))
        .route("/live", get(live::pending))
        .route("/live/decisions", get(live::decisions))
        .route("/approvals/{id}", get(decide::approval))
        .route("/approvals/{id}/{choice}", post(decide::decide))
        .route("/approvals/{id}/break-glass", get(decide::confirm_break_glass).post(decide::break_glass))
        .route("/history", get(pages::history))
        .route("/decisions", get(decisions::page))
        .route("/policies", get(policies::policies))
        .route("/policies/{change}", post(policies::change_policies))
        .route("/policies/upload", post(policies::upload).layer(DefaultBodyLimit::max(largest)))
        .route("/health", get(pages::health))
        .route("/login", get(login::page).post(login::begin))
        .route("/login/callback", get(login::callback))
        .route("/login/first", post(login::first))
        .route("/logout", post(login::logout))
        .route("/assets/{name}", get(assets::asset))
        .method_not_allowed_fallback(trouble::wrong_method)
        .fallback(trouble::no_such_page)
        .layer(middleware::from_fn_with_state(console.clone(), guard::guard))
        .with_state(console)
}
