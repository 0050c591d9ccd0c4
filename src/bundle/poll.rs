//! Asks a URL for a bundle, again and again, and offers what is new.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode, Url};

use super::control::{Control, Outcome};
use super::source::{Found, Remote, shown};
use crate::diagnostic::innermost;
use crate::metrics::PollResult;
use crate::outbound::{self, BodyError, USER_AGENT};

/// One request, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The first pause after a failure; doubled up to `LONGEST_RETRY`.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

const MOST_REDIRECTS: usize = 5;

/// Asks one URL.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    url: Url,
    poll: Duration,
    token_file: Option<PathBuf>,
}

/// What an answer brought.
#[derive(Debug)]
enum Fetched {
    NotModified,
    New { bytes: Vec<u8>, etag: Option<HeaderValue> },
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("can't read the token file `{path}`: {error}", path = .0.display(), error = .1)]
    Token(PathBuf, std::io::Error),
    #[error("the token file `{}` holds no token", .0.display())]
    NoToken(PathBuf),
    #[error("the request failed: {}", innermost(.0))]
    Http(reqwest::Error),
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    #[error("the answer leads to another server, or around in a circle; it is not followed")]
    Redirected,
    #[error("the answer is larger than {0} bytes (`policies.max_bytes`)")]
    TooLarge(u64),
}

/// Without the URL, whose query may be a credential.
impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

impl FetchError {
    fn result(&self) -> PollResult {
        match self {
            Self::Token(..) | Self::NoToken(_) => PollResult::NoToken,
            Self::Http(error) if error.is_timeout() => PollResult::Timeout,
            Self::Http(_) => PollResult::Unreachable,
            Self::Status(_) => PollResult::Status,
            Self::Redirected => PollResult::Redirected,
            Self::TooLarge(_) => PollResult::TooLarge,
        }
    }
}

impl Fetcher {
    /// Reads the certificates that `remote` names. The error is for the operator.
    pub fn new(remote: &Remote) -> Result<Self, String> {
        Self::within(remote, TIMEOUT)
    }

    fn within(remote: &Remote, timeout: Duration) -> Result<Self, String> {
        let mut client =
            Client::builder()
                .redirect(Policy::custom(|attempt| {
                    if stays_home(&attempt) { attempt.follow() } else { attempt.stop() }
                }))
                .timeout(timeout)
                .user_agent(USER_AGENT)
                .dns_resolver(outbound::resolver());
        if let Some(path) = &remote.ca_file {
            client = client.tls_certs_only(outbound::certificates(path)?);
        }
        let client = client.build().map_err(|error| innermost(&error))?;
        let Remote { url, poll, token_file, .. } = remote;
        Ok(Self { client, url: url.clone(), poll: *poll, token_file: token_file.clone() })
    }

    async fn fetch(&self, etag: Option<&HeaderValue>, most: u64) -> Result<Fetched, FetchError> {
        let mut request = self.client.get(self.url.clone());
        if let Some(path) = &self.token_file {
            let token = tokio::fs::read_to_string(path).await;
            let token = token.map_err(|error| FetchError::Token(path.clone(), error))?;
            if token.trim().is_empty() {
                return Err(FetchError::NoToken(path.clone()));
            }
            request = request.bearer_auth(token.trim());
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Fetched::NotModified),
            status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                return Err(FetchError::Redirected);
            }
            status => return Err(FetchError::Status(status)),
        }
        let etag = response.headers().get(ETAG).cloned();
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = outbound::body(response, limit).await.map_err(|error| match error {
            BodyError::TooLarge => FetchError::TooLarge(most),
            BodyError::Http(error) => error.into(),
        })?;
        Ok(Fetched::New { bytes, etag })
    }
}

/// Whoever may redirect elsewhere could have the token sent there.
fn stays_home(attempt: &Attempt<'_>) -> bool {
    let [first, ..] = attempt.previous() else { return false };
    first.origin() == attempt.url().origin() && attempt.previous().len() <= MOST_REDIRECTS
}

/// Asks until the task is dropped.
pub(super) async fn follow(control: Arc<Control>, fetcher: Fetcher) {
    let mut etag = None;
    let mut failures = 0_u32;
    loop {
        let most = control.admission().limits.packed;
        match fetcher.fetch(etag.as_ref(), most).await {
            Ok(fetched) => {
                failures = 0;
                etag = take(&control, &fetcher, fetched, etag).await;
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(url = %shown(&fetcher.url), %error, failures, "can't fetch the bundle");
                control.polled(error.result(), Some(error.to_string()));
            }
        }
        tokio::time::sleep(pause(fetcher.poll, failures, spread())).await;
    }
}

/// Offers what came, and returns the tag to ask with next time.
async fn take(
    control: &Arc<Control>,
    fetcher: &Fetcher,
    fetched: Fetched,
    before: Option<HeaderValue>,
) -> Option<HeaderValue> {
    let Fetched::New { bytes, etag } = fetched else {
        control.polled(PollResult::NotModified, None);
        return before;
    };
    control.polled(PollResult::Fetched, None);
    let found = Found::bytes(bytes);
    if control.knows(&found.fingerprint).await {
        return etag;
    }
    let (admission, fingerprint) = (control.admission(), found.fingerprint.clone());
    let judge = admission.clone();
    let judged = tokio::task::spawn_blocking(move || found.admit(&judge)).await;
    let outcome = match judged {
        Ok(offer) => control.offer(&shown(&fetcher.url), fingerprint, &admission, offer).await,
        Err(error) => {
            tracing::error!(%error, "a fetched bundle could not be judged");
            Outcome::NotKept
        }
    };
    // What is not settled is fetched again.
    etag.filter(|_| !outcome.is_pending())
}

/// The time to the next request: the regular one, or a longer one with every failure. `spread`, from 0 to 1, keeps
/// replicas that started together apart.
fn pause(poll: Duration, failures: u32, spread: f64) -> Duration {
    match failures.checked_sub(1) {
        None => poll.mul_f64(1.0 - spread / 10.0),
        Some(doublings) => {
            let grown = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(doublings));
            grown.min(LONGEST_RETRY).mul_f64(1.0 - spread / 2.0)
        }
    }
}

fn spread() -> f64 {
    let thousandths = RandomState::new().hash_one(0_u8) % 1_000;
    thousandths as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
