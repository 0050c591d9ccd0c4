//! Who tries to log in, and how that is limited and counted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderValue;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::Console;
use super::provider::LoginError;
use super::seal::{Purpose, random_text};
use super::throttle::Source;
use crate::metrics::ConsoleLogin;

/// For how long a browser that somebody logged in from is known.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Who sent a request, as logins are limited.
#[derive(Clone, Debug)]
pub struct Client(pub Source);

/// What a browser shows that somebody logged in from. It lets nobody in.
#[derive(Serialize, Deserialize)]
struct Known {
    id: String,
    /// Seconds since 1970.
    since: i64,
}

impl FromRequestParts<Arc<Console>> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Infallible> {
        let known: Option<Known> = console.cookies.read(&console.parts.keys, Purpose::Known, &parts.headers);
        let age = |known: &Known| console.now().as_second().saturating_sub(known.since);
        let recent = |known: &Known| u64::try_from(age(known)).is_ok_and(|age| age < KNOWN_FOR.as_secs());
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Ok(Self(match known.filter(recent) {
            Some(known) => Source::Browser(known.id),
            None => Source::address(peer),
        }))
    }
}

impl Console {
    /// Whether somebody may try to log in now; an attempt that may not is counted as such.
    pub fn admit(&self, client: &Source, cost: i64) -> Result<(), LoginError> {
        self.throttle.admit(client, cost, self.now()).map_err(|refused| {
            self.parts.metrics.console_login(refused.limit.counted());
            LoginError::TooMany(refused)
        })
    }

    /// Counts an attempt that was made.
    pub fn count(&self, came: Result<ConsoleLogin, &LoginError>) {
        self.parts.metrics.console_login(came.unwrap_or_else(|error| match error {
            LoginError::Provider(_) | LoginError::Unavailable | LoginError::NoProvider => {
                ConsoleLogin::Unavailable
            }
            _ => ConsoleLogin::Refused,
        }));
    }

    /// The cookie of a browser that somebody logged in from; one that is known already keeps its id.
    pub fn known_cookie(&self, client: Source) -> Option<HeaderValue> {
        let id = match client {
            Source::Browser(id) => id,
            Source::Address(_) => random_text()?,
        };
        let known = Known { id, since: self.now().as_second() };
        self.cookies.set(&self.parts.keys, Purpose::Known, &known, KNOWN_FOR.as_secs())
    }
}
