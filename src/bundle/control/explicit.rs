//! What people ask for: activate, roll back, pin, unpin.

use std::sync::Arc;

use super::change::{event, is_content, lines, new_bundle};
use super::standing::Standing;
use super::words::explained;
use super::{ChangeError, Control, Request};
use crate::bundle::refusal::{Refusal, Refused};
use crate::bundle::source::{Admission, Offer};
use crate::store::{Activate, BundleChange, BundleEvent, EventKind, KeptBundle, StateChange, StoreError};

/// The source of what was uploaded.
const UPLOADED: &str = "admin";

/// A shorter beginning of a revision or digest names too many.
const SHORTEST: usize = 6;

/// A change that somebody asks for.
#[derive(Debug)]
pub enum Change {
    /// Verify this archive like any other, and make it active. An older version than was ever active is refused:
    /// that is what a rollback is for. Another name is not: this is how a server is moved to another bundle.
    Activate(Vec<u8>),
    /// Go back to the revision before the active one, or to a kept one: named by its revision, version or digest.
    Rollback(Option<String>),
    /// Pin the active revision, or make a kept one active and pin that.
    Pin(Option<String>),
    /// Let go of the pin, and take the newest offer that it held off. Where nothing is pinned: let go of a rollback, and
    /// take what it holds off.
    Unpin,
}

impl Control {
    /// Makes a change, and returns what is active after it. It runs to its end also when whoever asked for it hangs
    /// up: between the commit and the swap nothing may be lost.
    pub async fn change(
        self: &Arc<Self>,
        change: Change,
        request: Request,
    ) -> Result<KeptBundle, ChangeError> {
        let control = self.clone();
        let made = async move {
            match change {
                Change::Activate(archive) => control.activate(archive, &request).await,
                Change::Rollback(to) => control.rollback(to.as_deref(), &request).await,
                Change::Pin(revision) => control.pin(revision.as_deref(), &request).await,
                Change::Unpin => control.unpin(&request).await,
            }
        };
        tokio::spawn(made).await.unwrap_or(Err(ChangeError::Store(StoreError::Closed)))
    }

    async fn activate(&self, archive: Vec<u8>, request: &Request) -> Result<KeptBundle, ChangeError> {
        // Within the lock: the configuration may be read again meanwhile, with other keys.
        let mut standing = self.standing.lock().await;
        let offer = match self.judge(move |admission| admission.archive(archive)).await {
            Ok(offer) => offer,
            Err(refused) => return Err(self.turned_down(&mut standing, refused, None, request).await),
        };
        may_change(&standing)?;
        if standing.running.as_ref() == Some(&offer.key) {
            return Err(ChangeError::Active(offer.prepared.set.revision().to_string()));
        }
        if let Err(refusal) = standing.version(&offer.key) {
            let refused = explained(&standing, refusal, &offer);
            return Err(self.turned_down(&mut standing, refused, Some(&offer), request).await);
        }
        let active = Activate::New(Box::new(new_bundle(UPLOADED, &offer)));
        let event = event(EventKind::Activated, UPLOADED, Some(&offer), Some(request));
        self.choose(&mut standing, active, &offer, event, request).await
    }

    async fn rollback(&self, to: Option<&str>, request: &Request) -> Result<KeptBundle, ChangeError> {
        let mut standing = self.standing.lock().await;
        may_change(&standing)?;
        let kept = self.ports.store.bundles().await?;
        let target = match to {
            Some(name) => find(&kept, name, standing.kept.active.as_ref())?,
            None => {
                let active = standing.kept.active.as_ref().ok_or(ChangeError::NothingActive)?;
                let previous = kept.iter().find(|kept| Some(&kept.id) == active.previous.as_ref());
                previous.ok_or(ChangeError::NoPrevious)?
            }
        };
        self.go_to(&mut standing, target, EventKind::RolledBack, request).await
    }

