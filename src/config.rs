//! The configuration file: what it says, every mistake in it named at its place.
//!
//! Relative paths start from the file's own folder, so that a configuration means the same wherever the server
//! is started from. Reading opens no socket and no store; it does read the policies and keys that it names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::audit;
use crate::authn;
use crate::diagnostic::{Diagnostic, Sources};
use crate::document::{Document, Fields, Node, Reader};
use crate::engine::{DEFAULT_DIGEST_HEADERS, HeldLimits};
use crate::request::Limits;
use crate::store::PendingLimits;

/// All that one file says.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Listen,
    /// Policy files and folders.
    pub policies: Vec<PathBuf>,
    pub identity: authn::Config,
    pub admin: Admin,
    /// The SQLite file.
    pub store: PathBuf,
    pub audit: audit::Config,
    pub holds: Holds,
    pub limits: Limits,
    pub decision_timeout: Duration,
    /// The key of keyed hashes in masked bodies; without one, a key of this process's own.
    pub hash_key_file: Option<PathBuf>,
    /// How long calls in flight may take once the server is told to stop.
    pub drain: Duration,
}

#[derive(Clone, Debug)]
pub struct Listen {
    pub grpc: GrpcAddress,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
    /// Whether hosts are more than the caller's claim: the proxies that call here own the hosts they serve.
    pub gateway: bool,
    /// Whether ext_authz filters that call here are configured `with_request_body`.
    pub body_buffered: bool,
    pub reflection: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Admin {
    /// Whose tokens the admin API accepts: with an audience of their own.
    pub identity: authn::Config,
    /// Members of these groups may see every request for approval.
    pub viewers: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Holds {
    /// Envoy's `max_message_timeout`.
    pub max_message_timeout: Duration,
    pub ticket_status: u16,
    pub digest_headers: Vec<String>,
    pub held: HeldLimits,
    pub pending: PendingLimits,
}

/// A configuration that was read, or everything that is wrong with it.
#[derive(Debug, Default)]
pub struct Read {
    pub config: Option<Config>,
    /// What `policies` says, also in a configuration that is refused: their mistakes are named too.
    pub policies: Vec<PathBuf>,
    pub findings: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Read {
    let file: Arc<str> = path.to_string_lossy().into();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&file, &text.into(), path.parent().unwrap_or(Path::new(""))),
        Err(error) => {
            let message = format!("can't read the configuration `{file}`: {error}");
            let finding = Diagnostic::error("unreadable-file", message);
            Read { findings: vec![finding], ..Read::default() }
        }
    }
}

/// Reads `text`, in which relative paths start from `folder`.
pub fn parse(file: &Arc<str>, text: &Arc<str>, folder: &Path) -> Read {
    let mut sources = Sources::default();
    sources.add(file, text);
    let document = match Document::parse(file, text) {
        Ok(document) => document,
        Err(finding) => return Read { findings: vec![finding], sources, ..Read::default() },
    };
    let mut reader = Reader::new(file);
    let mut policies = Vec::new();
    let config = match document.roots.as_slice() {
        [root] => config(root, folder, &mut policies, &mut reader),
        roots => {
            let message = format!("the configuration is one YAML document, not {}", roots.len());
            reader.findings.push(Diagnostic::error("wrong-type", message));
            None
        }
    };
    let valid = !reader.findings.iter().any(Diagnostic::is_error);
    Read { config: config.filter(|_| valid), policies, findings: reader.findings, sources }
}

fn config(root: &Node, folder: &Path, policies: &mut Vec<PathBuf>, reader: &mut Reader) -> Option<Config> {
    let mut fields = reader.fields(root, "the configuration")?;
    let listen = listen(fields.optional("listen"), folder, reader);
    if let Some(node) = fields.required("policies", reader)
        && let Some(paths) = reader.strings(node, "`policies`")
    {
        if paths.is_empty() {
            reader.error(node.span, "empty-list", "`policies` names no file or folder");
        }
        policies.extend(paths.iter().map(|path| folder.join(path)));
    }
    let identity = fields.optional("identity").map_or(Some(authn::Config::default()), |node| {
        let config = authn::Config::read(node, reader)?;
        warn_of_nameless_callers(node, &config, reader);
        Some(rooted(config, folder))
    });
    let admin = admin(fields.optional("admin"), folder, reader);
    let store = path_in(&mut fields, "store", "portcullis.db", folder, reader);
    let audit = audit(fields.optional("audit"), folder, reader);
    let holds = holds(fields.optional("holds"), reader);
    let limits = limits(fields.optional("limits"), reader);
    let hash_key_file = mask(fields.optional("mask"), folder, reader);
    let drain = duration(&mut fields, "drain", Duration::from_secs(25), reader);
    fields.close(reader);
    let (limits, decision_timeout) = limits?;
    Some(Config {
        listen: listen?,
        policies: policies.clone(),
        identity: identity?,
        admin: admin?,
        store: store?,
        audit: audit?,
        holds: holds?,
        limits,
        decision_timeout,
        hash_key_file: hash_key_file?,
        drain: drain?,
    })
}

fn listen(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<Listen> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`listen`")?;
    let grpc = match fields.optional("grpc") {
        None => Some(GrpcAddress::Tcp(loopback(9191))),
        Some(node) => match reader.string(node, "`grpc`")?.strip_prefix("unix:") {
            Some(path) => Some(GrpcAddress::Unix(folder.join(path))),
            None => address(node, "`grpc`", reader).map(GrpcAddress::Tcp),
        },
    };
    let admin_node = fields.optional("admin");
    let admin = admin_node.map_or(Some(loopback(9190)), |node| address(node, "`admin`", reader));
    if let (Some(node), Some(admin)) = (admin_node, admin)
        && !admin.ip().is_loopback()
    {
        let message = format!("`admin` is {admin}: without TLS the admin API listens on loopback only");
        reader.error_with_help(
            node.span,
            "admin-not-loopback",
            message,
            "use 127.0.0.1, and reach it from this host",
        );
    }
    let metrics =
        fields.optional("metrics").map_or(Some(loopback(9192)), |node| address(node, "`metrics`", reader));
    let gateway = flag(&mut fields, "gateway", false, reader);
    let words = [("buffered", true), ("not_buffered", false)];
    let body_buffered = fields
        .optional("request_body")
        .map_or(Some(false), |node| reader.word(node, "`request_body`", &words));
    let reflection = flag(&mut fields, "reflection", true, reader);
    fields.close(reader);
    Some(Listen {
        grpc: grpc?,
        admin: admin?,
        metrics: metrics?,
        gateway: gateway?,
        body_buffered: body_buffered?,
        reflection: reflection?,
    })
}

fn admin(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<Admin> {
    let Some(node) = node else {
        return Some(Admin { identity: authn::Config::default(), viewers: Vec::new() });
    };
    let mut fields = reader.fields(node, "`admin`")?;
    let jwt = fields.required("jwt", reader);
    let viewers =
        fields.optional("viewers").map_or(Some(Vec::new()), |node| reader.strings(node, "`viewers`"));
    fields.close(reader);
    let items = reader.list(jwt?, "`jwt`")?;
    let issuers: Vec<_> = items.iter().map(|item| authn::IssuerConfig::read(item, reader)).collect();
    for (item, issuer) in items.iter().zip(&issuers) {
        if issuer.as_ref().is_some_and(|issuer| issuer.claims.person.is_none()) {
            let message = "approvers are counted as people, and these tokens name none";
            reader.error_with_help(item.span, "missing-person", message, "set `claims: {person: ...}`");
        }
    }
    let issuers = issuers.into_iter().collect::<Option<Vec<_>>>()?;
    let identity = rooted(authn::Config { issuers, mtls: false }, folder);
    Some(Admin { identity, viewers: viewers? })
}

/// Subjects often differ from one application to the next, so by them alone a caller may pass for another person
/// than the approver that they are.
fn warn_of_nameless_callers(node: &Node, config: &authn::Config, reader: &mut Reader) {
    for issuer in config.issuers.iter().filter(|issuer| issuer.claims.person.is_none()) {
        let name = &issuer.issuer;
        let message = format!(
            "tokens of `{name}` name no person: who calls with one may approve that call with another login"
        );
        let place = node.span.place(&reader.file);
        let warning = Diagnostic::warning("missing-person", message);
        reader.findings.push(warning.at(place).help("set `claims: {person: ...}`"));
    }
}

fn audit(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<audit::Config> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`audit`")?;
    let path = path(&mut fields, "path", "audit.jsonl", folder, reader);
    let words = [("required", audit::Mode::Required), ("best_effort", audit::Mode::BestEffort)];
    let mode = fields.optional("mode");
    let mode = mode.map_or(Some(audit::Mode::BestEffort), |node| reader.word(node, "`mode`", &words));
    fields.close(reader);
    Some(audit::Config { path: path?, mode: mode? })
}

fn holds(node: Option<&Node>, reader: &mut Reader) -> Option<Holds> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`holds`")?;
    let max_message_timeout = duration(&mut fields, "max_message_timeout", Duration::from_secs(900), reader);
    let ticket_status = number(&mut fields, "ticket_status", 403, 400..=599, reader);
    // Added to those that change what a call does anywhere: nobody should have to repeat them.
    let more = fields.optional("digest_headers").map_or(Some(Vec::new()), |node| {
        reader.strings(node, "`digest_headers`").map(|names| lower_case(&names))
    });
    let always = DEFAULT_DIGEST_HEADERS.iter().map(|name| (*name).to_owned());
    let digest_headers = more.map(|more| always.chain(more).collect());
    let (held, pending) = (HeldLimits::default(), PendingLimits::default());
    let per_principal = number(&mut fields, "per_principal", wide(held.per_principal), 1..=1_000_000, reader);
    let per_rule = number(&mut fields, "per_rule", wide(held.per_rule), 1..=1_000_000, reader);
    let total = number(&mut fields, "total", wide(held.total), 1..=1_000_000, reader);
    fields.close(reader);
    let (per_principal, per_rule) = (per_principal?, per_rule?);
    Some(Holds {
        max_message_timeout: max_message_timeout?,
        ticket_status: u16::try_from(ticket_status?).ok()?,
        digest_headers: digest_headers?,
        held: HeldLimits {
            per_principal: usize::try_from(per_principal).ok()?,
            per_rule: usize::try_from(per_rule).ok()?,
            total: usize::try_from(total?).ok()?,
        },
        pending: PendingLimits {
            per_principal: u32::try_from(per_principal).unwrap_or(pending.per_principal),
            per_rule: u32::try_from(per_rule).unwrap_or(pending.per_rule),
        },
    })
}

fn limits(node: Option<&Node>, reader: &mut Reader) -> Option<(Limits, Duration)> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`limits`")?;
    let default = Limits::default();
    let mut size = |name: &'static str, default: usize, reader: &mut Reader| {
        let bytes = number(&mut fields, name, wide(default), 1..=(64 << 20), reader);
        bytes.and_then(|bytes| usize::try_from(bytes).ok())
    };
    let path = size("path", default.path, reader);
    let header = size("header", default.header, reader);
    let headers = size("headers", default.headers, reader);
    let body = size("body", default.body, reader);
    let timeout = duration(&mut fields, "decision_timeout", Duration::from_millis(2_500), reader);
    fields.close(reader);
    Some((Limits { path: path?, header: header?, headers: headers?, body: body? }, timeout?))
}

