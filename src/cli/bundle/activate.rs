//! `portcullis bundle activate`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::server::Connection;
use crate::cli::client::Failure;

/// Make a bundle active on a server
///
/// The server verifies, compiles and tests it like one that it fetched; it refuses a version that is older than any
/// that was active. What its source holds now is not taken again until it differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle activate shop-1.2.0.tgz --reason 'release 1.2'")]
pub struct Args {
    /// The bundle
    file: PathBuf,
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    // The server's limit may be higher than the usual one, so the file is read as a whole.
    let unreadable =
        |error: std::io::Error| Failure::Refused(format!("can't read `{}`: {error}", args.file.display()));
    let bytes = std::fs::read(&args.file).map_err(unreadable)?;
    super::no_key(&args.file, &bytes).map_err(Failure::Refused)?;
    let body = json!({"archive": STANDARD.encode(bytes), "reason": args.reason});
    args.connection.change("activate", &body).await
}
