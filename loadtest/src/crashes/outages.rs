//! The database goes away while calls are held, in three ways: killed, paused, or cut off without a word.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use portcullis_sample::postgres::Postgres;
use portcullis_sample::wire::Wire;
use serde_json::{Map, Value, json};

use super::ledger::Totals;
use super::work::Work;
use super::{Options, add_totals, progress};
use crate::caller::Answer;
use crate::holding::{DATABASE, Site, postgres_store};
use crate::report::table;
use crate::{clock, token};

/// Between two held calls while the database is away.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// Between two calls that no rule holds.
const PLAIN_EVERY: Duration = Duration::from_millis(10);
/// How long the server may take until a call is held and released again.
const BACK: Duration = Duration::from_secs(60);

/// What tests add to the store's configuration.
const LIMITS: &str = if cfg!(test) { ", timeout: 3s, max_connections: 4" } else { "" };

/// How the database goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Killed,
    Paused,
    Cut,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Killed, Self::Paused, Self::Cut];

    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Paused => "paused",
            Self::Cut => "cut",
        }
    }
}

/// What all outages of one kind showed.
struct Seen {
    kind: Kind,
    rounds: u32,
    /// Held calls that were refused, and how long the longest waited for that.
    refused: usize,
    refused_max: Duration,
    /// From the database's return until a call was held, approved and released.
    back_max: Duration,
    /// Calls that no rule holds, and how long the longest took.
    plain: u32,
    plain_max: Duration,
}

/// What the outages showed.
pub struct Outages {
    seen: Vec<Seen>,
    pub totals: Totals,
}

/// The database and the way to it.
struct Database {
    postgres: Arc<Mutex<Postgres>>,
    wire: Wire,
}

impl Database {
    async fn start() -> Result<Self> {
        let postgres = Postgres::start_durable()?;
        postgres.create_database(DATABASE)?;
        let wire = Wire::to(postgres.address()).await?;
        Ok(Self { postgres: Arc::new(Mutex::new(postgres)), wire })
    }

    async fn leave(&self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Killed => self.on_a_thread(Postgres::kill).await,
            Kind::Paused => self.on_a_thread(|postgres| postgres.pause()).await,
            Kind::Cut => {
                self.wire.cut();
                Ok(())
            }
        }
    }

    /// It is there again when this returns.
    async fn come_back(&self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Killed => self.on_a_thread(Postgres::start_again).await,
            Kind::Paused => self.on_a_thread(|postgres| postgres.resume()).await,
            Kind::Cut => {
                self.wire.mend();
                Ok(())
            }
        }
    }

    /// What waits for processes would keep all calls waiting.
    async fn on_a_thread(&self, act: fn(&mut Postgres) -> Result<()>) -> Result<()> {
        let postgres = self.postgres.clone();
        let acted = move || act(&mut postgres.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(acted).await?
    }
}

/// Lets the database go away in every way, again and again.
pub async fn run(options: &Options) -> Result<Outages> {
    let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
    let database = Database::start().await?;
    let issuer = token::Issuer::new()?;
    let site = site(options, &database, &issuer, directory.path())?;
    let work = Work::new(&site, &issuer, options.held)?;
    let server = site.start().await?;
    let conduct = async {
        let mut seen = Vec::new();
        for kind in Kind::ALL {
            let outages = leave_again_and_again(options, &database, &work, kind);
            seen.push(outages.await.with_context(|| kind.name())?);
        }
        work.settle().await?;
        Ok(seen)
    };
    let ((), seen) = tokio::try_join!(work.calls(), conduct)?;
    let totals = work.sum_up(&[site.audit()]).await?;
    server.process.stop().await?;
    Ok(Outages { seen, totals })
}

fn site(options: &Options, database: &Database, issuer: &token::Issuer, folder: &Path) -> Result<Site> {
    let store = postgres_store(database.wire.address(), folder, LIMITS)?;
    Site::new(folder, &options.settings(issuer, &store))
}

async fn leave_again_and_again(
    options: &Options,
    database: &Database,
    work: &Work<'_>,
    kind: Kind,
) -> Result<Seen> {
    let rounds = options.postgres_rounds;
    let mut seen = Seen {
        kind,
        rounds,
        refused: 0,
        refused_max: Duration::ZERO,
        back_max: Duration::ZERO,
        plain: 0,
        plain_max: Duration::ZERO,
    };
    // How long a round takes is not known before the first.
    let begun = clock::instant();
    work.round(0).await?;
    let takes = begun.elapsed();
    for number in 1..=rounds {
        progress(&format!("database {}: round {number} of {rounds}", kind.name()));
        let over = Cell::new(false);
        let outage = async {
            let seen = outage(options, database, work, kind, (number, takes)).await;
            over.set(true);
            seen
        };
        let ((refused, back), (plain, plain_max)) = tokio::try_join!(outage, plain_calls(work, &over))?;
        seen.refused += refused.len();
        seen.refused_max = refused.into_iter().fold(seen.refused_max, Duration::max);
        seen.back_max = seen.back_max.max(back);
        seen.plain += plain;
        seen.plain_max = seen.plain_max.max(plain_max);
    }
    Ok(seen)
}

