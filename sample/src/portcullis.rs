//! Starts the Portcullis server, as an operator would: the binary and a configuration file.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::child::Child;
use crate::{address, repository, template};

/// How long the server may take to drain after SIGTERM.
const DRAIN: Duration = Duration::from_secs(40);

/// What `sample/portcullis.yaml` is filled in with.
#[derive(Clone, Debug)]
pub struct Config {
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
    /// Who issues the tokens: the URL of the identity provider.
    pub issuer: String,
    pub policies: PathBuf,
    /// Where the database, the audit file and the log go.
    pub data: PathBuf,
}

impl Config {
    /// The policies of the sample set-up, and any free addresses.
    pub fn sample(issuer: String, data: PathBuf) -> Result<Self> {
        let [grpc, admin, metrics] = address::free()?;
        Ok(Self { grpc, admin, metrics, issuer, policies: repository().join("policies"), data })
    }

    pub fn render(&self) -> Result<String> {
        let path = repository().join("sample/portcullis.yaml");
        let text = fs::read_to_string(&path).with_context(|| format!("can't read `{}`", path.display()))?;
        // The template begins with a line about itself.
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        let text =
            format!("# Written from sample/portcullis.yaml at each start: changes here are lost.\n{rest}");
        // The server takes a relative path from the folder of its configuration, not from ours.
        let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
        let values = [
            ("GRPC", self.grpc.to_string()),
            ("ADMIN", self.admin.to_string()),
            ("METRICS", self.metrics.to_string()),
            ("ISSUER", self.issuer.clone()),
            ("POLICIES", absolute(&self.policies)?),
            ("DATA", absolute(&self.data)?),
        ];
        template::render(&text, &values.into())
    }

    pub fn audit_path(&self) -> PathBuf {
        self.data.join("audit.jsonl")
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Portcullis {
    child: Child,
    binary: PathBuf,
    config: PathBuf,
    metrics: SocketAddr,
    log: PathBuf,
    client: reqwest::Client,
}

impl Portcullis {
    /// Runs the sample's configuration, written beside its data.
    pub async fn start(binary: &Path, config: &Config) -> Result<Self> {
        fs::create_dir_all(&config.data)?;
        let path = config.data.join("portcullis.yaml");
        fs::write(&path, config.render()?)?;
        Self::start_with(binary, &path, config.metrics, &config.data.join("portcullis.log")).await
    }

    /// Runs any configuration; `metrics` is the address in it that tells when the server is ready.
    pub async fn start_with(binary: &Path, config: &Path, metrics: SocketAddr, log: &Path) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        let child = serve(binary, config, log)?;
        let mut this = Self {
            child,
            binary: binary.to_owned(),
            config: config.to_owned(),
            metrics,
            log: log.to_owned(),
            client,
        };
        this.wait_until_ready().await?;
        Ok(this)
    }

    /// Kills it (SIGKILL) if it still runs, and starts it again: the same configuration on the same ports.
    pub async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        self.child = serve(&self.binary, &self.config, &self.log)?;
        self.wait_until_ready().await
    }

    /// SIGTERM: the server drains. The status it ends with.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.child.terminate(DRAIN).await
    }

    /// SIGKILL: the server loses what it had not made durable.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await
    }

    /// The process: its log, signals, its end.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> Result<String> {
        let answer = self.client.get(format!("http://{}/metrics", self.metrics)).send().await?;
        ensure!(answer.status().is_success(), "/metrics answered {}", answer.status());
        Ok(answer.text().await?)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.metrics);
        let client = &self.client;
        let ready = async || client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
        self.child.wait_until_ready(ready).await
    }
}

/// The Envoy configuration that the server writes for its policies, once it was started with `config`: ext_proc between
/// these addresses.
pub async fn envoy_config(
    binary: &Path,
    config: &Config,
    listener: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
) -> Result<String> {
    let written = Command::new(binary)
        .args(["envoy", "config", "--for", "envoy", "--service", "ext_proc", "--config"])
        .arg(config.data.join("portcullis.yaml"))
        .args(["--listen", &listener.to_string(), "--admin", &admin.to_string()])
        .args(["--portcullis", &config.grpc.to_string(), "--upstream", &upstream.to_string()])
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&written.stderr);
    ensure!(written.status.success(), "`portcullis envoy config` failed\n{said}");
    Ok(String::from_utf8(written.stdout)?)
}

fn serve(binary: &Path, config: &Path, log: &Path) -> Result<Child> {
    let arguments = [OsString::from("serve"), "--config".into(), config.into()];
    Child::start("portcullis", binary, arguments, log)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::serving::Serving;

    /// Takes the place of the server: a script that says how it was called.
    fn stand_in(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("stand-in");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_sample_configuration_is_yaml_with_everything_filled_in() {
        let config = Config::sample("http://127.0.0.1:9".to_owned(), "/tmp/data".into()).unwrap();
        let parsed: serde_json::Value = serde_saphyr::from_str(&config.render().unwrap()).unwrap();
        assert_eq!(parsed["listen"]["grpc"], config.grpc.to_string());
        assert_eq!(parsed["identity"]["jwt"][0]["jwks"]["url"], "http://127.0.0.1:9/.well-known/jwks.json");
        assert_eq!(parsed["audit"]["path"], "/tmp/data/audit.jsonl");
        assert_ne!(parsed["identity"]["jwt"][0]["audiences"], parsed["admin"]["jwt"][0]["audiences"]);
    }

    #[tokio::test]
    async fn starts_when_ready_and_starts_again_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let router = Router::new().route("/readyz", get(async || "ready"));
        let metrics = Serving::start("metrics", address::ANY, router).await.unwrap();
        let binary = stand_in(folder.path(), "echo \"$@\"; exec sleep 60");
        let mut config = Config::sample("http://127.0.0.1:9".to_owned(), folder.path().join("data")).unwrap();
        config.metrics = metrics.address();

        let mut server = Portcullis::start(&binary, &config).await.unwrap();
        let first = server.child().id();
        server.kill().await.unwrap();
        server.restart().await.unwrap();
        assert_ne!(server.child().id(), first);
        server.terminate().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_refuses_its_configuration_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let binary = stand_in(folder.path(), "echo unknown field; exit 2");
        let config = Config::sample("http://127.0.0.1:9".to_owned(), folder.path().join("data")).unwrap();
        let error = Portcullis::start(&binary, &config).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 2") && error.ends_with("unknown field"), "{error}");
    }
}
