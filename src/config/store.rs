//! The section `store`: the path of a SQLite file, or a PostgreSQL database that several servers share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::value::{duration, number};
use crate::document::{Fields, Node, Reader, Value};
use crate::store::{
    Config, DEFAULT_BODY_RETENTION, DEFAULT_RETENTION, Postgres, Retention, UrlProblem, UrlSource,
};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Old history is looked for once an hour.
const SHORTEST_RETENTION: Duration = Duration::from_secs(3_600);

const DEFAULT_PATH: &str = "portcullis.db";

/// Which database, and how long it keeps what is over.
pub(super) fn store(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<(Config, Retention)> {
    let sqlite = |path: &str| (Config::Sqlite(folder.join(path)), DEFAULT_RETENTION.into());
    let Some(node) = node else { return Some(sqlite(DEFAULT_PATH)) };
    if !matches!(node.value, Value::Map(_)) {
        return reader.string(node, "`store`").map(sqlite);
    }
    let mut fields = reader.fields(node, "`store`")?;
    let path = file(&mut fields, "path", folder, reader);
    let postgres = fields.optional("postgres");
    let config = match (fields.optional("path"), postgres) {
        (Some(_), Some(_)) => {
            let message = "`store` is either the `path` of a file or a database, not both";
            reader.error(fields.span, "store-place", message);
            None
        }
        (_, Some(node)) => self::postgres(node, folder, reader).map(Config::Postgres),
        (_, None) => path.map(|path| Config::Sqlite(path.unwrap_or_else(|| folder.join(DEFAULT_PATH)))),
    };
    let requests = retention(&mut fields, "retention", DEFAULT_RETENTION, reader);
    let bodies = retention(&mut fields, "body_retention", DEFAULT_BODY_RETENTION, reader);
    let retention = requests.zip(bodies).map(|(requests, bodies)| Retention { requests, bodies });
    fields.close(reader);
    config.zip(retention)
}

fn retention(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    reader: &mut Reader,
) -> Option<Duration> {
    let retention = duration(fields, name, default, reader)?;
    if let Some(node) = fields.optional(name)
        && retention < SHORTEST_RETENTION
    {
        let message = format!("`{name}` must be at least `1h`");
        let help = format!(
            "what is old is looked for once an hour; `{}d` is the default",
            default.as_secs() / 86_400
        );
        reader.error_with_help(node.span, "out-of-range", message, help);
        return None;
    }
    Some(retention)
}

fn postgres(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Postgres> {
    let mut fields = reader.fields(node, "`postgres`")?;
    let (given, url_file) = (fields.optional("url"), file(&mut fields, "url_file", folder, reader)?);
    let password_file = file(&mut fields, "password_file", folder, reader)?;
    let ca_file = file(&mut fields, "ca_file", folder, reader)?;
    let certificate = file(&mut fields, "cert_file", folder, reader)?;
    let key = file(&mut fields, "key_file", folder, reader)?;
    let (least, default) = (i64::from(Postgres::LEAST_CONNECTIONS), i64::from(Postgres::DEFAULT_CONNECTIONS));
    let most = number(&mut fields, "max_connections", default, least..=1_000, reader);
    let patience = patience(&mut fields, reader);
    let span = fields.span;
    fields.close(reader);
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            reader.error(span, "incomplete-certificate", "`cert_file` and `key_file` go together");
            return None;
        }
    };
    let url = match (given, url_file) {
        (Some(node), None) => UrlSource::Given(reader.string(node, "`url`")?.to_owned()),
        (None, Some(path)) => UrlSource::File(path),
        _ => {
            reader.error(span, "store-place", "`postgres` needs one of `url` and `url_file`");
            return None;
        }
    };
    let max_connections = u32::try_from(most?).ok()?;
    let config = Postgres { url, password_file, ca_file, client, max_connections, patience: patience? };
    match (&config.url, given) {
        (UrlSource::Given(url), Some(node)) => check_url(url, node, &config, reader).then_some(config),
        _ => Some(config),
    }
}