/// One outage in the middle of a round: how long each held call took to be refused, and how long all took to go on.
async fn outage(
    options: &Options,
    database: &Database,
    work: &Work<'_>,
    kind: Kind,
    (number, takes): (u32, Duration),
) -> Result<(Vec<Duration>, Duration)> {
    let mut round = Box::pin(work.round(number));
    tokio::select! {
        ended = &mut round => ended?,
        () = tokio::time::sleep(takes.mul_f64(fastrand::f64())) => {
            // Whoever is refused comes again when it is back.
            work.shut();
            database.leave(kind).await?;
            let (refused, ended) =
                tokio::join!(refused_calls(work, Duration::from_millis(options.outage)), round);
            ended?;
            return Ok((refused?, come_back(database, work, kind).await?));
        }
    }
    work.shut();
    database.leave(kind).await?;
    let refused = refused_calls(work, Duration::from_millis(options.outage)).await?;
    Ok((refused, come_back(database, work, kind).await?))
}

/// The database is back: how long until calls are held, approved and released again. Then compares.
async fn come_back(database: &Database, work: &Work<'_>, kind: Kind) -> Result<Duration> {
    database.come_back(kind).await?;
    let begun = clock::instant();
    let call = work.new_call();
    while tokio::select! {
        answer = work.call(call) => answer? != Answer::Released,
        never = approve(work, call) => never,
    } {
        ensure!(begun.elapsed() < BACK, "no call is held and released {} s later", BACK.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let back = begun.elapsed();
    work.compare().await?;
    work.open();
    work.until_all_are_held().await?;
    Ok(back)
}

/// Approves this call as often as it asks. Never returns.
async fn approve(work: &Work<'_>, call: u32) -> bool {
    loop {
        if let Some(pending) = work.pending_of(call).await {
            work.approve(&pending).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Held calls for so long, and after which time each was refused. An error when one was not.
async fn refused_calls(work: &Work<'_>, length: Duration) -> Result<Vec<Duration>> {
    let count = u32::try_from(length.as_millis() / PROBE_EVERY.as_millis())?.max(1);
    let refused = join_all((0..count).map(async |number| {
        tokio::time::sleep(PROBE_EVERY * number).await;
        let call = work.new_call();
        let begun = clock::instant();
        let answer = work.call(call).await?;
        let is_refused = matches!(&answer, Answer::Denied(503, error) if error == "store_unavailable");
        ensure!(is_refused, "a call that is to be held was answered with `{answer}`");
        Ok(begun.elapsed())
    }));
    refused.await.into_iter().collect()
}

/// Calls that no rule holds, until it is `over`: how many, and how long the longest took. Each must be allowed.
async fn plain_calls(work: &Work<'_>, over: &Cell<bool>) -> Result<(u32, Duration)> {
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !over.get() {
        let begun = clock::instant();
        match work.plain_call().await {
            Answer::Released => {}
            answer => bail!("a call that no rule holds was answered with `{answer}`"),
        }
        longest = longest.max(begun.elapsed());
        count += 1;
        tokio::time::sleep(PLAIN_EVERY).await;
    }
    Ok((count, longest))
}

impl Outages {
    /// Prints the tables, and adds the numbers.
    pub fn show(&self, numbers: &mut Map<String, Value>) {
        let columns = [
            "the database is",
            "times",
            "calls refused",
            "after ms, at most",
            "back after ms, at most",
            "plain calls",
            "ms, at most",
        ];
        let mut kinds = table(&columns, 1);
        for Seen { kind, rounds, refused, refused_max, back_max, plain, plain_max } in &self.seen {
            let [refused_max, back_max, plain_max] =
                [refused_max, back_max, plain_max].map(|time| (time.as_secs_f64() * 1e3).round());
            let name = kind.name();
            kinds.add_row([
                name.to_owned(),
                rounds.to_string(),
                refused.to_string(),
                refused_max.to_string(),
                back_max.to_string(),
                plain.to_string(),
                plain_max.to_string(),
            ]);
            let mut number =
                |what: &str, value: Value| numbers.insert(format!("database_{name}_{what}"), value);
            number("rounds", json!(rounds));
            number("refused_calls", json!(refused));
            number("refused_ms_max", json!(refused_max));
            number("back_ms_max", json!(back_max));
            number("plain_calls", json!(plain));
            number("plain_ms_max", json!(plain_max));
        }
        println!("{kinds}");
        let mut all = table(&["the database is away, calls held", "number"], 1);
        add_totals(&self.totals, "database", &mut all, numbers);
        println!("{all}");
    }
}
