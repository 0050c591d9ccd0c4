//! Calls held at once by the ten thousand: what each costs, what other traffic notices, and whether every one of them is
//! released by its approval, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::portcullis::{bundle, policy};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::approver::Approver;
use crate::envoy::{self, Envoy, Filter};
use crate::holding::{SQLITE, Settings, Site};
use crate::lane::{Concurrency, Label, Lane, Wire};
use crate::load::{Sample, Window};
use crate::portcullis::AuditMode;
use crate::report::{Spread, table};
use crate::server::Server;
use crate::{clock, policies, process, token, traffic, trail};
use crowd::{Crowd, Tally, Through};

mod crowd;

/// How many callers share the held calls.
const CALLERS: usize = 1_000;
/// Calls that were made and are not held yet, at most.
const AT_ONCE: u32 = 10_000;
/// Turns of the other traffic, without and with held calls.
const TURNS: usize = 3;

/// How many calls to hold.
#[derive(Args)]
pub struct Options {
    /// The portcullis binary.
    #[arg(long, value_name = "FILE")]
    portcullis: PathBuf,
    /// Calls held through Envoy, over HTTP/2; 0 for none.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    envoy: u32,
    /// Calls held straight on gRPC; 0 for none.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    straight: u32,
    /// Milliseconds of each turn of the other traffic.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    window: u64,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/holds.json", value_name = "FILE")]
    report: PathBuf,
}

/// What one crowd of held calls showed.
struct Found {
    name: &'static str,
    calls: u32,
    /// From the first call to the last one held.
    gathered: Duration,
    /// Resident memory of the server that the held calls added, in bytes each.
    bytes_per_call: f64,
    /// The 99th percentile of other calls, with the held ones as a ratio to without.
    others_p99: Spread,
    /// From the first approval to the last release.
    released: Duration,
    tally: Tally,
    /// Released calls by the audit trail, beyond one for each approval.
    released_twice: u32,
}

/// Runs the test, prints a table and writes the numbers; an error when a call was lost or released twice.
pub async fn run(options: Options) -> Result<()> {
    let mut found = Vec::new();
    for (name, calls, envoy) in [("envoy", options.envoy, true), ("straight", options.straight, false)] {
        if calls > 0 {
            found.push(
                options.hold(name, calls, envoy).await.with_context(|| format!("{name}: {calls} calls"))?,
            );
        }
    }
    options.report(&found)?;
    for one in &found {
        let lost = one.tally.lost();
        ensure!(
            lost == 0 && one.released_twice == 0,
            "{}: {lost} lost, {} released twice",
            one.name,
            one.released_twice
        );
    }
    Ok(())
}

impl Options {
    async fn hold(&self, name: &'static str, calls: u32, through_envoy: bool) -> Result<Found> {
        let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
        let issuer = token::Issuer::new()?;
        let settings = Settings {
            binary: &self.portcullis,
            issuer: &issuer,
            calls,
            store: SQLITE,
            audit: AuditMode::BestEffort,
            retry_window: Duration::from_secs(10),
        };
        let site = Site::new(directory.path(), &settings)?;
        let server = site.start().await?;
        let tokens = issuer.tokens(CALLERS)?;
        let envoy = match through_envoy {
            true => Some(before(&server, calls, &site.policies(), directory.path()).await?),
            false => None,
        };
        let through = match envoy.as_ref().and_then(|envoy| envoy.listeners.first()) {
            Some(listener) => Through::Envoy(*listener),
            None => Through::Grpc(server.address),
        };
        let others = others(&server, &tokens);
        let without = self.others(&others).await?;
        let idle = process::resident(server.process.id())?;

        let begun = clock::instant();
        let mut crowd = Crowd::new(through, tokens);
        let approver = Approver::new(site.ports.admin, &issuer, "approver")?;
        let held = gather(&mut crowd, &site, calls).await;
        held.with_context(|| format!("the server said last:\n{}", server.process.last_words()))?;
        let gathered = begun.elapsed();
        // Before anybody lists them: an answer of megabytes is not what holding takes.
        let full = process::resident(server.process.id())?;
        let pending = approver.pending().await?.into_iter().map(|approval| approval.id).collect();
        let with = self.others(&others).await?;

        let begun = clock::instant();
        approver.approve(pending).await?;
        let tally = crowd.ended().await;
        let released = begun.elapsed();
        server.process.stop().await?;
        let ratio = |(with, without): (&Sample, &Sample)| with.p99 / without.p99;
        Ok(Found {
            name,
            calls,
            gathered,
            bytes_per_call: (full.saturating_sub(idle) as f64) * 1_024.0 / f64::from(calls),
            others_p99: Spread::of(with.iter().zip(&without).map(ratio)),
            released,
            tally,
            released_twice: released_twice(site.audit(), calls)?,
        })
    }

