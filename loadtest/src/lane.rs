//! What is compared: lanes, each a server with the calls that are sent to it, measured in turn, round by round. It
//! knows how lanes take turns, and not what their figures mean.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::load::{self, Sample, Tally, Window};

/// How many calls are under way at once.
#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    /// gRPC connections.
    pub connections: usize,
    /// Calls on each of them. HTTP/1.1 has one call per connection, and so as many connections as calls.
    pub streams: usize,
}

/// How a lane's calls reach its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// `Check` calls straight at the server.
    Grpc,
    /// Plain HTTP calls to Envoy, which asks the server.
    Http,
}

/// What stands beside every figure: who answered what, under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub path: &'static str,
    pub server: &'static str,
    pub request: String,
    /// `None` for a server that has no policies.
    pub policies: Option<usize>,
    /// `None` for a server that writes no audit.
    pub audit: Option<String>,
}

/// A server, and the calls that are sent to it.
pub struct Lane {
    pub label: Label,
    pub wire: Wire,
    /// Where the calls go.
    pub address: SocketAddr,
    /// The process whose CPU time is the server's.
    pub pid: u32,
    /// The encoded calls, sent in turn.
    pub calls: Vec<Vec<u8>>,
}

/// A lane and what it showed, one sample per round.
pub struct Measured {
    pub label: Label,
    pub samples: Vec<Sample>,
}

/// Measures every lane once per round, in their order, so that a machine that changes its pace changes it for all.
pub async fn measure<const N: usize>(
    lanes: &[Lane; N],
    rounds: u32,
    window: Window,
    concurrency: Concurrency,
) -> Result<[Measured; N]> {
    let mut measured =
        lanes.each_ref().map(|lane| Measured { label: lane.label.clone(), samples: Vec::new() });
    for round in 1..=rounds {
        for (lane, measured) in lanes.iter().zip(&mut measured) {
            let Label { path, server, request, .. } = &lane.label;
            if std::io::stderr().is_terminal() {
                eprintln!("round {round} of {rounds}: {path}, {server}, {request}");
            }
            let sample = lane.sample(window, concurrency).await;
            measured.samples.push(sample.with_context(|| format!("{path}, {server}, {request}"))?);
        }
    }
    Ok(measured)
}

impl Lane {
    /// Measures this lane once.
    pub async fn sample(&self, window: Window, concurrency: Concurrency) -> Result<Sample> {
        let Concurrency { connections, streams } = concurrency;
        let tally = Tally::new()?;
        match self.wire {
            Wire::Grpc => {
                let drive = |_| load::grpc::drive(self.address, &self.calls, streams, &tally);
                load::measure(window, self.pid, &tally, (0..connections).map(drive)).await
            }
            Wire::Http => {
                let drive = |_| load::http::drive(self.address, &self.calls, &tally);
                load::measure(window, self.pid, &tally, (0..connections * streams).map(drive)).await
            }
        }
    }
}
