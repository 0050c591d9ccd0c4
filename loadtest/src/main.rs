//! `portcullis-loadtest`: what Portcullis costs per call, as ratios to a null server within one run.

mod clock;
mod cpu;
mod envoy;
mod lane;
mod load;
mod null;
mod policies;
mod portcullis;
mod process;
mod report;
mod run;
mod server;
mod token;
mod traffic;

use std::net::SocketAddr;

use anyhow::Result;
use clap::Parser;

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
    /// Serve the null server, which says yes to every call.
    Null {
        /// The address to serve gRPC on.
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        // The servers under test want the other core.
        Command::Run(options) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run::run(*options))
        }
        // How many workers it has is said by its environment, as it is for Portcullis.
        Command::Null { listen } => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(null::serve(listen))
        }
    }
}