fn mask(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<Option<PathBuf>> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`mask`")?;
    let file = fields.optional("hash_key_file");
    fields.close(reader);
    match file {
        None => Some(None),
        Some(node) => reader.string(node, "`hash_key_file`").map(|path| Some(folder.join(path))),
    }
}

// === single values ===

fn empty_map() -> Node {
    Node { value: crate::document::Value::Map(Vec::new()), span: crate::document::Span::default() }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn address(node: &Node, what: &str, reader: &mut Reader) -> Option<SocketAddr> {
    let text = reader.string(node, what)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let message = format!("{what} is not an address: `{text}`");
        reader.error_with_help(
            node.span,
            "invalid-address",
            message,
            "write it as 127.0.0.1:9191 or [::1]:9191",
        );
    }
    parsed
}

fn flag(fields: &mut Fields<'_>, name: &'static str, default: bool, reader: &mut Reader) -> Option<bool> {
    fields.optional(name).map_or(Some(default), |node| reader.boolean(node, &format!("`{name}`")))
}

fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: i64,
    range: std::ops::RangeInclusive<i64>,
    reader: &mut Reader,
) -> Option<i64> {
    fields.optional(name).map_or(Some(default), |node| reader.integer(node, &format!("`{name}`"), range))
}

fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    reader: &mut Reader,
) -> Option<Duration> {
    fields.optional(name).map_or(Some(default), |node| reader.duration(node, &format!("`{name}`")))
}

