//! Revisions, what is to say of them as a whole, and what happened to them.

use jiff::Timestamp;

use super::When;
use crate::admin::console::shown::Shown;
use crate::admin::v1;

/// A revision that can be gone back to.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub revision: String,
    pub name: Shown,
    pub signer: Shown,
    pub source: Shown,
    pub last_active: When,
    pub active: bool,
    pub pinned: bool,
}

impl Bundle {
    pub fn of(bundle: &v1::Bundle, now: Timestamp) -> Self {
        Self {
            revision: bundle.revision.clone(),
            name: Shown::line(format!("{} {}", bundle.name, bundle.version).trim()),
            signer: Shown::line(&bundle.signer),
            source: Shown::line(&bundle.source),
            last_active: When::of(bundle.last_active.as_ref(), now),
            active: bundle.active,
            pinned: bundle.pinned,
        }
    }
}

/// What is to say of the policies as a whole.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Where the next rollback leads.
    pub previous: Option<Bundle>,
    pub location: Shown,
    pub error: Shown,
    pub pinned: bool,
    pub rolled_back: bool,
    pub available: Option<Bundle>,
    pub passed_over: Option<Bundle>,
    pub refused: Option<(Shown, Vec<Shown>, When)>,
    pub candidate: Option<Shown>,
}

impl Standing {
    pub fn of(listing: &v1::ListBundlesResponse, now: Timestamp) -> Self {
        let source = listing.source.clone().unwrap_or_default();
        let bundle = |bundle: &v1::Bundle| Bundle::of(bundle, now);
        Self {
            previous: listing.previous.as_ref().map(bundle),
            location: Shown::line(source.location),
            error: Shown::line(source.error),
            pinned: listing.bundles.iter().any(|bundle| bundle.pinned),
            rolled_back: listing.rolled_back,
            available: listing.available.as_ref().map(bundle),
            passed_over: listing.passed_over.as_ref().map(bundle),
            refused: listing.refused.as_ref().map(|refused| {
                let findings = refused.findings.iter().map(Shown::line).collect();
                (Shown::line(&refused.reason), findings, When::of(refused.at.as_ref(), now))
            }),
            candidate: listing.candidate.as_ref().map(|tried| {
                let revision = tried.policies.clone().unwrap_or_default().revision;
                Shown::line(format!(
                    "{revision}, for {} % of the callers: {} {}",
                    tried.share, tried.state, tried.why
                ))
            }),
        }
    }
}

/// A change of policies.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: When,
    pub kind: String,
    pub revision: String,
    pub who: Shown,
    pub comment: Shown,
}

impl Event {
    pub fn of(event: &v1::BundleEvent, now: Timestamp) -> Self {
        let who = event.actor.clone().map(|who| if who.person.is_empty() { who.subject } else { who.person });
        let comment = if event.comment.is_empty() { &event.reason } else { &event.comment };
        Self {
            at: When::of(event.at.as_ref(), now),
            kind: event.kind.replace('_', " "),
            revision: event.revision.clone(),
            who: Shown::line(who.unwrap_or_else(|| "the server".to_owned())),
            comment: Shown::lines(comment),
        }
    }
}
