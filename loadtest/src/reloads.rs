//! Reloads under load: a new revision of the policies again and again, while calls go on through Envoy. No call may
//! fail, and every recorded decision must be what its revision says when it is asked again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::future::try_join_all;
use serde_json::json;

use crate::envoy::{self, Filter};
use crate::load::http::{self, Connection};
use crate::portcullis::{self, AuditMode};
use crate::{clock, token};
use folder::Folder;
use replay::Replay;

mod folder;
mod replay;

/// What to reload, how often, and under which load.
#[derive(Args)]
pub struct Options {
    /// The portcullis binary.
    #[arg(long, value_name = "FILE")]
    portcullis: PathBuf,
    /// How many reloads.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Milliseconds from one reload to the next.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    period: u64,
    /// Policies in the set.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    policies: u32,
    /// Connections to Envoy, with one call under way on each; half of them by ext_authz, half by ext_proc.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=64))]
    connections: u16,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/reloads.json", value_name = "FILE")]
    report: PathBuf,
}

/// Runs the test; an error says what did not hold.
pub async fn run(options: Options) -> Result<()> {
    let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
    let folder = Folder::create(&directory.path().join("policies"), options.policies)?;
    let mut replay = Replay::default();
    replay.add(&folder.show(0)?)?;
    let issuer = token::Issuer::new()?;
    let server = portcullis::start(
        &options.portcullis,
        folder.path(),
        AuditMode::BestEffort,
        &issuer,
        directory.path(),
    )
    .await?;
    let binary = envoy::binary().context("no Envoy: name its binary in ENVOY_BIN")?;
    let routes = [Filter::ExtAuthz, Filter::ExtProc].map(|filter| (filter, server.server.address));
    let envoy = envoy::start(&binary, &routes, directory.path()).await?;

    let begun = clock::instant();
    let calls = tokio::select! {
        reloaded = options.reload(&folder, &mut replay, server.metrics) => {
            reloaded?;
            None
        }
        failed = try_join_all(
            (0..options.connections).map(|number| drive(&envoy.listeners, number, options.policies)),
        ) => Some(failed),
    };
    if let Some(failed) = calls {
        failed.context("a call failed during the reloads")?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop(envoy);
    server.server.process.stop().await?;

    let replayed = replay.run(&server.audit)?;
    let text = format!(
        "{} reloads in {seconds:.0} s, {} recorded decisions ({} allowed) on {} revisions, {} differ from their replay\n",
        options.count,
        replayed.decisions,
        replayed.allowed,
        replayed.revisions,
        replayed.differing.len(),
    );
    ensure!(replayed.differing.is_empty(), "{text}{}", replayed.differing.join("\n"));
    options.check(&replayed)?;
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    options.write(&replayed, seconds)
}

impl Options {
    /// Shows one revision after the other, and waits for the last to be taken.
    async fn reload(&self, folder: &Folder, replay: &mut Replay, metrics: SocketAddr) -> Result<()> {
        for number in 1..=self.count {
            tokio::time::sleep(Duration::from_millis(self.period)).await;
            replay.add(&folder.show(number)?)?;
        }
        let wanted = replay.last().context("no revision")?.to_owned();
        let begun = clock::instant();
        while !revision_in_force(metrics, &wanted).await? {
            ensure!(begun.elapsed() < Duration::from_secs(30), "the last revision was never taken");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Some calls on the last revision too.
        tokio::time::sleep(Duration::from_millis(self.period)).await;
        Ok(())
    }

    /// A run that reloaded or decided nothing shows nothing.
    fn check(&self, replayed: &replay::Replayed) -> Result<()> {
        let revisions = usize::try_from(self.count)? + 1;
        ensure!(
            replayed.revisions == revisions,
            "decisions were made on {} revisions of {revisions}: reloads were missed, or the load was too low",
            replayed.revisions
        );
        ensure!(replayed.lost == 0, "{} audit records were lost", replayed.lost);
        ensure!(
            replayed.allowed > 0 && replayed.allowed < replayed.decisions,
            "calls were only allowed, or only denied"
        );
        Ok(())
    }

    fn write(&self, replayed: &replay::Replayed, seconds: f64) -> Result<()> {
        let numbers = json!({
            "reloads": self.count,
            "reload_seconds": seconds,
            "reload_decisions": replayed.decisions,
            "reload_failed_calls": 0,
            "reload_replay_differences": replayed.differing.len(),
        });
        if let Some(folder) = self.report.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&self.report, format!("{numbers:#}\n"))
            .with_context(|| format!("cannot write `{}`", self.report.display()))
    }
}

/// Calls without a pause until one is answered by something that is no verdict.
async fn drive(listeners: &[SocketAddr], number: u16, policies: u32) -> Result<()> {
    let listener = listeners.get(usize::from(number) % listeners.len()).context("no listener")?;
    let mut connection = Connection::open(*listener).await?;
    for item in u32::from(number)..u32::MAX {
        let path = folder::path(item % policies, item);
        let status = connection.ask(&http::get(&path, &[("host", "api.example.com")])).await?;
        // Allowed, denied, or denied because nobody allows it to an anonymous caller. The replay tells whether rightly.
        ensure!([200, 401, 403].contains(&status), "GET {path} was answered with {status}");
    }
    Ok(())
}

/// Whether the server says that `revision` decides.
async fn revision_in_force(metrics: SocketAddr, revision: &str) -> Result<bool> {
    let text = http::text(metrics, "/metrics").await?;
    Ok(text.contains(&format!("portcullis_policy_revision_info{{revision=\"{revision}\"}} 1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reloads_under_load_fail_no_call_and_every_decision_replays() {
        let report = tempfile::tempdir().unwrap();
        let options = Options {
            portcullis: portcullis::binary_of_this_build(),
            count: 15,
            period: 700,
            policies: 20,
            connections: 2,
            report: report.path().join("reloads.json"),
        };
        // Tests run in the crate's own folder.
        std::env::set_current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        run(options).await.unwrap();
        assert!(report.path().join("reloads.json").exists());
    }
}
