//! Which database holds the store, and how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Which database holds the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// A file of this server's own.
    Sqlite(PathBuf),
    /// A database that several servers share.
    Postgres(Postgres),
}

/// How a PostgreSQL database is reached. Files are read again for every connection, so that what they hold may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    pub url: UrlSource,
    /// Takes the place of the password in the URL.
    pub password_file: Option<PathBuf>,
    /// The authorities that may vouch for the server; without it those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// How many connections this process opens at most; see [`Postgres::LEAST_CONNECTIONS`].
    pub max_connections: u32,
    /// How long connecting, a statement, or a commit may take; then the connection is given up.
    pub patience: Duration,
}

/// Where the URL stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    /// In the configuration, without a password.
    Given(String),
    File(PathBuf),
}

/// Why a URL can't be used. `Display` never shows the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    #[error("this is not a `postgres://user@host:5432/database` URL")]
    Invalid,
    #[error("the URL names no {0}")]
    Lacks(&'static str),
    #[error(
        "the URL may have the parameters `sslmode`, `host` (a socket's folder) and `application_name` only"
    )]
    Parameter,
    #[error(
        "connections to another host are encrypted, and its certificate is verified: `sslmode` is too weak"
    )]
    Insecure,
}

/// The words of `sslmode`, as libpq has them.
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl Postgres {
    /// One writes, one listens, two read.
    pub const LEAST_CONNECTIONS: u32 = 4;
    pub const DEFAULT_CONNECTIONS: u32 = 10;
    /// With the time that a call needs besides, it ends within a second.
    pub const PATIENCE: Duration = Duration::from_millis(700);

    /// Whether everything that it names can be read and understood; opens no connection. The error is for people.
    pub fn check(&self) -> Result<(), String> {
        self.options().map(drop)?;
        let files =
            [self.ca_file.as_deref(), self.client.as_ref().map(|(certificate, _)| certificate.as_path())];
        for path in files.into_iter().flatten() {
            if !read(path)?.contains("-----BEGIN CERTIFICATE-----") {
                return Err(format!("`{}` holds no certificate in PEM", path.display()));
            }
        }
        self.client.as_ref().map_or(Ok(()), |(_, key)| read(key).map(drop))
    }

    /// What a connection needs, as it is now.
    pub(super) fn options(&self) -> Result<PgConnectOptions, String> {
        let text = match &self.url {
            UrlSource::Given(url) => url.clone(),
            UrlSource::File(path) => read(path)?.trim().to_owned(),
        };
        let mut options = self.parse(&text).map_err(|problem| match &self.url {
            UrlSource::Given(_) => problem.to_string(),
            UrlSource::File(path) => format!("`{}`: {problem}", path.display()),
        })?;
        if let Some(path) = &self.password_file {
            let password = read(path)?;
            options = options.password(password.trim_end_matches(['\r', '\n']));
        }
        if let Some(path) = &self.ca_file {
            options = options.ssl_root_cert(path);
        }
        if let Some((certificate, key)) = &self.client {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        Ok(options)
    }

    /// The options that a URL stands for. Whoever can pose as the database can approve every call, so another host has
    /// to prove who it is.
    pub fn parse(&self, text: &str) -> Result<PgConnectOptions, UrlProblem> {
        let url = Url::parse(text).map_err(|_| UrlProblem::Invalid)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(UrlProblem::Invalid);
        }
        let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
        if url.query_pairs().any(|(key, _)| !["sslmode", "host", "application_name"].contains(&&*key)) {
            return Err(UrlProblem::Parameter);
        }
        let mode = parameter("sslmode");
        if mode.as_deref().is_some_and(|mode| !MODES.contains(&mode)) {
            return Err(UrlProblem::Parameter);
        }
        if url.host_str().is_none_or(str::is_empty) && parameter("host").is_none() {
            return Err(UrlProblem::Lacks("host"));
        }
        if url.username().is_empty() {
            return Err(UrlProblem::Lacks("user"));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(UrlProblem::Lacks("database"));
        }
        // What the parser says may hold the password.
        let options = PgConnectOptions::from_str(text).map_err(|_| UrlProblem::Invalid)?;
        let local = options.get_socket().is_some() || is_loopback(options.get_host());
        let mode = match mode.as_deref() {
            None if local && self.ca_file.is_none() => PgSslMode::Disable,
            None | Some("require" | "verify-full") => PgSslMode::VerifyFull,
            Some("verify-ca") => PgSslMode::VerifyCa,
            Some(_) if local => PgSslMode::Disable,
            Some(_) => return Err(UrlProblem::Insecure),
        };
        let port = url.port().unwrap_or(5432);
        let named = parameter("application_name").is_some();
        let options = options.ssl_mode(mode).port(port);
        Ok(if named { options } else { options.application_name("portcullis") })
    }
}

