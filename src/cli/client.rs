//! The admin API as commands call it: its JSON form, with a bearer token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde_json::Value;

use crate::diagnostic::innermost;
use crate::outbound::{self, UrlFault};
use crate::secret::Secret;

mod events;
mod tls;

pub use events::Events;
pub use tls::Tls;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Whether a stream is alive is seen by its events.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Why a command has no answer. `Display` is what the person reads.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no token: give `--token-file FILE`, or set PORTCULLIS_TOKEN")]
    NoToken,
    #[error("can't read the token file `{path}`: {error}", path = .0.display(), error = .1)]
    TokenFile(PathBuf, std::io::Error),
    #[error("`{0}` is not an address like http://127.0.0.1:9190")]
    BadServer(String),
    #[error("can't use the TLS file `{path}`: {why}", path = .0.display(), why = .1)]
    TlsFile(PathBuf, String),
    #[error("`--client-cert` and `--client-key` go together: give both")]
    HalfIdentity,
    #[error("`--ca`, `--client-cert` and `--client-key` are for https://, and the server is {0}")]
    NotHttps(String),
    #[error("`{0}` is not on this machine, and over http:// the token can be read on the way; use https://")]
    PlainHttp(String),
    #[error("no secure connection to the server at {0}: {1}")]
    Insecure(String, String),
    #[error(
        "can't reach the server at {0}: {1}; is it running, and is this its admin address (https:// where that has TLS)?"
    )]
    Unreachable(String, String),
    #[error("{0} does not answer like a portcullis server (status {1})")]
    NotPortcullis(String, StatusCode),
    #[error(
        "the server does not accept the token: {0}; get a new one for the admin audience, unless you are revoked"
    )]
    Unauthenticated(String),
    #[error("not permitted: {0}")]
    Forbidden(String),
    #[error("nothing was changed: {0}")]
    Conflict(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    #[error("can't write the output: {0}")]
    Output(#[from] std::io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    http: reqwest::Client,
    address: String,
    token: Secret<String>,
    shows_certificate: bool,
}

impl Server {
    /// Reads the token from the file, or from PORTCULLIS_TOKEN; opens no connection.
    pub fn new(address: &str, token_file: Option<&Path>, tls: &Tls) -> Result<Self, Failure> {
        let token = match token_file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| Failure::TokenFile(path.to_owned(), error))?
            }
            None => std::env::var("PORTCULLIS_TOKEN").map_err(|_| Failure::NoToken)?,
        };
        Self::with_token(address, &token, tls)
    }

    /// The same with this token. Over `http://` it goes to this machine only, and past any proxy.
    pub fn with_token(address: &str, token: &str, tls: &Tls) -> Result<Self, Failure> {
        Self::with_client(reqwest::Client::builder(), address, token, tls)
    }

    fn with_client(
        http: reqwest::ClientBuilder,
        address: &str,
        token: &str,
        tls: &Tls,
    ) -> Result<Self, Failure> {
        let token = token.trim();
        if token.is_empty() {
            return Err(Failure::NoToken);
        }
        let url = Url::parse(address).map_err(|_| Failure::BadServer(address.to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::BadServer(address.to_owned()));
        }
        // A redirect would carry the token to somewhere that nobody named.
        let http = http.timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let http = tls.apply(outbound::direct_if_plain(http, &url), &url)?;
        if outbound::checked_url(address, false) == Err(UrlFault::Insecure) {
            return Err(Failure::PlainHttp(address.to_owned()));
        }
        let http =
            http.build().map_err(|error| Failure::Unreachable(address.to_owned(), innermost(&error)))?;
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            address,
            token: Secret::new(token.to_owned()),
            shows_certificate: tls.shows_certificate(),
        })
    }

    /// What `path` answers; it begins with `/api/v1/`.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let url = Url::parse_with_params(&format!("{}{path}", self.address), query)
            .map_err(|_| Failure::BadServer(self.address.clone()))?;
        self.send(self.http.get(url)).await
    }

    /// As `get`, for what changes something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.http.post(format!("{}{path}", self.address)).json(body)).await
    }

    /// The events that `path` answers with; they have no end of their own.
    pub async fn events(&self, path: &str) -> Result<Events, Failure> {
        let request = self.http.get(format!("{}{path}", self.address)).timeout(STREAM_TIMEOUT);
        let unreachable = |error| self.unreachable(&error);
        let sent = request.bearer_auth(self.token.expose()).send();
        let sent = tokio::time::timeout(TIMEOUT, sent).await;
        let silent = |_| Failure::Unreachable(self.address.clone(), "no answer in time".to_owned());
        let response = sent.map_err(silent)?.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(Events::new(response, self.address.clone()));
        }
        self.read(response).await?;
        Err(Failure::NotPortcullis(self.address.clone(), StatusCode::OK))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        match tls::reason(error, self.shows_certificate) {
            Some(reason) => Failure::Insecure(self.address.clone(), reason),
            None => Failure::Unreachable(self.address.clone(), innermost(error)),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let response = request.bearer_auth(self.token.expose()).send().await;
        self.read(response.map_err(|error| self.unreachable(&error))?).await
    }

    async fn read(&self, response: reqwest::Response) -> Result<Value, Failure> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|_| Failure::NotPortcullis(self.address.clone(), status))?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body.get("message").and_then(Value::as_str);
        let message = message.ok_or_else(|| Failure::NotPortcullis(self.address.clone(), status))?.to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::Unauthenticated(message),
            StatusCode::FORBIDDEN => Failure::Forbidden(message),
            StatusCode::CONFLICT => Failure::Conflict(message),
            StatusCode::NOT_FOUND => Failure::NotFound(message),
            _ => Failure::Refused(message),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use axum::routing::get;
    use serde_json::json;

    /// A server that answers everything so; its address.
    pub async fn serve(status: u16, body: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let answer = move || async move { (status, body) };
        let router = axum::Router::new().fallback(get(answer).post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn each_refusal_says_what_to_do() {
        for (status, expected) in [
            (401, "does not accept the token: why"),
            (403, "not permitted: why"),
            (409, "nothing was changed: why"),
            (404, "why"),
        ] {
            let server = serve(status, r#"{"code": "c", "message": "why"}"#).await;
            let server = Server::with_token(&server, "t", &Tls::default()).unwrap();
            let message = server.post("/api/v1/x", &json!({})).await.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let server = Server::with_token(&serve(200, "<html>").await, "t", &Tls::default()).unwrap();
        let said = server.get("/api/v1/x", &[]).await.unwrap_err().to_string();
        assert!(said.contains("does not answer like"), "{said}");
        let server = Server::with_token("http://127.0.0.1:1", "t", &Tls::default()).unwrap();
        let said = server.get("/api/v1/x", &[]).await.unwrap_err().to_string();
        assert!(said.contains("can't reach the server"), "{said}");
        assert!(matches!(Server::with_token("nowhere", "t", &Tls::default()), Err(Failure::BadServer(_))));
        assert!(matches!(Server::with_token("http://h", " \n", &Tls::default()), Err(Failure::NoToken)));
    }

    #[tokio::test]
    async fn the_token_is_shown_to_no_proxy_and_goes_over_no_plain_network() {
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxied = reqwest::Proxy::all(format!("http://{}", proxy.local_addr().unwrap())).unwrap();
        let client = reqwest::Client::builder().proxy(proxied);
        let address = serve(200, r#"{"a": 1}"#).await;
        let server = Server::with_client(client, &address, "t", &Tls::default()).unwrap();
        tokio::select! {
            got = server.get("/api/v1/x", &[]) => assert_eq!(got.unwrap(), json!({"a": 1})),
            _ = proxy.accept() => panic!("the proxy was told"),
        }
        for far in ["http://portcullis.example", "http://10.0.0.7:9190", "http://localhost.example"] {
            let refused = Server::with_token(far, "t", &Tls::default()).unwrap_err();
            assert!(matches!(refused, Failure::PlainHttp(_)), "{far}: {refused}");
        }
        for near in ["http://localhost:9190", "http://[::1]:9190", "https://portcullis.example"] {
            assert!(Server::with_token(near, "t", &Tls::default()).is_ok(), "{near}");
        }
    }
}
