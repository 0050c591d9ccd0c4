//! How Portcullis is configured and started for a run. This is the one file that knows its command line, its
//! configuration and its readiness.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::load::http;
use crate::process::{self, Process};
use crate::server::{self, Server};
use crate::token;

/// When an answer may leave: before its audit record is on disk, or only after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum AuditMode {
    Required,
    BestEffort,
}

impl fmt::Display for AuditMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::BestEffort => "best_effort",
        })
    }
}

/// A server that is ready, and where it can be looked at.
pub struct Portcullis {
    pub server: Server,
    pub metrics: SocketAddr,
    /// The audit trail.
    pub audit: PathBuf,
}

/// Starts `binary` with this configuration, whose addresses are `grpc` and `metrics`; its files go to `directory`.
pub async fn start_with(
    binary: &Path,
    text: &str,
    [grpc, metrics]: [SocketAddr; 2],
    directory: &Path,
) -> Result<Server> {
    let config = directory.join("portcullis.yaml");
    fs::write(&config, text).with_context(|| format!("cannot write `{}`", config.display()))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(&config).env(server::WORKERS, "1");
    let mut process = Process::start("portcullis", command, directory)?;
    process.until(async || http::status(metrics, "/readyz").await.is_ok_and(|status| status == 200)).await?;
    Ok(Server { address: grpc, process })
}

/// Starts `binary` with the folder `policies` and the keys of `issuer`; its files go to `directory`.
pub async fn start(
    binary: &Path,
    policies: &Path,
    audit: AuditMode,
    issuer: &token::Issuer,
    directory: &Path,
) -> Result<Portcullis> {
    let directory = directory.join("portcullis");
    fs::create_dir_all(&directory)?;
    let (grpc, admin, metrics) =
        (process::free_address()?, process::free_address()?, process::free_address()?);
    fs::write(directory.join("jwks.json"), issuer.jwks())?;
    let text = render(grpc, admin, metrics, policies, audit);
    let server = start_with(binary, &text, [grpc, metrics], &directory).await?;
    Ok(Portcullis { server, metrics, audit: directory.join("audit.jsonl") })
}

/// How many of the tokens that were presented had been verified before, by the server's metrics.
pub fn token_hit_ratio(metrics: &str) -> f64 {
    let sum = |name: &str| -> f64 {
        let begins = format!("portcullis_cache_{name}_total{{cache=\"token\"");
        let lines = metrics.lines().filter(|line| line.starts_with(&begins));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    let (hits, misses) = (sum("hits"), sum("misses"));
    hits / (hits + misses)
}

/// What makes a configuration accept the issuer's tokens for `audience`, with the keys in `jwks.json` beside it.
pub fn issuer(audience: &str) -> String {
    let issuer = token::ISSUER;
    format!(
        "{{issuer: '{issuer}', audiences: [{audience}], algorithms: [RS256], jwks: {{file: jwks.json}}, claims: {{person: email}}}}"
    )
}

/// The binaries of one build lie side by side.
#[cfg(test)]
pub fn binary_of_this_build() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(2).unwrap_or(Path::new("")).join("portcullis")
}

/// The configuration file. Relative paths in it start from its own folder.
fn render(
    grpc: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
    policies: &Path,
    audit: AuditMode,
) -> String {
    let policies = policies.display();
    let callers = issuer(token::AUDIENCE);
    let approvers = issuer(&format!("{}-admin", token::AUDIENCE));
    format!(
        "listen: {{grpc: {grpc}, admin: {admin}, metrics: {metrics}}}\n\
         policies: [{policies}]\n\
         identity: {{jwt: [{callers}]}}\n\
         admin: {{jwt: [{approvers}]}}\n\
         store: {{path: portcullis.db}}\n\
         audit: {{path: audit.jsonl, mode: {audit}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_the_configuration() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let text = render(address(1), address(2), address(3), Path::new("/p"), AuditMode::Required);
        let expected = "\
listen: {grpc: 127.0.0.1:1, admin: 127.0.0.1:2, metrics: 127.0.0.1:3}
policies: [/p]
identity: {jwt: [{issuer: 'http://127.0.0.1:1', audiences: [portcullis], algorithms: [RS256], jwks: {file: jwks.json}, claims: {person: email}}]}
admin: {jwt: [{issuer: 'http://127.0.0.1:1', audiences: [portcullis-admin], algorithms: [RS256], jwks: {file: jwks.json}, claims: {person: email}}]}
store: {path: portcullis.db}
audit: {path: audit.jsonl, mode: required}
";
        assert_eq!(text, expected);
    }
}
