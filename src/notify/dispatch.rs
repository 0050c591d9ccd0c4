//! Takes what is due from the store and has it sent: so many at a time for each target, again later when that fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Ports;
use super::attempt::{Outcome, attempt};
use super::target::Target;
use crate::approval::later;
use crate::audit;
use crate::clock;
use crate::metrics::NotificationResult;
use crate::notice::Notice;
use crate::store::{Outgoing, Settled, Standing, StoreError};

/// How often it is looked for what is due again, and for what other servers wrote.
const POLL: Duration = Duration::from_millis(500);

/// Past its timeout, so much later an attempt that was not settled may be made by somebody else.
const GRACE: Duration = Duration::from_secs(10);

/// The wait after the first failure; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// So many are given up at a time when too many wait, so that sending goes on between.
const DROPPED_AT_ONCE: u32 = 500;

/// How long attempts under way have to end when the server stops.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Failures of one target are logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// A target, and what is going on with it.
struct Lane {
    target: Arc<Target>,
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It asked to be left alone until then.
    paused_until: Option<Timestamp>,
    logged: Option<Timestamp>,
    /// Whether something may be due: there was at the last count, or something new was written since.
    due: bool,
}

impl State {
    /// Answers come in any order: none shortens what another asked for.
    fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(Some(until));
    }
}

struct Dispatcher {
    page: Url,
    lanes: Vec<Arc<Lane>>,
    ports: Ports,
    /// Names this process where several send from one store.
    lease: String,
    under_way: JoinSet<()>,
    /// When it was last counted what waits.
    counted: Option<Instant>,
    /// Targets that have something to be told, and that this server does not know.
    unknown: BTreeSet<String>,
}

/// Runs until `stop`.
pub(super) async fn run(page: Url, targets: Vec<Arc<Target>>, ports: Ports, stop: CancellationToken) {
    let lane = |target: Arc<Target>| {
        let turns = Arc::new(Semaphore::new(target.limits.concurrency));
        Arc::new(Lane { target, turns, state: Mutex::default() })
    };
    let mut news = ports.store.outbox_news();
    let lease = uuid::Uuid::now_v7().to_string();
    let lanes = targets.into_iter().map(lane).collect();
    let mut dispatcher = Dispatcher {
        page,
        lanes,
        ports,
        lease,
        under_way: JoinSet::new(),
        counted: None,
        unknown: BTreeSet::new(),
    };
    let mut away = false;
    while !stop.is_cancelled() {
        let taken = dispatcher.take().await;
        if let (Err(error), false) = (&taken, away) {
            tracing::warn!(%error, "can't read what is to be told; trying again");
        }
        away = taken.is_err();
        tokio::select! {
            () = stop.cancelled() => {}
            // The store is gone only after the server.
            _ = news.changed() => dispatcher.lanes.iter().for_each(|lane| lane.state.lock().due = true),
            Some(ended) = dispatcher.under_way.join_next() => ended_well(ended),
            () = tokio::time::sleep(POLL) => {}
        }
    }
    let under_way = &mut dispatcher.under_way;
    let ending = async {
        while let Some(ended) = under_way.join_next().await {
            ended_well(ended)
        }
    };
    tokio::time::timeout(LAST_MOMENT, ending).await.ok();
}

/// What was taken and not settled is due again when its lease ends.
fn ended_well(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an attempt to send a notification failed in itself");
    }
}

impl Dispatcher {
    /// Starts as many attempts as each target has turns for.
    async fn take(&mut self) -> Result<(), StoreError> {
        self.count().await?;
        let now = self.ports.clock.now();
        for lane in self.lanes.clone() {
            let free = lane.turns.available_permits();
            if free == 0 || lane.is_paused(now) || !lane.state.lock().due {
                continue;
            }
            let most = u32::try_from(free).unwrap_or(u32::MAX);
            let lease_for = lane.target.limits.timeout.saturating_add(GRACE);
            let name = &lane.target.name;
            let claimed = self.ports.store.claim(name, most, &self.lease, lease_for).await?;
            if claimed.len() < free {
                lane.state.lock().due = false;
            }
            for outgoing in claimed {
                // Nobody else takes turns, so there is one.
                let Ok(turn) = lane.turns.clone().try_acquire_owned() else { break };
                let (lane, page, ports) = (lane.clone(), self.page.clone(), self.ports.clone());
                self.under_way.spawn(send(lane, page, ports, outgoing, turn));
            }
        }
        Ok(())
    }
}

impl Dispatcher {
    /// Counts what waits, by going through all of it: once in a while, however much is sent.
    async fn count(&mut self) -> Result<(), StoreError> {
        if self.counted.is_some_and(|last| last.elapsed() < POLL) {
            return Ok(());
        }
        let standing = self.ports.store.outbox().await?;
        self.counted = Some(clock::instant());
        let now = self.ports.clock.now();
        for lane in self.lanes.clone() {
            let waiting = standing.iter().find(|standing| standing.target == lane.target.name);
            let count = waiting.map_or(0, |one| one.waiting);
            self.ports.metrics.notifications_pending(&lane.target.name, count);
            lane.state.lock().due |= waiting.is_some_and(|one| one.due <= now);
            self.drop_surplus(&lane, count).await?;
        }
        self.tell_of_unknown(&standing);
        Ok(())
    }

