//! Who may decide, and what a decision, a use or the passing of time leads to.

use jiff::Timestamp;

use super::{
    Approval, Choice, Event, RELEASE_LEASE, Requirement, State, Use, Void, Vote, VoteRefused, later,
};
use crate::credential::Revocation;
use crate::effect::{Approvers, Class, Grant, person_key};
use crate::identity::Identity;

/// What somebody decided.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    pub who: &'a Identity,
    /// Whether `who` is a member of the admin groups.
    pub admin: bool,
    pub choice: Choice,
    pub reason: &'a str,
}

impl Approval {
    /// Every part of every requirement, numbered from 0.
    pub fn parts(&self) -> impl Iterator<Item = (usize, &Requirement, &Approvers)> {
        let parts = self.requires.iter().flat_map(|rule| rule.all_of.iter().map(move |part| (rule, part)));
        parts.enumerate().map(|(index, (rule, part))| (index, rule, part))
    }

    /// Whether the rule has escalated by `now`.
    fn has_escalated(&self, rule: &Requirement, now: Timestamp) -> bool {
        rule.escalate.as_ref().is_some_and(|escalation| later(self.created, escalation.after) <= now)
    }

    /// The indices of the parts that `who` is an approver for at `now`.
    pub fn speaks_for(&self, who: &Identity, now: Timestamp) -> Vec<usize> {
        let escalated = |rule: &Requirement| {
            self.has_escalated(rule, now)
                && rule.escalate.as_ref().is_some_and(|further| further.to.include(who))
        };
        let parts = self.parts().filter(|(_, rule, part)| part.include(who) || escalated(rule));
        parts.map(|(index, _, _)| index).collect()
    }

    /// Whether every rule that held the call lets `who` release it alone.
    pub fn is_break_glass_member(&self, who: &Identity) -> bool {
        let lets = |rule: &Requirement| rule.break_glass.as_ref().is_some_and(|members| members.include(who));
        !self.requires.is_empty() && self.requires.iter().all(lets)
    }

    /// Whether all rules let approvals be given, and used, at `now`.
    pub fn is_within_hours(&self, now: Timestamp) -> bool {
        self.requires.iter().filter_map(|rule| rule.hours.as_ref()).all(|hours| hours.include(now))
    }

    /// Whether `who` may decide on this call now; outside the rules' hours that is: reject it.
    pub fn may_vote(&self, who: &Identity, now: Timestamp) -> Result<(), VoteRefused> {
        self.may_speak(who, now)?;
        if self.speaks_for(who, now).is_empty() {
            return Err(VoteRefused::NotAnApprover);
        }
        // People are counted, so an approver without a `person` can't be told apart from the caller.
        if is_nameless(who) {
            return Err(VoteRefused::NoPerson);
        }
        // Who decided with what was revoked since may do so again with what is not.
        let voted = |vote: &Vote| vote.void.is_none() && vote.is_by(who);
        if self.votes.iter().any(voted) { Err(VoteRefused::VotedAlready) } else { Ok(()) }
    }

    /// Whether `who` may release this call alone now.
    pub fn may_break_glass(&self, who: &Identity, now: Timestamp) -> Result<(), VoteRefused> {
        self.may_speak(who, now)?;
        if !self.is_break_glass_member(who) {
            return Err(VoteRefused::MayNotBreakGlass);
        }
        if is_nameless(who) { Err(VoteRefused::NoPerson) } else { Ok(()) }
    }

    fn may_speak(&self, who: &Identity, now: Timestamp) -> Result<(), VoteRefused> {
        if self.state_at(now) != State::Pending {
            return Err(VoteRefused::NotPending);
        }
        if self.caller.is(who) { Err(VoteRefused::OwnCall) } else { Ok(()) }
    }

    /// Whether `who` may take the request back before anybody decides.
    pub fn may_withdraw(&self, who: &Identity, admin: bool, now: Timestamp) -> Result<(), VoteRefused> {
        if !admin && !self.caller.is_surely(who) {
            return Err(VoteRefused::NotTheCaller);
        }
        if self.state_at(now) == State::Pending { Ok(()) } else { Err(VoteRefused::NotPending) }
    }

