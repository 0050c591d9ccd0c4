//! Requests for approval as they come and change: one stream behind gRPC and server-sent events.
//!
//! A stream begins with what is pending, so that a watcher who was away, or whom the server could not tell everything,
//! knows where things stand. It ends when the watcher's credential does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::fault::Fault;
use super::limits::Turn;
use super::{AdminState, encode, v1};
use crate::approval::State;
use crate::clock;
use crate::identity::Identity;
use crate::inbound::UnderWay;
use crate::store::{Changes, Filter};

/// A sign of life, and the time after which a credential that ended is noticed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Events that a slow watcher may leave unread before it is begun again.
const UNREAD: usize = 64;

pub(super) type Item = Result<v1::WatchApprovalsEvent, Fault>;

impl AdminState {
    /// Follows what the bearer of this `authorization` may see, on a connection that stays for it. Ends with a fault, or when it is dropped.
    pub(super) async fn watch(
        &self,
        authorization: Option<&str>,
        under_way: Option<UnderWay>,
    ) -> Result<impl Stream<Item = Item> + Send + use<>, Fault> {
        self.watch_within(authorization, under_way, HEARTBEAT).await
    }

    async fn watch_within(
        &self,
        authorization: Option<&str>,
        under_way: Option<UnderWay>,
        heartbeat: Duration,
    ) -> Result<impl Stream<Item = Item> + Send + use<>, Fault> {
        let who = self.authenticate(authorization).await?;
        let turn = self.limits.watchers.take(&who)?;
        let (events, received) = mpsc::channel(UNREAD);
        let watcher = Watcher {
            state: self.clone(),
            authorization: authorization.unwrap_or_default().to_owned(),
            who,
            // Before the first look, so that nothing falls in between.
            changes: self.store.changes(),
            events,
            verified: clock::instant(),
            heartbeat,
            _turn: turn,
            _under_way: under_way,
        };
        tokio::spawn(watcher.run());
        let next =
            async |mut received: mpsc::Receiver<Item>| received.recv().await.map(|item| (item, received));
        Ok(futures_util::stream::unfold(received, next))
    }
}

struct Watcher {
    state: AdminState,
    /// Verified again with each heartbeat, and while what is pending is told.
    authorization: String,
    who: Arc<Identity>,
    verified: Instant,
    changes: Changes,
    events: mpsc::Sender<Item>,
    heartbeat: Duration,
    _turn: Turn,
    /// The connection is not quiet while this watches, and not a moment longer.
    _under_way: Option<UnderWay>,
}

/// Why a watch ends.
enum End {
    /// Nobody reads any more.
    Gone,
    Fault(Fault),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Watcher {
    async fn run(mut self) {
        if let Err(End::Fault(fault)) = self.follow().await {
            // Nobody may be reading any more.
            let _ = self.events.send_timeout(Err(fault), self.heartbeat).await;
        }
    }

    async fn follow(&mut self) -> Result<(), End> {
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        self.begin().await?;
        loop {
            tokio::select! {
                () = self.events.closed() => return Err(End::Gone),
                _ = heartbeat.tick() => {
                    self.verify().await?;
                    // Whose store is closed hears of nothing any more.
                    self.state.store.ping().await.map_err(Fault::from)?;
                    self.tell("heartbeat", None).await?;
                }
                change = self.changes.recv() => match change {
                    Ok(change) => self.changed(&change.id).await?,
                    Err(RecvError::Lagged(_)) => {
                        self.changes = self.state.store.changes();
                        self.begin().await?;
                    }
                    Err(RecvError::Closed) => return Err(Fault::Unavailable.into()),
                },
            }
        }
    }

    /// Everything pending, the newest first, and that this was it.
    async fn begin(&mut self) -> Result<(), End> {
        let mut before = None;
        loop {
            let filter = Filter { state: Some(State::Pending), limit: 500, before };
            let turn = self.state.limits.scan(Some(&self.who)).await?;
            let page = self.state.store.approvals(filter).await.map_err(Fault::from)?;
            drop(turn);
            self.verify().await?;
            for approval in &page.approvals {
                // A slow reader of a long list is no longer here for it than any other.
                if self.verified.elapsed() >= self.heartbeat {
                    self.verify().await?;
                }
                if self.state.may_see(approval, &self.who) {
                    let shown = encode::listed(approval, &self.state.viewer(&self.who));
                    self.tell("pending", Some(shown)).await?;
                }
            }
            before = page.before;
            if before.is_none() {
                return self.tell("ready", None).await;
            }
        }
    }

    async fn verify(&mut self) -> Result<(), Fault> {
        self.who = self.state.authenticate(Some(&self.authorization)).await?;
        self.verified = clock::instant();
        Ok(())
    }

    async fn changed(&self, id: &str) -> Result<(), End> {
        let found = self.state.store.approval(id).await.map_err(Fault::from)?;
        let Some(approval) = found.filter(|approval| self.state.may_see(approval, &self.who)) else {
            return Ok(());
        };
        let shown = encode::listed(&approval, &self.state.viewer(&self.who));
        self.tell("changed", Some(shown)).await
    }

    async fn tell(&self, kind: &str, approval: Option<v1::Approval>) -> Result<(), End> {
        let event = v1::WatchApprovalsEvent { kind: kind.to_owned(), approval };
        // Who takes nothing for so long would outlive their credential.
        self.events.send_timeout(Ok(event), self.heartbeat).await.map_err(|_| End::Gone)
    }
}

#[cfg(test)]
mod tests;
