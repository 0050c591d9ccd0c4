//! A program that runs as a child process: its output in a file, its end noticed, killed when its handle is dropped.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How often a starting child is asked whether it is ready.
const POLL: Duration = Duration::from_millis(20);
/// How long a child may take to get ready.
const START: Duration = Duration::from_secs(30);
/// How much of a dead child's log is worth showing.
const TAIL_LINES: usize = 20;

#[derive(Debug)]
pub struct Child {
    name: String,
    log: PathBuf,
    process: tokio::process::Child,
}

impl Child {
    /// Starts `program`, appending all that it prints to `log`.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Self> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("can't write the log of {name}, `{}`", log.display()))?;
        let process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A Ctrl-C in the terminal reaches the whole process group; the one who started this child stops it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {name}, `{}`", program.display()))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), process })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks `ready` until it says yes. An error, with the end of the log, when the child dies or takes too long.
    pub async fn wait_until_ready(&mut self, mut ready: impl AsyncFnMut() -> bool) -> Result<()> {
        let end = Instant::now() + START;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("{} ended before it was ready ({status})\n{}", self.name, self.tail());
            }
            if ready().await {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("{} was not ready after {} s\n{}", self.name, START.as_secs(), self.tail());
            }
            sleep(POLL).await;
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    /// SIGKILL: no chance to tidy up. Returns when it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.with_context(|| format!("can't kill {}", self.name))
    }

    /// SIGTERM, and the status it ends with. Killed, with an error, when it is still there after `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match timeout(patience, self.process.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.kill().await?;
                bail!("{} was still running {patience:?} after SIGTERM\n{}", self.name, self.tail())
            }
        }
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// SIGHUP, the sign to reload.
    pub fn hang_up(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// SIGSTOP: it keeps its sockets and answers nothing, until `resume`.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Everything printed so far, of this and of earlier children with the same log.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of the log, with its path.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
        format!("--- {} (last lines)\n{}", self.log.display(), last.join("\n"))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { bail!("{} has ended already\n{}", self.name, self.tail()) };
        kill_process(pid, signal).with_context(|| format!("can't signal {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Child {
        Child::start("the script", Path::new("/bin/sh"), ["-c", script], log).unwrap()
    }

    #[tokio::test]
    async fn keeps_the_output_and_tells_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("echo out; echo err >&2; exit 3", &folder.path().join("log"));
        assert_eq!(child.ended().await.unwrap().code(), Some(3));
        assert_eq!(child.log(), "out\nerr\n");
    }

    #[tokio::test]
    async fn a_child_that_dies_early_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("echo no such file; exit 1", &folder.path().join("log"));
        let error = child.wait_until_ready(async || false).await.unwrap_err().to_string();
        assert!(error.starts_with("the script ended before it was ready (exit status: 1)"), "{error}");
        assert!(error.ends_with("no such file"), "{error}");
    }

    #[tokio::test]
    async fn terminate_gives_the_chance_to_tidy_up_and_kill_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = "trap 'echo tidy; exit 7' TERM; echo up; while :; do sleep 0.01; done";

        let mut child = shell(script, &log);
        while !child.log().contains("up") {
            sleep(POLL).await;
        }
        assert_eq!(child.terminate(Duration::from_secs(5)).await.unwrap().code(), Some(7));
        assert_eq!(child.log(), "up\ntidy\n");
        assert!(child.hang_up().is_err());

        let mut child = shell(script, &log);
        child.kill().await.unwrap();
        assert_eq!(child.ended().await.unwrap().code(), None);
    }

    #[tokio::test]
    async fn dropped_means_gone() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell("sleep 60", &folder.path().join("log"));
        let id = child.id().unwrap();
        drop(child);
        let gone =
            || fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..100 {
            if gone() {
                return;
            }
            sleep(POLL).await;
        }
        panic!("process {id} outlived its handle");
    }
}
