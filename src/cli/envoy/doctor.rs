//! `portcullis envoy doctor`

use std::path::PathBuf;
use std::process::ExitCode;

use crate::diagnostic::{Sources, render};
use crate::proxy::doctor;
use crate::proxy::tree::Source;
use crate::proxy::view::Given;

/// Report what a proxy's configuration gets wrong
///
/// Exits with 0 when nothing was found, 1 when something was, 2 when nothing could be examined.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An Envoy bootstrap
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    given: super::For,
}

pub fn run(args: &Args) -> ExitCode {
    let needs = match super::needs(&args.given) {
        Ok(needs) => needs,
        Err(code) => return code,
    };
    let mut sources = Vec::new();
    let mut texts = Sources::default();
    for path in &args.files {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return crate::cli::policy::usage_error(&format!("can't read `{name}`: {error}")),
        };
        match Source::parse(&name, &text) {
            Ok(source) => {
                texts.add(&source.name, &source.text);
                sources.push(source);
            }
            Err(finding) => return crate::cli::policy::usage_error(&finding),
        }
    }
    match doctor::examine(&sources, &needs, &Given::default()) {
        Ok(examined) => {
            let findings = examined.findings;
            let shown: Vec<_> = findings.iter().map(doctor::Finding::diagnostic).collect();
            crate::cli::policy::print(&render::human(&shown, &texts, true));
            if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(crate::cli::policy::FINDINGS) }
        }
        Err(finding) => crate::cli::policy::usage_error(&finding),
    }
}
