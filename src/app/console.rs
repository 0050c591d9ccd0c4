//! The console: from the configuration to what its pages are made with.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use super::admin_events::Tokens;
use crate::admin::VerifyToken;
use crate::admin::console::{
    Check, Config, FirstLogin, Insight, Keys, Origin, Parts, Provider, SessionChange,
};
use crate::audit::{self, Audit, Record};
use crate::authn::Authenticator;
use crate::bundle::Ports as ControlPorts;
use crate::clock::{self, Clock};
use crate::config;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::identity::Identity;
use crate::ops::Ops;
use crate::store::{self, Store, StoreError};

/// The configuration of a console with the files that it names.
pub(super) struct Prepared {
    config: Config,
    provider: Option<(Provider, Arc<Authenticator>)>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Reads what the configuration names; `Some(None)` without a console. Writes nothing.
pub(super) async fn read(
    config: Option<&Config>,
    clock: &Clock,
    findings: &mut Vec<Diagnostic>,
) -> Option<Option<Prepared>> {
    let Some(config) = config.cloned() else { return Some(None) };
    let provider = match config.provider.clone() {
        Some(provider) => {
            let id_tokens = super::load::authenticator(provider.id_tokens.clone(), clock, findings).await;
            let refused = |why| Diagnostic::error("invalid-console", format!("`admin.console`: {why}"));
            let provider = Provider::new(provider).map_err(|why| findings.push(refused(why))).ok();
            Some((provider?, id_tokens?))
        }
        None => None,
    };
    Some(Some(Prepared { config, provider }))
}

/// Makes the key, and the one-time token where there is to be one: the store was `empty` when it was opened. The admin
/// port listens on `address`.
pub(super) fn start(
    console: Option<Prepared>,
    config: &config::Config,
    ports: &ControlPorts,
    ops: &Ops,
    address: SocketAddr,
    empty: bool,
) -> anyhow::Result<Option<Parts>> {
    let Some(Prepared { config: console, provider }) = console else { return Ok(None) };
    let origin = match console.url {
        Some(url) => url,
        None => Origin::parse(&format!("http://{address}")).map_err(anyhow::Error::msg)?,
    };
    let beside = match &config.store {
        store::Config::Sqlite(file) => file,
        // A database has no folder here; the trail is what this server keeps to itself.
        store::Config::Postgres(_) => &config.audit.path,
    };
    let key_file = console.key_file.unwrap_or_else(|| beside.with_file_name("console.key"));
    let keys = Keys::load_or_create(&key_file)?;
    let token_file = beside.with_file_name("first-login");
    let first_login = if provider.is_none() && empty {
        offer_first_login(&token_file, &origin, &ports.clock)?
    } else {
        FirstLogin::none(&token_file)
    };
    let revocations = ports.engine.revocations().clone();
    let (provider, authenticator) = provider.unzip();
    let id_tokens = authenticator.clone().map(|tokens| -> Arc<dyn VerifyToken> {
        Arc::new(Tokens { tokens, revocations: revocations.clone(), metrics: ports.metrics.clone() })
    });
    let insight = Arc::new(Shown {
        ops: ops.clone(),
        audit: ports.audit.clone(),
        audit_path: config.audit.path.clone(),
        clock: ports.clock.clone(),
        id_tokens: authenticator,
    });
    let times = console.times;
    let metrics = ports.metrics.clone();
    Ok(Some(Parts { origin, times, keys, provider, id_tokens, first_login, revocations, insight, metrics }))
}

fn offer_first_login(file: &Path, url: &Origin, clock: &Clock) -> anyhow::Result<FirstLogin> {
    let offered = FirstLogin::offered(file, clock)
        .map_err(|error| anyhow::anyhow!("can't write `{}`: {error}", file.display()))?;
    tracing::warn!(
        file = %file.display(), %url,
        "the store is empty and nobody can log in yet: this file holds a one-time token for the console, good for 15 minutes"
    );
    Ok(offered)
}

/// Whether nothing was ever written to a store: no request, no policies, no key and no revocation.
pub(super) async fn is_empty(store: &Store) -> Result<bool, StoreError> {
    let filter = crate::store::Filter { limit: 1, ..Default::default() };
    Ok(store.approvals(filter).await?.approvals.is_empty()
        && store.bundle_state().await?.active.is_none()
        && store.api_keys(1, None).await?.is_empty()
        && store.revocations(1, None).await?.is_empty())
}

/// What pages show of the rest of the server.
struct Shown {
    ops: Ops,
    audit: Audit,
    audit_path: PathBuf,
    clock: Clock,
    id_tokens: Option<Arc<Authenticator>>,
}

impl Shown {
    async fn checks(&self) -> Vec<Check> {
        let check = |name: &str, good, detail: String| Check { name: name.to_owned(), good, detail };
        let missing = self.ops.not_ready().await;
        let ready = if missing.is_empty() { "as /readyz says".to_owned() } else { missing.join("; ") };
        let mut checks = vec![check("Ready for calls", missing.is_empty(), ready)];
        let asked = clock::instant();
        let answers = self.ops.store.ping().await;
        let detail = match &answers {
            Ok(()) => format!("answers within {} ms", asked.elapsed().as_millis().max(1)),
            Err(error) => error.to_string(),
        };
        checks.push(check("Store", answers.is_ok(), detail));
        let snapshot = self.ops.engine.snapshot();
        let policies = format!("{} of {}", snapshot.policies.len(), snapshot.policies.revision());
        checks.push(check("Active policies", !snapshot.policies.is_empty(), policies));
        let mut issuers = snapshot.authenticator.key_ages();
        let logins = self.id_tokens.iter().flat_map(|tokens| tokens.key_ages());
        issuers.extend(logins.map(|(issuer, age)| (format!("{issuer} (logins)"), age)));
        for (issuer, age) in issuers {
            let detail = if age.is_finite() { format!("{age:.0} s old") } else { "never fetched".to_owned() };
            checks.push(check(&format!("Keys of {issuer}"), age.is_finite(), detail));
        }
        let current = self.ops.engine.revocations().age();
        let detail = current.map_or("never read".to_owned(), |age| format!("read {} s ago", age.as_secs()));
        checks.push(check("Revocations", current.is_some(), detail));
        if let Some(age) = self.ops.control.poll_age() {
            let detail =
                if age.is_finite() { format!("answered {age:.0} s ago") } else { "never answered".into() };
            checks.push(check("Source of policies", age.is_finite(), detail));
        }
        checks.push(check("Version", true, env!("CARGO_PKG_VERSION").to_owned()));
        checks
    }
}

impl Insight for Shown {
    fn health(&self) -> BoxFuture<'_, Vec<Check>> {
        self.checks().boxed()
    }

    fn records(&self, limit: usize) -> BoxFuture<'_, io::Result<Vec<Value>>> {
        let path = self.audit_path.clone();
        async move {
            let read = tokio::task::spawn_blocking(move || audit::newest(&path, limit)).await;
            read.unwrap_or_else(|error| Err(io::Error::other(error)))
        }
        .boxed()
    }

    fn records_changed(&self) -> watch::Receiver<()> {
        self.audit.written()
    }

    fn session_changed<'a>(&'a self, who: &'a Identity, change: SessionChange) -> BoxFuture<'a, ()> {
        async move {
            let record = Record::Session(audit::Session {
                time: self.clock.now(),
                change: change.as_str(),
                identity: engine::principal(who),
            });
            if self.audit.record(&record).await.is_err() {
                tracing::error!(
                    change = change.as_str(),
                    "a change of a console's session could not be recorded"
                );
            }
        }
        .boxed()
    }
}