    /// Whether `who` may take back an approval that is not used up.
    pub fn may_revoke(&self, who: &Identity, admin: bool, now: Timestamp) -> Result<(), VoteRefused> {
        if !admin && self.speaks_for(who, now).is_empty() && !self.is_break_glass_member(who) {
            return Err(VoteRefused::NotAnApprover);
        }
        if self.state_at(now) == State::Approved { Ok(()) } else { Err(VoteRefused::NotApproved) }
    }

    /// Records that rules approve by themselves, each with its reason. `true` when no person is needed any more.
    pub fn approve_by_rules(&mut self, rules: &[(String, String)], now: Timestamp) -> bool {
        for (rule, reason) in rules {
            self.votes.push(Vote::of_rule(rule, reason, now));
        }
        if self.is_satisfied() {
            self.approved(now);
        }
        self.state == State::Approved
    }

    /// Adds a decision: one rejection rejects; the last approval that was still needed approves.
    pub fn decide(&mut self, decided: &Decided<'_>, now: Timestamp) -> Result<Event, VoteRefused> {
        let Decided { who, admin, choice, reason } = *decided;
        match choice {
            Choice::Approve | Choice::Reject => self.may_vote(who, now)?,
            Choice::BreakGlass => self.may_break_glass(who, now)?,
            Choice::Withdraw => self.may_withdraw(who, admin, now)?,
            Choice::Revoke => self.may_revoke(who, admin, now)?,
        }
        if choice == Choice::Approve && !self.is_within_hours(now) {
            return Err(VoteRefused::OutsideHours);
        }
        if choice == Choice::BreakGlass && reason.trim().is_empty() {
            return Err(VoteRefused::NoReason);
        }
        let parts = self.speaks_for(who, now);
        self.votes.push(Vote::of(who, choice, reason, now, parts));
        Ok(match choice {
            Choice::Approve if self.is_satisfied() => {
                self.approved(now);
                Event::Approved
            }
            Choice::Approve => Event::Voted,
            Choice::BreakGlass => {
                // Who breaks the glass answers for what they saw: other calls of the class ask anew.
                if let Some(exact) = &self.exact {
                    self.digest.clone_from(exact);
                }
                self.approved(now);
                Event::BrokenGlass
            }
            Choice::Reject => self.ended(State::Rejected, Event::Rejected),
            Choice::Withdraw => self.ended(State::Withdrawn, Event::Withdrawn),
            Choice::Revoke => self.ended(State::Revoked, Event::Revoked),
        })
    }

    fn approved(&mut self, now: Timestamp) {
        self.state = State::Approved;
        if let Grant::For(period) = self.grant
            && !self.is_single_use()
        {
            self.expires = later(now, period);
        }
    }

    fn ended(&mut self, state: State, event: Event) -> Event {
        self.state = state;
        event
    }

    /// Takes back an approval that is not used up, because its caller's credentials were revoked. `None`: there is none.
    pub fn revoke_with_caller(&mut self, revocation: &Revocation, now: Timestamp) -> Option<Event> {
        if self.state_at(now) != State::Approved {
            return None;
        }
        Some(self.revoked_with("the caller's", revocation, now, Event::CallerRevoked))
    }

    /// Takes the votes out of the count that were given with what is revoked, and with them an approval that is not used up
    /// and that the others do not give. `owner` as for [`super::Caller::came_with`]. `None`: there are none.
    pub fn void_votes(
        &mut self,
        revocation: &Revocation,
        owner: Option<&str>,
        now: Timestamp,
    ) -> Option<Event> {
        let state = self.state_at(now);
        if !matches!(state, State::Pending | State::Approved) {
            return None;
        }
        let mut any = false;
        for vote in self.votes.iter_mut().filter(|vote| vote.approves() && vote.came_with(revocation, owner))
        {
            any = true;
            vote.void =
                Some(Void { at: now, by: revocation.created_by.clone(), because: revocation.reason.clone() });
            // A server that knows nothing of void votes counts it for nothing.
            vote.speaks_for.clear();
        }
        let given = self.is_satisfied() || self.is_broken_glass();
        match any {
            false => None,
            true if state == State::Approved && !given => {
                Some(self.revoked_with("an approver's", revocation, now, Event::ApproverRevoked))
            }
            true => Some(Event::VoteVoided),
        }
    }

