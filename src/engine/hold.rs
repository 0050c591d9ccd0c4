//! Holding a call until a person decides: open a request for approval, wait, then decide again.
//!
//! The release is a second decision, on the policies and credentials of that moment. An approval is consumed
//! only when that decision still asks for it, and the mark is durable before the call goes on: at most once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::fault::Point;
use super::patience::remaining;
use super::waiters::Waiter;
use super::{Call, Engine, Evaluated, Patience, Settled, is_unmaskable, prefer, upstream, vouchers};
use crate::approval::{Approval, Choice, State};
use crate::clock;
use crate::metrics::ApprovalEvent;
use crate::policy::{HoldRule, Outcome};
use crate::reason::Reason;

mod ask;
mod caller;
mod changes;

use ask::Waits;
use caller::CallerWaits;
pub(super) use changes::follow;

/// What a ticket tells the caller to wait before it asks again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// When a release is confirmed: by then its answer has left, or its connection is gone. A crash before is reported as
/// `released_unconfirmed`.
const CONFIRM_AFTER: Duration = Duration::from_millis(100);

/// What one round of holding came to.
enum Round {
    /// The call is settled, with the approval that it waited for.
    Settled(Reason, String, Option<Box<Approval>>),
    /// The second decision holds the call for another reason: wait for that.
    HeldAgain(Evaluated),
    /// The second decision settles the call by itself; the approval stays as it is.
    Decided(Evaluated, Box<Approval>),
    /// The second decision asks for the approval that was given, which is used up now.
    Released(Evaluated, Box<Approval>),
}

impl Engine {
    /// Settles a call that a rule holds.
    pub(super) async fn hold(&self, call: &Call, first: Box<Evaluated>, mut patience: Patience) -> Settled {
        let since = clock::instant();
        let _counted = self.ports.metrics.hold();
        let mut evaluated = first;
        let mut settled = loop {
            let Outcome::Hold(rules) = &evaluated.decision.outcome else {
                break self.settled(call, *evaluated);
            };
            let mut caller = CallerWaits::new(self, call, &evaluated, since);
            let round = self.hold_for(call, &evaluated, rules, &mut patience, &mut caller).await;
            caller.gone = false;
            drop(caller);
            match round {
                Round::Settled(reason, because, approval) => {
                    break Settled { reason, because, approval, ..Settled::of(*evaluated) };
                }
                Round::Decided(again, approval) => {
                    break Settled { approval: Some(approval), ..self.settled(call, again) };
                }
                Round::Released(again, approval) => {
                    let reason = released_as(&approval);
                    break Settled { reason, approval: Some(approval), ..Settled::of(again) };
                }
                Round::HeldAgain(again) => *evaluated = again,
            }
        };
        settled.held = Some(since.elapsed());
        settled
    }

    /// Waits for the approval of one set of hold rules, and releases the call if it comes.
    async fn hold_for(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        rules: &[Arc<HoldRule>],
        patience: &mut Patience,
        caller: &mut CallerWaits<'_>,
    ) -> Round {
        let over = |reason| Round::Settled(reason, String::new(), None);
        // Nobody could be kept from approving their own call, so nobody in particular may make one.
        if evaluated.identity.is_anonymous() {
            return over(Reason::Unauthenticated);
        }
        let names: Vec<String> = rules.iter().map(|rule| rule.name.to_string()).collect();
        let principal = format!(
            "{}|{}|{}",
            evaluated.identity.issuer, evaluated.identity.subject, evaluated.identity.spiffe
        );
        let Some(_place) = self.waiters.admit(&principal, &names, &self.settings.held) else {
            return over(Reason::TooManyHeld);
        };
        // Boxed, as the release is: while the call waits, neither takes any room.
        let waits = match Box::pin(self.open_approval(call, evaluated, rules, names)).await {
            Ok(waits) => waits,
            Err((reason, approval)) => return Round::Settled(reason, String::new(), approval),
        };
        caller.approval = Some(waits.waiter.approval());
        let preferred = prefer::respond_async(&call.request.headers);
        let wait = rules.iter().map(|rule| rule.terms.wait).chain(preferred).min().unwrap_or_default();
        match self.wait_for(call, evaluated, waits, wait, patience).await {
            (Reason::Approved, Some(approval)) => Box::pin(self.release(call, approval)).await,
            (reason, approval) => {
                let because = approval.as_deref().map(|approval| rejection(approval, reason, rules));
                Round::Settled(reason, because.unwrap_or_default(), approval)
            }
        }
    }

