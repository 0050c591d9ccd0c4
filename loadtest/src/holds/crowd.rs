//! Many calls that wait at once, each with a path of its own, and what became of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Error, Result, bail};
use tokio::task::{JoinError, JoinSet};

use crate::caller::{self, Answer, PATIENCE, STREAMS};

/// How the calls reach the server.
#[derive(Clone, Copy)]
pub enum Through {
    Grpc(SocketAddr),
    /// Over HTTP/2.
    Envoy(SocketAddr),
}

/// Calls under way.
pub struct Crowd {
    calls: JoinSet<Result<String>>,
    through: Through,
    tokens: Vec<String>,
    /// How many were started.
    pub started: u32,
}

/// How many calls ended in which way.
pub struct Tally(BTreeMap<String, u32>);

impl Crowd {
    /// Nobody yet; calls will be by the owners of `tokens` in turn.
    pub fn new(through: Through, tokens: Vec<String>) -> Self {
        Self { calls: JoinSet::new(), through, tokens, started: 0 }
    }

    /// Starts calls until there were `calls`, on connections of their own.
    pub fn grow(&mut self, calls: u32) {
        let numbers: Vec<u32> = (self.started..calls).collect();
        for numbers in numbers.chunks(STREAMS) {
            let first = numbers.first().copied().unwrap_or(0) as usize % self.tokens.len();
            let calls: Vec<(String, String)> = numbers
                .iter()
                .zip(self.tokens.iter().cycle().skip(first))
                .map(|(number, token)| (caller::held_path(*number), token.clone()))
                .collect();
            self.start(calls);
        }
        self.started = calls.max(self.started);
    }

    /// Starts calls on one connection, each a path and a token.
    fn start(&mut self, calls: Vec<(String, String)>) {
        match self.through {
            Through::Grpc(address) => {
                let channel = caller::connection(address).map_err(|error| error.to_string());
                for (path, token) in calls {
                    let channel = channel.clone();
                    self.calls.spawn(async move {
                        let answer = caller::ask(channel.map_err(Error::msg)?, &path, &token).await;
                        Ok(answer.to_string())
                    });
                }
            }
            Through::Envoy(address) => {
                let client = reqwest::Client::builder().http2_prior_knowledge().timeout(PATIENCE).build();
                let client = client.map_err(|error| error.to_string());
                for (path, token) in calls {
                    let client = client.clone();
                    let url = format!("http://{address}{path}");
                    self.calls.spawn(async move { get(client.map_err(Error::msg)?, &url, &token).await });
                }
            }
        }
    }

    /// Fails when a call has ended that should be held still.
    pub fn check_held(&mut self) -> Result<()> {
        match self.calls.try_join_next() {
            Some(joined) => bail!("a call was not held: {}", ended(joined)),
            None => Ok(()),
        }
    }

    /// Waits until all have ended.
    pub async fn ended(mut self) -> Tally {
        let mut tally = BTreeMap::new();
        while let Some(joined) = self.calls.join_next().await {
            *tally.entry(ended(joined)).or_default() += 1;
        }
        Tally(tally)
    }
}

impl Tally {
    /// Calls that were not released.
    pub fn lost(&self) -> u32 {
        self.0.iter().filter(|(ended, _)| !is_released(ended)).map(|(_, count)| count).sum()
    }

    /// How those ended.
    pub fn others(&self) -> String {
        let lost = self.0.iter().filter(|(ended, _)| !is_released(ended));
        lost.map(|(ended, count)| format!("{count} x {ended}")).collect::<Vec<_>>().join("; ")
    }
}

fn is_released(ended: &str) -> bool {
    ended == Answer::Released.to_string()
}

fn ended(joined: Result<Result<String>, JoinError>) -> String {
    match joined {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}

async fn get(client: reqwest::Client, url: &str, token: &str) -> Result<String> {
    let answer = client.get(url).bearer_auth(token).send().await?;
    Ok(match answer.status().as_u16() {
        200 => Answer::Released.to_string(),
        status => format!("status {status}: {}", answer.text().await?.trim()),
    })
}
