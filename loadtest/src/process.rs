//! Servers under test as child processes: started, waited for, ended. It knows nothing of what they serve.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock;

/// How long a server may take to become ready.
const START: Duration = Duration::from_secs(30);

/// A running process, ended when it is dropped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to a file in `directory`.
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", command.get_program().to_string_lossy()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so; fails when the process ends first, with what it printed last.
    pub async fn until(&mut self, ready: impl AsyncFn() -> bool) -> Result<()> {
        let begun = clock::instant();
        while !ready().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}):\n{}", self.name, self.last_words());
            }
            if begun.elapsed() > START {
                bail!("{} is not ready after {} s:\n{}", self.name, START.as_secs(), self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Asks the process to end (SIGTERM), and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").arg(self.id().to_string()).status();
        ensure!(asked.is_ok_and(|status| status.success()), "cannot stop {}", self.name);
        let begun = clock::instant();
        while self.child.try_wait()?.is_none() {
            ensure!(begun.elapsed() < START, "{} does not stop", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends it at once (SIGKILL), and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// The last lines that it printed.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).map(|line| format!("  {line}\n")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended by itself; there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resident memory of process `pid`, in KiB.
pub fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("`{path}` is not in the known format"))
}

/// An address on loopback that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?)
}

/// Addresses on loopback that nobody listens on, for servers that leave them and come back: the kernel gives their ports to
/// no connection in between.
pub fn lasting_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut addresses {
        // All stay bound until the last is drawn, or one port could come twice.
        let drawn = || TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)));
        let listener = (0..100).find_map(|_| drawn().ok()).context("no free port on loopback")?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reports_what_a_failed_start_printed() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such key >&2; exit 3"]);
        let mut process = Process::start("server", command, directory.path()).unwrap();
        let error = process.until(async || false).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such key"), "{error}");
    }

    #[test]
    fn lasting_addresses_differ_and_can_be_bound() {
        let addresses: [SocketAddr; 4] = lasting_addresses().unwrap();
        let listeners = addresses.map(|address| TcpListener::bind(address).unwrap());
        assert_eq!(listeners.len(), 4);
    }

    #[test]
    fn ends_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::start("sleep", command, directory.path()).unwrap();
        let proc = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(proc.exists());
        drop(process);
        assert!(!proc.exists());
    }
}
