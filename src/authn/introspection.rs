//! Opaque tokens: their authorization server is asked about them, as OAuth 2.0 token introspection (RFC 7662) says.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::Identity;
use crate::metrics::{self, Metrics};
use crate::outbound;
use crate::reason::Reason;
use crate::strict_json;

use super::answers::Answer;
use super::callout::{self, Callout, Failure, Trouble};
use super::claims::introspected;
use super::config::IntrospectionConfig;

#[cfg(test)]
mod tests;

/// Finds out whom opaque tokens stand for.
pub struct Introspection {
    config: IntrospectionConfig,
    client: Client,
    /// Of every identity.
    issuer: String,
    /// Client id and secret, as the `authorization` header of our own requests.
    credential: HeaderValue,
    callout: Callout,
    clock: Clock,
}

impl Introspection {
    /// Reads the client secret; opens no connection.
    pub fn new(config: IntrospectionConfig, clock: Clock) -> Result<Self, Vec<Diagnostic>> {
        let (url, ca_file) = (&config.callout.url, config.callout.ca_file.as_deref());
        let host = url.authority().to_owned();
        let client = outbound::client(url, ca_file, config.callout.timeout).map_err(|error| {
            vec![Diagnostic::error("http-client", format!("can't ask `{host}` about tokens: {error}"))]
        });
        let credential = credential(&config.client_id, &config.client_secret_file)
            .map_err(|error| vec![Diagnostic::error("client-secret", error)]);
        let (client, credential) = match (client, credential) {
            (Ok(client), Ok(credential)) => (client, credential),
            (Err(findings), Ok(_)) | (Ok(_), Err(findings)) => return Err(findings),
            (Err(first), Err(second)) => return Err([first, second].concat()),
        };
        let issuer = config.issuer.clone().unwrap_or_else(|| url.origin().ascii_serialization());
        let callout = Callout::new(metrics::Callout::Introspection, &config.callout, clock.clone());
        Ok(Self { config, client, issuer, credential, callout, clock })
    }

    /// Whom this token stands for. The authorization server is asked, unless it was a short while ago.
    pub async fn identify(&self, token: &str) -> Result<Arc<Identity>, Reason> {
        self.callout.identify(token, self.ask(token)).await
    }

    /// Counts requests and remembered answers from now on. The first call decides where to.
    pub fn count_in(&self, metrics: &Metrics) {
        self.callout.count_in(metrics);
    }

    async fn ask(&self, token: &str) -> Result<Answer, Failure> {
        let request = self
            .client
            .post(self.config.callout.url.clone())
            .header(AUTHORIZATION, self.credential.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form(token));
        let body = callout::send(request, &[StatusCode::OK]).await?;
        let answer =
            strict_json::object(&body).map_err(|_| Trouble::Invalid("it is not one strict JSON object"))?;
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(Reason::TokenInactive.into()),
            _ => return Err(Trouble::Invalid("`active` is not a boolean").into()),
        }
        let identity = introspected::identify(answer, &self.config, &self.issuer, self.clock.now())?;
        Ok(Answer { identity, bytes: body.len() })
    }
}

fn form(token: &str) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    form.finish()
}

/// Client id and secret as RFC 6749, section 2.3.1 wants them: each form-encoded, then by HTTP Basic.
fn credential(id: &str, secret_file: &Path) -> Result<HeaderValue, String> {
    let shown = secret_file.display();
    let secret = std::fs::read_to_string(secret_file)
        .map_err(|error| format!("can't read the client secret `{shown}`: {error}"))?;
    let secret = Zeroizing::new(secret);
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("the file of the client secret, `{shown}`, is empty"));
    }
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(id), *Zeroizing::new(encode(secret))));
    let header = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
    let mut header =
        HeaderValue::from_str(&header).map_err(|_| "the client secret makes no header".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("config", &self.config).finish_non_exhaustive()
    }
}
