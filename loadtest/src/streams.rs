//! Masked responses through Envoy in FULL_DUPLEX_STREAMED mode: how fast a large body comes beside an ext_proc that only sends
//! back what it gets, what masking adds to the way of an event, and the server's memory with many streams open at once.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::portcullis::policy::{self, SourceFile};
use anyhow::{Context, Result};
use clap::Args;
use reqwest::Response;
use serde_json::{Map, Value, json};

use crate::envoy::{self, Envoy, Filter};
use crate::null::Transport;
use crate::report::{Spread, percentile, table};
use crate::server::{self, Server};
use crate::{clock, portcullis, process};
use caller::Expect;
use upstream::Plan;

mod caller;
mod upstream;

/// How many streams are opened at once, until all are.
const AT_ONCE: usize = 50;

/// What to send.
#[derive(Args)]
pub struct Options {
    /// The portcullis binary.
    #[arg(long, value_name = "FILE")]
    portcullis: PathBuf,
    /// How often each way has its turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Megabytes of the large body.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    megabytes: u32,
    /// Events of one stream.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Milliseconds between two events.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    interval: u64,
    /// Streams that are open at once.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    streams: u32,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/streams.json", value_name = "FILE")]
    report: PathBuf,
}

/// One way through Envoy.
struct Way {
    name: &'static str,
    address: SocketAddr,
    expect: Expect,
    /// Megabytes per second, and the median and 99th percentile of an event's way in microseconds; one for each round.
    throughput: Vec<f64>,
    median: Vec<f64>,
    p99: Vec<f64>,
}

/// The server's memory, in KiB.
struct Memory {
    idle: u64,
    open: u64,
}

/// Runs the test, prints a table and writes the numbers.
pub async fn run(options: Options) -> Result<()> {
    let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
    let echo = server::start_null_with("echo", Transport::Tonic, &["--echo"], directory.path()).await?;
    measure(options, echo.address, directory.path()).await
}

/// The same beside an ext_proc at `echo` that sends back what it gets.
async fn measure(options: Options, echo: SocketAddr, directory: &Path) -> Result<()> {
    let origin = clock::instant();
    let body = upstream::orders(options.megabytes as usize * 1_000_000);
    let bytes = body.len();
    let interval = Duration::from_millis(options.interval);
    let upstream = upstream::start(Plan { body, interval, events: options.events, origin }).await?;
    let masking = options.server(directory).await?;
    let envoy = before([masking.address, echo], upstream, directory).await?;

    let mut ways = ways(&envoy)?;
    for round in 1..=options.rounds {
        for way in &mut ways {
            way.measure(bytes, origin).await.with_context(|| format!("round {round}, {}", way.name))?;
        }
    }
    let masked = ways.first().context("no way is masked")?.address;
    let memory = options.memory(masked, &masking).await;
    let memory =
        memory.with_context(|| format!("the server said last:\n{}", masking.process.last_words()))?;
    options.report(&ways, &memory)
}

/// With masks, sent back as it is, and past everything.
fn ways(envoy: &Envoy) -> Result<[Way; 3]> {
    let [masked, echo, none] = envoy.listeners.as_slice() else { anyhow::bail!("Envoy has other listeners") };
    let way = |name, address: &SocketAddr, expect| Way {
        name,
        address: *address,
        expect,
        throughput: Vec::new(),
        median: Vec::new(),
        p99: Vec::new(),
    };
    Ok([
        way("masked", masked, Expect::Masked),
        way("echo", echo, Expect::Clear),
        way("no filter", none, Expect::Clear),
    ])
}

impl Way {
    async fn measure(&mut self, bytes: usize, origin: Instant) -> Result<()> {
        // The first is for connections and memory.
        for counts in [false, true, true, true] {
            let throughput = caller::download(self.address, bytes, self.expect).await?;
            if counts {
                self.throughput.push(throughput);
            }
        }
        let ages = caller::ages(self.address, origin, self.expect).await?;
        self.median.push(percentile(&ages, 50));
        self.p99.push(percentile(&ages, 99));
        Ok(())
    }
}

