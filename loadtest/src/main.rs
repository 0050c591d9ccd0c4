//! `portcullis-loadtest`: what Portcullis costs per call, as ratios to a null server within one run.

mod clock;
mod cpu;
mod null;

use std::net::SocketAddr;

use anyhow::Result;
use clap::Parser;

/// What Portcullis costs per call, beside a null server in the same run.
#[derive(Parser)]
#[command(version, about)]
enum Command {
    /// Serve the null server: yes to every call, on one worker thread.
    Null {
        /// The address to serve gRPC on.
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Null { listen } => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?
            .block_on(null::serve(listen)),
    }
}
