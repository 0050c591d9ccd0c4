//! One fetch of a key set over HTTP, found by OpenID Connect Discovery where that is configured: no redirects, ten seconds,
//! one mebibyte.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use tokio::time::timeout;

use crate::diagnostic::{Diagnostic, innermost};
use crate::outbound::{self, BodyError};
use crate::strict_json;

use super::config::{Remote, key_set_url};
use super::key_set::{KeySet, Unusable};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_SIZE: usize = 1 << 20;

/// Fetches the keys of one issuer.
pub struct Fetcher {
    client: Client,
    remote: Remote,
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the request failed: {}", innermost(.0))]
    Http(#[from] reqwest::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    #[error("the answer is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("the answer is no usable key set: {0}")]
    Unusable(#[from] Unusable),
    #[error("the answer is no usable configuration of the issuer: {0}")]
    Configuration(String),
}

impl Fetcher {
    /// A client for the URL; the certificates to trust are read now.
    pub fn new(remote: Remote) -> Result<Self, Diagnostic> {
        let refused =
            |problem| Diagnostic::error("http-client", format!("can't fetch `{}`: {problem}", remote.url));
        let url = Url::parse(&remote.url).map_err(|error| refused(error.to_string()))?;
        let client = outbound::client(&url, remote.ca_file.as_deref(), TIMEOUT).map_err(refused)?;
        Ok(Self { client, remote })
    }

    pub fn url(&self) -> &str {
        &self.remote.url
    }

    /// The usable keys, and what is wrong with the others.
    pub async fn fetch(&self) -> Result<(KeySet, Vec<String>), FetchError> {
        // One limit for both requests: a fetch that is asked for is waited for.
        timeout(TIMEOUT, self.fetch_at_leisure()).await.map_err(|_| FetchError::Timeout)?
    }

    async fn fetch_at_leisure(&self) -> Result<(KeySet, Vec<String>), FetchError> {
        let discovered;
        let url = match &self.remote.discovery_of {
            Some(issuer) => {
                discovered = self.discover(issuer).await?;
                &discovered
            }
            None => &self.remote.url,
        };
        Ok(KeySet::parse(&self.get(url).await?)?)
    }

    /// The URL of the keys, by the issuer's own configuration (OpenID Connect Discovery 1.0, sections 4.2 and 4.3).
    async fn discover(&self, issuer: &str) -> Result<String, FetchError> {
        let refused = |problem: String| FetchError::Configuration(problem);
        let configuration = strict_json::object(&self.get(&self.remote.url).await?)
            .map_err(|error| refused(format!("it is not strict JSON: {error}")))?;
        match configuration.get("issuer") {
            Some(Value::String(name)) if name == issuer => {}
            Some(Value::String(name)) => return Err(refused(format!("it is of the issuer {name:?}"))),
            _ => return Err(refused("it lacks `issuer`".into())),
        }
        let Some(Value::String(url)) = configuration.get("jwks_uri") else {
            return Err(refused("it lacks `jwks_uri`".into()));
        };
        outbound::checked_url(url, self.remote.allow_insecure)
            .map_err(|fault| refused(format!("its `jwks_uri`: {}", key_set_url(url, fault))))?;
        Ok(url.clone())
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let response = self.client.get(url).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        outbound::body(response, MAX_SIZE).await.map_err(|error| match error {
            BodyError::TooLarge => FetchError::TooLarge,
            BodyError::Http(error) => error.into(),
        })
    }
}
