//! HTTP to the services that identities rest on: a client that goes nowhere else, and bodies with a limit.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};

/// Why a body was not read to its end.
#[derive(Debug)]
pub enum BodyError {
    TooLarge,
    Http(reqwest::Error),
}

/// A client for `url`, which follows no redirect (it would carry credentials elsewhere) and gives up after `timeout`.
/// It trusts the certificates in `ca_file` only, if there is one. The error is for the operator.
pub fn client(url: &Url, ca_file: Option<&Path>, timeout: Duration) -> Result<Client, String> {
    let mut client = Client::builder()
        .redirect(Policy::none())
        .timeout(timeout)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    // A proxy would be sent plain HTTP as it is, also what was meant for this machine alone.
    if url.scheme() == "http" {
        client = client.no_proxy();
    }
    if let Some(path) = ca_file {
        let named = |error: String| format!("the certificates in `{}`: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| named(root(&error)))?;
        if certificates.is_empty() {
            return Err(named("there is none".to_owned()));
        }
        client = client.tls_certs_only(certificates);
    }
    client.build().map_err(|error| root(&error))
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

/// The innermost cause, which says what went wrong (`Connection refused`); the outer ones repeat the URL.
pub fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
