//! What the rules that hold a call ask for, and how far that has come.

use jiff::Timestamp;

use super::When;
use crate::admin::console::shown::Shown;
use crate::admin::v1;

/// What one rule asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As `policy/rule`; empty in requests that were made before rules were named.
    pub rule: Shown,
    /// The rule's own text, as it was when the call was held.
    pub because: Shown,
    pub parts: Vec<Part>,
    /// The rule approved by itself.
    pub by_itself: bool,
    pub escalation: Option<Escalation>,
    pub hours: Option<Hours>,
    /// Who may release the call alone.
    pub break_glass: Shown,
}

/// Who must approve, and who has.
#[derive(Clone, Debug)]
pub struct Part {
    pub who: Shown,
    pub given: usize,
    pub count: u32,
    /// The people who count for it.
    pub by: Shown,
}

impl Part {
    pub fn is_met(&self) -> bool {
        u32::try_from(self.given).unwrap_or(u32::MAX) >= self.count
    }
}

/// Who may decide too, from when on.
#[derive(Clone, Debug)]
pub struct Escalation {
    pub to: Shown,
    pub at: When,
    /// Whether they may by now.
    pub done: bool,
}

/// When approvals may be given and used.
#[derive(Clone, Debug)]
pub struct Hours {
    pub hours: Shown,
    /// `None` while they last.
    pub opens: Option<When>,
    pub open: bool,
}

impl Asked {
    /// One for each rule, in the order of the request.
    pub fn of(approval: &v1::Approval, now: Timestamp) -> Vec<Self> {
        let mut all: Vec<(String, Self)> = Vec::new();
        for required in &approval.requires {
            match all.iter_mut().find(|(rule, _)| *rule == required.rule && !rule.is_empty()) {
                Some((_, asked)) => asked.parts.push(Part::of(required)),
                None => all.push((required.rule.clone(), Self::by(required, approval, now))),
            }
        }
        all.into_iter().map(|(_, asked)| asked).collect()
    }

    fn by(required: &v1::Requirement, approval: &v1::Approval, now: Timestamp) -> Self {
        let to = names(&required.escalates_to_groups, &required.escalates_to_people);
        let undecided = approval.state == "pending";
        let escalation = required.escalates.as_ref().filter(|_| undecided).map(|at| Escalation {
            to: Shown::line(to),
            at: When::of(Some(at), now),
            done: at.seconds <= now.as_second(),
        });
        let open = ["pending", "approved"].contains(&approval.state.as_str());
        let hours = Some(&required.hours).filter(|hours| !hours.is_empty() && open).map(|hours| Hours {
            hours: Shown::line(hours),
            opens: required.opens.as_ref().map(|at| When::of(Some(at), now)),
            // A time zone that is not known any more never opens, and can't say when it will.
            open: required.opens.is_none()
                && (approval.within_hours || approval.requires.iter().any(|other| other.opens.is_some())),
        });
        Self {
            rule: Shown::line(&required.rule),
            because: Shown::lines(&required.because),
            parts: vec![Part::of(required)],
            by_itself: required.by_itself,
            escalation,
            hours,
            break_glass: Shown::line(names(&required.break_glass_groups, &required.break_glass_people)),
        }
    }

    /// Whether nobody more is needed for this rule.
    pub fn is_met(&self) -> bool {
        self.by_itself || self.parts.iter().all(Part::is_met)
    }
}

impl Part {
    fn of(required: &v1::Requirement) -> Self {
        Self {
            who: Shown::line(names(&required.groups, &required.people)),
            given: required.given_by.len(),
            count: required.count.max(1),
            by: Shown::line(required.given_by.join(", ")),
        }
    }
}

/// Groups and people, as `finance or eve@example.com`.
fn names(groups: &[String], people: &[String]) -> String {
    let all: Vec<_> = groups.iter().chain(people).map(String::as_str).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => all.concat(),
    }
}
