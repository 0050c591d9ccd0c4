//! `portcullis bundle build`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use semver::Version;
use serde_json::json;

use super::super::policy::{as_json, print, print_error, print_findings, usage_error};
use super::{Format, OPTIONS, columns, human, machine, read, refused, shown, write};
use crate::bundle::{self, Bundle, Label, Limits, Manifest, Trust, is_digest};
use crate::clock::Clock;

/// Make a bundle of policies and their cases
///
/// Compiles the policies and runs the cases first; a mistake or a failing case refuses. The same files and options give
/// the same bytes: set `--created`, or SOURCE_DATE_EPOCH, to a time of your own.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: portcullis bundle build policies/ --name shop --version 1.4.0 --out shop-1.4.0.tgz"
)]
pub struct Args {
    /// Files of policies and cases, directories that hold them, and other bundles
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Which bundle this is: a server takes newer versions of the same name only
    #[arg(long, value_parser = name)]
    name: String,
    /// By Semantic Versioning, as in `1.4.0`
    #[arg(long)]
    version: Version,
    /// The version that this one follows: its file, or its digest
    #[arg(long, value_name = "BUNDLE|DIGEST")]
    parent: Option<PathBuf>,
    /// The oldest server that may load it
    #[arg(long, value_name = "VERSION")]
    minimum_server: Option<Version>,
    /// When it was made, as in `2026-11-21T10:00:00Z`; otherwise SOURCE_DATE_EPOCH, otherwise now
    #[arg(long, value_name = "TIME", value_parser = time)]
    created: Option<Timestamp>,
    /// Where the bundle goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace a signed bundle in its place: what replaces it has no signature
    #[arg(long)]
    force: bool,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub fn run(args: &Args) -> Result<ExitCode, ExitCode> {
    if !args.force {
        spare_signed(&args.out)?;
    }
    let bundle = bundle::gather(&args.paths).map_err(|error| usage_error(&error))?;
    let label = Label {
        name: args.name.as_str().into(),
        version: args.version.clone(),
        created: created(args.created, std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?,
        parent: args.parent.as_deref().map(|parent| read_parent(parent, args)).transpose()?,
        minimum_server: args.minimum_server.clone(),
    };
    let refuse = |why| refused("the bundle", &why, args.format);
    let prepared = bundle.prepare(&OPTIONS).map_err(refuse)?;
    let bytes = prepared.bundle.pack(&label).map_err(refuse)?;
    let packed = Bundle::open(&bytes, &Trust::none(), &Limits::default()).map_err(refuse)?;
    let Some(manifest) = &packed.manifest else { return Err(usage_error(&"the bundle has no manifest")) };
    write(&args.out, &bytes)?;
    if args.format == Format::Json {
        print(&as_json(&machine(manifest, &prepared, json!({"file": shown(&args.out)}))));
    } else {
        print_findings(&prepared.findings, &prepared.sources);
        if prepared.passed == 0 {
            print_error("warning: there are no cases (`*.cases.yaml`), so nothing tests these policies\n");
        }
        let mut lines = human(manifest, &prepared);
        lines.push(("file", format!("{}, {} bytes", shown(&args.out), bytes.len())));
        print(&columns(&lines));
    }
    Ok(ExitCode::SUCCESS)
}

fn name(text: &str) -> Result<String, String> {
    if bundle::is_name(text) { Ok(text.to_owned()) } else { Err(format!("not {}", bundle::NAME_IS)) }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "not a time with its zone, such as `2026-11-21T10:00:00Z`".to_owned())
}

/// Refuses to write over a signed bundle: servers that ask for signatures would lose it.
fn spare_signed(out: &Path) -> Result<(), ExitCode> {
    if !out.is_file() {
        return Ok(());
    }
    match Bundle::open(&read(out)?, &Trust::none(), &Limits::default()) {
        Ok(Bundle { signed_by, .. }) if !signed_by.is_empty() => {
            let keys = signed_by.join(", ");
            let what = format!("`{}` is a bundle signed by {keys}", shown(out));
            Err(usage_error(&format!("{what}; write to another file, or give `--force` and sign again")))
        }
        _ => Ok(()),
    }
}

/// The time in the manifest, in whole seconds.
pub(super) fn created(given: Option<Timestamp>, epoch: Option<&str>) -> Result<Timestamp, ExitCode> {
    if let Some(given) = given {
        return Ok(given);
    }
    let seconds = match epoch {
        Some(text) => text.parse().map_err(|_| {
            usage_error(&format!("SOURCE_DATE_EPOCH is `{text}`, not a number of seconds since 1970"))
        })?,
        None => Clock::system().now().as_second(),
    };
    let range = |_| usage_error(&format!("SOURCE_DATE_EPOCH is out of range: {seconds}"));
    Timestamp::from_second(seconds).map_err(range)
}

/// The digest of the version before: as given, or that of the bundle in the file, which must be an older one of the
/// same name.
fn read_parent(parent: &Path, args: &Args) -> Result<Arc<str>, ExitCode> {
    if let Some(digest) = parent.to_str().filter(|text| is_digest(text)) {
        return Ok(digest.into());
    }
    let opened = Bundle::open(&read(parent)?, &Trust::none(), &Limits::default())
        .map_err(|why| refused(&shown(parent), &why, args.format))?;
    let older = |manifest: &Manifest| manifest.compare(&args.version).is_lt();
    match opened.manifest {
        Some(manifest) if *manifest.name == args.name && older(&manifest) => Ok(manifest.digest),
        Some(Manifest { name, version, .. }) => {
            let wanted = format!("an older version of `{}` than {}", args.name, args.version);
            Err(usage_error(&format!("`{}` is {name} {version}, not {wanted}", shown(parent))))
        }
        None => Err(usage_error(&format!("`{}` has no manifest", shown(parent)))),
    }
}