    async fn pin(&self, revision: Option<&str>, request: &Request) -> Result<KeptBundle, ChangeError> {
        let mut standing = self.standing.lock().await;
        let active = standing.kept.active.clone().ok_or(ChangeError::NothingActive)?;
        let kept = self.ports.store.bundles().await?;
        let target = match revision {
            Some(name) => find(&kept, name, Some(&active))?,
            None => &active,
        };
        if target.id != active.id || standing.running.is_none() {
            return self.go_to(&mut standing, target, EventKind::Pinned, request).await;
        }
        self.set_pin(&mut standing, true, &active, request).await
    }

    async fn unpin(&self, request: &Request) -> Result<KeptBundle, ChangeError> {
        let mut standing = self.standing.lock().await;
        let active = standing.kept.active.clone().ok_or(ChangeError::NothingActive)?;
        if !standing.kept.pinned {
            return self.end_rollback(&mut standing, &active, request).await;
        }
        self.set_pin(&mut standing, false, &active, request).await?;
        if standing.refused.as_ref().is_some_and(|refused| refused.refusal == Refusal::Pinned) {
            standing.refused = None;
        }
        if let Some((source, offer)) = standing.available.take() {
            let fingerprint = standing.judged.take().unwrap_or_default();
            // Keys and limits may have changed since it was held off.
            let offer = self.judge(move |admission| admission.kept(offer.content)).await;
            self.consider(&mut standing, source, fingerprint, offer, None).await;
        }
        standing.kept.active.clone().ok_or(ChangeError::NothingActive)
    }

    /// Lets the source be followed again after a rollback, or an upload: takes what was turned away from.
    async fn end_rollback(
        &self,
        standing: &mut Standing,
        active: &KeptBundle,
        request: &Request,
    ) -> Result<KeptBundle, ChangeError> {
        let kept = self.ports.store.bundles().await?;
        match standing.turned_away(&kept) {
            Some(target) => self.go_to(standing, target, EventKind::Unpinned, request).await,
            None if standing.kept.rolled_back => self.set_pin(standing, false, active, request).await,
            None => Err(ChangeError::NotPinned),
        }
    }

    /// Pins or unpins what is active.
    async fn set_pin(
        &self,
        standing: &mut Standing,
        pinned: bool,
        active: &KeptBundle,
        request: &Request,
    ) -> Result<KeptBundle, ChangeError> {
        let passed_over = standing.kept.passed_over.clone();
        // Letting go of a pin leaves the rollback below it; letting go without a pin ends that.
        let rolled_back = standing.kept.rolled_back && (pinned || standing.kept.pinned);
        let state = StateChange { active: Activate::Same, pinned, rolled_back, passed_over, newest: None };
        let event = about(if pinned { EventKind::Pinned } else { EventKind::Unpinned }, active, request);
        let change = BundleChange { state: Some(state), event: event.clone() };
        self.commit(standing, change).await?;
        self.show_candidate(standing);
        self.tell(&event, Some(request)).await;
        self.settle_candidate(standing, Some(request)).await;
        standing.kept.active.clone().ok_or(ChangeError::NothingActive)
    }

    /// Verifies, compiles and tests, beside the calls that are being decided.
    async fn judge(
        &self,
        judge: impl FnOnce(&Admission) -> Result<Offer, Refused> + Send + 'static,
    ) -> Result<Offer, Refused> {
        let admission = self.admission();
        let judged = tokio::task::spawn_blocking(move || judge(&admission)).await;
        judged.unwrap_or_else(|error| {
            Err(Refused::because(Refusal::Unreadable, format_args!("judging it failed ({error})")))
        })
    }

    /// Makes a kept revision active, judged as if it came today.
    async fn go_to(
        &self,
        standing: &mut Standing,
        target: &KeptBundle,
        kind: EventKind,
        request: &Request,
    ) -> Result<KeptBundle, ChangeError> {
        let runs = standing.running.is_some();
        if runs && standing.kept.active.as_ref().is_some_and(|active| active.id == target.id) {
            return Err(ChangeError::Active(target.revision.clone()));
        }
        let content = self.ports.store.bundle_content(&target.id).await?;
        let content = content.ok_or_else(|| ChangeError::Unknown(target.revision.clone()))?;
        let offer = match self.judge(move |admission| admission.kept(content)).await {
            Ok(offer) if is_content(target, &offer) => offer,
            Ok(_) => {
                let refused = Refused::because(Refusal::WrongDigest, "the revision that the store keeps");
                return Err(self.turned_down(standing, refused, None, request).await);
            }
            Err(refused) => return Err(self.turned_down(standing, refused, None, request).await),
        };
        let active = Activate::Kept(target.id.clone());
        let event = about(kind, target, request);
        self.choose(standing, active, &offer, event, request).await
    }

