//! `portcullis-loadtest`: what Portcullis costs per call, as ratios to a null server within one run.

mod approver;
mod caller;
mod clock;
mod cpu;
mod crashes;
mod envoy;
mod holding;
mod holds;
mod issuers;
mod lane;
mod load;
mod null;
mod policies;
mod portcullis;
mod process;
mod reloads;
mod replicas;
mod report;
mod run;
mod server;
mod streams;
mod token;
mod traffic;
mod trail;

use std::net::SocketAddr;

use anyhow::{Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// What Portcullis costs per call, beside a null server in the same run.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Example: portcullis-loadtest run --portcullis target/release/portcullis"
)]
enum Command {
    /// Measure a server, print a table and write the numbers to a file.
    Run(Box<run::Options>),
    /// Reload policies again and again under load through Envoy, and replay every decision.
    Reloads(reloads::Options),
    /// Measure calls of one issuer's tokens while another issuer is down, slow, huge, rotating or lying.
    Issuers(issuers::Options),
    /// Hold calls by the ten thousand, approve them, and count those that were lost or released twice.
    Holds(holds::Options),
    /// Kill the server and its database while calls are held, and count what was lost or released twice.
    Crashes(crashes::Options),
    /// Hold calls at one server and approve them at another: how long until their callers are told.
    Replicas(replicas::Options),
    /// Masked bodies through Envoy: throughput beside an echo, what an event waits, and memory with many streams open.
    Streams(streams::Options),
    /// Serve the null server, which says yes to every call.
    Null {
        /// The address to serve gRPC on.
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
        /// How its connections are served.
        #[arg(long, value_enum, default_value_t = null::Transport::Tonic)]
        transport: null::Transport,
        /// Have ext_proc shown response bodies in FULL_DUPLEX_STREAMED mode, and send them back as they are.
        #[arg(long)]
        echo: bool,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Run(options) => on_one_thread(run::run(*options)),
        Command::Reloads(options) => on_one_thread(reloads::run(options)),
        Command::Issuers(options) => on_one_thread(issuers::run(options)),
        Command::Holds(options) => on_one_thread(holds::run(options)),
        Command::Crashes(options) => on_one_thread(crashes::run(options)),
        Command::Replicas(options) => on_one_thread(replicas::run(options)),
        Command::Streams(options) => on_one_thread(streams::run(options)),
        // How many workers it has is said by its environment, as it is for Portcullis.
        Command::Null { listen, transport, echo } => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(null::serve(listen, transport, echo))
        }
    }
}

/// Whether this machine has no PostgreSQL. The running test is then named as skipped, where that is allowed.
#[cfg(test)]
fn skip_without_postgres() -> bool {
    let Err(reason) = portcullis_sample::postgres::programs() else { return false };
    assert!(std::env::var_os("PORTCULLIS_REQUIRE_POSTGRES").is_none(), "{reason}");
    let thread = std::thread::current();
    let line = format!("test {} ... ignored, {reason}\n", thread.name().unwrap_or_default());
    // Past the capture of the test's output: `scripts/skipped` reads this.
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    true
}

/// Runs a test to its end; the servers under test want the other core.
fn on_one_thread(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        tokio::select! {
            ended = test => ended,
            // Leaving here, and not at once, ends the servers and removes their files.
            stopped = stopped() => stopped.and_then(|()| bail!("stopped before the end")),
        }
    })
}

/// Waits until the process is asked to end.
async fn stopped() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
