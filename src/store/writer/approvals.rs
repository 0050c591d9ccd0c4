//! Requests for approval in the writer's transaction.

use super::rows::{About, Call, calls};
use super::{Ballot, Batch, Use};
use crate::approval::{Approval, CallSummary, Decided, Event, Progress, State, Vote, VoteRefused, later};
use crate::credential::{Revocation, RevocationKind};
use crate::store::announce::Change;
use crate::store::statements::NewBody;
use crate::store::{NewApproval, Opened, PendingLimits, StoreError, VoteError};

/// The longest body, in bytes, that is kept of a call that rules approved by themselves: nobody is asked to look at it.
const KEPT_OF_APPROVED: i64 = 4 << 10;

/// The most requests that one sweep looks at; the rest have the next one's attention.
const ATTENDED: u32 = 500;

impl Batch<'_> {
    pub(super) async fn open(
        &mut self,
        new: &NewApproval,
        limits: PendingLimits,
    ) -> Result<Opened, StoreError> {
        self.know(About::request(new)).await?;
        // The very call first: a retry of it does not wait with others of its class.
        for call in calls(new) {
            if let Some(found) = self.found(new, &call) {
                return Ok(found);
            }
        }
        if self.rows.opened_by(&new.caller) >= i64::from(limits.opened_per_principal) {
            return Ok(Opened::TooManyOpened);
        }
        let mut approval = self.asked(new);
        let by_rules = approval.approve_by_rules(&new.auto_approved, self.now);
        if !by_rules && self.is_full(new, limits).await? {
            return Ok(Opened::TooManyPending);
        }
        self.rows.add(approval.clone(), body_of(new, by_rules));
        self.happened(&approval, Event::Opened);
        if !new.auto_approved.is_empty() {
            self.happened(&approval, Event::AutoApproved);
        }
        Ok(Opened::Created(approval))
    }

    /// What there is of `call` already, which is that of `new`.
    fn found(&mut self, new: &NewApproval, call: &Call) -> Option<Opened> {
        if let Some(mut open) = self.rows.open(call).cloned() {
            if open.state_at(self.now) != State::Expired {
                return Some(Opened::Attached(open));
            }
            // The sweep has not come by yet.
            let before = std::mem::replace(&mut open.state, State::Expired);
            self.update(open, before, Event::Expired);
        }
        self.released(new, call).cloned().map(Opened::AlreadyUsed)
    }

    /// The approval that released this very call, if that was so short ago that this is a retry of it.
    fn released(&self, new: &NewApproval, call: &Call) -> Option<&Approval> {
        let used = self.rows.used(call)?;
        let since = used.progress.used.as_ref().map(|used| used.at);
        let recent = since.is_some_and(|at| self.now < later(at, new.retry_window));
        let keyed = !new.idempotency_key.is_empty() && self.now < used.expires;
        (recent || keyed).then_some(used)
    }

    /// Whether there is no room for `new`, also after what is due has made some: the sweep may not have come by yet.
    async fn is_full(&mut self, new: &NewApproval, limits: PendingLimits) -> Result<bool, StoreError> {
        if !self.reaches(new, limits).await? {
            return Ok(false);
        }
        if self.expire().await? == 0 {
            return Ok(true);
        }
        self.know(About::request(new)).await?;
        self.reaches(new, limits).await
    }

    async fn reaches(&mut self, new: &NewApproval, limits: PendingLimits) -> Result<bool, StoreError> {
        if self.rows.pending_of(&new.caller) >= i64::from(limits.per_principal) {
            return Ok(true);
        }
        for rule in &new.rules {
            let pending = self.rows.pending_by(&mut self.transaction, rule).await?;
            if pending >= i64::from(limits.per_rule) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Without the body, which is of no use before somebody decides.
    fn asked(&self, new: &NewApproval) -> Approval {
        Approval {
            id: new.id.clone(),
            digest: new.digest.clone(),
            exact: new.exact.clone(),
            idempotency_key: new.idempotency_key.clone(),
            state: State::Pending,
            created: self.now,
            expires: later(self.now, new.expires_in),
            caller: new.caller.clone(),
            call: CallSummary { body: String::new(), ..new.call.clone() },
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
        let Some(mut approval) = self.approval(&ballot.id).await? else {
            return Ok(Err(VoteError::NotFound));
        };
        let Ballot { who, admin, choice, reason, .. } = ballot;
        // Whoever let them in may not know yet.
        if self.revocation_of(&Vote::of(who, *choice, reason, self.now, Vec::new())).await?.is_some() {
            return Ok(Err(VoteRefused::Revoked.into()));
        }
        let decided = Decided { who, admin: *admin, choice: *choice, reason };
        let before = approval.state;
        match approval.decide(&decided, self.now) {
            Ok(event) => self.update(approval.clone(), before, event),
            Err(refused) => return Ok(Err(refused.into())),
        }
        Ok(Ok(approval))
    }

    pub(super) async fn consume(&mut self, used: &Use) -> Result<bool, StoreError> {
        let Some(mut approval) = self.approval(&used.id).await? else { return Ok(false) };
        let before = approval.state;
        if let Some(event) = self.void_revoked(&mut approval).await? {
            self.update(approval.clone(), before, event);
        }
        let before = approval.state;
        let consumed = approval.consume(&used.decision, self.now);
        if approval.state != before {
            self.update(approval, before, Event::Releasing);
        }
        Ok(consumed)
    }

    pub(super) async fn confirm(&mut self, used: &Use) -> Result<bool, StoreError> {
        let Some(mut approval) = self.approval(&used.id).await? else { return Ok(false) };
        let before = approval.state;
        let confirmed = approval.confirm(&used.decision, self.now);
        if confirmed {
            self.update(approval, before, Event::Used);
        }
        Ok(confirmed)
    }

    /// Takes back what is approved of the calls that were made with credentials that are revoked now, and the votes that
    /// were given with them.
    pub(super) async fn revoke_approvals(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let made_before =
            revocation.issued_before.unwrap_or(later(self.now, std::time::Duration::from_micros(1)));
        self.rows.write(&mut self.transaction).await?;
        let key = match revocation.kind {
            RevocationKind::Key => self.transaction.api_key(&revocation.value).await?,
            _ => None,
        };
        let owner = key.as_ref().map(|key| key.owner.as_str());
        for mut approval in self.transaction.open_with_votes().await? {
            let before = approval.state;
            let own = approval.created < made_before && approval.caller.came_with(revocation, owner);
            let taken = if own { approval.revoke_with_caller(revocation, self.now) } else { None };
            if let Some(event) = taken.or_else(|| approval.void_votes(revocation, owner, self.now)) {
                self.update(approval, before, event);
            }
        }
        Ok(())
    }

    /// Takes the votes out of the count whose credentials are revoked by now. They are when the revocation is written; this
    /// finds what was missed then, by a server that knew nothing of it.
    async fn void_revoked(&mut self, approval: &mut Approval) -> Result<Option<Event>, StoreError> {
        let mut event = None;
        for vote in approval.votes.clone().iter().filter(|vote| vote.approves() && vote.rule.is_none()) {
            if let Some(revocation) = self.revocation_of(vote).await? {
                event = approval.void_votes(&revocation, None, self.now).or(event);
            }
        }
        Ok(event)
    }

    /// The revocation of the credential with which `vote` is given, if there is one now.
    async fn revocation_of(&mut self, vote: &Vote) -> Result<Option<Revocation>, StoreError> {
        let values = vote.revocable();
        let known = values.map(str::to_owned);
        if !self.revocations.contains_key(&known) {
            let found = self.transaction.revocations_of(values, self.now).await?;
            self.revocations.insert(known.clone(), found);
        }
        let found = self.revocations.get(&known).map_or(&[][..], Vec::as_slice);
        Ok(found.iter().find(|revocation| vote.came_with(revocation, None)).cloned())
    }

    /// Does what is due with time: reminders, escalations, releases that nobody confirmed.
    pub(super) async fn attend(&mut self) -> Result<(), StoreError> {
        self.rows.write(&mut self.transaction).await?;
        for mut approval in self.transaction.due(self.now, ATTENDED).await? {
            let (before, now) = (approval.state, approval.state_at(self.now));
            if now == State::ReleasedUnconfirmed {
                approval.state = now;
                self.update(approval, before, Event::ReleasedUnconfirmed);
                continue;
            }
            let events = approval.attend(self.now);
            for event in events {
                self.happened(&approval, event);
            }
            self.rows.change(approval, before);
        }
        Ok(())
    }

    async fn approval(&mut self, id: &str) -> Result<Option<Approval>, StoreError> {
        self.know(About::approval(id)).await?;
        Ok(self.rows.approval(id).cloned())
    }

    /// Reads what is not known yet of what changes are about.
    pub(super) async fn know(&mut self, about: About) -> Result<(), StoreError> {
        self.rows.know(&mut self.transaction, about).await
    }

    fn update(&mut self, approval: Approval, before: State, event: Event) {
        self.happened(&approval, event);
        self.rows.change(approval, before);
    }

    /// Who follows the store hears of it after the commit; people are notified of it in the same transaction.
    fn happened(&mut self, approval: &Approval, event: Event) {
        let id = approval.id.clone();
        self.committed.approvals.push(Change { id, state: approval.state, event, here: true });
        // What is approved as it comes is nobody's to decide.
        let decided_already = event == Event::Opened && approval.state != State::Pending;
        if !decided_already {
            self.notify(event, approval);
        }
    }
}

/// What is kept of the body of a call that rules approved, or that waits for people.
fn body_of(new: &NewApproval, by_rules: bool) -> NewBody {
    let base64 = &new.call.body;
    let padding = base64.len() - base64.trim_end_matches('=').len();
    let bytes = i64::try_from((base64.len() / 4 * 3).saturating_sub(padding)).unwrap_or(i64::MAX);
    let kept = !by_rules || bytes <= KEPT_OF_APPROVED;
    NewBody { kept: if kept { base64.clone() } else { String::new() }, bytes }
}
