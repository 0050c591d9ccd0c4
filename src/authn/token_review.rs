//! Tokens of a Kubernetes cluster: its API server is asked about them, by a TokenReview (authentication.k8s.io/v1).

use std::fmt;
use std::sync::Arc;

use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url};
use serde_json::{Map, Value, json};
use tracing::debug;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::{Identity, Method};
use crate::metrics::{self, Metrics};
use crate::outbound;
use crate::reason::Reason;
use crate::strict_json;

use super::answers::Answer;
use super::callout::{self, Callout, Failure, Trouble};
use super::config::TokenReviewConfig;

#[cfg(test)]
mod tests;

const API_VERSION: &str = "authentication.k8s.io/v1";
const PATH: &str = "apis/authentication.k8s.io/v1/tokenreviews";
/// Of `status.error`, this much is logged.
const MAX_LOGGED: usize = 500;
/// Where the API server puts the `jti` of a service account's token, as `JTI=...`.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Finds out whom tokens of a cluster stand for.
pub struct TokenReview {
    config: TokenReviewConfig,
    client: Client,
    url: Url,
    /// Of every identity.
    issuer: String,
    callout: Callout,
}

impl TokenReview {
    /// Checks that there is a token of our own; opens no connection.
    pub fn new(config: TokenReviewConfig, clock: Clock) -> Result<Self, Vec<Diagnostic>> {
        let mut findings = Vec::new();
        let (url, ca_file) = (&config.callout.url, config.callout.ca_file.as_deref());
        let host = url.authority().to_owned();
        let client = outbound::client(url, ca_file, config.callout.timeout).map_err(|error| {
            let message = format!("can't ask `{host}` about tokens: {error}");
            findings.push(Diagnostic::error("http-client", message));
        });
        if let Err(error) = std::fs::read(&config.token_file).map(Zeroizing::new) {
            let path = config.token_file.display();
            let message = format!("can't read our own token for the API server, `{path}`: {error}");
            let help = "mount a service account's token, or name another file as `token_file`";
            findings.push(Diagnostic::error("token-file", message).help(help));
        }
        let Ok(client) = client else { return Err(findings) };
        if !findings.is_empty() {
            return Err(findings);
        }
        let issuer = url.as_str().trim_end_matches('/').to_owned();
        let mut url = url.clone();
        url.set_path(&format!("{}/{PATH}", url.path().trim_end_matches('/')));
        let callout = Callout::new(metrics::Callout::TokenReview, &config.callout, clock);
        Ok(Self { config, client, url, issuer, callout })
    }

    /// Whom this token stands for. The API server is asked, unless it was a short while ago.
    pub async fn identify(&self, token: &str) -> Result<Arc<Identity>, Reason> {
        self.callout.identify(token, self.ask(token)).await
    }

    /// Counts requests and remembered answers from now on. The first call decides where to.
    pub fn count_in(&self, metrics: &Metrics) {
        self.callout.count_in(metrics);
    }

    async fn ask(&self, token: &str) -> Result<Answer, Failure> {
        let review = json!({
            "apiVersion": API_VERSION,
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": self.config.audiences},
        });
        let request = self.client.post(self.url.clone()).bearer_auth(&**self.own_token().await?);
        let request = request.header(ACCEPT, "application/json").json(&review);
        let body = callout::send(request, &[StatusCode::OK, StatusCode::CREATED]).await?;
        let identity = self.read(&body, token)?;
        Ok(Answer { identity, bytes: body.len() })
    }

    /// Kubernetes replaces the file long before the token in it ends.
    async fn own_token(&self) -> Result<Zeroizing<String>, Trouble> {
        let path = self.config.token_file.display();
        let text = tokio::fs::read_to_string(&self.config.token_file).await.map(Zeroizing::new);
        let text = text
            .map_err(|error| Trouble::NoCredential(format!("can't read our own token `{path}`: {error}")))?;
        match text.trim() {
            "" => Err(Trouble::NoCredential(format!("our own token, `{path}`, is empty"))),
            token => Ok(Zeroizing::new(token.to_owned())),
        }
    }