    /// Waits until the approval is decided, who calls is revoked, time is up, or the server drains. `Approved`, or why the
    /// call ends. Between two looks nothing of the approval is kept but its id: many may wait.
    async fn wait_for(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        waits: Waits<'_>,
        wait: Duration,
        patience: &mut Patience,
    ) -> (Reason, Option<Box<Approval>>) {
        let Waits { waiter, mut changed, approval } = waits;
        let (revocations, vouchers) = (&self.ports.revocations, vouchers(&call.request, &evaluated.proxies));
        let mut read = approval;
        let mut deadline = None;
        loop {
            let latest = match read.take() {
                Some(opened) => opened,
                None => {
                    changed = waiter.changed();
                    match Box::pin(self.look_up(&waiter)).await {
                        Ok(Some(latest)) => latest,
                        Ok(None) => return (Reason::ApprovalExpired, None),
                        Err(reason) => return (reason, None),
                    }
                }
            };
            if let Some(reason) = ended(latest.state_at(self.ports.clock.now())) {
                return (reason, Some(latest));
            }
            let until = *deadline.get_or_insert_with(|| ticket_time(wait, patience));
            if remaining(until).is_zero() {
                return (Reason::ApprovalPending, Some(latest));
            }
            let expiry = latest.expires.duration_since(self.ports.clock.now()).try_into().unwrap_or_default();
            drop(latest);
            let over = tokio::select! {
                () = &mut changed => continue,
                () = tokio::time::sleep(remaining(until).min(expiry)) => continue,
                () = self.ports.lifecycle.draining() => Reason::ApprovalPending,
                () = revocations.revoked(&evaluated.identity, vouchers.clone()) => Reason::Revoked,
            };
            return Box::pin(self.as_it_is(&waiter, over)).await;
        }
    }

    /// The end of a wait for another reason than the approval, which is read once more for the answer and the record.
    async fn as_it_is(&self, waiter: &Waiter<'_>, reason: Reason) -> (Reason, Option<Box<Approval>>) {
        match self.look_up(waiter).await {
            Ok(approval) => (reason, approval),
            // Without it there is no ticket to hand out.
            Err(unavailable) if reason == Reason::ApprovalPending => (unavailable, None),
            Err(_) => (reason, None),
        }
    }

    /// The approval as it is now, without the body of its call.
    async fn look_up(&self, waiter: &Waiter<'_>) -> Result<Option<Box<Approval>>, Reason> {
        let read = self.ports.store.approval_without_body(waiter.id());
        match tokio::time::timeout(self.settings.decision_timeout, read).await {
            Ok(Ok(approval)) => Ok(approval.map(Box::new)),
            Ok(Err(error)) => {
                tracing::error!(%error, "an approval could not be read");
                Err(Reason::StoreUnavailable)
            }
            Err(_) => {
                tracing::error!("an approval could not be read in time");
                Err(Reason::StoreUnavailable)
            }
        }
    }

    /// The second decision: evaluates afresh, and consumes the approval if it is still what is needed.
    async fn release(&self, call: &Call, approval: Box<Approval>) -> Round {
        let snapshot = self.snapshots.current();
        let routes = snapshot.routes(&call.request, call.listener.gateway);
        let evaluation = self.evaluate(call, snapshot, routes);
        let Ok(again) = tokio::time::timeout(self.settings.decision_timeout, evaluation).await else {
            return Round::Settled(Reason::DecisionTimeout, String::new(), Some(approval));
        };
        let Outcome::Hold(rules) = &again.decision.outcome else { return Round::Decided(again, approval) };
        if is_unmaskable(call, &again) {
            return Round::Decided(again, approval);
        }
        if !self.is_covered(call, &again, rules, &approval.digest) {
            return Round::HeldAgain(again);
        }
        if !may_be_used(&approval, rules, self.ports.clock.now()) {
            return Round::Settled(Reason::OutsideHours, String::new(), Some(approval));
        }
        // What can't be handed over is not released, and costs no approval.
        if call.listener.hands_over
            && let Err(reason) = self.sealed(call, &again, &mut upstream::permit(&call.request, &again))
        {
            return Round::Settled(reason, String::new(), Some(approval));
        }
        if self.ports.faults.pass(Point::Release).await.is_err() {
            return Round::Settled(Reason::StoreUnavailable, String::new(), Some(approval));
        }
        let reason = match self.ports.store.consume(&approval.id, &call.decision_id).await {
            Ok(true) => {
                self.ports.metrics.approval(ApprovalEvent::Released);
                return Round::Released(again, approval);
            }
            Ok(false) => self.why_not_used(&approval).await,
            Err(error) => {
                tracing::error!(%error, approval = %approval.id, "an approval could not be consumed");
                Reason::StoreUnavailable
            }
        };
        Round::Settled(reason, String::new(), Some(approval))
    }
}