    /// Writes a person's choice and puts it in force. What the source offered last does not undo it.
    async fn choose(
        &self,
        standing: &mut Standing,
        active: Activate,
        offer: &Offer,
        event: BundleEvent,
        request: &Request,
    ) -> Result<KeptBundle, ChangeError> {
        let rolled_back = match event.kind {
            EventKind::RolledBack => !standing.goes_forward(&offer.key),
            EventKind::Pinned => standing.kept.rolled_back,
            _ => false,
        };
        let state = StateChange {
            active,
            pinned: event.kind == EventKind::Pinned,
            rolled_back,
            // Whoever unpins wants the source to be followed.
            passed_over: standing.passed_over_for(&offer.key).filter(|_| event.kind != EventKind::Unpinned),
            newest: standing.newest(&offer.key),
        };
        self.commit(standing, BundleChange { state: Some(state), event: event.clone() }).await?;
        self.put_in_force(standing, offer, None);
        self.tell(&event, Some(request)).await;
        self.settle_candidate(standing, Some(request)).await;
        standing.kept.active.clone().ok_or(ChangeError::NothingActive)
    }

    /// Counts and records that what a person asked for was refused.
    async fn turned_down(
        &self,
        standing: &mut Standing,
        refused: Refused,
        offer: Option<&Offer>,
        request: &Request,
    ) -> ChangeError {
        let event = BundleEvent {
            refusal: Some((refused.refusal.code().to_owned(), lines(&refused))),
            ..event(EventKind::Refused, UPLOADED, offer, Some(request))
        };
        if let Err(error) = self.commit(standing, BundleChange { state: None, event }).await {
            tracing::warn!(%error, "a refusal is missing from the history");
        }
        self.ports.metrics.reload_refused(refused.refusal.code());
        ChangeError::Refused(refused)
    }
}

fn may_change(standing: &Standing) -> Result<(), ChangeError> {
    match &standing.kept.active {
        Some(active) if standing.kept.pinned => Err(ChangeError::Pinned(active.revision.clone())),
        _ => Ok(()),
    }
}

/// An event about a kept revision.
fn about(kind: EventKind, kept: &KeptBundle, request: &Request) -> BundleEvent {
    BundleEvent {
        revision: kept.revision.clone(),
        name: kept.name.clone(),
        version: kept.version.clone(),
        digest: kept.digest.clone(),
        ..event(kind, UPLOADED, None, Some(request))
    }
}

/// The kept revision that `name` stands for: a revision, a version or a digest, or at least six characters of the
/// beginning of a revision or digest. Versions are those of the active bundle first.
fn find<'k>(
    kept: &'k [KeptBundle],
    name: &str,
    active: Option<&KeptBundle>,
) -> Result<&'k KeptBundle, ChangeError> {
    let whole = |kept: &&KeptBundle| {
        !name.is_empty() && (kept.revision == name || kept.version == name || kept.digest == name)
    };
    let of_active = |kept: &&KeptBundle| active.is_some_and(|active| active.name == kept.name);
    let matching = || kept.iter().filter(whole);
    if let Some(found) = matching().find(of_active).or_else(|| matching().next()) {
        return Ok(found);
    }
    if name.len() < SHORTEST {
        return Err(ChangeError::Unknown(name.to_owned()));
    }
    let mut found =
        kept.iter().filter(|kept| kept.revision.starts_with(name) || kept.digest.starts_with(name));
    let first = found.next().ok_or_else(|| ChangeError::Unknown(name.to_owned()))?;
    match found.all(|other| other.revision == first.revision) {
        true => Ok(first),
        false => Err(ChangeError::Ambiguous(name.to_owned())),
    }
}
