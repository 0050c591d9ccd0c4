//! `portcullis token`: what the server would say about a token.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::authn::{Authenticator, Config};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Sources, render};
use crate::document::{Document, Reader};
use crate::identity::Identity;

/// More than the longest token that is accepted, so that a longer one is refused for its size.
const MAX_INPUT: u64 = 64 << 10;
const BAD_CONFIG: u8 = 2;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the identity that a token stands for, or the reason it is refused.
    ///
    /// The token is read from standard input:
    ///
    ///     portcullis token verify --config portcullis.yaml < token.txt
    #[command(verbatim_doc_comment)]
    Verify {
        /// The configuration of the server; its `identity:` section is what counts.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

pub async fn run(args: Args) -> ExitCode {
    let Command::Verify { config } = args.command;
    let authenticator = match load(&config).await {
        Ok(authenticator) => authenticator,
        Err(report) => {
            anstream::eprintln!("{report}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let mut token = String::new();
    if let Err(error) = std::io::stdin().take(MAX_INPUT).read_to_string(&mut token) {
        anstream::eprintln!("can't read the token from standard input: {error}");
        return ExitCode::FAILURE;
    }
    match authenticator.verify(token.trim()).await {
        Ok(identity) => {
            anstream::println!("{:#}", to_json(&identity));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            anstream::eprintln!("{}", reason.as_str());
            ExitCode::FAILURE
        }
    }
}

/// The authenticator that this file configures, or every mistake in it as text.
async fn load(path: &Path) -> Result<Arc<Authenticator>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("error: can't read `{}`: {error}", path.display()))?;
    let (file, text): (Arc<str>, Arc<str>) = (path.to_string_lossy().into(), text.into());
    let mut sources = Sources::default();
    sources.add(&file, &text);
    let built = match read(&file, &text) {
        Ok(config) => Authenticator::build(config, Clock::system()).await,
        Err(findings) => Err(findings),
    };
    built.map_err(|findings| render::human(&findings, &sources, false).trim_end().to_owned())
}

fn read(file: &Arc<str>, text: &Arc<str>) -> Result<Config, Vec<Diagnostic>> {
    let document = Document::parse(file, text).map_err(|finding| vec![finding])?;
    let Some(node) = document.roots.first().and_then(|root| root.get("identity")) else {
        return Err(vec![Diagnostic::error(
            "missing-field",
            format!("`{file}` lacks the section `identity`"),
        )]);
    };
    let mut reader = Reader::new(file);
    match Config::read(node, &mut reader) {
        Some(config) if reader.findings.is_empty() => Ok(config),
        _ => Err(reader.findings),
    }
}

fn to_json(identity: &Identity) -> Value {
    json!({
        "method": identity.method.as_str(),
        "subject": identity.subject,
        "issuer": identity.issuer,
        "groups": identity.groups,
        "email": identity.email,
        "person": identity.person,
        "expires": identity.expires.as_ref().map(Timestamp::to_string),
        "token_id": identity.token_id,
        "claims": identity.claims,
    })
}
