//! `portcullis bundle sign`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::super::policy::{USAGE, as_json, print, print_findings};
use super::{Format, columns, read, refused, shown, write};
use crate::bundle::{self, Bundle, Limits, SigningKey, Trust};
use crate::diagnostic::Sources;

/// Sign a bundle
///
/// Adds a signature to the file, or replaces the one that this key gave before; signatures by other keys stay. Run
/// `bundle verify` first: a signature says that these policies may decide calls.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle sign shop-1.4.0.tgz --key shop.key")]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The private key: Ed25519, PKCS#8 in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signed bundle goes, if not in the place of the unsigned one
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub fn run(args: &Args) -> Result<ExitCode, ExitCode> {
    let bytes = read(&args.file)?;
    let key = SigningKey::read(&args.key).map_err(|finding| {
        print_findings(&[finding], &Sources::default());
        ExitCode::from(USAGE)
    })?;
    let refuse = |why| refused(&shown(&args.file), &why, args.format);
    let signed = bundle::sign(&bytes, &key).map_err(refuse)?;
    let trust = Trust::of([key.public()]);
    let opened = Bundle::open(&signed, &trust, &Limits::default()).map_err(refuse)?;
    let out = args.out.as_ref().unwrap_or(&args.file);
    write(out, &signed)?;
    let Some(manifest) = &opened.manifest else { return Ok(ExitCode::SUCCESS) };
    let id = key.public().id();
    print(&match args.format {
        Format::Human => columns(&[
            ("bundle", format!("{} {}", manifest.name, manifest.version)),
            ("digest", manifest.digest.to_string()),
            ("signed by", id.to_string()),
            ("file", shown(out)),
        ]),
        Format::Json => as_json(&json!({
            "name": manifest.name,
            "version": manifest.version,
            "digest": manifest.digest,
            "key": id,
            "signed_by": opened.signed_by,
            "file": shown(out),
        })),
    });
    Ok(ExitCode::SUCCESS)
}