    /// What calls that nobody holds take now.
    async fn others(&self, lane: &Lane) -> Result<Vec<Sample>> {
        let window =
            Window { warm_up: Duration::from_millis(500), length: Duration::from_millis(self.window) };
        let concurrency = Concurrency { connections: 1, streams: 4 };
        let mut samples = Vec::with_capacity(TURNS);
        for _ in 0..TURNS {
            samples.push(lane.sample(window, concurrency).await?);
        }
        Ok(samples)
    }

    fn report(&self, found: &[Found]) -> Result<()> {
        let columns = [
            "calls held",
            "number",
            "gathered s",
            "bytes each",
            "others' p99: min",
            "median",
            "max",
            "released s",
            "lost",
            "twice",
        ];
        let mut table = table(&columns, 1);
        let mut numbers = Map::new();
        for one in found {
            let Found { name, calls, others_p99: p99, bytes_per_call, .. } = one;
            let (gathered, released) = (one.gathered.as_secs_f64(), one.released.as_secs_f64());
            let (lost, twice) = (one.tally.lost(), one.released_twice);
            table.add_row([
                (*name).to_owned(),
                calls.to_string(),
                format!("{gathered:.1}"),
                format!("{bytes_per_call:.0}"),
                format!("{:.2}", p99.min),
                format!("{:.2}", p99.median),
                format!("{:.2}", p99.max),
                format!("{released:.1}"),
                lost.to_string(),
                twice.to_string(),
            ]);
            let mut number = |what: &str, value: Value| numbers.insert(format!("{name}_{what}"), value);
            number("held_calls", json!(calls));
            number("held_bytes_per_call", json!(bytes_per_call));
            number("held_lost", json!(lost));
            number("held_released_twice", json!(twice));
            number("held_released_seconds", json!(released));
            number("held_others_p99", json!(p99.median));
            if lost > 0 {
                println!("{name}: {}", one.tally.others());
            }
        }
        println!(
            "Held at once, then approved one by one; others' p99 as a ratio to without held calls.\n{table}"
        );
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, format!("{:#}\n", Value::Object(numbers)))
            .with_context(|| format!("cannot write `{}`", self.report.display()))
    }
}

/// The Envoy that the server's own command would write for these policies and for so many held calls.
async fn before(server: &Server, calls: u32, policies: &Path, directory: &Path) -> Result<Envoy> {
    let binary = envoy::binary().context("no Envoy: name its binary in ENVOY_BIN")?;
    let files = bundle::gather(&[policies.to_owned()])?;
    let compiled = policy::compile(&files.policies, &policy::Options { gateway: true });
    let policies = compiled.set.context("the policies are refused")?;
    let needs = envoy::needs(policies, &format!("holds: {{total: {calls}}}\n"))?;
    envoy::start_for(&binary, &[(Filter::ExtAuthz, server.address)], &needs, directory).await
}

/// Calls of one caller that need no approval.
fn others(server: &Server, tokens: &[String]) -> Lane {
    let token = tokens.first().map(String::as_str);
    Lane {
        label: Label {
            path: "gRPC Check",
            server: "portcullis",
            request: "JWT, not held".to_owned(),
            policies: Some(2),
            audit: Some("best_effort".to_owned()),
        },
        wire: Wire::Grpc,
        address: server.address,
        pid: server.process.id(),
        calls: vec![traffic::check(&policies::path(1), token)],
    }
}

/// Makes the calls, as many at a time as a server can be asked to take up in seconds, until it holds all of them.
async fn gather(crowd: &mut Crowd, site: &Site, calls: u32) -> Result<()> {
    let begun = clock::instant();
    loop {
        let opened = site.opened().await?;
        crowd.grow(calls.min(opened.saturating_add(AT_ONCE)));
        crowd.check_held()?;
        if opened == calls && site.held().await? == calls {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(300), "only {opened} calls are held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Releases that the audit trail has beyond the first of each approval.
fn released_twice(audit: PathBuf, calls: u32) -> Result<u32> {
    let releases = trail::releases(&[audit])?;
    let all: u32 = releases.values().sum();
    ensure!(all >= calls, "the audit trail has {all} releases of {calls}");
    Ok(trail::beyond_the_first(&releases))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn held_calls_are_released_by_their_approvals() {
        let report = tempfile::tempdir().unwrap();
        let options = Options {
            portcullis: crate::portcullis::binary_of_this_build(),
            envoy: 50,
            straight: 200,
            window: 200,
            report: report.path().join("holds.json"),
        };
        std::env::set_current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        run(options).await.unwrap();
        let text = fs::read_to_string(report.path().join("holds.json")).unwrap();
        let numbers: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers["straight_held_calls"], 200);
        assert_eq!(numbers["envoy_held_lost"], 0);
    }
}
