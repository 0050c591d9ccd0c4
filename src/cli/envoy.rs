//! `portcullis envoy`: the proxy's configuration, written and diagnosed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::bundle::Source;
use crate::config as settings;
use crate::policy::PolicySet;
use crate::proxy::{Needs, Server};

mod config;
mod doctor;
mod kubernetes;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Writes the configuration that a proxy needs for these policies
    Config(Box<config::Args>),
    /// Reports what a proxy's configuration gets wrong
    Doctor(doctor::Args),
}

pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Config(args) => config::run(args),
        Command::Doctor(args) => doctor::run(args),
    }
}

/// What the proxy's configuration is made for, or judged by.
#[derive(Debug, clap::Args)]
struct For {
    /// The server's configuration, and by it the policies [default: no holds, no masks, documented defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Policy files, directories that hold them, and bundles, in place of the active ones that the configuration names
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,
}

/// Reads the configuration and the policies; prints what stops it.
fn needs(given: &For) -> Result<Needs, ExitCode> {
    let read = match &given.config {
        Some(path) => settings::read(path),
        // What a file says that leaves everything to its default.
        None => settings::parse(&"defaults".into(), &"policies: [policies]\n".into(), Path::new("")),
    };
    let Some(config) = read.config else {
        super::policy::print_findings(&read.findings, &read.sources);
        return Err(ExitCode::from(super::policy::USAGE));
    };
    let paths = match given.policies.as_slice() {
        [] if given.config.is_some() => local(&config.policies.source)?,
        paths => paths.to_vec(),
    };
    let policies = if paths.is_empty() { PolicySet::none() } else { super::policy::load(&paths)? };
    let mut needs = Needs::of(&policies, Server { known: given.config.is_some(), ..config.for_proxies() });
    // It may come to decide calls: what it reads has to be shown before.
    if let Some(candidate) = &config.policies.candidate {
        needs.add(&super::policy::load(&local(&candidate.source)?)?);
    }
    Ok(needs)
}

/// Where configured policies lie on this machine.
fn local(source: &Source) -> Result<Vec<PathBuf>, ExitCode> {
    match source {
        Source::Paths(paths) => Ok(paths.clone()),
        Source::File(path) => Ok(vec![path.clone()]),
        Source::Url(_) => Err(super::policy::usage_error(
            &"the configured policies come from a URL: name their files or the bundle with `--policies`",
        )),
    }
}

#[cfg(test)]
mod tests;
