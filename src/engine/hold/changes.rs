//! What becomes of approvals while calls wait for them: the calls are woken, and what came to pass by itself is recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use super::super::Engine;
use crate::approval::{Event, State};
use crate::audit::{self, Record};
use crate::metrics::ApprovalEvent;
use crate::store::Change;

/// How often the held calls look whether their approvals still wait, whatever the notifications say.
const POLL: Duration = Duration::from_secs(5);

/// Wakes held calls when the store says that their approval changed. Ends with the engine.
pub(in crate::engine) fn follow(engine: &Arc<Engine>) {
    let mut changes = engine.ports.store.changes();
    let engine = Arc::downgrade(engine);
    tokio::spawn(async move {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                _ = poll.tick() => {
                    let Some(engine) = engine.upgrade() else { return };
                    look_around(&engine).await;
                    continue;
                }
            };
            let Some(engine) = engine.upgrade() else { return };
            match change {
                Ok(change) => {
                    if change.here {
                        note(&engine, &change);
                    }
                    // One more vote, or a reminder, ends no wait.
                    if change.state != State::Pending {
                        engine.waiters.wake(&change.id);
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "changes of approvals were missed, and are looked for");
                    poll.reset_immediately();
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
}

/// Wakes the calls whose approval waits no more, in case the news of it was missed, and all of them when the store
/// can't be read: each finds out for itself what that means.
async fn look_around(engine: &Engine) {
    if engine.waiters.is_empty() {
        return;
    }
    match engine.ports.store.pending().await {
        Ok(pending) => engine.waiters.wake_others(&pending.set()),
        Err(_) => engine.waiters.wake_all(),
    }
}

/// Records what came to pass without a person.
fn note(engine: &Engine, change: &Change) {
    let counted = match change.event {
        Event::Expired => ApprovalEvent::Expired,
        Event::ReminderDue => ApprovalEvent::Reminded,
        Event::Escalated => ApprovalEvent::Escalated,
        Event::CallerRevoked | Event::ApproverRevoked => ApprovalEvent::Revoked,
        Event::VoteVoided => ApprovalEvent::VoteVoided,
        Event::ReleasedUnconfirmed => ApprovalEvent::ReleasedUnconfirmed,
        _ => return,
    };
    engine.ports.metrics.approval(counted);
    engine.ports.audit.note(&Record::Approval(audit::Approval {
        time: engine.ports.clock.now(),
        approval: &change.id,
        change: change.event.as_str(),
        state: change.state.as_str(),
        rules: Vec::new(),
    }));
}
