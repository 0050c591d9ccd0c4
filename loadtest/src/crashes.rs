//! Crashes at random points, of the server and of its database, while calls are held, decided on and released: whether
//! anything that was acknowledged is lost, whether any call is released twice, and how soon all goes on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::holding::{SQLITE, Settings, Site};
use crate::portcullis::AuditMode;
use crate::report::{percentile, table};
use crate::server::Server;
use crate::{clock, token};
use ledger::Totals;
use outages::Outages;
use work::Work;

mod ledger;
mod outages;
mod work;

/// For how long the same call is a retry of one that was released: longer than any run.
const RETRY_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// What to kill, and how often.
#[derive(Args)]
pub struct Options {
    /// The portcullis binary.
    #[arg(long, value_name = "FILE")]
    portcullis: PathBuf,
    /// How often the server is killed; 0 for never.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rounds: u32,
    /// Calls that are held at a time.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    held: u32,
    /// Also with the store in PostgreSQL, which is killed, paused and cut off.
    #[arg(long)]
    postgres: bool,
    /// How often each of these happens to the database.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    postgres_rounds: u32,
    /// Milliseconds for which the database is away; less than calls with a token may go on without it.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u64).range(100..=20_000))]
    outage: u64,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/crashes.json", value_name = "FILE")]
    report: PathBuf,
}

/// What the crashes of the server showed.
struct Crashes {
    /// From each start to readiness.
    ready: Vec<Duration>,
    totals: Totals,
}

/// Runs the test, prints tables and writes the numbers; an error when something was lost or released twice.
pub async fn run(options: Options) -> Result<()> {
    let crashes = match options.rounds {
        0 => None,
        _ => Some(options.crash().await.context("the server is killed")?),
    };
    let outages = match options.postgres {
        true => Some(outages::run(&options).await.context("the database is away")?),
        false => None,
    };
    options.report(crashes.as_ref(), outages.as_ref())?;
    let all = [crashes.map(|crashes| crashes.totals), outages.map(|outages| outages.totals)];
    all.into_iter().flatten().try_for_each(|totals| judge(&totals))
}

/// An error when something did not hold; and when nothing happened, which shows nothing.
fn judge(totals: &Totals) -> Result<()> {
    let Totals { lost, released_twice, opened_again, unrecorded, acknowledged, released, .. } = totals;
    ensure!(
        (*lost, *released_twice, *opened_again, *unrecorded) == (0, 0, 0, 0),
        "{lost} acknowledged decisions lost, {released_twice} calls released twice, {opened_again} open requests not \
         found again, {unrecorded} releases not in the audit trail"
    );
    ensure!(*acknowledged > 0 && *released > 0, "no decision was acknowledged, or no call released");
    Ok(())
}

impl Options {
    async fn crash(&self) -> Result<Crashes> {
        let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
        let issuer = token::Issuer::new()?;
        let site = Site::new(directory.path(), &self.settings(&issuer, SQLITE))?;
        let work = Work::new(&site, &issuer, self.held)?;
        let server = site.start().await?;
        let conduct = async {
            let (ready, server) = self.kill_again_and_again(&site, &work, server).await?;
            work.settle().await?;
            Ok((ready, server))
        };
        let ((), (ready, server)) = tokio::try_join!(work.calls(), conduct)?;
        let totals = work.sum_up(&[site.audit()]).await?;
        server.process.stop().await?;
        Ok(Crashes { ready, totals })
    }

    fn settings<'a>(&'a self, issuer: &'a token::Issuer, store: &'a str) -> Settings<'a> {
        Settings {
            binary: &self.portcullis,
            issuer,
            // Room for requests whose callers are not back yet.
            calls: self.held * 2 + 1_000,
            store,
            // A call is released only after the trail says so: what it has can be counted.
            audit: AuditMode::Required,
            retry_window: RETRY_WINDOW,
        }
    }

    /// How long the server took to be ready each time, and the one that is running in the end.
    async fn kill_again_and_again(
        &self,
        site: &Site,
        work: &Work<'_>,
        mut server: Server,
    ) -> Result<(Vec<Duration>, Server)> {
        work.until_all_are_held().await?;
        (server, _) = crash(site, work, server, async { Ok(()) }).await?;
        let begun = clock::instant();
        work.round(0).await?;
        let mut takes = begun.elapsed();
        let mut ready = Vec::new();
        for number in 1..=self.rounds {
            progress(&format!("round {number} of {}", self.rounds));
            let begun = clock::instant();
            let mut round = Box::pin(work.round(number));
            let ended = tokio::select! {
                ended = &mut round => Some(ended),
                () = tokio::time::sleep(takes.mul_f64(fastrand::f64())) => None,
            };
            let after;
            (server, after) = match ended {
                Some(ended) => {
                    ended?;
                    takes = begun.elapsed();
                    crash(site, work, server, async { Ok(()) }).await?
                }
                None => crash(site, work, server, round).await?,
            };
            ready.push(after);
        }
        Ok((ready, server))
    }

    fn report(&self, crashes: Option<&Crashes>, outages: Option<&Outages>) -> Result<()> {
        let mut numbers = Map::new();
        if let Some(crashes) = crashes {
            self.show_crashes(crashes, &mut numbers);
        }
        if let Some(outages) = outages {
            outages.show(&mut numbers);
        }
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, format!("{:#}\n", Value::Object(numbers)))
            .with_context(|| format!("cannot write `{}`", self.report.display()))
    }

    fn show_crashes(&self, crashes: &Crashes, numbers: &mut Map<String, Value>) {
        let Crashes { ready, totals } = crashes;
        let milliseconds: Vec<f64> = ready.iter().map(|ready| ready.as_secs_f64() * 1e3).collect();
        let (p50, max) = (percentile(&milliseconds, 50), percentile(&milliseconds, 100));
        let mut table = table(&["kill -9 of the server, calls held", "number"], 1);
        let held = self.held;
        for (name, words, value) in [
            ("crash_rounds", "kills", json!(ready.len())),
            ("crash_held_calls", "calls held at a time", json!(held)),
            ("crash_ready_ms_p50", "ready again after ms, median", json!(p50.round())),
            ("crash_ready_ms_max", "the longest", json!(max.round())),
        ] {
            table.add_row([words.to_owned(), value.to_string()]);
            numbers.insert(name.to_owned(), value);
        }
        add_totals(totals, "crash", &mut table, numbers);
        println!("{table}");
    }
}

