//! Everything that a server is made from, read and judged, with every mistake named; no socket is opened.

use std::sync::Arc;

use super::candidate::Candidate;
use super::keys::Keys;
use super::listen::Tls;
use super::policies::{self, Policies};
use super::{console, credentials, notifications};
use crate::authn::{self, Authenticator};
use crate::bundle;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::diagnostic::{self, Diagnostic, Sources};
use crate::engine::Credentials;
use crate::{notify, store};

/// A valid configuration with the keys that it names, and the policies as they are.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub policies: Policies,
    pub candidate: Option<Candidate>,
    pub authenticator: Arc<Authenticator>,
    pub admin: Arc<Authenticator>,
    pub(super) keys: Keys,
    pub(super) tls: Tls,
    pub(super) credentials: Credentials,
    pub(super) console: Option<console::Prepared>,
    pub(super) notify: Option<notify::Targets>,
    /// Warnings: they do not stop a load.
    pub findings: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Why a load was refused, or what it warned of: everything at once.
#[derive(Debug)]
pub struct Refused {
    pub findings: Vec<Diagnostic>,
    pub sources: Sources,
}

/// What a configuration names beside policies, as far as it can be used.
struct Parts {
    authenticator: Option<Arc<Authenticator>>,
    admin: Option<Arc<Authenticator>>,
    keys: Option<Keys>,
    tls: Option<Tls>,
    credentials: Option<Credentials>,
    console: Option<Option<console::Prepared>>,
    notify: Option<Option<notify::Targets>>,
}

/// Reads everything that `read`'s configuration names. Every mistake of every file is in the refusal. Policies alone
/// that can't be used don't refuse it: others may have been active before.
pub async fn load(read: config::Read, clock: &Clock) -> Result<Loaded, Refused> {
    let config::Read { config, policies: section, mut findings, mut sources } = read;
    let gateway = config.as_ref().is_some_and(|config| config.listen.gateway);
    let (policies, candidate) = read_policies(section.as_ref(), gateway, &mut findings).await;
    if let Some(offer) = candidate.as_ref().and_then(|candidate| candidate.offer().ok()) {
        tell(offer, &mut findings, &mut sources);
    }
    let refusal = policies.as_ref().and_then(Policies::refusal).cloned();
    let Some(config) = config else {
        return Err(refused(refusal, findings, sources));
    };
    let parts = Parts::read(&config, clock, &mut findings).await;
    if let Some(offer) = policies.as_ref().and_then(Policies::offer) {
        tell(offer, &mut findings, &mut sources);
        let holds =
            offer.prepared.set.holds_calls() || candidate.as_ref().is_some_and(Candidate::holds_calls);
        if config.admin.identity.issuers.is_empty() && holds {
            let message = "policies hold calls, and nobody can approve them: `admin.jwt` names no issuer";
            findings.push(Diagnostic::warning("no-approvers", message));
        }
    }
    if findings.iter().any(Diagnostic::is_error) {
        return Err(refused(refusal, findings, sources));
    }
    diagnostic::sort(&mut findings);
    match policies {
        Some(policies) => parts.into_loaded(config, policies, candidate, findings, sources),
        None => Err(Refused { findings, sources }),
    }
}

/// The policies, and the candidate for them, as the section names them.
async fn read_policies(
    section: Option<&bundle::Config>,
    gateway: bool,
    findings: &mut Vec<Diagnostic>,
) -> (Option<Policies>, Option<Candidate>) {
    let Some(config) = section else { return (None, None) };
    let Some(policies) = Policies::read(config, gateway, findings).await else { return (None, None) };
    let candidate = Candidate::read(config, &policies.admission).await;
    (Some(policies), candidate)
}

/// Adds what policies that can be used warn of.
fn tell(offer: &bundle::Offer, findings: &mut Vec<Diagnostic>, sources: &mut Sources) {
    findings.extend(offer.prepared.findings.clone());
    sources.extend(offer.prepared.sources.clone());
}

/// All that is wrong, with what is wrong with the policies.
fn refused(
    policies: Option<bundle::Refused>,
    mut findings: Vec<Diagnostic>,
    mut sources: Sources,
) -> Refused {
    if let Some(policies) = policies {
        policies::add(policies, &mut findings, &mut sources);
    }
    diagnostic::sort(&mut findings);
    Refused { findings, sources }
}

impl Parts {
    /// Mistakes are left in `findings`.
    async fn read(config: &Config, clock: &Clock, findings: &mut Vec<Diagnostic>) -> Self {
        let authenticator = authenticator(config.identity.clone(), clock, findings).await;
        let admin = self::authenticator(config.admin.identity.clone(), clock, findings).await;
        let keys = Keys::read(config, findings);
        if let store::Config::Postgres(postgres) = &config.store
            && let Err(error) = postgres.check()
        {
            findings.push(Diagnostic::error("invalid-store", format!("the store: {error}")));
        }
        Self {
            authenticator,
            admin,
            keys,
            tls: Tls::read(&config.listen, clock, findings).await,
            credentials: credentials::read(&config.identity, clock, findings),
            console: console::read(config.admin.console.as_ref(), clock, findings).await,
            notify: notifications::read(config, findings),
        }
    }

    fn into_loaded(
        self,
        config: Config,
        policies: Policies,
        candidate: Option<Candidate>,
        findings: Vec<Diagnostic>,
        sources: Sources,
    ) -> Result<Loaded, Refused> {
        let Self {
            authenticator: Some(authenticator),
            admin: Some(admin),
            keys: Some(keys),
            tls: Some(tls),
            credentials: Some(credentials),
            console: Some(console),
            notify: Some(notify),
        } = self
        else {
            return Err(Refused { findings, sources });
        };
        Ok(Loaded {
            config,
            policies,
            candidate,
            authenticator,
            admin,
            keys,
            tls,
            credentials,
            console,
            notify,
            findings,
            sources,
        })
    }
}

impl Loaded {
    /// Why the policies can't be used, with what is wrong with the rest; `None` when they can, or are yet to come.
    pub fn policies_refused(&self) -> Option<Refused> {
        let mut refused = Refused::from(self.policies.refusal()?.clone());
        refused.findings.extend(self.findings.clone());
        refused.sources.extend(self.sources.clone());
        Some(refused)
    }
}

pub(super) async fn authenticator(
    config: authn::Config,
    clock: &Clock,
    findings: &mut Vec<Diagnostic>,
) -> Option<Arc<Authenticator>> {
    match Authenticator::build(config, clock.clone()).await {
        Ok(authenticator) => Some(authenticator),
        Err(mistakes) => {
            findings.extend(mistakes);
            None
        }
    }
}
