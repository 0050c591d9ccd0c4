//! `portcullis envoy`: the proxy's configuration, written and diagnosed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::bundle::Source;
use crate::config::{self, Config};
use crate::policy::PolicySet;
use crate::proxy::{BodySource, Needs, Server};

mod doctor;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Reports what a proxy's configuration gets wrong
    Doctor(doctor::Args),
}

pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Doctor(args) => doctor::run(args),
    }
}

/// What the proxy's configuration is made for, or judged by.
#[derive(Debug, clap::Args)]
struct For {
    /// The server's configuration, and by it the policies [default: no holds, no masks, documented defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Policy files, directories that hold them, and bundles, in place of those that the configuration names
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,
}

/// Reads the configuration and the policies; prints what stops it.
fn needs(given: &For) -> Result<Needs, ExitCode> {
    let read = match &given.config {
        Some(path) => config::read(path),
        // What a file says that leaves everything to its default.
        None => config::parse(&"defaults".into(), &"policies: [policies]\n".into(), Path::new("")),
    };
    let Some(config) = read.config else {
        super::policy::print_findings(&read.findings, &read.sources);
        return Err(ExitCode::from(super::policy::USAGE));
    };
    let paths = match given.policies.as_slice() {
        [] if given.config.is_some() => named(&config)?,
        paths => paths.to_vec(),
    };
    let policies = if paths.is_empty() { PolicySet::none() } else { super::policy::load(&paths)? };
    Ok(Needs::of(&policies, Server { known: given.config.is_some(), ..server(&config) }))
}

/// Where the configured policies lie on this machine.
fn named(config: &Config) -> Result<Vec<PathBuf>, ExitCode> {
    match &config.policies.source {
        Source::Paths(paths) => Ok(paths.clone()),
        Source::File(path) => Ok(vec![path.clone()]),
        Source::Url(_) => Err(super::policy::usage_error(
            &"the configured policies come from a URL: name their files or the bundle with `--policies`",
        )),
    }
}

/// What of a server's configuration matters to a proxy.
fn server(config: &Config) -> Server {
    Server {
        known: true,
        max_message_timeout: config.holds.max_message_timeout,
        decision_timeout: config.decision_timeout,
        body_limit: config.limits.body,
        held: config.holds.held.total,
        gateway: config.listen.gateway,
        body: if config.listen.body_buffered { BodySource::Buffered } else { BodySource::NotBuffered },
        mtls: config.identity.mtls,
        credentials: vec!["authorization".to_owned()],
        digest_headers: config.holds.digest_headers.clone(),
    }
}
