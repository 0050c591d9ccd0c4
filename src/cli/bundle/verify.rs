//! `portcullis bundle verify`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::super::policy::{USAGE, as_json, print, print_findings};
use super::{Format, OPTIONS, columns, human, machine, read, refused, shown};
use crate::bundle::{Bundle, Limits, Prepared, Trust};
use crate::diagnostic::Sources;

/// Say what a bundle is, and whether a server would take it
///
/// Does what a server does: checks the archive against its manifest, verifies the signature, compiles the policies, runs
/// the cases. Exits with 0 when all of that holds, 1 when the bundle is refused, 2 when it can't be read. Without
/// `--key` no signature is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle verify shop-1.4.0.tgz --key shop.pub")]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public keys, one of which must have signed it: Ed25519, in PEM
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub fn run(args: &Args) -> Result<ExitCode, ExitCode> {
    let bytes = read(&args.file)?;
    let trust = Trust::read(&args.keys).map_err(|findings| {
        print_findings(&findings, &Sources::default());
        ExitCode::from(USAGE)
    })?;
    let prepared = Bundle::open(&bytes, &trust, &Limits::default())
        .and_then(|bundle| bundle.prepare(&OPTIONS))
        .map_err(|why| refused(&shown(&args.file), &why, args.format))?;
    let Some(manifest) = &prepared.bundle.manifest else { return Ok(ExitCode::SUCCESS) };
    if args.format == Format::Json {
        let Bundle { signer, signed_by, .. } = &*prepared.bundle;
        let signed = json!({"signer": signer, "signed_by": signed_by});
        print(&as_json(&machine(manifest, &prepared, signed)));
    } else {
        print_findings(&prepared.findings, &prepared.sources);
        let mut lines = human(manifest, &prepared);
        lines.push(("signature", signature(&prepared)));
        print(&columns(&lines));
    }
    Ok(ExitCode::SUCCESS)
}

fn signature(prepared: &Prepared) -> String {
    let keys = prepared.bundle.signed_by.join(", ");
    match &prepared.bundle.signer {
        Some(signer) => format!("good, by {signer}"),
        None if keys.is_empty() => "none".to_owned(),
        None => format!("NOT VERIFIED (no --key was given); it names {keys}"),
    }
}
