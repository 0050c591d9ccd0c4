//! The requests for approval that a transaction is about: read together before its first change, changed in memory, and
//! written together before the commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::{Command, Task};
use crate::approval::{Approval, Caller, State};
use crate::store::statements::{NewBody, Transaction};
use crate::store::{NewApproval, StoreError};

/// What makes two requests one: the digest and the idempotency key.
pub(super) type Call = (String, String);

/// Issuer, subject and SPIFFE id.
type Principal = [String; 3];

/// What changes are about.
#[derive(Default)]
pub(super) struct About {
    ids: Vec<String>,
    calls: Vec<Call>,
    callers: Vec<Principal>,
}

/// What is known of them.
pub(super) struct Rows {
    /// By id, without bodies; `None`: there is none.
    approvals: HashMap<String, Option<Approval>>,
    calls: HashMap<Call, OfCall>,
    /// Since when requests that were opened count.
    since: Timestamp,
    /// How many requests of a caller wait for a decision, and how many were opened since.
    counts_of: HashMap<Principal, (i64, i64)>,
    /// How many wait by a rule.
    pending_by: HashMap<String, i64>,
    /// The bodies of what is new and not written.
    new: BTreeMap<String, NewBody>,
    /// What is changed and not written.
    changed: BTreeSet<String>,
    /// What waits for no decision any more, and is still written as if it did.
    decided: Vec<String>,
    /// What ended before anybody decided, and still has its body.
    undecided: Vec<String>,
}

/// The requests of one call.
#[derive(Default)]
struct OfCall {
    open: Option<String>,
    /// The last that was used.
    used: Option<String>,
}

impl About {
    pub(super) fn approval(id: &str) -> Self {
        Self { ids: vec![id.to_owned()], ..Self::default() }
    }

    pub(super) fn request(new: &NewApproval) -> Self {
        Self { calls: calls(new).collect(), callers: vec![principal(&new.caller)], ..Self::default() }
    }

    pub(super) fn of(commands: &[Command]) -> Self {
        let mut all = Self::default();
        for command in commands {
            let one = match command {
                Command::Open(task) => Self::request(&task.input.0),
                Command::Vote(task) => Self::approval(&task.input.id),
                Command::Consume(Task { input, .. }) | Command::Confirm(Task { input, .. }) => {
                    Self::approval(&input.id)
                }
                Command::Bundles(_) | Command::Credential(_) | Command::Outbox(_) | Command::Close(_) => {
                    continue;
                }
            };
            all.ids.extend(one.ids);
            all.calls.extend(one.calls);
            all.callers.extend(one.callers);
        }
        all
    }
}

impl Rows {
    /// Of what is opened, what came since `since` counts.
    pub(super) fn new(since: Timestamp) -> Self {
        Self {
            approvals: HashMap::new(),
            calls: HashMap::new(),
            since,
            counts_of: HashMap::new(),
            pending_by: HashMap::new(),
            new: BTreeMap::new(),
            changed: BTreeSet::new(),
            decided: Vec::new(),
            undecided: Vec::new(),
        }
    }

    /// Reads what is not known yet. What was changed is written before: statements see it only then.
    pub(super) async fn know(
        &mut self,
        transaction: &mut Transaction<'_>,
        about: About,
    ) -> Result<(), StoreError> {
        let About { mut ids, mut calls, mut callers } = about;
        ids.retain(|id| !self.approvals.contains_key(id));
        calls.retain(|call| !self.calls.contains_key(call));
        callers.retain(|caller| !self.counts_of.contains_key(caller));
        if ids.is_empty() && calls.is_empty() && callers.is_empty() {
            return Ok(());
        }
        self.write(transaction).await?;
        ids.sort_unstable();
        ids.dedup();
        calls.sort_unstable();
        calls.dedup();
        callers.sort_unstable();
        callers.dedup();
        let counts = transaction.counts_of(&callers, self.since).await?;
        self.counts_of.extend(callers.into_iter().zip(counts));
        let (open, used) = (transaction.open_of(&calls).await?, transaction.used_of(&calls).await?);
        let named = transaction.all_of(&ids).await?;
        self.approvals.extend(ids.into_iter().map(|id| (id, None)));
        self.calls.extend(calls.into_iter().map(|call| (call, OfCall::default())));
        for approval in open.into_iter().chain(used).chain(named) {
            self.remember(approval);
        }
        Ok(())
    }

    /// One request, as the transaction has left it so far. It has to be known, as all others here.
    pub(super) fn approval(&self, id: &str) -> Option<&Approval> {
        self.approvals.get(id)?.as_ref()
    }

    /// What is open of a call.
    pub(super) fn open(&self, call: &Call) -> Option<&Approval> {
        self.approval(self.calls.get(call)?.open.as_deref()?)
    }