fn patience(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Duration> {
    let timeout = duration(fields, "timeout", Postgres::PATIENCE, reader)?;
    if let Some(node) = fields.optional("timeout")
        && !(SHORTEST..=LONGEST).contains(&timeout)
    {
        reader.error(node.span, "out-of-range", "`timeout` must be from `100ms` to `10s`");
        return None;
    }
    Some(timeout)
}

/// A URL that stands in the configuration; what is wrong is told without showing it.
fn check_url(url: &str, node: &Node, config: &Postgres, reader: &mut Reader) -> bool {
    if reqwest::Url::parse(url).is_ok_and(|url| url.password().is_some()) {
        let message = "the URL of the database must not hold a password";
        let help = "put it in a `password_file`, or the whole URL in a `url_file`";
        reader.error_with_help(node.span, "invalid-url", message, help);
        return false;
    }
    let Err(problem) = config.parse(url) else { return true };
    let (code, help) = match problem {
        UrlProblem::Insecure => (
            "insecure-url",
            "leave `sslmode` out, and name the authority that vouches for the server in `ca_file`",
        ),
        _ => ("invalid-url", "write it as postgres://user@host:5432/database"),
    };
    reader.error_with_help(node.span, code, problem.to_string(), help);
    false
}

/// `Some(None)` where the field is left out.
fn file(
    fields: &mut Fields<'_>,
    name: &'static str,
    folder: &Path,
    reader: &mut Reader,
) -> Option<Option<PathBuf>> {
    let Some(node) = fields.optional(name) else { return Some(None) };
    reader.string(node, &format!("`{name}`")).map(|path| Some(folder.join(path)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn read(store: &str) -> (Option<Config>, Vec<(&'static str, u32, String)>) {
        let text = format!("policies: [p]\n{store}\n");
        let read = parse(&"portcullis.yaml".into(), &text.as_str().into(), Path::new("/etc/portcullis"));
        let place = |place: &Option<crate::diagnostic::Place>| place.as_ref().map_or(0, |place| place.line);
        let findings = read.findings.iter();
        let findings = findings.map(|one| (one.code, place(&one.place), one.to_string())).collect();
        (read.config.map(|config| config.store), findings)
    }

    #[test]
    fn a_store_is_a_file_in_each_way_to_write_it() {
        for (text, path) in [
            ("", "portcullis.db"),
            ("store: other.db", "other.db"),
            ("store: {path: other.db}", "other.db"),
            ("store: {}", "portcullis.db"),
        ] {
            let expected = Config::Sqlite(Path::new("/etc/portcullis").join(path));
            assert_eq!(read(text), (Some(expected), vec![]), "{text}");
        }
    }

    #[test]
    fn a_store_is_a_database_with_what_it_takes_to_reach_it() {
        let text = "store: {postgres: {url: postgres://p@db/portcullis, password_file: pw, ca_file: ca.pem, \
                    cert_file: c.pem, key_file: k.pem, max_connections: 20, timeout: 2s}}";
        let in_folder = |name: &str| Path::new("/etc/portcullis").join(name);
        let expected = Postgres {
            url: UrlSource::Given("postgres://p@db/portcullis".into()),
            password_file: Some(in_folder("pw")),
            ca_file: Some(in_folder("ca.pem")),
            client: Some((in_folder("c.pem"), in_folder("k.pem"))),
            max_connections: 20,
            patience: Duration::from_secs(2),
        };
        assert_eq!(read(text), (Some(Config::Postgres(expected)), vec![]));
        let (config, findings) = read("store: {postgres: {url_file: /run/secrets/url}}");
        let Some(Config::Postgres(postgres)) = config else { panic!("{findings:?}") };
        assert_eq!(postgres.url, UrlSource::File("/run/secrets/url".into()));
        assert_eq!(postgres.max_connections, Postgres::DEFAULT_CONNECTIONS);
        assert_eq!(postgres.patience, Postgres::PATIENCE);
    }

    #[test]
    fn what_is_over_is_kept_for_ninety_days_or_as_long_as_is_said() {
        for (text, hours) in [
            ("", 90 * 24),
            ("store: other.db", 90 * 24),
            ("store: {}", 90 * 24),
            ("store: {retention: 1h}", 1),
            ("store: {path: other.db, retention: 7d}", 7 * 24),
            ("store: {postgres: {url: postgres://p@db/x}, retention: 365d}", 365 * 24),
        ] {
            let text = format!("policies: [p]\n{text}\n");
            let read = parse(&"portcullis.yaml".into(), &text.as_str().into(), Path::new("/etc/portcullis"));
            let config = read.config.unwrap_or_else(|| panic!("{text}: {:?}", read.findings));
            assert_eq!(config.retention.requests, Duration::from_secs(hours * 3_600), "{text}");
            assert_eq!(config.retention.bodies, Duration::from_secs(7 * 24 * 3_600), "{text}");
        }
        let text = "policies: [p]\nstore: {body_retention: 2h}\n";
        let read = parse(&"portcullis.yaml".into(), &text.into(), Path::new("/etc/portcullis"));
        assert_eq!(read.config.unwrap().retention.bodies, Duration::from_secs(2 * 3_600));
    }

    #[test]
    fn what_is_wrong_is_named_at_its_place_and_never_with_the_password() {
        for (text, code) in [
            ("5", "wrong-type"),
            ("{path: 5}", "wrong-type"),
            ("{path: a.db, postgres: {url: postgres://p@db/x}}", "store-place"),
            ("{postgres: {}}", "store-place"),
            ("{postgres: {url: postgres://p@db/x, url_file: u}}", "store-place"),
            ("{postgres: {url: \"postgres://p:hunter2@db/x\"}}", "invalid-url"),
            ("{postgres: {url: db.example.com}}", "invalid-url"),
            ("{postgres: {url: \"postgres://p@db/x?sslmode=disable\"}}", "insecure-url"),
            ("{postgres: {url: postgres://p@db/x, cert_file: c}}", "incomplete-certificate"),
            ("{postgres: {url: postgres://p@db/x, max_connections: 3}}", "out-of-range"),
            ("{postgres: {url: postgres://p@db/x, timeout: 50ms}}", "out-of-range"),
            ("{retention: 59m}", "out-of-range"),
            ("{body_retention: 59m}", "out-of-range"),
            ("{path: a.db, retention: 0s}", "out-of-range"),
            ("{retention: forever}", "invalid-duration"),
            ("{postgres: {url: postgres://p@db/x, pasword_file: p}}", "unknown-field"),
        ] {
            let (config, findings) = read(&format!("store: {text}"));
            let [(found, line, said)] = findings.as_slice() else { panic!("{text}: {findings:?}") };
            assert_eq!((config, *found, *line), (None, code, 2), "{text}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
