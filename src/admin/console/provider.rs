//! The identity provider that people log in at: OpenID Connect, authorization code flow with PKCE.
//!
//! The id token is verified by `crate::authn`, like any other token, with the client id as its audience; what is
//! checked here is what ties it to this login: `nonce`, `azp`, `auth_time`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use reqwest::{Client, StatusCode, Url};
use serde_json::{Map, Value};

use super::throttle::TooMany;
use crate::clock;
use crate::diagnostic::innermost;
use crate::identity::Identity;
use crate::outbound::{self, UrlFault, checked_url};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::strict_json;

/// A request to the provider takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer of the provider.
const MAX_ANSWER: usize = 256 << 10;
/// For how long what the provider says of itself is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);

/// What the configuration says of the provider.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// What `iss` must say, byte for byte; its configuration is found below it.
    pub issuer: String,
    pub client_id: String,
    /// Without one, this is a public client: PKCE alone protects the code.
    pub client_secret_file: Option<PathBuf>,
    pub scopes: Vec<String>,
    /// The certificates to trust in place of the system's (PEM).
    pub ca_file: Option<PathBuf>,
    /// Whether `http://` is accepted beyond this host.
    pub allow_insecure: bool,
    /// How id tokens are verified.
    pub id_tokens: crate::authn::Config,
}

/// Why a login did not come to its end. `Display` is what the person reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    #[error("there is no identity provider to log in at: `admin.console.issuer` is not set")]
    NoProvider,
    #[error("the identity provider can't be used: {0}")]
    Provider(String),
    #[error("the identity provider refused: {0}")]
    Refused(String),
    #[error("this login was not begun in this browser, was begun too long ago, or was finished already")]
    Flow,
    #[error("the answer is not from the identity provider that was asked")]
    MixedUp,
    #[error("the identity provider's token was refused: {0}")]
    Token(&'static str),
    #[error(
        "the identity provider did not ask for the password again, or does not say when it did (`auth_time`)"
    )]
    NotAgain,
    #[error("the server can't verify who you are now; try again")]
    Unavailable,
    #[error(
        "your account has too many groups for a session: let the provider send only those that matter here"
    )]
    TooManyGroups,
    #[error("this token is not the one in the file, was used already, or has expired")]
    OneTimeToken,
    #[error("{limit}: try again in {seconds} s", limit = .0.limit, seconds = .0.seconds)]
    TooMany(TooMany),
}

/// Where the provider is asked for what.
#[derive(Clone, Debug)]
pub struct Endpoints {
    authorization: Url,
    token: Url,
    /// Whether its answers name it (RFC 9207).
    pub names_itself: bool,
    /// Whether it takes the client's secret in the body only.
    secret_in_body: bool,
}

/// What ties an answer of the provider to the browser that asked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    pub state: String,
    pub nonce: String,
    pub verifier: String,
    /// Where the person wanted to go: a path of the console.
    pub next: String,
    /// Seconds since 1970.
    pub started: i64,
    /// Whether the person must prove anew who they are.
    pub again: bool,
}

pub struct Provider {
    config: ProviderConfig,
    secret: Option<Secret<String>>,
    client: Client,
    found: Mutex<Option<(Instant, Arc<Endpoints>)>>,
}

