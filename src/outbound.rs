//! HTTP that the server asks others by: URLs that may be asked, a client that goes nowhere else, the certificates to trust,
//! and bodies with a limit.
//!
//! `client` is for what the operator named and what is often private on purpose (key sets, introspection, bundles): it goes
//! anywhere but to where clouds hand out credentials. `guarded_client` goes to public addresses alone, unless more is
//! allowed. Both check every address that they connect to.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Response, Url};

use crate::diagnostic::innermost;

mod environment;
mod reach;

pub use environment::Environment;
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
    /// It names an address at which clouds hand out credentials.
    Metadata,
}

impl UrlFault {
    /// The code of the finding.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotHttp | Self::Credentials | Self::Metadata => "invalid-url",
            Self::Insecure => "insecure-url",
        }
    }
}

/// A URL to ask: `web_url` says what it may be. Link-local addresses are none, however they are written.
pub fn checked_url(text: &str, allow_insecure: bool) -> Result<Url, UrlFault> {
    let url = web_url(text, allow_insecure)?;
    if reach::literal(&url).is_some_and(reach::is_metadata) { Err(UrlFault::Metadata) } else { Ok(url) }
}

/// An `https://` URL without credentials; or an `http://` one, where nobody can read along or where that is allowed.
pub fn web_url(text: &str, allow_insecure: bool) -> Result<Url, UrlFault> {
    let parsed = Url::parse(text).ok();
    let named = |url: &Url| !url.username().is_empty() || url.password().is_some();
    // First of all, and also of what is no URL: whoever says what is wrong repeats the others.
    if parsed.as_ref().map_or_else(|| text.contains('@'), named) {
        return Err(UrlFault::Credentials);
    }
    let parsed = parsed.filter(Url::has_host);
    let url = parsed.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(UrlFault::NotHttp)?;
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
    direct_if_plain(builder(ca_file, timeout)?, url).build().map_err(|error| innermost(&error))
}

/// A client that asks no proxy for an `http://` URL: one would be sent plain HTTP as it is, with the credentials in it, also
/// what was meant for this machine alone.
pub fn direct_if_plain(client: ClientBuilder, url: &Url) -> ClientBuilder {
    if url.scheme() == "http" { client.no_proxy() } else { client }
}

/// As `client`, and it connects to addresses within `reach` only. Through a proxy of the environment it goes to `https://`
/// URLs: the proxy's own address is the operator's word, and where it connects to for us is checked as far as names mean
/// the same here.
pub fn guarded_client(
    url: &Url,
    ca_file: Option<&Path>,
    timeout: Duration,
    reach: Reach,
    environment: &Environment,
) -> Result<GuardedClient, String> {
    let mut client = builder(ca_file, timeout)?.no_proxy();
    let mut resolver = reach::Resolver::system(reach.clone());
    let proxy = if url.scheme() == "https" { environment.proxy()? } else { None };
    let look_ahead = proxy.is_some().then(|| resolver.clone());
    if let Some((proxy, host)) = proxy {
        client = client.proxy(proxy);
        resolver = resolver.trusting(host);
    }
    let client = client.dns_resolver(resolver).build().map_err(|error| innermost(&error))?;
    Ok(GuardedClient { client, reach, look_ahead })
}

fn builder(ca_file: Option<&Path>, timeout: Duration) -> Result<ClientBuilder, String> {
    let client = Client::builder().redirect(Policy::none()).timeout(timeout).user_agent(USER_AGENT);
    let client = client.dns_resolver(reach::Resolver::anywhere());
    Ok(match ca_file {
        Some(path) => client.tls_certs_only(certificates(path)?),
        None => client,
    })
}

/// How `client` finds addresses: none at which clouds hand out credentials.
pub fn resolver() -> impl reqwest::dns::Resolve + 'static {
    reach::Resolver::anywhere()
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

    #[tokio::test]
    async fn plain_http_is_told_to_no_proxy() {
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", proxy.local_addr().unwrap());
        let url: Url = "http://127.0.0.1:1/".parse().unwrap();
        let proxied = || Client::builder().proxy(reqwest::Proxy::all(&address).unwrap());
        let direct = direct_if_plain(proxied(), &url).build().unwrap();
        tokio::select! {
            got = direct.get(url).send() => assert!(got.unwrap_err().is_connect()),
            _ = proxy.accept() => panic!("the proxy was told"),
        }
        let secure: Url = "https://127.0.0.1:1/".parse().unwrap();
        let asking = direct_if_plain(proxied(), &secure).build().unwrap().get(secure).send();
        let asks = tokio::spawn(asking);
        proxy.accept().await.unwrap();
        asks.abort();
    }

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
            ("ftp://me:secret@a.example", true, Some(UrlFault::Credentials)),
            ("https//me:secret@a.example", true, Some(UrlFault::Credentials)),
            ("https://me:secret@", true, Some(UrlFault::Credentials)),
            ("https://169.254.169.254/latest", true, Some(UrlFault::Metadata)),
            ("http://0xa9fea9fe/", true, Some(UrlFault::Metadata)),
            ("http://2852039166/", true, Some(UrlFault::Metadata)),
            ("http://[::ffff:169.254.169.254]/", true, Some(UrlFault::Metadata)),
            ("http://[64:ff9b::a9fe:a9fe]/", true, Some(UrlFault::Metadata)),
            ("http://[fd00:ec2::254]/", true, Some(UrlFault::Metadata)),
            ("http://[fd00:ec2::23]/", true, Some(UrlFault::Metadata)),
            ("http://[fe80::5efe:8.8.8.8]/", true, Some(UrlFault::Metadata)),
            ("https://10.0.0.1/", false, None),
            ("a.example", true, Some(UrlFault::NotHttp)),
            ("/x", true, Some(UrlFault::NotHttp)),
            ("", true, Some(UrlFault::NotHttp)),
        ] {
            assert_eq!(checked_url(text, insecure).err(), fault, "{text}");
        }
    }
}
