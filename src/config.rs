//! The configuration file: what it says, every mistake in it named at its place.
//!
//! Relative paths start from the file's own folder, so that a configuration means the same wherever the server
//! is started from. Reading opens no socket and no store; it does read the policies and keys that it names.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::console as console_pages;
use crate::audit;
use crate::authn;
use crate::bundle;
use crate::diagnostic::{Diagnostic, Sources};
use crate::document::{Document, Reader};
use crate::engine::{HandoverUse, HeldLimits};
use crate::notify as notifications;
use crate::proxy;
use crate::request::{BodySource, Limits};
use crate::store::{PendingLimits, Retention};
use crate::tls;

mod candidate;
mod console;
mod listen;
mod mask;
mod notify;
mod policies;
mod section;
mod store;
mod value;

pub use mask::Mask;

/// All that one file says.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Listen,
    /// Where policies come from.
    pub policies: bundle::Config,
    pub identity: authn::Config,
    pub admin: Admin,
    /// Where approvals, keys, revocations and revisions live.
    pub store: crate::store::Config,
    /// How long the store keeps what is over; an hour at least.
    pub retention: Retention,
    pub audit: audit::Config,
    /// Who is told of requests for approval; `None` for nobody.
    pub notify: Option<notifications::Config>,
    pub holds: Holds,
    pub limits: Limits,
    pub decision_timeout: Duration,
    /// How much memory kept decisions may take; 0 keeps none.
    pub decision_cache_bytes: u64,
    pub mask: Mask,
    /// The key that replicas seal handovers with, and the one before it; without one, a key of this process's own.
    pub handover: HandoverFiles,
    pub patience: Patience,
}

/// How long a server waits that is told to stop.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// `shutdown_delay`: how long it takes calls while it says that it is not ready.
    pub delay: Duration,
    /// How long calls in flight may take after that.
    pub drain: Duration,
}

