//! Callers of masked streams: one that downloads, one that takes the age of events, and many that only stay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Response};

use super::upstream::{MASKED, SECRET, age};
use crate::clock;

/// How long the next part of an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// So much of a body is looked at.
const SHOWN: usize = 4_096;

async fn get(address: SocketAddr, path: &str) -> Result<Response> {
    let client = Client::builder().http1_only().read_timeout(PATIENCE).build()?;
    Ok(client.get(format!("http://{address}{path}")).send().await?.error_for_status()?)
}

/// What is expected of what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Masked,
    Clear,
}

impl Expect {
    /// Fails where there is what should not be, or not what should.
    fn check(self, text: &str) -> Result<()> {
        let (wanted, unwanted) = match self {
            Self::Masked => (MASKED, SECRET),
            Self::Clear => (SECRET, MASKED),
        };
        ensure!(text.contains(wanted) && !text.contains(unwanted), "not {self:?}: {text:.200}");
        Ok(())
    }
}

/// Megabytes (10^6) in a second of one download of so many bytes.
pub async fn download(address: SocketAddr, bytes: usize, expect: Expect) -> Result<f64> {
    let begun = clock::instant();
    let mut response = get(address, "/masked/large").await?;
    let (mut got, mut first) = (0, Vec::new());
    while let Some(chunk) = response.chunk().await? {
        got += chunk.len();
        if first.len() < SHOWN {
            first.extend_from_slice(&chunk);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(got == bytes, "{got} bytes of {bytes} came");
    expect.check(&String::from_utf8_lossy(&first))?;
    Ok(got as f64 / 1e6 / seconds)
}

/// How long each event of one stream was under way, in microseconds.
pub async fn ages(address: SocketAddr, origin: Instant, expect: Expect) -> Result<Vec<f64>> {
    let mut response = get(address, "/masked/events").await?;
    let (mut text, mut ages) = (String::new(), Vec::new());
    while let Some(chunk) = response.chunk().await? {
        let now = clock::instant();
        text.push_str(std::str::from_utf8(&chunk)?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            expect.check(event)?;
            let age = age(event, origin, now).with_context(|| format!("no event: {event:.200}"))?;
            ages.push(age.as_secs_f64() * 1e6);
            text = rest.to_owned();
        }
    }
    Ok(ages)
}

/// A stream that stays open, whose first event came masked.
pub async fn stay(address: SocketAddr) -> Result<Response> {
    let mut response = get(address, "/masked/quiet").await?;
    let mut text = String::new();
    while !text.contains("\n\n") {
        match response.chunk().await? {
            Some(chunk) => text.push_str(std::str::from_utf8(&chunk)?),
            None => bail!("a stream ended before its first event"),
        }
    }
    Expect::Masked.check(&text)?;
    Ok(response)
}
