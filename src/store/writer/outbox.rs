//! Notices in the writer's transaction: with the change that they tell of, or not at all.

use super::Batch;
use crate::approval::{self, Approval, later};
use crate::notice::{Event, Notice};
use crate::store::StoreError;
use crate::store::outbox::{NewNotice, OutboxChange, OutboxChanged};

impl Batch<'_> {
    /// One notice for each target that wants to hear of what happened.
    pub(super) fn notify(&mut self, change: approval::Event, approval: &Approval) {
        let Some(event) = Event::of(change) else { return };
        let wanted = self.subscriptions.iter().filter(|one| one.wants(event, approval));
        for one in wanted {
            let (id, target) = (self.ids.next(self.now), one.target.clone());
            self.notices.push(NewNotice { id, target, notice: Notice::of(event, approval, self.now) });
        }
    }

    /// Tells of the requests that have just expired. Without targets nothing is read.
    pub(super) async fn notify_expired(&mut self, expired: &[String]) -> Result<(), StoreError> {
        if self.subscriptions.is_empty() {
            return Ok(());
        }
        for id in expired {
            match self.transaction.approval(id).await {
                Ok(Some(expired)) => self.notify(approval::Event::Expired, &expired),
                Ok(None) => {}
                Err(StoreError::Unreadable(error)) => {
                    tracing::error!(%error, approval = %id, "nobody can be told of what expired");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn change_outbox(&mut self, change: &OutboxChange) -> Result<OutboxChanged, StoreError> {
        match change {
            OutboxChange::Claim { target, most, lease, lease_for } => {
                let until = later(self.now, *lease_for);
                self.transaction
                    .claim(target, *most, lease, self.now, until)
                    .await
                    .map(OutboxChanged::Claimed)
            }
            OutboxChange::ClaimOldest { target, most, lease, lease_for } => {
                let until = later(self.now, *lease_for);
                self.transaction.claim_oldest(target, *most, lease, until).await.map(OutboxChanged::Claimed)
            }
            OutboxChange::Settle { id, lease, settled } => {
                self.transaction.settle(id, lease, *settled).await.map(OutboxChanged::Settled)
            }
        }
    }
}
