//! One fetch of a key set over HTTP, found by OpenID Connect Discovery where that is configured: no redirects, ten seconds,
//! one mebibyte.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::diagnostic::{Diagnostic, innermost};
use crate::strict_json;

use super::config::{Remote, safe_url};
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
        let client = client(&remote).map_err(|problem| {
            Diagnostic::error("http-client", format!("can't fetch `{}`: {problem}", remote.url))
        })?;
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
        safe_url(url, self.remote.allow_insecure)
            .map_err(|mistake| refused(format!("its `jwks_uri`: {}", mistake.message)))?;
        Ok(url.clone())
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut response = self.client.get(url).send().await?;
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
        Ok(body)
    }
}

fn client(remote: &Remote) -> Result<Client, String> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    // What is asked for in clear goes to this host, or where it was allowed: no proxy stands between.
    let builder = if remote.url.starts_with("http://") { builder.no_proxy() } else { builder };
    let builder = match &remote.ca_file {
        Some(path) => {
            let read = std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&read)
                .map_err(|error| format!("`{}`: {}", path.display(), innermost(&error)))?;
            if certificates.is_empty() {
                return Err(format!("`{}` holds no certificate in PEM", path.display()));
            }
            builder.tls_certs_only(certificates)
        }
        None => builder,
    };
    builder.build().map_err(|error| innermost(&error))
}
