//! Which policies decide: who may see and change it; the one implementation behind gRPC and JSON.

use std::sync::Arc;

use super::approvals::check_reason;
use super::encode::timestamp;
use super::fault::Fault;
use super::page::{next_page, page};
use super::{AdminState, v1};
use crate::bundle::{Available, CandidateListing, CandidateState, Change, Request};
use crate::identity::Identity;
use crate::store::{KeptBundle, RecordedEvent};

impl AdminState {
    pub(super) async fn bundles(&self, who: &Identity) -> Result<v1::ListBundlesResponse, Fault> {
        self.may_look(who)?;
        let listing = self.control.list().await?;
        let active = listing.active.as_ref().map(|active| active.id.as_str());
        let bundles = listing.kept.iter().map(|kept| {
            let active = active == Some(kept.id.as_str());
            v1::Bundle { active, pinned: active && listing.pinned, ..bundle(kept) }
        });
        Ok(v1::ListBundlesResponse {
            bundles: bundles.collect(),
            available: listing.available.map(offered),
            passed_over: listing.passed_over.as_ref().map(bundle),
            previous: listing.previous.as_ref().map(bundle),
            rolled_back: listing.rolled_back,
            candidate: listing.candidate.map(tried),
            refused: listing.refused.map(|refused| v1::Refusal {
                reason: refused.refusal.code().to_owned(),
                findings: refused.findings,
                source: refused.source.to_string(),
                at: Some(timestamp(refused.at)),
            }),
            source: Some(v1::Source {
                location: listing.source.location.to_string(),
                polled: listing.source.polled.map(timestamp),
                error: listing.source.error.unwrap_or_default(),
            }),
        })
    }

    pub(super) async fn bundle_events(
        &self,
        who: &Identity,
        request: v1::ListBundleEventsRequest,
    ) -> Result<v1::ListBundleEventsResponse, Fault> {
        self.may_look(who)?;
        let (limit, before) = page(request.limit, &request.page_token)?;
        let events = self.control.history(limit, before).await?;
        Ok(v1::ListBundleEventsResponse {
            next_page_token: next_page(limit, events.len(), events.last().map(|event| &event.id)),
            events: events.into_iter().map(event).collect(),
        })
    }

    pub(super) async fn activate_bundle(
        &self,
        who: &Arc<Identity>,
        request: v1::ActivateBundleRequest,
    ) -> Result<v1::Bundle, Fault> {
        self.may_administer(who)?;
        let most = self.control.admission().limits.packed;
        if u64::try_from(request.archive.len()).is_ok_and(|len| len > most) {
            return Err(Fault::TooLarge);
        }
        self.change(who, Change::Activate(request.archive), request.reason).await
    }

    pub(super) async fn rollback_bundle(
        &self,
        who: &Arc<Identity>,
        request: v1::RollbackBundleRequest,
    ) -> Result<v1::Bundle, Fault> {
        self.change(who, Change::Rollback(filled(request.to)), request.reason).await
    }

    pub(super) async fn pin_bundle(
        &self,
        who: &Arc<Identity>,
        request: v1::PinBundleRequest,
    ) -> Result<v1::Bundle, Fault> {
        self.change(who, Change::Pin(filled(request.revision)), request.reason).await
    }

    pub(super) async fn unpin_bundle(
        &self,
        who: &Arc<Identity>,
        request: v1::UnpinBundleRequest,
    ) -> Result<v1::Bundle, Fault> {
        self.change(who, Change::Unpin, request.reason).await
    }

    async fn change(&self, who: &Arc<Identity>, change: Change, reason: String) -> Result<v1::Bundle, Fault> {
        self.may_administer(who)?;
        let reason = check_reason(&reason)?;
        let pins = matches!(change, Change::Pin(_));
        let active = self.control.change(change, Request { who: who.clone(), reason }).await?;
        Ok(v1::Bundle { active: true, pinned: pins, ..bundle(&active) })
    }

    pub(super) fn may_administer(&self, who: &Identity) -> Result<(), Fault> {
        if self.admins.iter().any(|group| who.groups.contains(group)) {
            Ok(())
        } else {
            Err(Fault::NotAnAdmin)
        }
    }

    pub(super) fn may_look(&self, who: &Identity) -> Result<(), Fault> {
        let mut groups = self.viewers.iter().chain(self.admins.iter());
        if groups.any(|group| who.groups.contains(group)) { Ok(()) } else { Err(Fault::NotAViewer) }
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn bundle(kept: &KeptBundle) -> v1::Bundle {
    v1::Bundle {
        revision: kept.revision.clone(),
        name: kept.name.clone(),
        version: kept.version.clone(),
        digest: kept.digest.clone(),
        signer: kept.signer.clone(),
        source: kept.source.clone(),
        first_active: Some(timestamp(kept.kept)),
        last_active: Some(timestamp(kept.activated)),
        active: false,
        pinned: false,
    }
}

/// What is not kept: it was never active.
fn offered(available: Available) -> v1::Bundle {
    v1::Bundle {
        revision: available.revision.to_string(),
        name: available.name,
        version: available.version,
        digest: available.digest.to_string(),
        source: available.source.to_string(),
        ..v1::Bundle::default()
    }
}

fn tried(candidate: CandidateListing) -> v1::TriedBundle {
    let CandidateListing { policies, share, state, findings } = candidate;
    let reason = match &state {
        CandidateState::Refused(refused) => refused.refusal.code(),
        _ => "",
    };
    v1::TriedBundle {
        policies: Some(offered(policies)),
        share: share.into(),
        state: state.as_str().to_owned(),
        why: state.why(),
        reason: reason.to_owned(),
        findings,
    }
}

fn event(recorded: RecordedEvent) -> v1::BundleEvent {
    let event = recorded.event;
    let (reason, findings) = event.refusal.unwrap_or_default();
    v1::BundleEvent {
        at: Some(timestamp(recorded.at)),
        kind: event.kind.as_str().to_owned(),
        revision: event.revision,
        name: event.name,
        version: event.version,
        digest: event.digest,
        source: event.source,
        actor: event.who.map(|who| v1::Actor {
            issuer: who.issuer,
            subject: who.subject,
            person: who.person.unwrap_or_default(),
        }),
        comment: event.comment,
        reason,
        findings,
    }
}