    fn read(&self, body: &[u8], token: &str) -> Result<Identity, Failure> {
        let review =
            strict_json::object(body).map_err(|_| Trouble::Invalid("it is not one strict JSON object"))?;
        let says = |field: &str, wanted: &str| review.get(field).and_then(Value::as_str) == Some(wanted);
        if !says("apiVersion", API_VERSION) || !says("kind", "TokenReview") {
            return Err(Trouble::Invalid("it is no TokenReview of authentication.k8s.io/v1").into());
        }
        let Some(Value::Object(status)) = review.get("status") else {
            return Err(Trouble::Invalid("it has no `status`").into());
        };
        let error = optional(status.get("error"), text)?.unwrap_or_default();
        if !error.is_empty() {
            let error: String = error.replace(token, "<token>").chars().take(MAX_LOGGED).collect();
            debug!(url = %self.url, ?error, "the API server could not check a token");
        }
        match status.get("authenticated") {
            Some(Value::Bool(true)) if error.is_empty() => {}
            // Go leaves out a `false`.
            Some(Value::Bool(_)) | None => return Err(Reason::TokenInactive.into()),
            Some(_) => return Err(Trouble::Invalid("`status.authenticated` is not a boolean").into()),
        }
        // A server that knows nothing of audiences names none. Its token may be meant for any service.
        let audiences = optional(status.get("audiences"), texts)?.unwrap_or_default();
        if !audiences.iter().any(|audience| self.config.audiences.contains(audience)) {
            return Err(Reason::TokenAudience.into());
        }
        self.user(status.get("user"))
    }

    fn user(&self, user: Option<&Value>) -> Result<Identity, Failure> {
        let Some(Value::Object(user)) = user else {
            return Err(Trouble::Invalid("`status.user` is not an object").into());
        };
        let subject = optional(user.get("username"), text)?.unwrap_or_default().to_owned();
        let groups = optional(user.get("groups"), texts)?.unwrap_or_default();
        let uid = optional(user.get("uid"), text)?.unwrap_or_default().to_owned();
        let extra = optional(user.get("extra"), extra)?.unwrap_or_default();
        if subject.is_empty() || subject.chars().any(char::is_control) {
            return Err(Trouble::Invalid("`status.user.username` is no name").into());
        }
        if subject == "system:anonymous" || groups.iter().any(|group| group == "system:unauthenticated") {
            return Err(Reason::TokenInactive.into());
        }
        let token_id = token_id(&extra);
        let mut claims = Map::new();
        claims.insert("uid".to_owned(), uid.into());
        claims.insert("extra".to_owned(), extra.into());
        Ok(Identity {
            method: Method::Kubernetes,
            subject,
            issuer: self.issuer.clone(),
            groups,
            claims,
            token_id,
            ..Identity::clone(&Identity::anonymous())
        })
    }
}

fn optional<'v, T>(
    value: Option<&'v Value>,
    read: impl Fn(&'v Value) -> Option<T>,
) -> Result<Option<T>, Trouble> {
    let wrong = Trouble::Invalid("a field of `status` is of the wrong type");
    value.map(|value| read(value).ok_or(wrong)).transpose()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A map of lists of strings.
fn extra(value: &Value) -> Option<Map<String, Value>> {
    let map = value.as_object()?;
    map.values().all(|list| texts(list).is_some()).then(|| map.clone())
}

fn token_id(extra: &Map<String, Value>) -> String {
    let ids = extra.get(CREDENTIAL_ID).and_then(Value::as_array);
    let id = ids.and_then(|ids| ids.iter().find_map(|id| id.as_str()?.strip_prefix("JTI=")));
    id.unwrap_or_default().to_owned()
}

impl fmt::Debug for TokenReview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReview").field("config", &self.config).finish_non_exhaustive()
    }
}
