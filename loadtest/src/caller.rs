//! Callers straight on gRPC, as a proxy asks for them: calls that are held and calls that are not, and how each ended.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use prost::Message;
use serde_json::Value;
use tonic::transport::Channel;

use crate::{policies, traffic};

/// Calls on one connection: below what servers and proxies allow by default.
pub const STREAMS: usize = 100;
/// How long a call may take in all.
pub const PATIENCE: Duration = Duration::from_secs(580);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may go on.
    Released,
    /// By this HTTP status, with the reason code of its body.
    Denied(i32, String),
    /// Nobody told the caller: the connection broke, or no answer came in time.
    Broken(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("released"),
            Self::Denied(status, error) => write!(f, "denied: {status} {error}"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// Many callers, on as many connections as that takes. Broken connections are opened again for the next call.
pub struct Callers {
    channels: Vec<Channel>,
    tokens: Vec<String>,
}

impl Callers {
    /// Callers with these tokens, for up to `calls` calls at a time.
    pub fn new(address: SocketAddr, tokens: Vec<String>, calls: usize) -> Result<Self> {
        let count = calls / STREAMS + 1;
        let channels = (0..count).map(|_| connection(address)).collect::<Result<_>>()?;
        Ok(Self { channels, tokens })
    }

    /// Makes the held call `number`, in one of the places of [`Callers::new`].
    pub async fn held(&self, place: usize, number: u32) -> Answer {
        self.ask(place, number, &held_path(number)).await
    }

    /// Makes a call that no rule holds.
    pub async fn plain(&self, place: usize) -> Answer {
        self.ask(place, 0, &policies::path(1)).await
    }

    async fn ask(&self, place: usize, number: u32, path: &str) -> Answer {
        let channel = self.channels.get(place / STREAMS);
        let token = self.tokens.iter().cycle().nth(number as usize % self.tokens.len().max(1));
        match (channel, token) {
            (Some(channel), Some(token)) => ask(channel.clone(), path, token).await,
            _ => Answer::Broken("there is no such place".to_owned()),
        }
    }
}

/// A connection that is opened with its first call.
pub fn connection(address: SocketAddr) -> Result<Channel> {
    Ok(Channel::from_shared(format!("http://{address}"))?.connect_lazy())
}

/// The path of a held call.
pub fn held_path(number: u32) -> String {
    format!("/held/{number}")
}

/// The held call that has this path.
pub fn held_number(path: &str) -> Option<u32> {
    path.strip_prefix("/held/")?.parse().ok()
}

/// Makes a call of GET `path` and waits for its end.
pub async fn ask(channel: Channel, path: &str, token: &str) -> Answer {
    // A call is held whole: the server must know that there is no body.
    let encoded = traffic::check_with(path, Some(token), &[("content-length", "0")]);
    let request = match CheckRequest::decode(encoded.as_slice()) {
        Ok(request) => request,
        Err(error) => return Answer::Broken(error.to_string()),
    };
    let mut client = AuthorizationClient::new(channel);
    match tokio::time::timeout(PATIENCE, client.check(request)).await {
        Ok(Ok(answer)) => read(answer.into_inner()),
        Ok(Err(status)) => Answer::Broken(status.to_string()),
        Err(_) => Answer::Broken("no answer".to_owned()),
    }
}

fn read(answer: CheckResponse) -> Answer {
    match (answer.status.map(|status| status.code), answer.http_response) {
        (Some(0), _) => Answer::Released,
        (_, Some(HttpResponse::DeniedResponse(denied))) => {
            let body = serde_json::from_str::<Value>(&denied.body).unwrap_or_default();
            let error = body.get("error").and_then(Value::as_str).unwrap_or_default();
            Answer::Denied(denied.status.map_or(0, |status| status.code), error.to_owned())
        }
        _ => Answer::Broken("an answer that says nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_calls_are_known_by_their_paths() {
        assert_eq!(held_number(&held_path(4_711)), Some(4_711));
        assert_eq!(held_number("/p0000/orders/4711"), None);
    }
}
