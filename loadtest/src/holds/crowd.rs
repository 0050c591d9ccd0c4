//! Many calls that wait at once, each with a path of its own, and what became of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use prost::Message;
use tokio::task::{JoinError, JoinSet};
use tonic::transport::Channel;

use crate::traffic;

/// Calls on one connection: below what servers and proxies allow by default.
const STREAMS: usize = 100;
/// How long a call may take in all.
const PATIENCE: Duration = Duration::from_secs(580);

/// How the calls reach the server.
#[derive(Clone, Copy)]
pub enum Through {
    Grpc(SocketAddr),
    /// Over HTTP/2.
    Envoy(SocketAddr),
}

/// Calls under way.
pub struct Crowd(JoinSet<Result<String>>);

/// How many calls ended in which way.
pub struct Tally(BTreeMap<String, u32>);

/// How a released call ends.
const RELEASED: &str = "released";

impl Crowd {
    /// Starts `calls` calls, by the owners of `tokens` in turn.
    pub fn gather(through: Through, tokens: &[String], calls: u32) -> Self {
        let mut set = JoinSet::new();
        let numbers: Vec<u32> = (0..calls).collect();
        for numbers in numbers.chunks(STREAMS) {
            let calls: Vec<(String, String)> = numbers
                .iter()
                .zip(
                    tokens.iter().cycle().skip(numbers.first().copied().unwrap_or(0) as usize % tokens.len()),
                )
                .map(|(number, token)| (format!("/held/{number}"), token.clone()))
                .collect();
            match through {
                Through::Grpc(address) => {
                    let channel = Channel::from_shared(format!("http://{address}"));
                    let channel =
                        channel.map(|channel| channel.connect_lazy()).map_err(|error| error.to_string());
                    for (path, token) in calls {
                        let channel = channel.clone();
                        set.spawn(async move { check(channel.map_err(Error::msg)?, &path, &token).await });
                    }
                }
                Through::Envoy(address) => {
                    let client = reqwest::Client::builder().http2_prior_knowledge().timeout(PATIENCE).build();
                    let client = client.map_err(|error| error.to_string());
                    for (path, token) in calls {
                        let client = client.clone();
                        let url = format!("http://{address}{path}");
                        set.spawn(async move { get(client.map_err(Error::msg)?, &url, &token).await });
                    }
                }
            }
        }
        Self(set)
    }

    /// Fails when a call has ended that should be held still.
    pub fn check_held(&mut self) -> Result<()> {
        match self.0.try_join_next() {
            Some(joined) => bail!("a call was not held: {}", ended(joined)),
            None => Ok(()),
        }
    }

    /// Waits until all have ended.
    pub async fn ended(mut self) -> Tally {
        let mut tally = BTreeMap::new();
        while let Some(joined) = self.0.join_next().await {
            *tally.entry(ended(joined)).or_default() += 1;
        }
        Tally(tally)
    }
}

impl Tally {
    /// Calls that were not released.
    pub fn lost(&self) -> u32 {
        self.0.iter().filter(|(ended, _)| *ended != RELEASED).map(|(_, count)| count).sum()
    }

    /// How those ended.
    pub fn others(&self) -> String {
        let lost = self.0.iter().filter(|(ended, _)| *ended != RELEASED);
        lost.map(|(ended, count)| format!("{count} x {ended}")).collect::<Vec<_>>().join("; ")
    }
}

fn ended(joined: Result<Result<String>, JoinError>) -> String {
    match joined {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}

async fn check(channel: Channel, path: &str, token: &str) -> Result<String> {
    // A call is held whole: the server must know that there is no body.
    let encoded = traffic::check_with(path, Some(token), &[("content-length", "0")]);
    let request = CheckRequest::decode(encoded.as_slice())?;
    let mut client = AuthorizationClient::new(channel);
    let answer = tokio::time::timeout(PATIENCE, client.check(request)).await.context("no answer")??;
    let status = answer.into_inner().status.context("an answer without a status")?;
    Ok(if status.code == 0 { RELEASED.to_owned() } else { format!("denied: {}", status.message) })
}

async fn get(client: reqwest::Client, url: &str, token: &str) -> Result<String> {
    let answer = client.get(url).bearer_auth(token).send().await?;
    Ok(if answer.status().as_u16() == 200 {
        RELEASED.to_owned()
    } else {
        format!("status {}", answer.status())
    })
}