impl Engine {
    /// Why an approval could not be used: it was taken back a moment ago, or another call was faster.
    async fn why_not_used(&self, approval: &Approval) -> Reason {
        let read = self.ports.store.approval_without_body(&approval.id);
        match tokio::time::timeout(self.settings.decision_timeout, read).await {
            Ok(Ok(Some(latest))) if latest.state == State::Revoked => Reason::ApprovalRevoked,
            _ => Reason::ApprovalUsed,
        }
    }

    /// Confirms the release of a call whose answer is on its way, a moment later.
    pub(super) fn confirm_release(&self, approval: &Approval, decision: &str) {
        if !approval.is_single_use() {
            return;
        }
        let (store, lifecycle) = (self.ports.store.clone(), self.ports.lifecycle.clone());
        let (id, decision) = (approval.id.clone(), decision.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(CONFIRM_AFTER) => {}
                () = lifecycle.draining() => {}
            }
            match store.confirm(&id, &decision).await {
                Ok(true) => {}
                Ok(false) => tracing::warn!(approval = %id, "a release was confirmed too late"),
                Err(error) => tracing::warn!(%error, approval = %id, "a release could not be confirmed"),
            }
        });
    }
}

/// Why a wait for an approval in this state is over, if it is.
fn ended(state: State) -> Option<Reason> {
    match state {
        State::Pending => None,
        State::Approved => Some(Reason::Approved),
        State::Rejected => Some(Reason::ApprovalRejected),
        State::Expired => Some(Reason::ApprovalExpired),
        State::Withdrawn => Some(Reason::ApprovalWithdrawn),
        State::Revoked => Some(Reason::ApprovalRevoked),
        State::Releasing | State::Used | State::ReleasedUnconfirmed => Some(Reason::ApprovalUsed),
    }
}

/// Whether the hours of the rules, as they are now, let the approval be used. Whoever broke the glass need not keep to
/// them.
fn may_be_used(approval: &Approval, rules: &[Arc<HoldRule>], now: Timestamp) -> bool {
    let within = |rule: &Arc<HoldRule>| rule.terms.hours.as_ref().is_none_or(|hours| hours.include(now));
    approval.is_broken_glass() || rules.iter().all(within)
}

/// By whose word a call was released.
fn released_as(approval: &Approval) -> Reason {
    if approval.is_broken_glass() {
        Reason::BreakGlass
    } else if approval.is_auto_approved() {
        Reason::AutoApproved
    } else {
        Reason::Approved
    }
}

/// When an undecided call is answered with a ticket: when its wait is over, or a little before the proxy gives
/// up. Tells the proxy, the first time.
fn ticket_time(wait: Duration, patience: &mut Patience) -> Instant {
    let now = clock::instant();
    let own = now + wait;
    let until = patience.until.map_or(own, |until| {
        let margin = (remaining(until) / 5).clamp(Duration::from_millis(20), Duration::from_millis(500));
        own.min(until.checked_sub(margin).unwrap_or(now))
    });
    if let Some(announce) = patience.announce.take() {
        announce(until.saturating_duration_since(now));
        // It can be told once: whatever holds the call next must be over by then too.
        patience.until = Some(until);
    }
    until
}

