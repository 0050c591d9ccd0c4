//! What approvers and callers were told, and whether the server still says the same after a crash.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use ::portcullis::admin::v1::Approval;
use anyhow::{Result, bail};

use crate::approver::Choice;
use crate::caller::{Answer, held_number};

/// How many findings are told in words.
const TOLD: usize = 20;

/// A decision as its approver made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub choice: Choice,
    pub who: String,
    pub reason: String,
}

/// What is known of one request for approval.
#[derive(Debug, Default)]
struct Known {
    call: u32,
    /// Every decision that was sent, whatever became of it.
    sent: Vec<Decision>,
    /// The one that was acknowledged.
    acknowledged: Option<Decision>,
    /// What the server said last of its state; empty before it said anything.
    state: String,
    /// Found to be wrong already: counted once.
    lost: bool,
}

/// All calls and requests for approval of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// How often each call was released, by its number.
    calls: Vec<u32>,
    approvals: BTreeMap<String, Known>,
    /// Calls to be made again.
    again: VecDeque<u32>,
    /// Requests whose state has to be compared.
    touched: HashSet<String>,
    /// Calls that were released since the last probe.
    released: Vec<u32>,
    retried: u32,
    findings: Vec<String>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were made, each counted once.
    pub calls: usize,
    /// Calls that were made again because they broke, were refused, or had been released.
    pub retried: u32,
    pub released: u32,
    /// Decisions that approvers were told of as made.
    pub acknowledged: usize,
    /// Decisions under way that something broke: they may stand or not.
    pub unanswered: usize,
    /// Acknowledged and not so afterwards.
    pub lost: usize,
    /// Releases beyond the first of an approval, by what callers were told or by the audit trail.
    pub released_twice: u32,
    /// Calls whose open request was not found again, so that they opened another one.
    pub opened_again: usize,
    /// Releases that callers were told of and the audit trail was not.
    pub unrecorded: u32,
    /// Approvals that are used up, and whose caller was never told.
    pub used_unseen: u32,
}

/// How far a request has come. It never goes back, whatever crashes.
fn stage(state: &str) -> u8 {
    match state {
        "" => 0,
        "pending" => 1,
        "approved" => 2,
        "releasing" => 3,
        "used" | "released_unconfirmed" => 4,
        // Rejected, or something that nobody asked for.
        _ => 5,
    }
}

fn is_used(state: &str) -> bool {
    matches!(stage(state), 3 | 4)
}

impl Ledger {
    /// The next call to make: one again, or else a new one if `may_be_new`.
    pub fn next(&mut self, may_be_new: bool) -> Option<u32> {
        if let Some(call) = self.again.pop_front() {
            self.retried += 1;
            return Some(call);
        }
        may_be_new.then(|| self.new_call())
    }

    /// A call that was never made before.
    pub fn new_call(&mut self) -> u32 {
        self.calls.push(0);
        u32::try_from(self.calls.len() - 1).unwrap_or(u32::MAX)
    }

    /// Notes how a call ended; an error when it may not end so. A call that was broken or refused is to be made again.
    pub fn ended(&mut self, call: u32, answer: &Answer) -> Result<()> {
        match answer {
            Answer::Released => {
                if let Some(count) = self.calls.get_mut(call as usize) {
                    *count += 1;
                }
                self.released.push(call);
            }
            Answer::Broken(_) => self.make_again(call),
            Answer::Denied(_, error) => match error.as_str() {
                "store_unavailable" | "approval_pending" => self.make_again(call),
                "approval_rejected" | "already_used" => {}
                _ => bail!("call {call} was answered with `{answer}`"),
            },
        }
        Ok(())
    }

    fn make_again(&mut self, call: u32) {
        if !self.again.contains(&call) {
            self.again.push_back(call);
        }
    }

    /// Has up to `count` calls made again that were released: they must not be released once more.
    pub fn probe_released(&mut self, count: usize) {
        self.again.extend(self.released.drain(..).rev().take(count));
    }