    fn revoked_with(&mut self, whose: &str, revocation: &Revocation, now: Timestamp, event: Event) -> Event {
        let reason = format!("{whose} credentials were revoked: {}", revocation.reason);
        self.votes.push(Vote::by(&revocation.created_by, Choice::Revoke, reason, now));
        self.ended(State::Revoked, event)
    }

    /// What it is good for, as things are: who breaks the glass answers for the call at hand alone, whatever the rules say.
    pub fn good_for(&self) -> (Grant, Option<&Class>) {
        match self.is_broken_glass() {
            true => (Grant::Once, None),
            false => (self.grant, self.same.as_ref()),
        }
    }

    /// Whether it releases one call: who breaks the glass answers for the call at hand alone, whatever the grant says.
    pub fn is_single_use(&self) -> bool {
        self.grant == Grant::Once || self.is_broken_glass()
    }

    /// Uses an approved request for the call of one decision. `false`: somebody was faster, or it is not approved.
    /// A grant for a period stays approved until it expires.
    pub fn consume(&mut self, decision: &str, now: Timestamp) -> bool {
        if self.state_at(now) != State::Approved {
            return false;
        }
        if self.is_single_use() {
            self.state = State::Releasing;
            self.progress.used = Some(Use { decision: decision.to_owned(), at: now });
        }
        true
    }

    /// Notes that the answer of the decision that used it has left. `false`: it was another, or it is too late.
    pub fn confirm(&mut self, decision: &str, now: Timestamp) -> bool {
        let by_it = self.progress.used.as_ref().is_some_and(|used| used.decision == decision);
        let in_time = by_it && self.state_at(now) == State::Releasing;
        if in_time {
            self.state = State::Used;
        }
        in_time
    }

    /// What is due at `now` while nobody decides: reminders and escalations, each once.
    pub fn attend(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        if self.state_at(now) != State::Pending {
            return events;
        }
        let reminds = self.remind_after.is_some_and(|after| later(self.created, after) <= now);
        if reminds && self.progress.reminded.is_none() {
            self.progress.reminded = Some(now);
            events.push(Event::ReminderDue);
        }
        let due = self.requires.iter().filter(|rule| self.has_escalated(rule, now) && !self.is_noted(rule));
        let due: Vec<_> = due.map(|rule| (rule.rule.clone(), now)).collect();
        if !due.is_empty() {
            self.progress.escalated.extend(due);
            events.push(Event::Escalated);
        }
        events
    }

    fn is_noted(&self, rule: &Requirement) -> bool {
        self.progress.escalated.iter().any(|(name, _)| *name == rule.rule)
    }

    /// When the store must look at it again, besides its expiry; `None` for never.
    pub fn attention(&self) -> Option<Timestamp> {
        match self.state {
            State::Pending => {
                let reminder = self.remind_after.filter(|_| self.progress.reminded.is_none());
                let rules = self.requires.iter().filter(|rule| !self.is_noted(rule));
                let escalations =
                    rules.filter_map(|rule| rule.escalate.as_ref().map(|further| further.after));
                reminder.into_iter().chain(escalations).min().map(|after| later(self.created, after))
            }
            State::Releasing => self.progress.used.as_ref().map(|used| later(used.at, RELEASE_LEASE)),
            _ => None,
        }
    }
}

/// Whether nobody knows which human being this is.
fn is_nameless(who: &Identity) -> bool {
    who.person.as_deref().is_none_or(|person| person_key(person).is_empty())
}
