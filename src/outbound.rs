//! HTTP that the server asks others by: a client that goes nowhere else, the certificates to trust, and bodies with a limit.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};

use crate::diagnostic::innermost;

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

/// Why a body was not read to its end.
#[derive(Debug)]
pub enum BodyError {
    TooLarge,
    Http(reqwest::Error),
}

/// A client for `url`, which follows no redirect (it would carry credentials elsewhere) and gives up after `timeout`.
/// It trusts the certificates in `ca_file` only, if there is one. The error is for the operator.
pub fn client(url: &Url, ca_file: Option<&Path>, timeout: Duration) -> Result<Client, String> {
    let mut client = Client::builder().redirect(Policy::none()).timeout(timeout).user_agent(USER_AGENT);
    // A proxy would be sent plain HTTP as it is, also what was meant for this machine alone.
    if url.scheme() == "http" {
        client = client.no_proxy();
    }
    if let Some(path) = ca_file {
        client = client.tls_certs_only(certificates(path)?);
    }
    client.build().map_err(|error| innermost(&error))
}

/// The certificates in a file (PEM), at least one. The error is for the operator.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let named = |error: String| format!("the certificates in `{}`: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| named(innermost(&error)))?;
    if certificates.is_empty() { Err(named("there is none".to_owned())) } else { Ok(certificates) }
}

/// The whole body, which may have so many bytes.
pub async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Http)? {
        if body.len().saturating_add(chunk.len()) > most {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
