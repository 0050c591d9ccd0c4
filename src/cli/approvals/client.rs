//! The admin API as the commands call it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::secret::Secret;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A shorter end of an id names too many.
const SHORTEST_SUFFIX: usize = 6;

/// A UUID in its usual form.
const ID_LENGTH: usize = 36;

/// Why a command has no answer. `Display` is what the person reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no token: give `--token-file FILE`, or set PORTCULLIS_TOKEN")]
    NoToken,
    #[error("can't read the token file `{path}`: {error}", path = .0.display(), error = .1)]
    TokenFile(PathBuf, std::io::Error),
    #[error("`{0}` is not an address like http://127.0.0.1:9190")]
    BadServer(String),
    #[error("can't reach the server at {0}: {1}; is it running, and is this its admin address?")]
    Unreachable(String, String),
    #[error("{0} does not answer like a portcullis server (status {1})")]
    NotPortcullis(String, StatusCode),
    #[error("the server does not accept the token: {0}; get a new one for the admin audience")]
    Unauthenticated(String),
    #[error("not permitted: {0}")]
    Forbidden(String),
    #[error("nothing was changed: {0}")]
    Conflict(String),
    #[error("{0}")]
    Refused(String),
    #[error("`{0}` is too short: give the whole id, or at least its last 6 characters")]
    ShortId(String),
    #[error("`{0}` is not an id")]
    BadId(String),
    #[error("none of the newest requests that you may see ends with `{0}`")]
    UnknownId(String),
    #[error("several requests end with `{0}`; give more of the id")]
    AmbiguousId(String),
    #[error("can't write the output: {0}")]
    Output(#[from] std::io::Error),
}

pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: Secret<String>,
}

impl Client {
    pub(super) fn new(server: &str, token_file: Option<&Path>) -> Result<Self, Failure> {
        let token = match token_file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| Failure::TokenFile(path.to_owned(), error))?
            }
            None => std::env::var("PORTCULLIS_TOKEN").map_err(|_| Failure::NoToken)?,
        };
        Self::with_token(server, &token)
    }

    pub(super) fn with_token(server: &str, token: &str) -> Result<Self, Failure> {
        let token = token.trim();
        if token.is_empty() {
            return Err(Failure::NoToken);
        }
        let url = reqwest::Url::parse(server).map_err(|_| Failure::BadServer(server.to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::BadServer(server.to_owned()));
        }
        // A redirect would carry the token to somewhere that nobody named.
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::Unreachable(server.to_owned(), cause(&error)))?;
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { http, server, token: Secret::new(token.to_owned()) })
    }

    /// The newest requests, over as many pages as it takes.
    pub(super) async fn list(&self, state: Option<&str>, limit: u32) -> Result<Value, Failure> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut approvals = Vec::new();
        let mut token = String::new();
        loop {
            let rest = wanted.saturating_sub(approvals.len()).to_string();
            let query = [("state", state.unwrap_or_default()), ("limit", &rest), ("pageToken", &token)];
            let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/approvals", self.server), query)
                .map_err(|_| Failure::BadServer(self.server.clone()))?;
            let mut page = self.send(self.http.get(url)).await?;
            if let Some(Value::Array(listed)) = page.get_mut("approvals").map(Value::take) {
                approvals.extend(listed);
            }
            token = page.get("nextPageToken").and_then(Value::as_str).unwrap_or_default().to_owned();
            if token.is_empty() || approvals.len() >= wanted {
                return Ok(json!({"approvals": approvals}));
            }
        }
    }

    pub(super) async fn show(&self, id: &str) -> Result<Value, Failure> {
        self.send(self.http.get(format!("{}/api/v1/approvals/{id}", self.server))).await
    }

    pub(super) async fn decide(&self, id: &str, verb: &str, reason: &str) -> Result<Value, Failure> {
        let url = format!("{}/api/v1/approvals/{id}:{verb}", self.server);
        self.send(self.http.post(url).json(&json!({"reason": reason}))).await
    }

    /// The whole id that `given` stands for.
    pub(super) async fn resolve(&self, given: &str) -> Result<String, Failure> {
        if !given.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Err(Failure::BadId(given.to_owned()));
        }
        if given.len() >= ID_LENGTH {
            return Ok(given.to_owned());
        }
        if given.len() < SHORTEST_SUFFIX {
            return Err(Failure::ShortId(given.to_owned()));
        }
        let list = self.list(None, 500).await?;
        let approvals = list.get("approvals").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let ids = approvals.iter().filter_map(|approval| approval.get("id").and_then(Value::as_str));
        let mut matching = ids.filter(|id| id.ends_with(given));
        match (matching.next(), matching.next()) {
            (Some(id), None) => Ok(id.to_owned()),
            (Some(_), Some(_)) => Err(Failure::AmbiguousId(given.to_owned())),
            (None, _) => Err(Failure::UnknownId(given.to_owned())),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let unreachable = |error: reqwest::Error| Failure::Unreachable(self.server.clone(), cause(&error));
        let response = request.bearer_auth(self.token.expose()).send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        let body: Value =
            serde_json::from_slice(&body).map_err(|_| Failure::NotPortcullis(self.server.clone(), status))?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body.get("message").and_then(Value::as_str);
        let message = message.ok_or_else(|| Failure::NotPortcullis(self.server.clone(), status))?.to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::Unauthenticated(message),
            StatusCode::FORBIDDEN => Failure::Forbidden(message),
            StatusCode::CONFLICT => Failure::Conflict(message),
            _ => Failure::Refused(message),
        })
    }
}

/// The innermost cause: reqwest's own words only say that sending failed.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;

    async fn serve(status: u16, body: &'static str) -> String {
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
            let client = Client::with_token(&server, "t").unwrap();
            let message = client.decide("x", "approve", "").await.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let client = Client::with_token(&serve(200, "<html>").await, "t").unwrap();
        assert!(client.show("x").await.unwrap_err().to_string().contains("does not answer like"));
        let client = Client::with_token("http://127.0.0.1:1", "t").unwrap();
        assert!(client.show("x").await.unwrap_err().to_string().contains("can't reach the server"));
        assert!(matches!(Client::with_token("nowhere", "t"), Err(Failure::BadServer(_))));
        assert!(matches!(Client::with_token("http://h", " \n"), Err(Failure::NoToken)));
    }

    #[tokio::test]
    async fn the_end_of_an_id_must_name_one_request() {
        let list = r#"{"approvals": [{"id": "0-aaaaaa111111"}, {"id": "0-bbbbbb111111"}]}"#;
        let client = Client::with_token(&serve(200, list).await, "t").unwrap();
        assert_eq!(client.resolve("a111111").await.unwrap(), "0-aaaaaa111111");
        assert!(matches!(client.resolve("111111").await, Err(Failure::AmbiguousId(_))));
        assert!(matches!(client.resolve("222222").await, Err(Failure::UnknownId(_))));
        assert!(matches!(client.resolve("11111").await, Err(Failure::ShortId(_))));
        assert!(matches!(client.resolve("../../x").await, Err(Failure::BadId(_))));
    }
}