/// Where the store is, as errors and logs say it: without any password.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let postgres = match self {
            Self::Sqlite(path) => return path.display().fmt(f),
            Self::Postgres(postgres) => postgres,
        };
        match postgres.options() {
            Ok(options) => {
                let database = options.get_database().unwrap_or_default();
                match options.get_socket() {
                    Some(socket) => write!(f, "postgres database {database} at {}", socket.display()),
                    None => {
                        let (host, port) = (options.get_host(), options.get_port());
                        write!(f, "postgres://{}@{host}:{port}/{database}", options.get_username())
                    }
                }
            }
            Err(_) => f.write_str("postgres"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("can't read `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Postgres {
        Postgres {
            url: UrlSource::Given(url.to_owned()),
            password_file: None,
            ca_file: None,
            client: None,
            max_connections: Postgres::DEFAULT_CONNECTIONS,
            patience: Postgres::PATIENCE,
        }
    }

    fn mode(url: &str) -> Result<&'static str, UrlProblem> {
        let options = at(url).parse(url)?;
        Ok(match options.get_ssl_mode() {
            PgSslMode::Disable => "none",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
            _ => "unverified",
        })
    }

    #[test]
    fn another_host_has_to_prove_who_it_is() {
        assert_eq!(mode("postgres://p@db.example.com/portcullis"), Ok("verify-full"));
        assert_eq!(mode("postgresql://p@10.0.0.7/portcullis?sslmode=require"), Ok("verify-full"));
        assert_eq!(mode("postgres://p@db/portcullis?sslmode=verify-ca"), Ok("verify-ca"));
        for weak in ["disable", "allow", "prefer"] {
            let url = format!("postgres://p@db/portcullis?sslmode={weak}");
            assert_eq!(mode(&url), Err(UrlProblem::Insecure), "{weak}");
        }
        for local in ["localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(mode(&format!("postgres://p@{local}/portcullis")), Ok("none"), "{local}");
        }
        assert_eq!(mode("postgres://p@localhost/portcullis?host=/run/postgresql"), Ok("none"));
        let with_ca = Postgres { ca_file: Some("ca.pem".into()), ..at("") };
        let options = with_ca.parse("postgres://p@localhost/portcullis").unwrap();
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull), "a CA is there to be used");
    }

    #[test]
    fn a_url_says_where_and_who_and_nothing_that_would_be_ignored() {
        for (url, problem) in [
            ("mysql://p@db/portcullis", UrlProblem::Invalid),
            ("db.example.com", UrlProblem::Invalid),
            ("postgres:///portcullis", UrlProblem::Lacks("host")),
            ("postgres://db/portcullis", UrlProblem::Lacks("user")),
            ("postgres://p@db", UrlProblem::Lacks("database")),
            ("postgres://p@db/portcullis?target_session_attrs=any", UrlProblem::Parameter),
            ("postgres://p@db/portcullis?sslmode=verify", UrlProblem::Parameter),
        ] {
            assert_eq!(mode(url).unwrap_err(), problem, "{url}");
        }
    }

    #[test]
    fn nothing_that_is_shown_holds_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        let config = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let url = UrlSource::File(file.clone());
            Config::Postgres(Postgres { url, ..at("") })
        };
        let good = config("postgres://p:hunter2@db.example.com:6432/portcullis\n");
        assert_eq!(good.to_string(), "postgres://p@db.example.com:6432/portcullis");
        assert!(!format!("{good:?}").contains("hunter2"));
        for broken in ["postgres://p:hunter2@db", "postgres://p:hunter2@db:port/x", "hunter2"] {
            let Config::Postgres(postgres) = config(broken) else { panic!() };
            let said = postgres.check().unwrap_err();
            assert!(said.contains("/url`") && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn files_that_are_missing_or_hold_no_certificate_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let config = Postgres { ca_file: Some(path.clone()), ..at("postgres://p@db/portcullis") };
        assert!(config.check().unwrap_err().contains("can't read"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(config.check().unwrap_err().contains("holds no certificate"));
        let config = Postgres { password_file: Some("/none/password".into()), ..at("postgres://p@db/x") };
        assert!(config.check().unwrap_err().contains("/none/password"));
    }
}
