//! Requests for approval in the writer's transaction.

use super::{Ballot, Batch, Use};
use crate::approval::{Approval, Choice, Decided, Event, Progress, State, Vote, later};
use crate::credential::{Revocation, RevocationKind};
use crate::store::announce::Change;
use crate::store::{NewApproval, Opened, PendingLimits, StoreError, VoteError};

/// The most requests that one sweep looks at; the rest have the next one's attention.
const ATTENDED: u32 = 500;

impl Batch<'_> {
    pub(super) async fn open(
        &mut self,
        new: &NewApproval,
        limits: PendingLimits,
    ) -> Result<Opened, StoreError> {
        if let Some(mut open) = self.transaction.open_approval(&new.digest, &new.idempotency_key).await? {
            if open.state_at(self.now) != State::Expired {
                return Ok(Opened::Attached(open));
            }
            // The sweep has not come by yet.
            let before = std::mem::replace(&mut open.state, State::Expired);
            self.update(&open, before, Event::Expired).await?;
        }
        if let Some(used) = self.released(new).await? {
            return Ok(Opened::AlreadyUsed(used));
        }
        let mut approval = self.asked(new);
        if !approval.approve_by_rules(&new.auto_approved, self.now) && self.is_full(new, limits).await? {
            return Ok(Opened::TooManyPending);
        }
        self.transaction.insert(&approval).await?;
        if approval.state == State::Pending {
            self.count_pending(&approval, 1);
        }
        self.happened(&approval, Event::Opened).await?;
        if !new.auto_approved.is_empty() {
            self.happened(&approval, Event::AutoApproved).await?;
        }
        Ok(Opened::Created(approval))
    }

    /// The approval that released this very call, if that was so short ago that this is a retry of it.
    async fn released(&mut self, new: &NewApproval) -> Result<Option<Approval>, StoreError> {
        let Some(used) = self.transaction.used_approval(&new.digest, &new.idempotency_key).await? else {
            return Ok(None);
        };
        let since = used.progress.used.as_ref().map(|used| used.at);
        let recent = since.is_some_and(|at| self.now < later(at, new.retry_window));
        let keyed = !new.idempotency_key.is_empty() && self.now < used.expires;
        Ok((recent || keyed).then_some(used))
    }

    /// Whether there is no room for `new`, also after what is due has made some: the sweep may not have come by yet.
    async fn is_full(&mut self, new: &NewApproval, limits: PendingLimits) -> Result<bool, StoreError> {
        if !self.reaches(new, limits).await? {
            return Ok(false);
        }
        if self.expire().await? == 0 {
            return Ok(true);
        }
        self.pending.clear();
        self.reaches(new, limits).await
    }

    async fn reaches(&mut self, new: &NewApproval, limits: PendingLimits) -> Result<bool, StoreError> {
        if self.transaction.pending_of(&new.caller).await? >= i64::from(limits.per_principal) {
            return Ok(true);
        }
        for rule in &new.rules {
            if self.pending_by(rule).await? >= i64::from(limits.per_rule) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counted once in a batch, and kept up to date: thousands may wait, and open one after the other.
    async fn pending_by(&mut self, rule: &str) -> Result<i64, StoreError> {
        if let Some(known) = self.pending.get(rule) {
            return Ok(*known);
        }
        let counted = self.transaction.pending_by(rule).await?;
        self.pending.insert(rule.to_owned(), counted);
        Ok(counted)
    }

    /// Notes that a request came to wait for a decision, or waits no more.
    fn count_pending(&mut self, approval: &Approval, change: i64) {
        for rule in &approval.rules {
            if let Some(known) = self.pending.get_mut(rule) {
                *known += change;
            }
        }
    }

    fn asked(&self, new: &NewApproval) -> Approval {
        Approval {
            id: new.id.clone(),
            digest: new.digest.clone(),
            idempotency_key: new.idempotency_key.clone(),
            state: State::Pending,
            created: self.now,
            expires: later(self.now, new.expires_in),
            caller: new.caller.clone(),
            call: new.call.clone(),
            rules: new.rules.clone(),
            revision: new.revision.clone(),
            requires: new.requires.clone(),
            grant: new.grant,
            same: new.same.clone(),
            remind_after: new.remind_after,
            votes: Vec::new(),
            progress: Progress::default(),
        }
    }

    pub(super) async fn vote(&mut self, ballot: &Ballot) -> Result<Result<Approval, VoteError>, StoreError> {
        let Some(mut approval) = self.transaction.approval(&ballot.id).await? else {
            return Ok(Err(VoteError::NotFound));
        };
        let Ballot { who, admin, choice, reason, .. } = ballot;
        let decided = Decided { who, admin: *admin, choice: *choice, reason };
        let before = approval.state;
        match approval.decide(&decided, self.now) {
            Ok(event) => self.update(&approval, before, event).await?,
            Err(refused) => return Ok(Err(refused.into())),
        }
        Ok(Ok(approval))
    }

    pub(super) async fn consume(&mut self, used: &Use) -> Result<bool, StoreError> {
        let Some(mut approval) = self.transaction.approval(&used.id).await? else { return Ok(false) };
        let before = approval.state;
        let consumed = approval.consume(&used.decision, self.now);
        if approval.state != before {
            self.update(&approval, before, Event::Releasing).await?;
        }
        Ok(consumed)
    }

    pub(super) async fn confirm(&mut self, used: &Use) -> Result<bool, StoreError> {
        let Some(mut approval) = self.transaction.approval(&used.id).await? else { return Ok(false) };
        let before = approval.state;
        let confirmed = approval.confirm(&used.decision, self.now);
        if confirmed {
            self.update(&approval, before, Event::Used).await?;
        }
        Ok(confirmed)
    }

    /// Takes back what is approved of the calls that were made with credentials that are revoked now.
    pub(super) async fn revoke_approvals(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let made_before =
            revocation.issued_before.unwrap_or(later(self.now, std::time::Duration::from_micros(1)));
        let Revocation { kind, value, issuer, created_by, .. } = revocation;
        let found = match kind {
            RevocationKind::Subject => self.transaction.approved_of(value, issuer, made_before).await?,
            _ => self.transaction.approved_before(made_before).await?,
        };
        let key = match kind {
            RevocationKind::Key => self.transaction.api_key(value).await?,
            _ => None,
        };
        let owner = key.as_ref().map(|key| key.owner.as_str());
        for mut approval in found.into_iter().filter(|one| one.caller.came_with(revocation, owner)) {
            let vote = Vote {
                choice: Choice::Revoke,
                issuer: created_by.issuer.clone(),
                subject: created_by.subject.clone(),
                person: created_by.person.clone(),
                reason: format!("the caller's credentials were revoked: {}", revocation.reason),
                at: self.now,
                speaks_for: Vec::new(),
                rule: None,
            };
            let before = approval.state;
            if approval.revoke_with_caller(vote, self.now) {
                self.update(&approval, before, Event::CallerRevoked).await?;
            }
        }
        Ok(())
    }

    /// Does what is due with time: reminders, escalations, releases that nobody confirmed.
    pub(super) async fn attend(&mut self) -> Result<(), StoreError> {
        for mut approval in self.transaction.due(self.now, ATTENDED).await? {
            let state = approval.state_at(self.now);
            if state == State::ReleasedUnconfirmed {
                let before = std::mem::replace(&mut approval.state, state);
                self.update(&approval, before, Event::ReleasedUnconfirmed).await?;
                continue;
            }
            let events = approval.attend(self.now);
            self.transaction.update(&approval).await?;
            for event in events {
                self.happened(&approval, event).await?;
            }
        }
        Ok(())
    }

    async fn update(&mut self, approval: &Approval, before: State, event: Event) -> Result<(), StoreError> {
        self.transaction.update(approval).await?;
        if before == State::Pending && approval.state != State::Pending {
            self.transaction.not_pending(&approval.id).await?;
            self.count_pending(approval, -1);
        }
        self.happened(approval, event).await
    }

    /// Who follows the store hears of it after the commit; people are notified of it in the same transaction.
    async fn happened(&mut self, approval: &Approval, event: Event) -> Result<(), StoreError> {
        let id = approval.id.clone();
        self.committed.approvals.push(Change { id, state: approval.state, event, here: true });
        // What is approved as it comes is nobody's to decide.
        let decided_already = event == Event::Opened && approval.state != State::Pending;
        if decided_already { Ok(()) } else { self.notify(event, approval).await }
    }
}
