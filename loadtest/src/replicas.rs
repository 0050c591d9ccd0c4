//! Two servers on one PostgreSQL: calls that one holds are approved at the other, and how long it takes until their callers
//! are told.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use portcullis_sample::postgres::Postgres;
use serde_json::{Map, Value, json};

use crate::approver::{Approver, Choice};
use crate::caller::{Answer, Callers, held_number};
use crate::holding::{DATABASE, Settings, Site, postgres_store};
use crate::portcullis::AuditMode;
use crate::report::{percentile, table};
use crate::{clock, token, trail};

/// How many callers share the calls.
const CALLERS: usize = 100;
/// How long until all calls are held.
const PATIENCE: Duration = Duration::from_secs(300);
/// What tests add to the store's configuration: a build without optimisation takes long to open a connection.
const LIMITS: &str = if cfg!(test) { ", timeout: 10s, max_connections: 4" } else { "" };

/// How many calls to hold.
#[derive(Args)]
pub struct Options {
    /// The portcullis binary.
    #[arg(long, value_name = "FILE")]
    portcullis: PathBuf,
    /// Calls that are held at the first server.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    calls: u32,
    /// Approvals under way at once at the second server.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    at_once: u32,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/replicas.json", value_name = "FILE")]
    report: PathBuf,
}

/// When one approval was sent, and when its approver was told that it counts.
#[derive(Clone, Copy)]
struct Approved {
    call: u32,
    sent: Instant,
    acknowledged: Instant,
}

/// What became of the calls.
#[derive(Default)]
struct Found {
    /// From the answer to the approver to that to the caller, in milliseconds; 0 where the caller was told first.
    from_answer: Vec<f64>,
    /// From the approver's request.
    from_request: Vec<f64>,
    lost: usize,
    released_twice: u32,
}

/// Runs the test, prints a table and writes the numbers; an error when a call was lost or released twice.
pub async fn run(options: Options) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a folder for the run")?;
    let postgres = Postgres::start_durable()?;
    postgres.create_database(DATABASE)?;
    let issuer = token::Issuer::new()?;
    let site = |name: &str| options.site(&postgres, &issuer, &folder.path().join(name));
    let (first, second) = (site("first")?, site("second")?);
    let servers = [first.start().await?, second.start().await?];
    let mut found = options.approve_elsewhere(&issuer, &first, &second).await?;
    for server in servers {
        server.process.stop().await?;
    }
    found.released_twice = trail::beyond_the_first(&trail::releases(&[first.audit(), second.audit()])?);
    options.report(&found)?;
    let Found { lost, released_twice, .. } = found;
    ensure!((lost, released_twice) == (0, 0), "{lost} calls lost, {released_twice} released twice");
    Ok(())
}

impl Options {
    fn site(&self, postgres: &Postgres, issuer: &token::Issuer, folder: &Path) -> Result<Site> {
        fs::create_dir_all(folder)?;
        let settings = Settings {
            binary: &self.portcullis,
            issuer,
            calls: self.calls + 100,
            store: &postgres_store(postgres.address(), folder, LIMITS)?,
            audit: AuditMode::BestEffort,
            retry_window: Duration::from_secs(10),
        };
        Site::new(folder, &settings)
    }

    async fn approve_elsewhere(&self, issuer: &token::Issuer, first: &Site, second: &Site) -> Result<Found> {
        let callers = Callers::new(first.ports.grpc, issuer.tokens(CALLERS)?, self.calls as usize)?;
        let approver = Approver::new(second.ports.admin, issuer, "approver")?;
        let answers = RefCell::new(vec![None; self.calls as usize]);
        let calls = join_all((0..self.calls).map(async |call| {
            let answer = callers.held(call as usize, call).await;
            if let Some(place) = answers.borrow_mut().get_mut(call as usize) {
                *place = Some((answer, clock::instant()));
            }
        }));
        let ((), approved) = tokio::try_join!(
            async {
                calls.await;
                Ok(())
            },
            self.approve_all(&approver, first)
        )?;
        let answers = answers.into_inner();
        Ok(Found::of(&approved, &answers))
    }

