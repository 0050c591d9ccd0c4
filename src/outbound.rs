//! HTTP that the server asks others by: URLs that may be asked, a client that goes nowhere else, the certificates to trust,
//! and bodies with a limit.
//!
//! `client` is for what the operator named and what is often private on purpose (key sets, introspection, bundles);
//! `guarded_client` also checks every address that it connects to.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Response, Url};

use crate::diagnostic::innermost;

mod reach;

pub use reach::{GuardedClient, Reach, Unreachable};

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

/// Why a body was not read to its end.
#[derive(Debug)]
pub enum BodyError {
    TooLarge,
    Http(reqwest::Error),
}

/// Why a text is no URL to ask, or to send somebody to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// It is none, or neither `https://` nor `http://`.
    NotHttp,
    /// It holds a user name or a password. Whoever tells of it must not repeat it.
    Credentials,
    /// Somebody between here and there could read along, or answer in the server's place.
    Insecure,
}

impl UrlFault {
    /// The code of the finding.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotHttp | Self::Credentials => "invalid-url",
            Self::Insecure => "insecure-url",
        }
    }
}

/// An `https://` URL without credentials; or an `http://` one, where nobody can read along or where that is allowed.
pub fn checked_url(text: &str, allow_insecure: bool) -> Result<Url, UrlFault> {
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    let url = parsed.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(UrlFault::NotHttp)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlFault::Credentials);
    }
    if url.scheme() == "http" && !allow_insecure && !is_loopback(&url) {
        return Err(UrlFault::Insecure);
    }
    Ok(url)
}

/// Whether nobody between here and there could read or change what is fetched.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A client for `url`, which follows no redirect (it would carry credentials elsewhere) and gives up after `timeout`.
/// It trusts the certificates in `ca_file` only, if there is one. The error is for the operator.
pub fn client(url: &Url, ca_file: Option<&Path>, timeout: Duration) -> Result<Client, String> {
    let mut client = builder(ca_file, timeout)?;
    // A proxy would be sent plain HTTP as it is, also what was meant for this machine alone.
    if url.scheme() == "http" {
        client = client.no_proxy();
    }
    client.build().map_err(|error| innermost(&error))
}

/// As `client`, and it connects to addresses within `reach` only. A proxy would connect for it to anywhere, so it uses
/// none.
pub fn guarded_client(
    ca_file: Option<&Path>,
    timeout: Duration,
    reach: Reach,
) -> Result<GuardedClient, String> {
    let client = builder(ca_file, timeout)?.no_proxy().dns_resolver(reach::Resolver::system(reach.clone()));
    let client = client.build().map_err(|error| innermost(&error))?;
    Ok(GuardedClient { client, reach })
}

fn builder(ca_file: Option<&Path>, timeout: Duration) -> Result<ClientBuilder, String> {
    let client = Client::builder().redirect(Policy::none()).timeout(timeout).user_agent(USER_AGENT);
    Ok(match ca_file {
        Some(path) => client.tls_certs_only(certificates(path)?),
        None => client,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_without_credentials_or_stays_on_this_machine() {
        for (text, insecure, fault) in [
            ("https://a.example/x?y", false, None),
            ("http://localhost:1/x", false, None),
            ("http://127.0.0.2", false, None),
            ("http://[::1]:8080", false, None),
            ("http://a.example", true, None),
            ("http://a.example", false, Some(UrlFault::Insecure)),
            ("http://localhost.example", false, Some(UrlFault::Insecure)),
            ("http://127.0.0.1.example", false, Some(UrlFault::Insecure)),
            ("https://me@a.example", true, Some(UrlFault::Credentials)),
            ("https://:secret@a.example", true, Some(UrlFault::Credentials)),
            ("http://me:secret@a.example", false, Some(UrlFault::Credentials)),
            ("ftp://a.example", true, Some(UrlFault::NotHttp)),
            ("a.example", true, Some(UrlFault::NotHttp)),
            ("/x", true, Some(UrlFault::NotHttp)),
            ("", true, Some(UrlFault::NotHttp)),
        ] {
            assert_eq!(checked_url(text, insecure).err(), fault, "{text}");
        }
    }
}
