//! The database of a test: a SQLite file, or a database of its own on the PostgreSQL of this process.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis_sample::postgres::{self, Postgres as Server};
use tempfile::TempDir;

use super::{Config, DEFAULT_RETENTION, Postgres, Store, UrlSource};
use crate::clock::Clock;

/// Where a test's store is; kept until it is dropped.
pub(crate) struct Place {
    pub(crate) config: Config,
    _folder: TempDir,
}

impl Place {
    /// PostgreSQL for suites whose module says so, else SQLite.
    pub(crate) fn of(module: &str) -> Self {
        if module.contains("on_postgres") {
            Self::postgres().unwrap_or_else(Self::sqlite)
        } else {
            Self::sqlite()
        }
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { config: Config::Sqlite(folder.path().join("store.db")), _folder: folder }
    }

    /// `None`, and the test is named as skipped, where no PostgreSQL can be started.
    pub(crate) fn postgres() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = match Server::shared() {
            Ok(server) => server,
            Err(reason) => {
                assert!(std::env::var_os("PORTCULLIS_REQUIRE_POSTGRES").is_none(), "{reason}");
                let thread = std::thread::current();
                let name = thread.name().unwrap_or("store").to_owned();
                // Past the capture of the test's output: `scripts/skipped` reads this.
                writeln!(std::io::stderr(), "test {name} ... ignored, {reason}").unwrap();
                return None;
            }
        };
        let database = format!("store_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.create_database(&database).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, format!("{}\n", postgres::PASSWORD)).unwrap();
        let config = at(server.url(&database), Some(password));
        Some(Self { config, _folder: folder })
    }

    pub(crate) async fn open(&self, clock: Clock) -> Store {
        self.open_keeping(DEFAULT_RETENTION, clock).await
    }

    pub(crate) async fn open_keeping(
        &self,
        retention: impl Into<crate::store::Retention>,
        clock: Clock,
    ) -> Store {
        Store::connect(&self.config, retention, clock).await.unwrap()
    }

    /// What another process of this test is told; see `said`.
    pub(crate) fn say(&self) -> String {
        match &self.config {
            Config::Sqlite(path) => path.display().to_string(),
            Config::Postgres(postgres) => {
                let UrlSource::Given(url) = &postgres.url else { panic!("no URL") };
                let database = url.rsplit('/').next().unwrap();
                Server::shared().unwrap().socket_url(database)
            }
        }
    }
}

pub(crate) fn said(text: &str) -> Config {
    match text.starts_with("postgres:") {
        true => at(text.to_owned(), None),
        false => Config::Sqlite(text.into()),
    }
}

fn at(url: String, password_file: Option<PathBuf>) -> Config {
    let url = UrlSource::Given(url);
    let max_connections = Postgres::DEFAULT_CONNECTIONS;
    // All tests at once are more than a machine can do in time.
    let patience = Duration::from_secs(20);
    Config::Postgres(Postgres { url, password_file, ca_file: None, client: None, max_connections, patience })
}
