//! Asking another service about a token: remembered answers, a limit on requests under way, time and size limits, and
//! what is counted and logged of it. What is asked, and what an answer means, is the schemes' own.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

use crate::clock::{self, Clock};
use crate::diagnostic::innermost;
use crate::identity::Identity;
use crate::metrics::{self, CalloutResult, IdentityCache, Metrics};
use crate::outbound::{self, BodyError};
use crate::reason::Reason;

use super::answers::{Answer, Answers};
use super::config::CalloutConfig;
use super::jws::MAX_TOKEN;
use super::sha256::sha256;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;
/// A service that asks for a pause is not asked for this long at most, whatever it says.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Trouble is logged once in this time: each refused call would be a line otherwise.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// One service that is asked about tokens.
pub struct Callout {
    kind: metrics::Callout,
    /// The service's URL without its query, for the log.
    shown: String,
    answers: Answers,
    turns: Semaphore,
    timeout: Duration,
    clock: Clock,
    paused_until: Mutex<Option<Timestamp>>,
    logged: Mutex<Logged>,
}

/// Why asking brought no identity.
#[derive(Debug)]
pub enum Failure {
    /// The service, or what it says of the token, refuses it.
    Refused(Reason),
    Trouble(Trouble),
}

/// Why there is no answer that counts. Holds nothing of the token.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("no answer in time")]
    Timeout,
    #[error("the request failed: {0}")]
    Unreachable(String),
    #[error("the answer's status is {0}{hint}", hint = hint(*.0))]
    Status(StatusCode),
    #[error("the service is busy (status {status}) and asks for a pause of {pause:?}")]
    Busy { status: StatusCode, pause: Duration },
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("the answer is not valid: {0}")]
    Invalid(&'static str),
    #[error("{0}")]
    NoCredential(String),
}

#[derive(Default)]
struct Logged {
    last: Option<Timestamp>,
    /// Not logged since.
    silent: u64,
}

impl Callout {
    pub fn new(kind: metrics::Callout, config: &CalloutConfig, clock: Clock) -> Self {
        let label = match kind {
            metrics::Callout::Introspection => IdentityCache::Introspection,
            metrics::Callout::TokenReview => IdentityCache::TokenReview,
        };
        let mut shown = config.url.clone();
        shown.set_query(None);
        Self {
            kind,
            shown: shown.into(),
            answers: Answers::new(label, config.cache, clock.clone()),
            turns: Semaphore::new(config.concurrency),
            timeout: config.timeout,
            clock,
            paused_until: Mutex::default(),
            logged: Mutex::default(),
        }
    }

    /// Counts from now on. The first call decides where to.
    pub fn count_in(&self, metrics: &Metrics) {
        self.answers.count_in(metrics);
    }

    /// Whom the token stands for, by what is remembered or what `ask` finds out.
    pub async fn identify<F>(&self, token: &str, ask: F) -> Result<Arc<Identity>, Reason>
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        if token.len() > MAX_TOKEN {
            return Err(Reason::TokenTooLarge);
        }
        // What is no token by its form is not worth a request.
        if !is_token(token) {
            return Err(Reason::TokenMalformed);
        }
        self.answers.get(sha256(token.as_bytes()), self.inquire(ask)).await
    }

    async fn inquire<F>(&self, ask: F) -> Result<Answer, Reason>
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        if self.is_paused() {
            self.count(CalloutResult::Paused, None);
            return Err(self.unavailable());
        }
        let _turn = self.turn().await?;
        let started = clock::instant();
        let asked = timeout(self.timeout, ask).await;
        let asked = asked.unwrap_or(Err(Failure::Trouble(Trouble::Timeout)));
        let result = match &asked {
            Ok(_) => CalloutResult::Accepted,
            Err(Failure::Refused(_)) => CalloutResult::Refused,
            Err(Failure::Trouble(trouble)) => trouble.result(),
        };
        self.count(result, Some(started.elapsed()));
        asked.map_err(|failure| match failure {
            Failure::Refused(reason) => reason,
            Failure::Trouble(trouble) => {
                self.pause_after(&trouble);
                self.log(&trouble);
                self.unavailable()
            }
        })
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Reason> {
        match timeout(self.timeout, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => {
                self.count(CalloutResult::Overload, None);
                Err(Reason::TooManyCallouts)
            }
        }
    }

    fn unavailable(&self) -> Reason {
        match self.kind {
            metrics::Callout::Introspection => Reason::IntrospectionUnavailable,
            metrics::Callout::TokenReview => Reason::TokenReviewUnavailable,
        }
    }

    /// A clock that was set back makes no pause longer.
    fn is_paused(&self) -> bool {
        let now = self.clock.now();
        let left = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
        self.paused_until.lock().is_some_and(|until| now < until && left(until) <= MAX_PAUSE)
    }

    fn pause_after(&self, trouble: &Trouble) {
        if let Trouble::Busy { pause, .. } = trouble {
            *self.paused_until.lock() = self.clock.now().checked_add(*pause).ok();
        }
    }

    fn count(&self, result: CalloutResult, took: Option<Duration>) {
        if let Some(metrics) = self.answers.metrics() {
            metrics.callout(self.kind, result, took);
        }
    }

    fn log(&self, trouble: &Trouble) {
        let now = self.clock.now();
        let mut logged = self.logged.lock();
        let since = logged.last.and_then(|last| Duration::try_from(now.duration_since(last)).ok());
        if since.is_some_and(|since| since < LOG_EVERY) {
            logged.silent = logged.silent.saturating_add(1);
            return;
        }
        let silent = std::mem::take(&mut logged.silent);
        logged.last = Some(now);
        let callout = self.kind.as_str();
        warn!(callout, url = self.shown, problem = %trouble, not_logged = silent, "can't find out about a token");
    }
}

/// `b64token` of RFC 6750, which is what a bearer token is made of.
fn is_token(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

impl Trouble {
    fn result(&self) -> CalloutResult {
        match self {
            Self::Timeout => CalloutResult::Timeout,
            Self::Unreachable(_) => CalloutResult::Unreachable,
            Self::Status(_) | Self::Busy { .. } => CalloutResult::Status,
            Self::TooLarge => CalloutResult::TooLarge,
            Self::Invalid(_) => CalloutResult::Invalid,
            Self::NoCredential(_) => CalloutResult::NoCredential,
        }
    }

    fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match seconds.map(Duration::from_secs) {
            Some(pause) if busy => Self::Busy { status, pause: pause.min(MAX_PAUSE) },
            _ => Self::Status(status),
        }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Unreachable(innermost(&error)) }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": the service does not accept our own credential, or what it may do"
        }
        status if status.is_redirection() => ": redirects are not followed",
        _ => "",
    }
}

/// Sends the request, and reads the body of an answer that has one of these statuses.
pub async fn send(request: RequestBuilder, good: &[StatusCode]) -> Result<Vec<u8>, Trouble> {
    let response = request.send().await?;
    if !good.contains(&response.status()) {
        return Err(Trouble::of_status(response.status(), response.headers()));
    }
    outbound::body(response, MAX_ANSWER).await.map_err(|error| match error {
        BodyError::TooLarge => Trouble::TooLarge,
        BodyError::Http(error) => error.into(),
    })
}

impl fmt::Debug for Callout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callout").field("kind", &self.kind).field("url", &self.shown).finish_non_exhaustive()
    }
}
