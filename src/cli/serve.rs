//! `portcullis serve`: the server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, Loaded, NotStarted, Refused, Stop};
use crate::clock::Clock;
use crate::config;
use crate::diagnostic::{Diagnostic, render};
use crate::engine::Candidate;
use crate::engine::fault::Faults;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  portcullis serve --config portcullis.yaml --check
  portcullis serve --config portcullis.yaml

SIGTERM and Ctrl-C drain and stop it, a second one at once; SIGHUP reads policies and identity providers again.
PORTCULLIS_LOG sets what is logged: `info` (default), `debug`, `portcullis::engine=debug`.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: PathBuf,
    /// Validate the configuration, the policies and the keys that it names, and exit.
    #[arg(long)]
    check: bool,
    /// Worker threads; by default one for each processor.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub fn run(args: &Args) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.max(1));
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> ExitCode {
    let clock = Clock::system();
    let loaded = match app::load(config::read(&args.config), &clock).await {
        Ok(loaded) => loaded,
        Err(refused) => return not_started(&refused),
    };
    if args.check {
        return check(&loaded);
    }
    anstream::eprint!("{}", render::human(&loaded.findings, &loaded.sources, true));
    if let Err(error) = telemetry::init() {
        anstream::eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    match start(&args.config, loaded, clock).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(NotStarted::Refused(refused)) => not_started(&refused),
        Err(NotStarted::Failed(error)) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what a start would say. The store is not opened: whether it keeps a revision to go on with is not known.
fn check(loaded: &Loaded) -> ExitCode {
    let refused = loaded.policies_refused();
    if let Some(Refused { findings, sources }) = &refused {
        anstream::eprint!("{}", render::human(findings, sources, true));
        anstream::eprintln!(
            "error: policies were not taken, {} mistake(s); a server that keeps an earlier revision goes on with it, \
             any other does not start",
            mistakes(findings)
        );
    } else {
        anstream::eprint!("{}", render::human(&loaded.findings, &loaded.sources, true));
    }
    let candidate = loaded.candidate.as_ref().map(app::Candidate::offer);
    if let Some(Err(refused)) = candidate {
        anstream::eprint!("{}", render::human(&refused.findings, &refused.sources, true));
        anstream::eprintln!(
            "error: the candidate was not taken, {} mistake(s); the active policies go on",
            mistakes(&refused.findings)
        );
    }
    if refused.is_some() || matches!(candidate, Some(Err(_))) {
        return ExitCode::FAILURE;
    }
    match loaded.policies.offer() {
        Some(offer) => {
            let (policies, revision) = (offer.prepared.set.len(), offer.prepared.set.revision());
            anstream::println!("ok: {policies} policies, revision {revision}");
        }
        None => anstream::println!("ok: policies are fetched once the server runs"),
    }
    ExitCode::SUCCESS
}

fn mistakes(findings: &[Diagnostic]) -> usize {
    findings.iter().filter(|finding| finding.is_error()).count()
}

fn not_started(refused: &Refused) -> ExitCode {
    anstream::eprint!("{}", render::human(&refused.findings, &refused.sources, true));
    let errors = mistakes(&refused.findings);
    anstream::eprintln!("error: not started, {errors} mistake(s) in the configuration and what it names");
    ExitCode::FAILURE
}

async fn start(config: &Path, loaded: Loaded, clock: Clock) -> Result<bool, NotStarted> {
    let grpc = loaded.config.listen.grpc.clone();
    if loaded.config.mask.hash_key_file.is_none() && loaded.config.mask.hash_keys.is_empty() {
        tracing::info!(
            "no `mask.hash_keys`: hashes in masked bodies can be joined until the next restart only"
        );
    }
    let bound = app::build(loaded, clock, Faults::default()).await?;
    let addresses = &bound.addresses;
    let tried = |candidate: &Candidate| (candidate.policies.revision().to_string(), candidate.share);
    let (candidate, candidate_share) = bound.engine.snapshot().candidate.as_ref().map(tried).unzip();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = %bound.engine.snapshot().policies.revision(),
        candidate,
        candidate_share,
        grpc = %addresses.grpc.map_or_else(|| grpc.to_string(), |address| address.to_string()),
        admin = %addresses.admin,
        metrics = %addresses.metrics,
        "serving"
    );
    let listen = |kind| signal(kind).map_err(anyhow::Error::from);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let (reloader, config) = (bound.reloader(), config.to_owned());
    let stop = Stop::default();
    let told = stop.clone();
    let signals = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => told.again(),
                _ = interrupt.recv() => told.again(),
                _ = hang_up.recv() => reloader.reload(&config).await,
            }
        }
    });
    let served = bound.serve(stop).await;
    signals.abort();
    Ok(served?)
}
