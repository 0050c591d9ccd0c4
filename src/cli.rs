//! The command line: one file per command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod approvals;
pub mod bundle;
mod client;
mod connection;
pub mod envoy;
pub mod keys;
pub mod mask;
pub mod policy;
mod replace;
pub mod revoke;
pub mod serve;
pub mod token;

/// External authorization for Envoy and Istio: identity, policies as code, approvals, masking, audit.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    Serve(serve::Args),
    /// Checks, tests and explains policies.
    Policy(policy::Args),
    /// Builds, signs and verifies bundles: versions of policies in one file.
    Bundle(bundle::Args),
    /// Lists and decides calls that wait for approval.
    Approvals(approvals::Args),
    /// Makes, lists and revokes API keys.
    Keys(keys::Args),
    /// Refuses credentials although they are genuine: of a subject, a token, a session, or a key.
    Revoke(Box<revoke::Args>),
    /// Writes the configuration that a proxy needs, and finds what an existing one gets wrong.
    Envoy(envoy::Args),
    /// Masks a body read from standard input.
    Mask(mask::Args),
    /// Says whose token this is, or why it is refused; hashes passwords.
    Token(token::Args),
}

/// Runs the command that the arguments name. Usage errors exit with 2.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Envoy(args) => envoy::run(&args),
        Command::Mask(args) => mask::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Approvals(args) => on_one_thread(approvals::run(args)),
        Command::Token(args) => on_one_thread(token::run(args)),
    }
}

/// Runs a short client command.
fn on_one_thread(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            anstream::eprintln!("can't start: {error}");
            ExitCode::FAILURE
        }
    }
}
