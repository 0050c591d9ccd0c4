//! `portcullis bundle rollback`.

use serde_json::json;

use super::server::Connection;
use crate::cli::client::Failure;

/// Go back to an earlier revision on a server
///
/// It stays there until its source offers something newer, or other files, or until `bundle unpin`; meanwhile a candidate
/// decides for nobody. `bundle list` shows what there is to go back to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle rollback --to 1.1.0 --reason 'refunds fail since 1.2.0'")]
pub struct Args {
    /// A revision, version or digest; without it, the revision before the active one
    #[arg(long, value_name = "REVISION|VERSION", default_value = "")]
    to: String,
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    args.connection.change("rollback", &json!({"to": args.to, "reason": args.reason})).await
}
