//! The work that crashes interrupt: callers whose calls are held, and approvers who decide on them.
//!
//! All of it runs in one task, so that what is known is never in between.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use ::portcullis::admin::v1::Approval;
use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::watch;

use super::ledger::{Decision, Ledger, Totals};
use crate::approver::{Approver, Choice};
use crate::caller::{Answer, Callers};
use crate::holding::Site;
use crate::{clock, token, trail};

/// How many callers share the calls.
const CALLERS: usize = 100;
/// How many people decide.
const APPROVERS: usize = 5;
/// Decisions, and readings of requests, under way at once.
const AT_ONCE: usize = 64;
/// How many released calls are made again after each crash.
const PROBES: usize = 50;
/// How long anything may take that has to come to an end.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long readings of a server that should answer are tried again.
const READING: Duration = Duration::from_secs(20);

/// Who may do what now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Callers call and approvers decide.
    Open,
    /// Nobody begins anything.
    Shut,
    /// Only calls that have to be made again are made.
    Ending,
}

/// Callers and approvers of one server.
pub struct Work<'s> {
    site: &'s Site,
    callers: Callers,
    approvers: Vec<Approver>,
    ledger: RefCell<Ledger>,
    phase: watch::Sender<Phase>,
    /// How many calls are held at a time.
    held: u32,
    /// Calls under way, and places that make no more.
    busy: Cell<u32>,
    ended: Cell<u32>,
}

/// Counts up while it lives.
struct Busy<'c>(&'c Cell<u32>);