/// What the caller is told: the words of whoever ended it, the rule's text on a ticket.
fn rejection(approval: &Approval, reason: Reason, rules: &[Arc<HoldRule>]) -> String {
    match reason {
        Reason::ApprovalRejected => reason_of(approval, Choice::Reject),
        Reason::ApprovalWithdrawn => reason_of(approval, Choice::Withdraw),
        Reason::ApprovalPending => rules
            .iter()
            .map(|rule| rule.because.as_str())
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    }
}

fn reason_of(approval: &Approval, choice: Choice) -> String {
    let vote = approval.votes.iter().find(|vote| vote.choice == choice);
    vote.map(|vote| vote.reason.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future that this makes.
    fn room<F>(_: impl FnOnce(&'static Engine, Box<Call>, Patience) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_held_call_has_no_room_for_what_is_over_or_yet_to_come() {
        let check = room(|engine, call, patience| engine.check(call, patience));
        let hold = room(|engine, call, patience| {
            let held = Evaluated::refused(engine.snapshots.current(), Reason::ApprovalPending);
            engine.hold(Box::leak(call), Box::new(held), patience)
        });
        assert!(check < 1_024 && hold < 2_048, "{check} {hold}");
    }

    #[test]
    fn the_ticket_comes_before_the_proxy_gives_up() {
        let now = clock::instant();
        let mut announced = None;
        for (until_ms, wait_ms) in [(200, 60_000), (10_000, 60_000), (10_000, 50), (30, 60_000)] {
            let until = now + Duration::from_millis(until_ms);
            let mut patience = Patience { until: Some(until), announce: None };
            let ticket = ticket_time(Duration::from_millis(wait_ms), &mut patience);
            assert!(ticket < until, "{until_ms} {wait_ms}");
            assert!(ticket <= clock::instant() + Duration::from_millis(wait_ms));
            announced = Some(ticket);
        }
        assert!(announced.is_some());
    }

    #[test]
    fn a_second_wait_ends_within_what_the_proxy_was_told_at_the_first() {
        let mut patience = Patience { until: None, announce: Some(Box::new(|_| ())) };
        let first = ticket_time(Duration::from_secs(10), &mut patience);
        assert!(ticket_time(Duration::from_secs(60), &mut patience) <= first);
    }

    #[test]
    fn an_approval_is_used_in_the_hours_of_its_rules_unless_the_glass_was_broken() {
        use crate::approval::testing::{approval, vote};
        use crate::effect::{Approvers, Day, HoldTerms, Hours};
        use crate::policy::HeadersRead;

        let hours = |days: &[Day]| Hours {
            days: days.to_vec(),
            from: jiff::civil::Time::midnight(),
            to: None,
            time_zone: "UTC".into(),
        };
        let rule = |hours| {
            let approvers = Approvers { groups: vec!["g".into()], people: vec![], count: 1 };
            Arc::new(HoldRule {
                name: "p/r".into(),
                terms: HoldTerms { hours, ..HoldTerms::of(vec![approvers]) },
                content: [0; 32],
                headers_read: HeadersRead::All,
                because: String::new(),
            })
        };
        // 1 January 1970 is a Thursday.
        let now = Timestamp::UNIX_EPOCH;
        let (open, closed) = (rule(Some(hours(&[Day::Thu]))), rule(Some(hours(&[Day::Fri]))));
        let given = approval(vec![vote(Choice::Approve)]);
        assert!(may_be_used(&given, &[rule(None), open.clone()], now));
        assert!(!may_be_used(&given, &[open, closed.clone()], now));
        assert!(may_be_used(&approval(vec![vote(Choice::BreakGlass)]), &[closed], now));
    }

    #[test]
    fn the_reason_of_a_release_says_by_whose_word_it_came() {
        use crate::approval::Vote;
        use crate::approval::testing::{approval, vote};

        let by_rule = || Vote { rule: Some("p/r".into()), ..vote(Choice::Approve) };
        for (votes, reason) in [
            (vec![vote(Choice::Approve)], Reason::Approved),
            (vec![by_rule()], Reason::AutoApproved),
            (vec![by_rule(), vote(Choice::Approve)], Reason::Approved),
            (vec![by_rule(), vote(Choice::BreakGlass)], Reason::BreakGlass),
        ] {
            assert_eq!(released_as(&approval(votes)), reason);
        }
    }
}
