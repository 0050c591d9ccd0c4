//! The policies of a server that starts, and of one that reads its configuration again.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::{NotStarted, Refused};
use crate::authn::Authenticator;
use crate::bundle::{
    self, Admission, Control, Fetcher, Follow, Found, Limits, Offer, Outcome, Ports, Reloaded, Source, Trust,
};
use crate::diagnostic::{Diagnostic, Sources};
use crate::policy;

/// Where policies come from, and what lies there now.
#[derive(Debug)]
pub struct Policies {
    pub(super) admission: Admission,
    location: Arc<str>,
    /// What the files hold, or why they can't be used; `None` for a URL, which is asked once the server runs.
    pub(super) first: Option<First>,
    follow: Option<Follow>,
}

#[derive(Debug)]
pub(super) struct First {
    fingerprint: String,
    pub offer: Result<Offer, bundle::Refused>,
}

impl Policies {
    /// Reads and judges what `config` names; opens no connection. Mistakes of the configuration are left in
    /// `findings`, those of the policies in `first`.
    pub(super) async fn read(
        config: &bundle::Config,
        gateway: bool,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let trust = Trust::read(&config.keys).map_err(|mistakes| findings.extend(mistakes)).ok();
        let follow = match &config.source {
            Source::Url(remote) => match Fetcher::new(remote) {
                Ok(fetcher) => Some(Follow::Url(fetcher)),
                Err(error) => {
                    findings.push(Diagnostic::error("invalid-certificates", error));
                    return None;
                }
            },
            files => config.watch.then(|| Follow::Files(files.clone())),
        };
        let default = Limits::default();
        let limits = Limits { packed: config.max_bytes.unwrap_or(default.packed), ..default };
        let admission = Admission { trust: trust?, limits, options: policy::Options { gateway } };
        let (source, judge) = (config.source.clone(), admission.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let found: Found = source.read(&judge.limits)?;
            Some(First { fingerprint: found.fingerprint.clone(), offer: found.admit(&judge) })
        });
        let first = match judged.await {
            Ok(first) => first,
            Err(error) => {
                findings.push(Diagnostic::error("internal-error", format!("judging the policies: {error}")));
                return None;
            }
        };
        Some(Self { admission, location: config.source.to_string().into(), first, follow })
    }

    /// The policies, where they were read and can be used.
    pub fn offer(&self) -> Option<&Offer> {
        self.first.as_ref()?.offer.as_ref().ok()
    }

    /// Why the policies can't be used.
    pub fn refusal(&self) -> Option<&bundle::Refused> {
        self.first.as_ref()?.offer.as_ref().err()
    }

    /// Puts in force what was active before, or what the source holds now. Without either the server does not
    /// start, unless a bundle may still come from a URL.
    pub(super) async fn start(self, ports: Ports) -> Result<(Arc<Control>, Following), NotStarted> {
        let Self { admission, location, first, follow } = self;
        let offered = first.as_ref().and_then(|first| first.offer.as_ref().ok());
        let control =
            Control::start(ports, admission, &location, offered).await.map_err(anyhow::Error::from)?;
        if let Some(First { fingerprint, offer }) = first {
            if let Err(refused) = &offer
                && !control.was_active().await
            {
                return Err(NotStarted::Refused(refused.clone().into()));
            }
            let admission = control.admission();
            let outcome = control.offer(&location, fingerprint.clone(), &admission, offer.clone()).await;
            // Another server may have been first.
            if outcome == Outcome::NotKept {
                control.catch_up().await.map_err(anyhow::Error::from)?;
                control.offer(&location, fingerprint, &admission, offer).await;
            }
        }
        let following = Following(Mutex::new(None));
        following.replace(follow, &control);
        Ok((control, following))
    }
}

/// The task that follows the source; it ends with its owner.
#[derive(Debug)]
pub struct Following(Mutex<Option<AbortOnDropHandle<()>>>);

impl Following {
    /// Ends it: a server that stops takes no new policies.
    pub(super) fn stop(&self) {
        self.0.lock().take();
    }

    fn replace(&self, follow: Option<Follow>, control: &Arc<Control>) {
        let next = follow.map(|follow| follow.start(control));
        *self.0.lock() = next;
    }

    /// Puts identity providers and policies of a configuration that was read again in force, as one. The error says
    /// why they were refused; then nothing changed.
    pub(super) async fn reload(
        &self,
        policies: Policies,
        authenticator: Arc<Authenticator>,
        control: &Arc<Control>,
    ) -> Result<(), String> {
        let Policies { admission, location, first, follow } = policies;
        let offer = first.map(|First { fingerprint, offer }| (fingerprint, offer));
        match control.reload(Reloaded { authenticator, admission, location, offer }).await {
            Outcome::NotKept => Err("the store can't keep the policies".to_owned()),
            Outcome::Outdated => Err("the configuration was read again meanwhile".to_owned()),
            Outcome::Refused(refusal) if refusal != bundle::Refusal::Pinned => Err(refusal.to_string()),
            _ => {
                self.replace(follow, control);
                Ok(())
            }
        }
    }
}

impl From<bundle::Refused> for Refused {
    fn from(refused: bundle::Refused) -> Self {
        let bundle::Refused { findings, sources, .. } = refused;
        Self { findings, sources }
    }
}

/// Findings and sources of policies that can't be used, added to those of the configuration.
pub(super) fn add(refused: bundle::Refused, findings: &mut Vec<Diagnostic>, sources: &mut Sources) {
    findings.extend(refused.findings);
    sources.extend(refused.sources);
}