impl<'c> Busy<'c> {
    fn new(count: &'c Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<'s> Work<'s> {
    /// Work that keeps `held` calls waiting at the server of `site`.
    pub fn new(site: &'s Site, issuer: &token::Issuer, held: u32) -> Result<Self> {
        // Places beyond those that are held are for single calls: see `call`.
        let callers = Callers::new(site.ports.grpc, issuer.tokens(CALLERS)?, held as usize + AT_ONCE)?;
        let approver = |number| Approver::new(site.ports.admin, issuer, &format!("approver-{number}"));
        let approvers = (0..APPROVERS).map(approver).collect::<Result<_>>()?;
        let (phase, _) = watch::channel(Phase::Open);
        let (busy, ended) = (Cell::new(0), Cell::new(0));
        Ok(Self { site, callers, approvers, ledger: RefCell::default(), phase, held, busy, ended })
    }

    /// All callers, until [`Work::settle`] has brought their calls to an end.
    pub async fn calls(&self) -> Result<()> {
        try_join_all((0..self.held as usize).map(|place| self.call_again_and_again(place))).await.map(drop)
    }

    async fn call_again_and_again(&self, place: usize) -> Result<()> {
        let mut phase = self.phase.subscribe();
        loop {
            let phase = *phase.wait_for(|phase| *phase != Phase::Shut).await?;
            let next = self.ledger.borrow_mut().next(phase == Phase::Open);
            let Some(call) = next else {
                self.ended.set(self.ended.get() + 1);
                return Ok(());
            };
            let _busy = Busy::new(&self.busy);
            let answer = self.callers.held(place, call).await;
            self.ledger.borrow_mut().ended(call, &answer)?;
            // Whoever is refused comes again, but not at once.
            if answer != Answer::Released {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// One held call beside the others, and how it ended.
    pub async fn call(&self, call: u32) -> Result<Answer> {
        let answer = self.callers.held(self.held as usize, call).await;
        self.ledger.borrow_mut().ended(call, &answer)?;
        Ok(answer)
    }

    /// A call that no rule holds.
    pub async fn plain_call(&self) -> Answer {
        self.callers.plain(self.held as usize).await
    }

    /// The number of a call that was never made.
    pub fn new_call(&self) -> u32 {
        self.ledger.borrow_mut().new_call()
    }

    /// From now on nobody begins anything.
    pub fn shut(&self) {
        self.phase.send_replace(Phase::Shut);
    }

    fn is_shut(&self) -> bool {
        *self.phase.borrow() == Phase::Shut
    }

    /// All go on where they were; some of the calls that were released are made once more.
    pub fn open(&self) {
        self.ledger.borrow_mut().probe_released(PROBES);
        self.phase.send_replace(Phase::Open);
    }

    /// Waits until no call is under way.
    pub async fn until_idle(&self) -> Result<()> {
        let idle = async || Ok(self.busy.get() == 0);
        until("calls end", idle).await
    }

    /// Waits until all calls wait for a decision, or the work is shut.
    pub async fn until_all_are_held(&self) -> Result<()> {
        let all_are_held = async || {
            if self.is_shut() {
                return Ok(true);
            }
            // The server counts a call a moment before its request is there.
            let held = self.site.held().await.is_ok_and(|held| held >= self.held);
            Ok(held && self.pending().await.is_ok_and(|pending| pending.len() >= self.held as usize))
        };
        until("all calls are held", all_are_held).await
    }

    /// Everything once: all calls are held, decided on, and replaced by others that are held. Ends early, without an
    /// error, when the work is shut.
    pub async fn round(&self, number: u32) -> Result<()> {
        self.until_all_are_held().await?;
        self.decide(number).await?;
        self.until_all_are_held().await
    }

    /// Decides on most of what is pending. What the server refuses or does not answer is not acknowledged.
    pub async fn decide(&self, round: u32) -> Result<()> {
        let pending = match self.pending().await {
            Ok(pending) => pending,
            // The server may be gone.
            Err(_) => return Ok(()),
        };
        let chosen = pending.into_iter().filter_map(|approval| {
            // One in ten waits on.
            let choice = match fastrand::u32(0..10) {
                0 => return None,
                1 | 2 => Choice::Reject,
                _ => Choice::Approve,
            };
            Some((approval.id, choice))
        });
        let decide = async |(id, choice): (String, Choice)| {
            if !self.is_shut() {
                self.decide_on(id, choice, format!("round {round}")).await;
            }
        };
        stream::iter(chosen.collect::<Vec<_>>()).for_each_concurrent(AT_ONCE, decide).await;
        Ok(())
    }

    /// Approves one request, by anybody.
    pub async fn approve(&self, approval: &Approval) {
        self.ledger.borrow_mut().seen(approval);
        self.decide_on(approval.id.clone(), Choice::Approve, "at last".to_owned()).await;
    }

    async fn decide_on(&self, id: String, choice: Choice, reason: String) {
        let Some(approver) = fastrand::choice(&self.approvers) else { return };
        let decision = Decision { choice, who: approver.subject().to_owned(), reason };
        self.ledger.borrow_mut().sent(&id, &decision);
        if approver.decide(&id, choice, &decision.reason).await.is_ok() {
            self.ledger.borrow_mut().acknowledged(&id, &decision);
        }
    }

    async fn pending(&self) -> Result<Vec<Approval>> {
        let pending = self.anybody()?.pending().await?;
        let mut ledger = self.ledger.borrow_mut();
        Ok(pending.into_iter().filter(|approval| ledger.seen(approval)).collect())
    }

    /// The newest request of this call, if it is pending.
    pub async fn pending_of(&self, call: u32) -> Option<Approval> {
        let newest = self.anybody().ok()?.newest(100).await.ok()?;
        let path = crate::caller::held_path(call);
        newest.into_iter().find(|one| one.call.as_ref().is_some_and(|call| call.path == path))
    }

    /// Compares all that was touched with what the server says of it now.
    pub async fn compare(&self) -> Result<()> {
        let touched = self.ledger.borrow_mut().touched();
        let approver = self.anybody()?;
        let compare = async |id: String| {
            let found = again_and_again(async || approver.approval(&id).await).await?;
            self.ledger.borrow_mut().compare(&id, found.as_ref());
            Ok(())
        };
        stream::iter(touched).map(Ok).try_for_each_concurrent(AT_ONCE, compare).await
    }

    /// Has every call decided and ended. Nothing is to break from here on.
    pub async fn settle(&self) -> Result<()> {
        self.phase.send_replace(Phase::Ending);
        let settled = async || {
            let pending = again_and_again(async || self.pending().await).await?;
            stream::iter(&pending).for_each_concurrent(AT_ONCE, |approval| self.approve(approval)).await;
            Ok(self.ended.get() == self.held)
        };
        until("the last call ends", settled).await
    }

    /// Compares everything there ever was, and sums up; `trails` are the servers' audit trails.
    pub async fn sum_up(&self, trails: &[PathBuf]) -> Result<Totals> {
        let mut shown = HashSet::new();
        let mut see = |approval: Approval| {
            let mut ledger = self.ledger.borrow_mut();
            ledger.seen(&approval);
            ledger.compare(&approval.id, Some(&approval));
            shown.insert(approval.id);
        };
        again_and_again(async || self.anybody()?.each("", &mut see).await).await?;
        let mut ledger = self.ledger.borrow_mut();
        ledger.compare_missing(&shown);
        Ok(ledger.totals(&trail::releases(trails)?))
    }

    fn anybody(&self) -> Result<&Approver> {
        fastrand::choice(&self.approvers).context("there is no approver")
    }
}

/// A reading, tried again for a while: a server under load may be too slow for its own limits, and says so.
async fn again_and_again<T>(mut read: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let begun = clock::instant();
    loop {
        match read().await {
            Err(_) if begun.elapsed() < READING => tokio::time::sleep(Duration::from_millis(200)).await,
            ended => return ended,
        }
    }
}

/// Waits until it is so; an error names what never came.
async fn until(what: &str, mut is: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let begun = clock::instant();
    while !is().await? {
        ensure!(begun.elapsed() < PATIENCE, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
