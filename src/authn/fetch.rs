//! One fetch of a key set over HTTP: no redirects, ten seconds, one mebibyte.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

use super::key_set::{KeySet, Unusable};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_SIZE: usize = 1 << 20;

/// Fetches one URL.
pub struct Fetcher {
    client: Client,
    url: String,
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the request failed: {}", root(.0))]
    Http(#[from] reqwest::Error),
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    #[error("the answer is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("the answer is no usable key set: {0}")]
    Unusable(#[from] Unusable),
}

impl Fetcher {
    pub fn new(url: String) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The usable keys, and what is wrong with the others.
    pub async fn fetch(&self) -> Result<(KeySet, Vec<String>), FetchError> {
        let mut response = self.client.get(&self.url).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > MAX_SIZE {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(KeySet::parse(&body)?)
    }
}

/// The innermost cause, which says what went wrong (`Connection refused`); the outer ones repeat the URL.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