    /// What waits for a target that was removed or renamed waits for nobody, unless another server sends it.
    fn tell_of_unknown(&mut self, standing: &[Standing]) {
        let known = |name: &str| self.lanes.iter().any(|lane| lane.target.name == name);
        let unknown: Vec<_> = standing.iter().filter(|one| !known(&one.target)).collect();
        for one in &unknown {
            self.ports.metrics.notifications_pending(&one.target, one.waiting);
            if !self.unknown.contains(&one.target) {
                let (target, waiting) = (&one.target, one.waiting);
                tracing::warn!(target_name = %target, waiting, "notifications wait for a target that is not configured here");
            }
        }
        let names: BTreeSet<_> = unknown.into_iter().map(|one| one.target.clone()).collect();
        for gone in self.unknown.difference(&names) {
            self.ports.metrics.notifications_pending(gone, 0);
        }
        self.unknown = names;
    }

    /// Gives up the oldest of what waits when there is too much of it.
    async fn drop_surplus(&self, lane: &Lane, waiting: u64) -> Result<(), StoreError> {
        let most = lane.target.limits.max_waiting;
        let surplus = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_sub(most).min(DROPPED_AT_ONCE);
        if surplus == 0 {
            return Ok(());
        }
        let why = format!("more than {most} wait to be sent, and it is one of the oldest");
        for outgoing in self.ports.store.claim_oldest(&lane.target.name, surplus, &self.lease, GRACE).await? {
            let notice = serde_json::from_str::<Notice>(&outgoing.notice).ok();
            give_up(&self.ports, &outgoing, notice.as_ref(), &why, NotificationResult::Dropped).await;
            self.ports.store.settle(&outgoing, Settled::Dropped).await?;
        }
        Ok(())
    }
}

impl Lane {
    fn is_paused(&self, now: Timestamp) -> bool {
        self.state.lock().paused_until.is_some_and(|until| now < until)
    }

    /// Whether it is time for a line in the log.
    fn may_log(&self, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        let quiet = state.logged.is_none_or(|last| {
            Duration::try_from(now.duration_since(last)).is_ok_and(|since| since >= LOG_EVERY)
        });
        if quiet {
            state.logged = Some(now);
        }
        quiet
    }
}

async fn send(lane: Arc<Lane>, page: Url, ports: Ports, outgoing: Outgoing, _turn: OwnedSemaphorePermit) {
    let limits = lane.target.limits;
    let now = ports.clock.now();
    let end = later(outgoing.created, limits.max_age);
    let notice = serde_json::from_str::<Notice>(&outgoing.notice);
    let outcome = match &notice {
        Err(_) => hopeless("it was written by another version, and can't be read"),
        Ok(_) if now > end => hopeless("it is too old"),
        Ok(notice) => attempt(&lane.target, &outgoing.id, notice, &page, now).await,
    };
    let settled = match outcome {
        Outcome::Sent => {
            ports.metrics.notification(&lane.target.name, NotificationResult::Sent);
            Settled::Sent
        }
        Outcome::Failed { why, pause, hopeless } => {
            let now = ports.clock.now();
            if let Some(pause) = pause {
                lane.state.lock().pause(later(now, pause));
            }
            let due = later(now, back_off(outgoing.attempts).max(pause.unwrap_or_default()));
            if hopeless || outgoing.attempts >= limits.max_attempts || due > end {
                give_up(&ports, &outgoing, notice.ok().as_ref(), &why, NotificationResult::Dead).await;
                Settled::Dead
            } else {
                ports.metrics.notification(&lane.target.name, NotificationResult::Failed);
                if lane.may_log(now) {
                    let (target, attempts) = (&lane.target.name, outgoing.attempts);
                    tracing::warn!(target_name = %target, attempts, %why, "a notification was not sent; it is tried again");
                }
                Settled::Later(due)
            }
        }
    };
    match ports.store.settle(&outgoing, settled).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(id = %outgoing.id, "a notification was taken over by another server"),
        Err(error) => tracing::warn!(%error, id = %outgoing.id, "a notification may be sent again"),
    }
}

fn hopeless(why: &str) -> Outcome {
    Outcome::Failed { why: why.to_owned(), pause: None, hopeless: true }
}

/// Recorded before it is settled: after a crash in between it is recorded again, and never not at all.
async fn give_up(
    ports: &Ports,
    outgoing: &Outgoing,
    notice: Option<&Notice>,
    why: &str,
    result: NotificationResult,
) {
    ports.metrics.notification(&outgoing.target, result);
    let record = audit::Record::Notification(audit::Notification {
        time: ports.clock.now(),
        id: &outgoing.id,
        target: &outgoing.target,
        event: notice.map_or("", |notice| notice.event.as_str()),
        approval: notice.map_or("", |notice| notice.approval.as_str()),
        outcome: result.as_str(),
        attempts: outgoing.attempts,
        error: why,
    });
    let recorded = ports.audit.record(&record).await.is_ok();
    let (target, attempts) = (&outgoing.target, outgoing.attempts);
    tracing::error!(target_name = %target, id = %outgoing.id, attempts, why, recorded, "a notification was given up");
}

/// Between half and all of a wait that doubles: many that failed together do not come back together.
fn back_off(attempts: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    let half = doubled.min(LONGEST_RETRY) / 2;
    let mut random = [0; 2];
    // Without randomness the wait is the longest.
    let part = match SystemRandom::new().fill(&mut random) {
        Ok(()) => f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX),
        Err(_) => 1.0,
    };
    half + half.mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_answer_shortens_no_pause() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut state = State::default();
        for (asked, paused) in [(100, 100), (10, 100), (200, 200)] {
            state.pause(at(asked));
            assert_eq!(state.paused_until, Some(at(paused)));
        }
    }

    #[test]
    fn waits_double_up_to_an_end_and_are_never_all_alike() {
        for (attempts, longest) in [(1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (100, 600), (u32::MAX, 600)]
        {
            let waits: Vec<_> = (0..50).map(|_| back_off(attempts)).collect();
            let longest = Duration::from_secs(longest);
            assert!(waits.iter().all(|wait| (longest / 2..=longest).contains(wait)), "{attempts}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }
}