    /// Approves every call, a few at a time, once all are held.
    async fn approve_all(&self, approver: &Approver, first: &Site) -> Result<Vec<Approved>> {
        let begun = clock::instant();
        let pending = loop {
            let held = first.held().await?;
            let pending = if held < self.calls { Vec::new() } else { approver.pending().await? };
            if pending.len() >= self.calls as usize {
                break pending;
            }
            ensure!(begun.elapsed() < PATIENCE, "only {held} calls are held");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let approve = async |(call, id): (u32, String)| {
            let sent = clock::instant();
            approver.decide(&id, Choice::Approve, "load").await.context("an approval was refused")?;
            Ok(Approved { call, sent, acknowledged: clock::instant() })
        };
        let calls = pending.into_iter().filter_map(|approval| {
            let call = held_number(&approval.call?.path)?;
            Some((call, approval.id))
        });
        let calls: Vec<_> = calls.collect();
        stream::iter(calls).map(approve).buffer_unordered(self.at_once as usize).try_collect().await
    }

    fn report(&self, found: &Found) -> Result<()> {
        let Found { from_answer, from_request, lost, released_twice } = found;
        let rounded = |numbers: &[f64], percent| json!((percentile(numbers, percent) * 10.0).round() / 10.0);
        let mut table = table(&["approved at the other replica", "number"], 1);
        let mut numbers = Map::new();
        for (name, words, value) in [
            ("replicas_calls", "calls", json!(self.calls)),
            ("replicas_at_once", "approvals at once", json!(self.at_once)),
            (
                "approve_other_replica_ms_p50",
                "approver's answer to caller's, ms: median",
                rounded(from_answer, 50),
            ),
            ("approve_other_replica_ms_p99", "p99", rounded(from_answer, 99)),
            (
                "approve_other_replica_from_request_ms_p50",
                "approver's request to caller's answer, ms: median",
                rounded(from_request, 50),
            ),
            ("approve_other_replica_from_request_ms_p99", "p99", rounded(from_request, 99)),
            ("replicas_lost", "lost", json!(lost)),
            ("replicas_released_twice", "released twice", json!(released_twice)),
        ] {
            table.add_row([words.to_owned(), value.to_string()]);
            numbers.insert(name.to_owned(), value);
        }
        println!("{table}");
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, format!("{:#}\n", Value::Object(numbers)))
            .with_context(|| format!("cannot write `{}`", self.report.display()))
    }
}

impl Found {
    fn of(approved: &[Approved], answers: &[Option<(Answer, Instant)>]) -> Self {
        let mut found = Self::default();
        let milliseconds =
            |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e3;
        for Approved { call, sent, acknowledged } in approved {
            if let Some(Some((Answer::Released, told))) = answers.get(*call as usize) {
                found.from_answer.push(milliseconds(*acknowledged, *told));
                found.from_request.push(milliseconds(*sent, *told));
            }
        }
        found.lost = answers.len() - found.from_answer.len();
        for (answer, _) in answers.iter().flatten().filter(|(answer, _)| *answer != Answer::Released) {
            eprintln!("a call was answered with `{answer}`");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_held_by_one_server_are_released_by_approvals_given_at_another() {
        if crate::skip_without_postgres() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("replicas.json");
        let portcullis = crate::portcullis::binary_of_this_build();
        run(Options { portcullis, calls: 10, at_once: 2, report: report.clone() }).await.unwrap();
        let numbers: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
        assert_eq!((&numbers["replicas_lost"], &numbers["replicas_released_twice"]), (&json!(0), &json!(0)));
        assert!(numbers["approve_other_replica_from_request_ms_p50"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn a_call_that_was_not_released_is_lost_and_one_that_was_told_first_waited_for_nothing() {
        let sent = clock::instant();
        let at = |milliseconds| sent + Duration::from_millis(milliseconds);
        let approved = |call| Approved { call, sent, acknowledged: at(10) };
        let denied = Answer::Denied(503, "store_unavailable".into());
        let answers =
            [Some((Answer::Released, at(15))), Some((Answer::Released, at(8))), Some((denied, at(15))), None];
        let found = Found::of(&[approved(0), approved(1), approved(2), approved(3)], &answers);
        assert_eq!((found.from_answer, found.from_request, found.lost), (vec![5.0, 0.0], vec![15.0, 8.0], 2));
    }
}