    /// Notes a request that the server shows; `false` when it belongs to no call of this run.
    pub fn seen(&mut self, approval: &Approval) -> bool {
        let path = approval.call.as_ref().map(|call| call.path.as_str()).unwrap_or_default();
        let Some(call) = held_number(path) else { return false };
        self.approvals.entry(approval.id.clone()).or_insert_with(|| Known { call, ..Known::default() });
        self.touched.insert(approval.id.clone());
        true
    }

    /// Notes a decision that is about to be sent.
    pub fn sent(&mut self, id: &str, decision: &Decision) {
        if let Some(known) = self.approvals.get_mut(id) {
            known.sent.push(decision.clone());
        }
        self.touched.insert(id.to_owned());
    }

    /// Notes that a decision was acknowledged.
    pub fn acknowledged(&mut self, id: &str, decision: &Decision) {
        if let Some(known) = self.approvals.get_mut(id) {
            known.acknowledged = Some(decision.clone());
        }
    }

    /// Requests that something happened to since this was asked last.
    pub fn touched(&mut self) -> Vec<String> {
        self.touched.drain().collect()
    }

    /// Compares what the server says of a request with what is known of it.
    pub fn compare(&mut self, id: &str, found: Option<&Approval>) {
        let Some(known) = self.approvals.get_mut(id) else { return };
        let wrong = match found {
            None => Some("it is gone".to_owned()),
            Some(found) => known.wrong(found),
        };
        if let Some(found) = found {
            known.state.clone_from(&found.state);
        }
        if let Some(wrong) = wrong
            && !known.lost
        {
            known.lost = true;
            self.findings.push(format!("approval {id} of call {}: {wrong}", known.call));
        }
    }

    /// Finds the requests that are none of all that the server `shows`.
    pub fn compare_missing(&mut self, shows: &HashSet<String>) {
        let ids = self.approvals.keys().filter(|id| !shows.contains(*id));
        for id in ids.cloned().collect::<Vec<_>>() {
            self.compare(&id, None);
        }
    }

    /// Sums up; `releases` is what the audit trail says of each approval. Findings go to standard error.
    pub fn totals(&mut self, releases: &HashMap<String, u32>) -> Totals {
        let mut totals = Totals {
            calls: self.calls.len(),
            retried: self.retried,
            released: self.calls.iter().sum(),
            acknowledged: self.approvals.values().filter(|known| known.acknowledged.is_some()).count(),
            lost: self.approvals.values().filter(|known| known.lost).count(),
            ..Totals::default()
        };
        let sent: usize = self.approvals.values().map(|known| known.sent.len()).sum();
        totals.unanswered = sent.saturating_sub(totals.acknowledged);
        let mut by_call: HashMap<u32, Vec<(&str, &Known)>> = HashMap::new();
        // Ids sort by age.
        for (id, known) in &self.approvals {
            by_call.entry(known.call).or_default().push((id, known));
        }
        let by_trail = crate::trail::beyond_the_first(releases);
        let mut by_callers = 0;
        for (call, released) in (0_u32..).zip(&self.calls) {
            let approvals = by_call.get(&call).map(Vec::as_slice).unwrap_or_default();
            let used = approvals.iter().filter(|(_, known)| is_used(&known.state)).count();
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            let recorded: u32 = approvals.iter().filter_map(|(id, _)| releases.get(*id)).sum();
            let earlier = approvals.split_last().map(|(_, earlier)| earlier).unwrap_or_default();
            let opened_again = earlier.iter().filter(|(_, known)| known.state != "rejected").count();
            totals.opened_again += opened_again;
            totals.unrecorded += released.saturating_sub(recorded);
            totals.used_unseen += used.saturating_sub(*released);
            by_callers += released.saturating_sub(used);
            if *released > used || *released > recorded || opened_again > 0 {
                self.findings.push(format!(
                    "call {call}: {released} releases, {used} approvals used up, {recorded} releases in the audit trail, \
                     {opened_again} requests opened beside an open one"
                ));
            }
        }
        totals.released_twice = by_callers.max(by_trail);
        self.findings.iter().take(TOLD).for_each(|finding| eprintln!("{finding}"));
        totals
    }
}

