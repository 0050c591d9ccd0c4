//! `portcullis bundle pin` and `unpin`.

use serde_json::json;

use super::server::Connection;
use crate::cli::client::Failure;

/// Keep a server at a revision, whatever its source offers
///
/// Until it is unpinned, also over restarts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle pin --reason 'no changes before Monday'")]
pub struct Args {
    /// A kept revision, version or digest, which becomes active; without it, the active one
    #[arg(default_value = "")]
    revision: String,
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

/// Let a server follow its source again
///
/// The newest that the pin held off becomes active. Where nothing is pinned, it ends a rollback: what that held off
/// becomes active again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle unpin --reason 'it is Monday'")]
pub struct UnpinArgs {
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    args.connection.change("pin", &json!({"revision": args.revision, "reason": args.reason})).await
}

pub async fn unpin(args: &UnpinArgs) -> Result<(), Failure> {
    args.connection.change("unpin", &json!({"reason": args.reason})).await
}