/// Adds what a run came to, as `PREFIX_lost` and the like.
fn add_totals(
    totals: &Totals,
    prefix: &str,
    table: &mut comfy_table::Table,
    numbers: &mut Map<String, Value>,
) {
    for (name, words, value) in [
        ("calls", "calls", json!(totals.calls)),
        ("retried", "of them made again", json!(totals.retried)),
        ("released", "released", json!(totals.released)),
        ("acknowledged", "decisions acknowledged", json!(totals.acknowledged)),
        ("unanswered", "decisions that were cut off", json!(totals.unanswered)),
        ("lost", "acknowledged decisions lost", json!(totals.lost)),
        ("released_twice", "released twice", json!(totals.released_twice)),
        ("opened_again", "open requests not found again", json!(totals.opened_again)),
        ("unrecorded", "releases not in the audit trail", json!(totals.unrecorded)),
        ("used_unseen", "used up, and the caller was gone", json!(totals.used_unseen)),
    ] {
        table.add_row([words.to_owned(), value.to_string()]);
        numbers.insert(format!("{prefix}_{name}"), value);
    }
}

/// Kills the server in the middle of `round`, starts it again and compares. Returns how long it took to be ready.
async fn crash(
    site: &Site,
    work: &Work<'_>,
    server: Server,
    round: impl Future<Output = Result<()>>,
) -> Result<(Server, Duration)> {
    work.shut();
    server.process.kill();
    // Answers that left before are read still, and count.
    round.await?;
    work.until_idle().await?;
    let begun = clock::instant();
    let server = site.start().await?;
    let ready = begun.elapsed();
    work.compare().await?;
    work.open();
    Ok((server, ready))
}

/// Says how far the test has come, to whoever sits there.
fn progress(line: &str) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(report: &std::path::Path, rounds: u32, postgres: bool) -> Options {
        Options {
            portcullis: crate::portcullis::binary_of_this_build(),
            rounds,
            held: 12,
            postgres,
            postgres_rounds: 1,
            outage: 1_500,
            report: report.join("crashes.json"),
        }
    }

    async fn numbers(options: Options) -> Value {
        let report = options.report.clone();
        run(options).await.unwrap();
        serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn nothing_acknowledged_is_lost_and_nothing_released_twice_by_servers_that_are_killed() {
        let report = tempfile::tempdir().unwrap();
        let numbers = numbers(options(report.path(), 4, false)).await;
        assert_eq!((&numbers["crash_rounds"], &numbers["crash_lost"]), (&json!(4), &json!(0)));
        assert_eq!(numbers["crash_released_twice"], 0);
        assert!(numbers["crash_retried"].as_u64().unwrap() > 0);
    }

    #[tokio::test]
    async fn holds_fail_closed_without_the_database_and_go_on_with_all_that_was_acknowledged() {
        if crate::skip_without_postgres() {
            return;
        }
        let report = tempfile::tempdir().unwrap();
        let numbers = numbers(options(report.path(), 0, true)).await;
        assert_eq!((&numbers["database_lost"], &numbers["database_released_twice"]), (&json!(0), &json!(0)));
        for kind in ["killed", "paused", "cut"] {
            assert!(numbers[format!("database_{kind}_refused_ms_max")].as_f64().unwrap() > 0.0, "{kind}");
        }
    }

    #[test]
    fn whatever_did_not_hold_fails_the_run() {
        let good = Totals { acknowledged: 1, released: 1, ..Totals::default() };
        judge(&good).unwrap();
        for bad in [
            Totals { lost: 1, ..good.clone() },
            Totals { released_twice: 1, ..good.clone() },
            Totals { opened_again: 1, ..good.clone() },
            Totals { unrecorded: 1, ..good.clone() },
            Totals { acknowledged: 0, ..good.clone() },
            Totals { released: 0, ..good.clone() },
        ] {
            judge(&bad).unwrap_err();
        }
    }
}
