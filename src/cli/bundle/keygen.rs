//! `portcullis bundle keygen`

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::super::policy::{as_json, print, usage_error};
use super::{Format, columns};
use crate::bundle::SigningKey;

/// Make a pair of keys: one that signs bundles, one that servers trust
///
/// Ed25519, in PEM. The private key is readable by its owner only; whoever has it can sign any policy. No file is
/// overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle keygen --out-private shop.key --out-public shop.pub")]
pub struct Args {
    /// Where the key that signs goes
    #[arg(long, value_name = "FILE")]
    out_private: PathBuf,
    /// Where the key that verifies goes
    #[arg(long, value_name = "FILE")]
    out_public: PathBuf,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub fn run(args: &Args) -> Result<ExitCode, ExitCode> {
    let failed = |_| usage_error(&"can't make a key: the system gives no random numbers");
    let key = SigningKey::generate().map_err(failed)?;
    let private = key.to_pem().map_err(failed)?;
    create(&args.out_private, 0o600, private.expose())?;
    if let Err(code) = create(&args.out_public, 0o644, &key.public().to_pem()) {
        let _ = fs::remove_file(&args.out_private);
        return Err(code);
    }
    let id = key.public().id();
    print(&match args.format {
        Format::Human => columns(&[
            ("key", id.to_string()),
            ("private", format!("{} (keep it secret)", args.out_private.display())),
            ("public", format!("{} (for servers, and `bundle verify --key`)", args.out_public.display())),
        ]),
        Format::Json => as_json(&json!({
            "key": id,
            "private": args.out_private.display().to_string(),
            "public": args.out_public.display().to_string(),
        })),
    });
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is not there yet.
fn create(path: &Path, mode: u32, text: &str) -> Result<(), ExitCode> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            usage_error(&format!("`{}` exists, and keys are not overwritten", path.display()))
        }
        _ => usage_error(&format!("can't write `{}`: {error}", path.display())),
    })
}