#[derive(Clone, Debug)]
pub struct Listen {
    pub grpc: GrpcAddress,
    /// Never on a Unix socket.
    pub grpc_tls: Option<tls::Config>,
    pub admin: SocketAddr,
    pub admin_tls: Option<tls::Config>,
    pub metrics: SocketAddr,
    /// Whether hosts are more than the caller's claim: the proxies that call here own the hosts they serve.
    pub gateway: bool,
    /// Whether the ext_authz filters that call here show whole bodies.
    pub request_body: BodySource,
    pub reflection: bool,
    /// Whether ext_authz decides for ext_proc.
    pub handover: HandoverUse,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl GrpcAddress {
    fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl Config {
    /// What of it a proxy's configuration has to agree with.
    pub fn for_proxies(&self) -> proxy::Server {
        proxy::Server {
            known: true,
            max_message_timeout: self.holds.max_message_timeout,
            full_duplex: self.mask.full_duplex,
            decision_timeout: self.decision_timeout,
            body_limit: self.limits.body,
            held: self.holds.held.total,
            shared_store: matches!(self.store, crate::store::Config::Postgres(_)),
            gateway: self.listen.gateway,
            body: self.listen.request_body,
            handover_always: self.listen.handover == HandoverUse::Always,
            mtls: self.identity.mtls.is_some(),
            tls: match &self.listen.grpc_tls {
                None => proxy::ListenerTls::Off,
                Some(tls) if tls.client_ca.is_none() => proxy::ListenerTls::On,
                Some(_) => proxy::ListenerTls::Mutual,
            },
            credentials: self.identity.credential_headers(),
            forwarded_certificates: self
                .identity
                .mtls
                .as_ref()
                .is_some_and(|peers| peers.forwarded.is_some()),
            changes: self.identity.changed_headers(),
            changes_query: self.identity.changes_query(),
            digest_headers: self.holds.digest_headers.clone(),
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for GrpcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Admin {
    /// Whose tokens the admin API accepts: with an audience of their own.
    pub identity: authn::Config,
    /// Members of these groups may see every request for approval.
    pub viewers: Vec<String>,
    /// Members of these groups may change which policies decide.
    pub admins: Vec<String>,
    /// The pages for people; `None` for none.
    pub console: Option<console_pages::Config>,
    /// Where people reach the server and its console, for links to it.
    pub url: Option<reqwest::Url>,
}

#[derive(Clone, Debug)]
pub struct Holds {
    /// Envoy's `max_message_timeout`.
    pub max_message_timeout: Duration,
    pub ticket_status: u16,
    /// Below which path callers ask what became of their held calls; `None` where nobody is told.
    pub status_path: Option<String>,
    pub digest_headers: Vec<String>,
    /// How long after its release a call counts as a retry.
    pub retry_window: Duration,
    pub held: HeldLimits,
    pub pending: PendingLimits,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandoverFiles {
    pub key: Option<PathBuf>,
    pub previous: Option<PathBuf>,
}

/// A configuration that was read, or everything that is wrong with it.
#[derive(Debug, Default)]
pub struct Read {
    pub config: Option<Config>,
    /// What `policies` says, also in a configuration that is refused: their mistakes are named too.
    pub policies: Option<bundle::Config>,
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
    let mut policies = None;
    let config = match document.roots.as_slice() {
        [root] => {
            sources.add(file, &notify::hide_urls(root, text));
            section::config(root, folder, &mut policies, &mut reader)
        }
        roots => {
            let message = format!("the configuration is one YAML document, not {}", roots.len());
            reader.findings.push(Diagnostic::error("wrong-type", message));
            None
        }
    };
    let valid = !reader.findings.iter().any(Diagnostic::is_error);
    Read { config: config.filter(|_| valid), policies, findings: reader.findings, sources }
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
        assert!(
            !config.listen.gateway
                && config.listen.request_body == BodySource::ByRoute
                && config.identity.mtls.is_none()
        );
        let source = bundle::Source::Paths(vec!["/etc/portcullis/policies".into()]);
        let policies =
            bundle::Config { source, keys: Vec::new(), watch: true, max_bytes: None, candidate: None };
        assert_eq!(config.policies, policies);
        assert!(config.admin.admins.is_empty());
        assert_eq!(config.store, crate::store::Config::Sqlite("/etc/portcullis/portcullis.db".into()));
        assert_eq!(config.retention.requests, Duration::from_secs(90 * 24 * 3_600));
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
    fn policies_come_from_one_source_with_the_fields_that_go_with_it() {
        let policies = |text: &str| {
            let read = parse_text(&format!("policies: {text}\n"));
            let codes: Vec<_> = read.findings.iter().map(|finding| finding.code).collect();
            (read.config.map(|config| config.policies), codes)
        };
        let (config, codes) =
            policies("{url: https://b/x.tgz, poll: 5s, token_file: t, ca_file: c, keys: [k], max_bytes: 9}");
        assert!(codes.is_empty(), "{codes:?}");
        let config = config.unwrap();
        let bundle::Source::Url(remote) = &config.source else { panic!("{config:?}") };
        assert_eq!((remote.url.as_str(), remote.poll), ("https://b/x.tgz", Duration::from_secs(5)));
        assert_eq!(remote.token_file.as_deref(), Some(Path::new("/etc/portcullis/t")));
        assert_eq!(
            (config.keys.as_slice(), config.max_bytes),
            ([PathBuf::from("/etc/portcullis/k")].as_slice(), Some(9))
        );
        let config = policies("{bundle: b.tgz, watch: false}").0.unwrap();
        assert_eq!(
            (config.source, config.watch),
            (bundle::Source::File("/etc/portcullis/b.tgz".into()), false)
        );
        assert!(policies("{url: \"http://127.0.0.1:1/b\"}").1.is_empty(), "loopback");
        for (text, code) in [
            ("{}", "policies-source"),
            ("{paths: [a], url: https://b}", "policies-source"),
            ("{paths: []}", "empty-list"),
            ("{paths: [a], keys: [k]}", "wrong-source"),
            ("{paths: [a], max_bytes: 1}", "wrong-source"),
            ("{paths: [a], poll: 5s}", "wrong-source"),
            ("{bundle: b, ca_file: c}", "wrong-source"),
            ("{url: https://b, watch: true}", "wrong-source"),
            ("{url: https://b, poll: 500ms}", "out-of-range"),
            ("{url: https://b, max_bytes: 0}", "out-of-range"),
            ("{url: \"http://b\"}", "insecure-url"),
            ("{url: \"https://me:secret@b\"}", "invalid-url"),
            ("{url: ftp://b}", "invalid-url"),
            ("{paths: [a], watsh: true}", "unknown-field"),
            ("5", "wrong-type"),
        ] {
            assert_eq!(policies(text).1, [code], "{text}");
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
        let issuer = "{issuer: https://i, audiences: [a], algorithms: [RS256], jwks: {file: k}}";
        let read = parse_text(&format!("policies: [p]\nidentity:\n  jwt:\n    [{issuer}]\n"));
        let line = |finding: &Diagnostic| finding.place.as_ref().map(|place| place.line);
        assert_eq!(read.findings.iter().map(line).collect::<Vec<_>>(), [Some(4)], "where the scheme stands");
    }

    #[test]
    fn the_status_path_is_a_path_as_proxies_show_it_or_none() {
        let read = |path: &str| {
            let read = parse_text(&format!("policies: [p]\nholds: {{status_path: \"{path}\"}}\n"));
            (read.config.map(|config| config.holds.status_path), read.findings.first().map(|one| one.code))
        };
        assert_eq!(read("/held"), (Some(Some("/held".to_owned())), None));
        assert_eq!(read("none"), (Some(None), None));
        for path in ["", "held", "/", "/held/", "//held", "/a/../held", "/held?x", "/%68eld", "/h%20"] {
            assert_eq!(read(path), (None, Some("invalid-path")), "{path}");
        }
        let default = parse_text("policies: [p]\n").config.unwrap().holds.status_path;
        assert_eq!(default.as_deref(), Some("/.well-known/portcullis/approvals"));
    }

    #[test]
    fn the_keys_of_handovers_are_files_and_the_old_one_needs_a_new_one() {
        let read = |text: &str| {
            let read = parse_text(&format!("policies: [p]\n{text}\n"));
            (read.config, read.findings.first().map(|one| one.code))
        };
        let (config, _) = read("handover: {key_file: a, previous_key_file: b}\nlisten: {handover: always}");
        let config = config.unwrap();
        assert_eq!(config.handover.key.as_deref(), Some(Path::new("/etc/portcullis/a")));
        assert_eq!(config.handover.previous.as_deref(), Some(Path::new("/etc/portcullis/b")));
        assert!(config.for_proxies().handover_always);
        assert!(!read("").0.unwrap().for_proxies().handover_always);
        for (text, code) in [
            ("handover: {previous_key_file: b}", "missing-field"),
            ("handover: {key: b}", "unknown-field"),
            ("handover: {key_file: 5}", "wrong-type"),
            ("listen: {handover: never}", "unknown-value"),
        ] {
            let (config, found) = read(text);
            assert!(config.is_none() && found == Some(code), "{text}: {found:?}");
        }
    }

    #[test]
    fn listeners_do_not_share_an_address() {
        let codes = |listen: &str| {
            let read = parse_text(&format!("listen: {{{listen}}}\npolicies: [p]\n"));
            read.findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("grpc: 127.0.0.1:9190"), ["address-used-twice"]);
        assert_eq!(codes("admin: 127.0.0.1:1, metrics: 127.0.0.1:1"), ["address-used-twice"]);
        assert!(codes("grpc: 127.0.0.1:0, admin: 127.0.0.1:0, metrics: 127.0.0.1:0").is_empty());
    }

    #[test]
    fn approvers_must_be_people() {
        let read = parse_text(
            "policies: [p]\nadmin: {jwt: [{issuer: https://i, audiences: [a], algorithms: [RS256], jwks: {file: k}}]}\n",
        );
        assert_eq!(read.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["missing-person"]);
    }
}