impl Provider {
    /// Reads the secret and the certificates; asks nobody. The error is for the operator.
    pub fn new(config: ProviderConfig) -> Result<Self, String> {
        let issuer = Url::parse(&config.issuer).map_err(|error| format!("`{}`: {error}", config.issuer))?;
        let client = outbound::client(&issuer, config.ca_file.as_deref(), TIMEOUT)?;
        let secret = match &config.client_secret_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    format!("can't read the client's secret `{}`: {error}", path.display())
                })?;
                let text = text.trim_end_matches(['\r', '\n']);
                if text.is_empty() {
                    return Err(format!("the client's secret `{}` is empty", path.display()));
                }
                Some(Secret::new(text.to_owned()))
            }
            None => None,
        };
        Ok(Self { config, secret, client, found: Mutex::new(None) })
    }

    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Where to send the browser for a login of which `flow` is kept; a fresh proof is asked for where `flow.again`.
    /// `max_age`, in seconds, makes the provider say when the person proved who they are.
    pub async fn authorization_url(
        &self,
        flow: &Flow,
        redirect_uri: &str,
        max_age: u64,
    ) -> Result<Url, LoginError> {
        let endpoints = self.endpoints().await?;
        let challenge = digest::digest(&digest::SHA256, flow.verifier.as_bytes());
        let mut url = endpoints.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256")
            .append_pair("max_age", &max_age.to_string());
        if flow.again {
            query.append_pair("prompt", "login");
        }
        drop(query);
        Ok(url)
    }

    /// The id token for a code, not verified yet.
    pub async fn redeem(&self, code: &str, flow: &Flow, redirect_uri: &str) -> Result<String, LoginError> {
        let endpoints = self.endpoints().await?;
        let client_id = self.config.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &flow.verifier),
        ];
        let mut request = self.client.post(endpoints.token.clone());
        match &self.secret {
            None => form.push(("client_id", client_id)),
            Some(secret) if endpoints.secret_in_body => {
                form.extend([("client_id", client_id), ("client_secret", secret.expose())]);
            }
            // RFC 6749 section 2.3.1: both are encoded as in a form first.
            Some(secret) => request = request.basic_auth(encoded(client_id), Some(encoded(secret.expose()))),
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let (status, answer) = self.ask(request).await?;
        if status != StatusCode::OK {
            let code = answer.get("error").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(LoginError::Refused(format!("{code} ({})", status.as_u16())));
        }
        let token = answer.get("id_token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| LoginError::Provider("it sent no id token".into()))
    }

    /// Whether a verified id token is of this login; when its person proved who they are, in seconds since 1970.
    pub fn check(&self, who: &Identity, flow: &Flow, now: i64) -> Result<Option<i64>, LoginError> {
        let text = |name: &str| who.claims.get(name).and_then(Value::as_str);
        if text("nonce") != Some(flow.nonce.as_str()) {
            return Err(LoginError::Token("it is of another login (`nonce`)"));
        }
        let several = matches!(who.claims.get("aud"), Some(Value::Array(names)) if names.len() > 1);
        let party = who.claims.get("azp");
        if (several || party.is_some()) && text("azp") != Some(self.config.client_id.as_str()) {
            return Err(LoginError::Token("it was made for another client (`azp`)"));
        }
        let proven = match who.claims.get("auth_time") {
            None => None,
            Some(at) => Some(at.as_i64().ok_or(LoginError::Token("`auth_time` is not a number"))?),
        };
        let leeway = i64::try_from(crate::authn::MAX_LEEWAY.as_secs()).unwrap_or(0);
        if proven.is_some_and(|at| at > now.saturating_add(leeway)) {
            return Err(LoginError::Token("`auth_time` is yet to come"));
        }
        if flow.again && proven.is_none_or(|at| at.saturating_add(leeway) < flow.started) {
            return Err(LoginError::NotAgain);
        }
        Ok(proven)
    }

    /// What the provider says of itself (OpenID Connect Discovery 1.0), asked for when it is not known lately.
    pub async fn endpoints(&self) -> Result<Arc<Endpoints>, LoginError> {
        let now = clock::instant();
        if let Some((at, found)) = &*self.found.lock()
            && now.saturating_duration_since(*at) < REMEMBERED
        {
            return Ok(found.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let (status, answer) = self.ask(self.client.get(url)).await?;
        if status != StatusCode::OK {
            return Err(LoginError::Provider(format!(
                "its configuration is answered with {}",
                status.as_u16()
            )));
        }
        let endpoints = Arc::new(self.understood(&answer)?);
        *self.found.lock() = Some((now, endpoints.clone()));
        Ok(endpoints)
    }

    fn understood(&self, answer: &Map<String, Value>) -> Result<Endpoints, LoginError> {
        let wrong = |what: String| LoginError::Provider(what);
        if answer.get("issuer").and_then(Value::as_str) != Some(self.config.issuer.as_str()) {
            return Err(wrong("its configuration is of another issuer".into()));
        }
        let endpoint = |name: &str| {
            let text = answer.get(name).and_then(Value::as_str).unwrap_or_default();
            checked_url(text, self.config.allow_insecure).map_err(|fault| match fault {
                UrlFault::Insecure => wrong(format!("its `{name}` is not an `https://` URL")),
                _ => wrong(format!("its configuration lacks `{name}`")),
            })
        };
        let methods = answer.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let takes = |name: &str| methods.is_some_and(|all| all.iter().any(|one| one == name));
        Ok(Endpoints {
            authorization: endpoint("authorization_endpoint")?,
            token: endpoint("token_endpoint")?,
            names_itself: answer.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }

    async fn ask(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(StatusCode, Map<String, Value>), LoginError> {
        let failed = |error: &reqwest::Error| LoginError::Provider(innermost(error));
        let response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = outbound::body(response, MAX_ANSWER).await.map_err(|error| match error {
            outbound::BodyError::TooLarge => LoginError::Provider("its answer is too large".into()),
            outbound::BodyError::Http(error) => failed(&error),
        })?;
        let answer = strict_json::object(&body);
        if status == StatusCode::OK && answer.is_err() {
            return Err(LoginError::Provider("its answer is not strict JSON".into()));
        }
        Ok((status, answer.unwrap_or_default()))
    }
}

impl From<Reason> for LoginError {
    fn from(reason: Reason) -> Self {
        if reason.is_refused_credential() { Self::Token(reason.as_str()) } else { Self::Unavailable }
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
