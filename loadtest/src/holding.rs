//! A server that holds calls: its policies, its configuration and its addresses. It can be started again on what an
//! earlier process of it left behind.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::http;
use crate::portcullis::AuditMode;
use crate::server::Server;
use crate::{approver, policies, portcullis, process, token};

/// Where a server listens.
#[derive(Clone, Copy)]
pub struct Ports {
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
}

impl Ports {
    fn free() -> Result<Self> {
        let [grpc, admin, metrics] = process::lasting_addresses()?;
        Ok(Self { grpc, admin, metrics })
    }
}

/// What a server is to be like.
pub struct Settings<'a> {
    /// The portcullis binary.
    pub binary: &'a Path,
    /// Whose tokens it takes, of callers and of approvers.
    pub issuer: &'a token::Issuer,
    /// How many calls may be held.
    pub calls: u32,
    /// The section `store` of the configuration.
    pub store: &'a str,
    pub audit: AuditMode,
    /// For how long the same call again is a retry of one that was released.
    pub retry_window: Duration,
}

/// Everything that a server needs, in one folder.
pub struct Site {
    binary: PathBuf,
    folder: PathBuf,
    config: String,
    pub ports: Ports,
}

impl Site {
    /// Writes the policies and keys of a server into `folder`.
    pub fn new(folder: &Path, settings: &Settings<'_>) -> Result<Self> {
        let Settings { binary, issuer, calls, store, audit, retry_window } = settings;
        policies::write(&folder.join("policies"), 1)?;
        fs::write(folder.join("policies/hold.yaml"), POLICY)?;
        fs::write(folder.join("jwks.json"), issuer.jwks())?;
        let ports = Ports::free()?;
        let Ports { grpc, admin, metrics } = ports;
        let callers = portcullis::issuer(token::AUDIENCE);
        let approvers = portcullis::issuer(approver::AUDIENCE);
        let config = format!(
            "listen: {{grpc: {grpc}, admin: {admin}, metrics: {metrics}}}\n\
             policies: [policies]\n\
             identity: {{jwt: [{callers}]}}\n\
             admin: {{jwt: [{approvers}]}}\n\
             {store}\n\
             audit: {{path: audit.jsonl, mode: {audit}}}\n\
             holds: {{per_principal: {calls}, per_rule: {calls}, opened_per_principal: 100000, total: {calls}, retry_window: {}s}}\n",
            retry_window.as_secs()
        );
        Ok(Self { binary: binary.to_path_buf(), folder: folder.to_owned(), config, ports })
    }

    /// Starts the server, and waits until it is ready.
    pub async fn start(&self) -> Result<Server> {
        let Ports { grpc, metrics, .. } = self.ports;
        portcullis::start_with(&self.binary, &self.config, [grpc, metrics], &self.folder).await
    }

    /// The audit trail.
    pub fn audit(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// The policies.
    pub fn policies(&self) -> PathBuf {
        self.folder.join("policies")
    }

    /// How many calls the server holds now, by its metrics.
    pub async fn held(&self) -> Result<u32> {
        self.number("portcullis_held_calls ").await
    }

    /// How many requests for approval it has opened.
    pub async fn opened(&self) -> Result<u32> {
        self.number("portcullis_approvals_total{result=\"created\"} ").await
    }

    async fn number(&self, metric: &str) -> Result<u32> {
        let text = http::text(self.ports.metrics, "/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(metric));
        match line.and_then(|number| number.trim().parse().ok()) {
            Some(number) => Ok(number),
            // It stands there once there was something to count.
            None if text.contains("portcullis_") => Ok(0),
            None => bail!("the server's metrics are not in the known format"),
        }
    }
}

/// A store in the server's own folder.
pub const SQLITE: &str = "store: {path: portcullis.db}";

/// A store in the PostgreSQL database at `address`; its password goes into `folder`. A test, beside which all others run,
/// may set `limits`; a run goes by the default.
pub fn postgres_store(address: SocketAddr, folder: &Path, limits: &str) -> Result<String> {
    use portcullis_sample::postgres::PASSWORD;
    let file = folder.join("password");
    fs::write(&file, PASSWORD).with_context(|| format!("cannot write `{}`", file.display()))?;
    let url = format!("postgres://postgres@{address}/{DATABASE}");
    Ok(format!("store: {{postgres: {{url: '{url}', password_file: password{limits}}}}}"))
}

/// The name of the database that servers share.
pub const DATABASE: &str = "portcullis";

const POLICY: &str = "\
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: held}
spec:
  match: [{paths: [\"/held/**\"], methods: [GET]}]
  rules:
    - name: wait
      when: '\"staff\" in identity.groups'
      hold:
        approvers: {groups: [approvers], count: 1}
        wait: 10m
        expires: 24h
        because: every call waits
";