impl Known {
    /// What is wrong with how the server shows the request now.
    fn wrong(&self, found: &Approval) -> Option<String> {
        let state = found.state.as_str();
        let fits = |decision: &Decision| match decision.choice {
            Choice::Approve => (2..=4).contains(&stage(state)),
            Choice::Reject => state == "rejected",
        };
        let stands = |decision: &Decision| {
            fits(decision)
                && found.votes.iter().any(|vote| {
                    vote.choice == decision.choice.name()
                        && vote.subject == decision.who
                        && vote.reason == decision.reason
                })
        };
        if let Some(decision) = &self.acknowledged
            && !stands(decision)
        {
            return Some(format!("acknowledged {decision:?}, and it is `{state}` with {:?}", found.votes));
        }
        if state != "pending" && !self.sent.iter().any(stands) {
            return Some(format!("it is `{state}` with {:?}, which nobody decided", found.votes));
        }
        let back = stage(state) < stage(&self.state);
        back.then(|| format!("it was `{}`, and is `{state}`", self.state))
    }
}

#[cfg(test)]
mod tests {
    use ::portcullis::admin::v1::{Call, Vote};

    use super::*;

    fn decision(choice: Choice) -> Decision {
        Decision { choice, who: "approver-0".into(), reason: "round 1".into() }
    }

    fn shown(id: &str, call: u32, state: &str, decided: Option<&Decision>) -> Approval {
        let vote = |decision: &Decision| Vote {
            choice: decision.choice.name().into(),
            subject: decision.who.clone(),
            reason: decision.reason.clone(),
            ..Vote::default()
        };
        Approval {
            id: id.into(),
            state: state.into(),
            call: Some(Call { path: format!("/held/{call}"), ..Call::default() }),
            votes: decided.map(vote).into_iter().collect(),
            ..Approval::default()
        }
    }