    /// What released a call last.
    pub(super) fn used(&self, call: &Call) -> Option<&Approval> {
        self.approval(self.calls.get(call)?.used.as_deref()?)
    }

    /// How many requests of a known caller wait for a decision.
    pub(super) fn pending_of(&self, caller: &Caller) -> i64 {
        self.counts_of.get(&principal(caller)).map_or(i64::MAX, |(pending, _)| *pending)
    }

    /// How many requests a known caller opened of late.
    pub(super) fn opened_by(&self, caller: &Caller) -> i64 {
        self.counts_of.get(&principal(caller)).map_or(i64::MAX, |(_, opened)| *opened)
    }

    /// How many wait by `rule`.
    pub(super) async fn pending_by(
        &mut self,
        transaction: &mut Transaction<'_>,
        rule: &str,
    ) -> Result<i64, StoreError> {
        if let Some(known) = self.pending_by.get(rule) {
            return Ok(*known);
        }
        self.write(transaction).await?;
        let counted = transaction.pending_by(rule).await?;
        self.pending_by.insert(rule.to_owned(), counted);
        Ok(counted)
    }

    /// A new request, and the body of its call.
    pub(super) fn add(&mut self, approval: Approval, body: NewBody) {
        if let Some((_, opened)) = self.counts_of.get_mut(&principal(&approval.caller)) {
            *opened += 1;
        }
        if approval.state == State::Pending {
            self.count_pending(&approval, 1);
        }
        self.new.insert(approval.id.clone(), body);
        self.remember(approval);
    }

    /// What became of a request that was in the state `before`.
    pub(super) fn change(&mut self, approval: Approval, before: State) {
        if before == State::Pending && approval.state != State::Pending {
            self.count_pending(&approval, -1);
            self.decided.push(approval.id.clone());
            if matches!(approval.state, State::Withdrawn | State::Expired) {
                self.undecided.push(approval.id.clone());
            }
        }
        self.changed.insert(approval.id.clone());
        self.remember(approval);
    }

    /// Forgets everything: what is in the store is changed by a statement of its own. All has to be written before.
    pub(super) fn forget(&mut self) {
        debug_assert!(self.new.is_empty() && self.changed.is_empty() && self.decided.is_empty());
        *self = Self::new(self.since);
    }

    /// Writes what is not written yet. What is open no more goes first, because it may be open anew.
    pub(super) async fn write(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let changed = std::mem::take(&mut self.changed);
        let changed = changed.iter().filter(|id| !self.new.contains_key(*id));
        let changed: Vec<&Approval> = changed.filter_map(|id| self.approval(id)).collect();
        transaction.update(&changed).await?;
        transaction.not_pending(&std::mem::take(&mut self.decided)).await?;
        let new = std::mem::take(&mut self.new);
        let new: Vec<(&Approval, &NewBody)> =
            new.iter().filter_map(|(id, body)| Some((self.approval(id)?, body))).collect();
        transaction.insert(&new).await?;
        // Last: it may be new.
        transaction.drop_bodies(&std::mem::take(&mut self.undecided)).await
    }

    fn count_pending(&mut self, approval: &Approval, change: i64) {
        if let Some((pending, _)) = self.counts_of.get_mut(&principal(&approval.caller)) {
            *pending += change;
        }
        for rule in &approval.rules {
            if let Some(known) = self.pending_by.get_mut(rule) {
                *known += change;
            }
        }
    }

    fn remember(&mut self, approval: Approval) {
        // It may be for another call than before: whoever breaks the glass of a class releases one call.
        let before = self.approvals.get(&approval.id).and_then(Option::as_ref);
        if let Some(before) = before.filter(|before| before.digest != approval.digest)
            && let Some(of_call) =
                self.calls.get_mut(&(before.digest.clone(), before.idempotency_key.clone()))
        {
            of_call.open = None;
        }
        let call = (approval.digest.clone(), approval.idempotency_key.clone());
        if let Some(of_call) = self.calls.get_mut(&call) {
            let open = matches!(approval.state, State::Pending | State::Approved);
            let used = matches!(approval.state, State::Releasing | State::Used | State::ReleasedUnconfirmed);
            let id = Some(approval.id.clone());
            if open {
                of_call.open.clone_from(&id);
            } else if of_call.open == id {
                of_call.open = None;
            }
            if used && of_call.used < id {
                of_call.used = id;
            }
        }
        self.approvals.insert(approval.id.clone(), Some(approval));
    }
}

/// What an open request has to be for to be `new`'s: the very call, or one of its class.
pub(super) fn calls(new: &NewApproval) -> impl Iterator<Item = Call> {
    new.exact.iter().chain([&new.digest]).map(|digest| (digest.clone(), new.idempotency_key.clone()))
}

fn principal(caller: &Caller) -> Principal {
    [caller.issuer.clone(), caller.subject.clone(), caller.spiffe.clone()]
}
