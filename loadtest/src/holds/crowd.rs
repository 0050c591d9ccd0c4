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
pub struct Crowd(JoinSet<Result<String>>);

/// How many calls ended in which way.
pub struct Tally(BTreeMap<String, u32>);

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
                .map(|(number, token)| (caller::held_path(*number), token.clone()))
                .collect();
            match through {
                Through::Grpc(address) => {
                    let channel = caller::connection(address).map_err(|error| error.to_string());
                    for (path, token) in calls {
                        let channel = channel.clone();
                        set.spawn(async move {
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