    /// A ledger with call 0, whose request `a` was decided so; acknowledged if `told`.
    fn decided(choice: Choice, told: bool) -> Ledger {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.next(true), Some(0));
        assert!(ledger.seen(&shown("a", 0, "pending", None)));
        ledger.sent("a", &decision(choice));
        if told {
            ledger.acknowledged("a", &decision(choice));
        }
        ledger
    }

    fn lost(mut ledger: Ledger, found: Option<Approval>) -> usize {
        ledger.compare("a", found.as_ref());
        ledger.totals(&HashMap::new()).lost
    }

    #[test]
    fn what_was_acknowledged_has_to_stand() {
        let (yes, no) = (decision(Choice::Approve), decision(Choice::Reject));
        let approved = || decided(Choice::Approve, true);
        for state in ["approved", "releasing", "used", "released_unconfirmed"] {
            assert_eq!(lost(approved(), Some(shown("a", 0, state, Some(&yes)))), 0, "{state}");
        }
        let other =
            |who: &str, reason: &str| Decision { who: who.into(), reason: reason.into(), ..yes.clone() };
        for found in [
            None,
            Some(shown("a", 0, "pending", None)),
            Some(shown("a", 0, "approved", None)),
            Some(shown("a", 0, "rejected", Some(&no))),
            Some(shown("a", 0, "approved", Some(&other("approver-1", "round 1")))),
            Some(shown("a", 0, "approved", Some(&other("approver-0", "round 2")))),
        ] {
            assert_eq!(lost(approved(), found.clone()), 1, "{found:?}");
        }
        assert_eq!(lost(decided(Choice::Reject, true), Some(shown("a", 0, "rejected", Some(&no)))), 0);
        assert_eq!(lost(decided(Choice::Reject, true), Some(shown("a", 0, "pending", None))), 1);
    }

    #[test]
    fn what_was_not_acknowledged_may_stand_or_not_but_nothing_else() {
        let (yes, no) = (decision(Choice::Approve), decision(Choice::Reject));
        let unknown = || decided(Choice::Approve, false);
        assert_eq!(lost(unknown(), Some(shown("a", 0, "pending", None))), 0);
        assert_eq!(lost(unknown(), Some(shown("a", 0, "used", Some(&yes)))), 0);
        assert_eq!(lost(unknown(), Some(shown("a", 0, "rejected", Some(&no)))), 1);
        assert_eq!(lost(unknown(), Some(shown("a", 0, "expired", None))), 1);
    }

    #[test]
    fn a_request_that_is_shown_no_more_is_lost() {
        for (shows, lost) in [(HashSet::from(["a".to_owned()]), 0), (HashSet::new(), 1)] {
            let mut ledger = decided(Choice::Approve, false);
            ledger.compare_missing(&shows);
            assert_eq!(ledger.totals(&HashMap::new()).lost, lost);
        }
    }

    #[test]
    fn a_request_never_goes_back() {
        let yes = decision(Choice::Approve);
        let mut ledger = decided(Choice::Approve, true);
        ledger.compare("a", Some(&shown("a", 0, "used", Some(&yes))));
        assert_eq!(ledger.totals(&HashMap::new()).lost, 0);
        assert_eq!(lost(ledger, Some(shown("a", 0, "approved", Some(&yes)))), 1);
    }

    #[test]
    fn a_second_release_is_found_by_callers_and_by_the_trail() {
        let once = HashMap::from([("a".to_owned(), 1)]);
        let released = |times: u32, trail: &HashMap<String, u32>| {
            let mut ledger = decided(Choice::Approve, true);
            ledger.compare("a", Some(&shown("a", 0, "used", Some(&decision(Choice::Approve)))));
            (0..times).for_each(|_| ledger.ended(0, &Answer::Released).unwrap());
            let totals = ledger.totals(trail);
            (totals.released_twice, totals.unrecorded, totals.used_unseen)
        };
        assert_eq!(released(0, &once), (0, 0, 1));
        assert_eq!(released(1, &once), (0, 0, 0));
        assert_eq!(released(2, &once), (1, 1, 0));
        assert_eq!(released(1, &HashMap::from([("a".to_owned(), 2)])), (1, 0, 0));
        assert_eq!(released(1, &HashMap::new()), (0, 1, 0));
    }

    #[test]
    fn another_request_of_a_call_is_right_only_after_a_rejection() {
        for (choice, state, opened_again) in
            [(Choice::Reject, "rejected", 0), (Choice::Approve, "approved", 1)]
        {
            let mut ledger = decided(choice, true);
            ledger.compare("a", Some(&shown("a", 0, state, Some(&decision(choice)))));
            assert!(ledger.seen(&shown("b", 0, "pending", None)));
            assert_eq!(ledger.totals(&HashMap::new()).opened_again, opened_again, "{state}");
        }
    }

    #[test]
    fn calls_that_broke_or_were_released_come_again_before_new_ones() {
        let mut ledger = Ledger::default();
        assert_eq!((ledger.next(true), ledger.next(true), ledger.next(true)), (Some(0), Some(1), Some(2)));
        ledger.ended(0, &Answer::Broken("reset".into())).unwrap();
        ledger.ended(1, &Answer::Denied(503, "store_unavailable".into())).unwrap();
        ledger.ended(2, &Answer::Released).unwrap();
        ledger.probe_released(5);
        assert_eq!((ledger.next(true), ledger.next(true), ledger.next(true)), (Some(0), Some(1), Some(2)));
        ledger.ended(0, &Answer::Denied(409, "already_used".into())).unwrap();
        assert_eq!((ledger.next(false), ledger.next(true)), (None, Some(3)));
        ledger.ended(3, &Answer::Denied(401, "unauthenticated".into())).unwrap_err();
    }
}