/// A policy for each path under `/masked`.
const POLICY: &str = "\
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: masked}
spec:
  match: [{paths: [\"/masked/{**}\"]}]
  rules:
    - {name: everybody, allow: {}}
    - {name: cards, mask: [{field: \"**.card.number\", with: last4}]}
";
/// What the server and its proxy have to agree on.
const MASK: &str = "mask: {response_body: full_duplex_streamed}\n";

impl Options {
    async fn server(&self, directory: &Path) -> Result<Server> {
        let directory = directory.join("portcullis");
        fs::create_dir_all(directory.join("policies"))?;
        fs::write(directory.join("policies/masked.yaml"), POLICY)?;
        let [grpc, admin, metrics] = process::lasting_addresses()?;
        let text = format!(
            "listen: {{grpc: {grpc}, admin: {admin}, metrics: {metrics}}}\n\
             policies: [policies]\n\
             store: {{path: portcullis.db}}\n\
             audit: {{path: audit.jsonl}}\n{MASK}"
        );
        portcullis::start_with(&self.portcullis, &text, [grpc, metrics], &directory).await
    }

    /// What the server takes with all streams open.
    async fn memory(&self, address: SocketAddr, server: &Server) -> Result<Memory> {
        let pid = server.process.id();
        let idle = process::resident(pid)?;
        let mut open: Vec<Response> = Vec::new();
        let wanted = self.streams as usize;
        while open.len() < wanted {
            let more = AT_ONCE.min(wanted - open.len());
            let opened = futures_util::future::try_join_all((0..more).map(|_| caller::stay(address))).await;
            open.extend(opened.with_context(|| format!("{} streams are open", open.len()))?);
        }
        // Until each of them has had another event.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Memory { idle, open: process::resident(pid)? })
    }

    fn report(&self, ways: &[Way; 3], memory: &Memory) -> Result<()> {
        let [masked, echo, none] = ways;
        let ratio =
            Spread::of(masked.throughput.iter().zip(&echo.throughput).map(|(ours, null)| ours / null));
        let added = |other: &Way| {
            let of = |ours: &[f64], theirs: &[f64]| Spread::of(ours.iter().zip(theirs).map(|(a, b)| a - b));
            [of(&masked.median, &other.median), of(&masked.p99, &other.p99)]
        };
        let mut shown = table(&["way", "MB/s", "event us, median", "event us, 99th"], 1);
        let mut numbers = Map::new();
        for way in ways {
            let of = |figures: &[f64]| Spread::of(figures.iter().copied()).median;
            let figures = [of(&way.throughput), of(&way.median), of(&way.p99)];
            let mut row = vec![way.name.to_owned()];
            row.extend(figures.map(|figure| format!("{figure:.0}")));
            shown.add_row(row);
            let name = way.name.replace(' ', "_");
            for (what, figure) in ["megabytes_per_second", "event_us", "event_p99_us"].iter().zip(figures) {
                numbers.insert(format!("{name}_{what}"), json!(figure));
            }
        }
        println!("{} MB in one body; {} events a stream. Medians.\n{shown}", self.megabytes, self.events);
        println!("throughput, masked to echo: {:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max);
        numbers.insert("throughput_vs_echo".into(), json!(ratio.median));
        numbers.insert("throughput_vs_echo_min".into(), json!(ratio.min));
        numbers.insert("throughput_vs_echo_max".into(), json!(ratio.max));
        for (name, other) in [("echo", echo), ("no_filter", none)] {
            let [median, p99] = added(other);
            println!("added to an event over {name}: {:.0} us; 99th: {:.0} us", median.median, p99.median);
            numbers.insert(format!("event_added_us_vs_{name}"), json!(median.median));
            numbers.insert(format!("event_added_p99_us_vs_{name}"), json!(p99.median));
        }
        let mib = |kib: u64| kib as f64 / 1_024.0;
        let (idle, open, streams) = (mib(memory.idle), mib(memory.open), self.streams);
        println!("resident with {streams} streams open: {open:.1} MiB; {idle:.1} MiB before");
        numbers.insert("open_streams".into(), json!(streams));
        numbers.insert("open_streams_resident_mib".into(), json!(open));
        numbers.insert("resident_mib_before".into(), json!(idle));
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, format!("{:#}\n", Value::Object(numbers)))
            .with_context(|| format!("cannot write `{}`", self.report.display()))
    }
}

/// An Envoy with a listener for each way.
async fn before([masking, echo]: [SocketAddr; 2], upstream: SocketAddr, directory: &Path) -> Result<Envoy> {
    let binary = envoy::binary().context("no Envoy: name its binary in ENVOY_BIN")?;
    let files = [SourceFile { file: "masked.yaml".into(), text: POLICY.into() }];
    let policies = policy::compile(&files, &policy::Options { gateway: true }).set;
    let needs = envoy::needs(policies.context("the policy is refused")?, MASK)?;
    let routes = [(Filter::ExtProc, masking), (Filter::ExtProc, echo), (Filter::None, echo)];
    envoy::start_before(&binary, &routes, &needs, Some(upstream), directory).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn masked_streams_are_measured_beside_an_echo() {
        let report = tempfile::tempdir().unwrap();
        let options = Options {
            portcullis: crate::portcullis::binary_of_this_build(),
            rounds: 1,
            megabytes: 2,
            events: 10,
            interval: 10,
            streams: 60,
            report: report.path().join("streams.json"),
        };
        std::env::set_current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        let echo = process::free_address().unwrap();
        tokio::spawn(crate::null::serve(echo, Transport::Tonic, true));
        measure(options, echo, report.path()).await.unwrap();
        let text = fs::read_to_string(report.path().join("streams.json")).unwrap();
        let numbers: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers["open_streams"], 60);
        assert!(numbers["throughput_vs_echo"].as_f64().unwrap() > 0.0, "{text}");
        assert!(numbers["masked_event_us"].as_f64().unwrap() > 0.0, "{text}");
    }
}
