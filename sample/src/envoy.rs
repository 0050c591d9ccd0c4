//! Starts Envoy with one of the repository's configurations in front of an upstream.

mod binary;
mod settings;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

pub use binary::{VERSION, binary};
pub use settings::Settings;

use crate::child::Child;

/// A running Envoy; killed when dropped.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    listener: SocketAddr,
    admin: SocketAddr,
    client: reqwest::Client,
    /// The rendered configuration, and the log when nobody named another.
    _folder: TempDir,
}

impl Envoy {
    /// Starts it and waits until it serves. Any number of them can run side by side.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("envoy.yaml");
        fs::write(&config, settings.render()?)?;
        let log = settings.log.clone().unwrap_or_else(|| folder.path().join("envoy.log"));
        let admin_path = folder.path().join("admin");
        let arguments = [
            "-c".as_ref(),
            config.as_os_str(),
            "--admin-address-path".as_ref(),
            admin_path.as_os_str(),
            "--concurrency".as_ref(),
            "1".as_ref(),
            "--log-level".as_ref(),
            "warning".as_ref(),
            // Otherwise all that run at once would share one piece of memory.
            "--disable-hot-restart".as_ref(),
        ];
        let mut child = Child::start("Envoy", &binary()?, arguments, &log)?;
        let client = reqwest::Client::new();
        let mut addresses = None;
        child
            .wait_until_ready(async || {
                addresses = serving_addresses(&client, &admin_path).await;
                addresses.is_some()
            })
            .await?;
        let (admin, listener) = addresses.context("envoy became ready without an address")?;
        Ok(Self { child, listener, admin, client, _folder: folder })
    }

    /// Where the protected upstream is to be reached.
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener)
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// A counter or gauge by its full name, such as `http.gateway.ext_authz.denied`; 0 when Envoy has none of it yet.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let url = format!("http://{}/stats?format=json", self.admin);
        let stats: Value = self.client.get(url).send().await?.json().await?;
        let stats = stats.get("stats").and_then(Value::as_array).context("unknown form of Envoy's stats")?;
        let found = stats.iter().find(|stat| stat.get("name").is_some_and(|known| known == name));
        Ok(found.and_then(|stat| stat.get("value")).and_then(Value::as_u64).unwrap_or_default())
    }
}

/// The admin and the first listener's address, once Envoy says that it is live.
async fn serving_addresses(client: &reqwest::Client, admin_path: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let admin: SocketAddr = fs::read_to_string(admin_path).ok()?.trim().parse().ok()?;
    let ready = client.get(format!("http://{admin}/ready")).send().await.ok()?;
    if !ready.status().is_success() {
        return None;
    }
    let listeners = client.get(format!("http://{admin}/listeners?format=json")).send().await.ok()?;
    let listeners: Value = listeners.json().await.ok()?;
    let socket = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
    let address = socket.get("address")?.as_str()?.parse().ok()?;
    let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
    Some((admin, SocketAddr::new(address, port)))
}

/// Asks Envoy itself whether it would take this configuration.
pub async fn validate(config: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("envoy.yaml");
    fs::write(&path, config)?;
    let checked = Command::new(binary()?)
        .args(["--mode", "validate", "--disable-hot-restart", "-c"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&checked.stderr);
    ensure!(checked.status.success(), "Envoy refuses the configuration\n{said}");
    // What will be an error in a later version.
    if let Some(warning) = said.lines().find(|line| line.to_ascii_lowercase().contains("deprecated")) {
        bail!("Envoy warns of the configuration\n{warning}");
    }
    Ok(())
}
