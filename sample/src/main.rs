//! `portcullis-sample`: the sample set-up as a program, for `make run`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use portcullis_sample::setup::{Options, Services, Setup};
use portcullis_sample::{guide, tour};
use tokio::signal::unix::{SignalKind, signal};

/// The sample set-up: an upstream, an identity provider, Portcullis and Envoy
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "Example:\n  portcullis-sample run\n  GATEWAY_PORT=10001 portcullis-sample demo"
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start everything, say what to try, and stop everything on Ctrl-C
    Run(Options),
    /// Start everything, play the tour, and exit with 0 only when every step did what it says
    Demo(Options),
    /// Start only the upstream and the identity provider, and write tokens and a configuration for the rest
    Services(Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Line::parse().command {
        Command::Run(options) => run(&options).await,
        Command::Demo(options) => demo(options).await,
        Command::Services(options) => services(&options).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<ExitCode> {
    let mut setup = tokio::select! {
        setup = Setup::start(options) => setup?,
        () = asked_to_stop() => return Ok(ExitCode::SUCCESS),
    };
    guide::print(&setup, &mut anstream::stdout().lock())?;
    tokio::select! {
        () = asked_to_stop() => {}
        failure = setup.first_failure() => return Err(failure),
    }
    anstream::eprintln!("stopping");
    setup.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Each demo starts from nothing, in a folder of its own: calls that an earlier one left waiting would be in the way.
async fn demo(mut options: Options) -> Result<ExitCode> {
    options.data.push("demo");
    match std::fs::remove_dir_all(&options.data) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => bail!("can't remove `{}`: {error}", options.data.display()),
    }
    let mut setup = tokio::select! {
        setup = Setup::start(&options) => setup?,
        () = asked_to_stop() => bail!("stopped before the tour began"),
    };
    let good = tokio::select! {
        good = tour::play(&setup) => good,
        () = asked_to_stop() => bail!("the tour was stopped"),
    };
    if let Some(failure) = setup.failure_so_far().await {
        return Err(failure);
    }
    setup.stop().await?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn services(options: &Options) -> Result<ExitCode> {
    let services = Services::start_with_configuration(options).await?;
    anstream::println!(
        "upstream {}, identity provider {}",
        services.upstream.address(),
        services.idp.address()
    );
    asked_to_stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Returns on Ctrl-C, and on SIGTERM.
async fn asked_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
