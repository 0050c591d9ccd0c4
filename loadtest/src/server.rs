//! A gRPC server under test, and how the null server is started as one.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::net::TcpStream;

use crate::null::Transport;
use crate::process::{self, Process};

/// The variable that sets the worker threads of a tokio runtime: each server under test gets one.
pub const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// A server that is ready.
pub struct Server {
    pub address: SocketAddr,
    pub process: Process,
}

/// Starts the null server `name`: this program again, as a process of its own.
pub async fn start_null(name: &str, transport: Transport, directory: &Path) -> Result<Server> {
    start_null_with(name, transport, &[], directory).await
}

/// The same with more arguments.
pub async fn start_null_with(
    name: &str,
    transport: Transport,
    arguments: &[&str],
    directory: &Path,
) -> Result<Server> {
    let address = process::free_address()?;
    let mut command = Command::new(env::current_exe().context("cannot find this program's own file")?);
    let transport = transport.to_possible_value().context("a transport without a name")?;
    command.args(["null", "--listen", &address.to_string(), "--transport", transport.get_name()]);
    command.args(arguments).env(WORKERS, "1");
    let mut process = Process::start(name, command, directory)?;
    process.until(async || TcpStream::connect(address).await.is_ok()).await?;
    Ok(Server { address, process })
}
