//! One issuer's trouble, and what its neighbours notice of it: calls with the tokens of a good issuer are measured while
//! another one is down, slow, huge, rotating or lying, and a flood of its unknown key ids asks for its keys.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use prost::Message;
use serde_json::{Map, Value, json};

use crate::lane::{Concurrency, Label, Lane, Wire};
use crate::load::{Sample, Window};
use crate::report::{Spread, table};
use crate::server::Server;
use crate::{policies, portcullis, process, token, traffic};
use troubled::{Trouble, Troubled};

mod troubled;

/// How long the measurements take.
#[derive(Args)]
pub struct Options {
    /// The portcullis binary.
    #[arg(long, value_name = "FILE")]
    portcullis: PathBuf,
    /// How often each trouble has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Milliseconds that are measured in each turn.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    window: u64,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/issuers.json", value_name = "FILE")]
    report: PathBuf,
}

/// What was seen of one trouble.
struct Seen {
    trouble: Trouble,
    samples: Vec<Sample>,
    /// The server's resident memory at the end of each turn, in KiB.
    memory: Vec<u64>,
}

/// Runs the test, prints a table and writes the numbers.
pub async fn run(options: Options) -> Result<()> {
    let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
    let (good, other) = (token::Issuer::new()?, token::Issuer::new()?);
    let troubled = Troubled::start(other.jwks()).await?;
    let server = start(&options.portcullis, &good, troubled.address, directory.path()).await?;
    let tokens = good.tokens(100)?;
    let calls = tokens.iter().map(|token| traffic::check(&policies::path(1), Some(token))).collect();
    let lane = Lane {
        label: Label {
            path: "gRPC Check",
            server: "portcullis",
            request: "JWT of the good issuer".to_owned(),
            policies: Some(1),
            audit: None,
        },
        wire: Wire::Grpc,
        address: server.address,
        pid: server.process.id(),
        calls,
    };
    let mut seen = Trouble::ALL.map(|trouble| Seen { trouble, samples: Vec::new(), memory: Vec::new() });
    let issuer = format!("http://{}", troubled.address);
    tokio::select! {
        measured = options.measure(&lane, &troubled, &mut seen) => measured?,
        failed = flood(server.address, &other, &issuer) => failed?,
    }
    options.report(&seen)
}

impl Options {
    async fn measure(&self, lane: &Lane, troubled: &Troubled, seen: &mut [Seen]) -> Result<()> {
        let window =
            Window { warm_up: Duration::from_millis(1_500), length: Duration::from_millis(self.window) };
        let concurrency = Concurrency { connections: 1, streams: 4 };
        for _ in 0..self.rounds {
            for seen in &mut *seen {
                troubled.turn_to(seen.trouble);
                seen.samples.push(lane.sample(window, concurrency).await?);
                seen.memory.push(process::resident(lane.pid)?);
            }
        }
        Ok(())
    }

    fn report(&self, seen: &[Seen]) -> Result<()> {
        let columns = ["the other issuer", "p99 us", "p99 / healthy: min", "median", "max", "memory MiB"];
        let mut table = table(&columns, 1);
        let mut numbers = Map::new();
        let healthy = seen.first().map(|seen| seen.samples.clone()).unwrap_or_default();
        for Seen { trouble, samples, memory } in seen {
            let p99 = Spread::of(samples.iter().map(|sample| sample.p99)).median;
            let ratio = Spread::of(samples.iter().zip(&healthy).map(|(one, other)| one.p99 / other.p99));
            let memory = memory.iter().max().copied().unwrap_or(0) / 1_024;
            let name = trouble.name();
            table.add_row([
                name.to_owned(),
                format!("{p99:.0}"),
                format!("{:.2}", ratio.min),
                format!("{:.2}", ratio.median),
                format!("{:.2}", ratio.max),
                memory.to_string(),
            ]);
            numbers.insert(format!("issuer_{name}_p99_vs_healthy"), json!(ratio.median));
            numbers.insert(format!("issuer_{name}_memory_mib"), json!(memory));
        }
        println!(
            "Calls with the good issuer's tokens, while unknown key ids of the other one flood in.\n{table}"
        );
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, Value::Object(numbers).to_string())
            .with_context(|| format!("cannot write `{}`", self.report.display()))
    }
}

/// A server that accepts the tokens of both.
async fn start(
    binary: &Path,
    good: &token::Issuer,
    troubled: SocketAddr,
    directory: &Path,
) -> Result<Server> {
    policies::write(&directory.join("policies"), 1)?;
    fs::write(directory.join("jwks.json"), good.jwks())?;
    let [grpc, admin, metrics] =
        [process::free_address()?, process::free_address()?, process::free_address()?];
    let (issuer, audience) = (token::ISSUER, token::AUDIENCE);
    let text = format!(
        "listen: {{grpc: {grpc}, admin: {admin}, metrics: {metrics}}}\n\
         policies: [policies]\n\
         identity:\n\
         \x20 jwt:\n\
         \x20   - {{issuer: '{issuer}', audiences: [{audience}], algorithms: [RS256], jwks: {{file: jwks.json}}}}\n\
         \x20   - {{issuer: 'http://{troubled}', audiences: [{audience}], algorithms: [RS256], jwks: {{url: 'http://{troubled}/keys', refresh: 1s}}}}\n",
    );
    portcullis::start_with(binary, &text, [grpc, metrics], directory).await
}

/// Two hundred tokens a second with key ids that nobody has. What they are answered does not matter.
async fn flood(address: SocketAddr, issuer: &token::Issuer, name: &str) -> Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    // The signature is not looked at before the key is found: one does for all.
    let signed = issuer.token(name, "unknown", "mallory")?;
    let (_, signature) = signed.rsplit_once('.').context("a token has a signature")?;
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}"))?.connect().await?;
    for number in 0_u64.. {
        tick.tick().await;
        let forged = token::unsigned(name, &format!("key-{number}"), signature);
        let request = CheckRequest::decode(traffic::check(&policies::path(1), Some(&forged)).as_slice())?;
        let mut client = AuthorizationClient::new(channel.clone());
        tokio::spawn(async move { client.check(request).await.map(drop) });
    }
    Ok(())
}