fn path(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: &str,
    folder: &Path,
    reader: &mut Reader,
) -> Option<PathBuf> {
    let text =
        fields.optional(name).map_or(Some(default), |node| reader.string(node, &format!("`{name}`")))?;
    Some(folder.join(text))
}

/// `section: {path: ...}`, a section of nothing but a path.
fn path_in(
    fields: &mut Fields<'_>,
    section: &'static str,
    default: &str,
    folder: &Path,
    reader: &mut Reader,
) -> Option<PathBuf> {
    let Some(node) = fields.optional(section) else { return Some(folder.join(default)) };
    let mut fields = reader.fields(node, section)?;
    let path = path(&mut fields, "path", default, folder, reader);
    fields.close(reader);
    path
}

/// Key files start from the configuration's folder.
fn rooted(mut config: authn::Config, folder: &Path) -> authn::Config {
    for issuer in &mut config.issuers {
        if let authn::JwksSource::File(path) = &mut issuer.jwks {
            *path = folder.join(&*path);
        }
    }
    config
}

fn lower_case(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn wide(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Read {
        parse(&"portcullis.yaml".into(), &text.into(), Path::new("/etc/portcullis"))
    }

    #[test]
    fn the_smallest_configuration_has_safe_defaults() {
        let read = parse_text("policies: [policies]\n");
        assert!(read.findings.is_empty(), "{:?}", read.findings);
        let config = read.config.unwrap();
        assert!(config.listen.admin.ip().is_loopback() && config.listen.metrics.ip().is_loopback());
        assert!(!config.listen.gateway && !config.listen.body_buffered && !config.identity.mtls);
        assert_eq!(config.policies, [Path::new("/etc/portcullis/policies")]);
        assert_eq!(config.store, Path::new("/etc/portcullis/portcullis.db"));
        assert_eq!(config.holds.held.per_principal, 20);
        assert!(config.admin.identity.issuers.is_empty());
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let read = parse_text(
            "listen: {grpc: here, admin: 0.0.0.0:9190, gatway: true}\npolicies: []\naudit: {mode: maybe}\nholds: {ticket_status: 200}\ndrain: 5\nlimts: {}\n",
        );
        assert!(read.config.is_none());
        let codes: Vec<_> = read
            .findings
            .iter()
            .map(|finding| (finding.place.as_ref().map_or(0, |place| place.line), finding.code))
            .collect();
        for expected in [
            (1, "invalid-address"),
            (1, "admin-not-loopback"),
            (1, "unknown-field"),
            (2, "empty-list"),
            (3, "unknown-value"),
            (4, "out-of-range"),
            (5, "invalid-duration"),
            (6, "unknown-field"),
        ] {
            assert!(codes.contains(&expected), "{expected:?} in {codes:?}");
        }
    }

    #[test]
    fn callers_without_a_person_are_warned_of() {
        let identity = |claims: &str| {
            let issuer = "issuer: https://i, audiences: [a], algorithms: [RS256], jwks: {file: k}";
            let read = parse_text(&format!("policies: [p]\nidentity: {{jwt: [{{{issuer}{claims}}}]}}\n"));
            assert!(read.config.is_some());
            read.findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(identity(""), ["missing-person"]);
        assert!(identity(", claims: {person: person}").is_empty());
    }

    #[test]
    fn approvers_must_be_people() {
        let read = parse_text(
            "policies: [p]\nadmin: {jwt: [{issuer: https://i, audiences: [a], algorithms: [RS256], jwks: {file: k}}]}\n",
        );
        assert_eq!(read.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["missing-person"]);
    }
}
