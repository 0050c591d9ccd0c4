//! A request for approval, as lists show it.

use jiff::Timestamp;

use super::{Asked, When};
use crate::admin::console::shown::Shown;
use crate::admin::v1;

/// What lists show, and the top of its own page.
#[derive(Clone, Debug)]
pub struct ApprovalView {
    pub id: String,
    pub state: String,
    pub created: When,
    pub expires: When,
    pub caller: Shown,
    pub method: Shown,
    pub host: Shown,
    pub path: Shown,
    pub rules: Vec<Shown>,
    pub asked: Vec<Asked>,
    /// When the approvers are reminded, and whether they were.
    pub reminder: Option<(When, bool)>,
    /// Where an approval lets through a class of calls: what makes them one, as `method, host, path`.
    pub class: String,
    pub may_decide: bool,
    pub may_break_glass: bool,
    pub may_withdraw: bool,
    pub may_revoke: bool,
    pub within_hours: bool,
}

impl ApprovalView {
    pub fn of(approval: &v1::Approval, now: Timestamp) -> Self {
        let caller = approval.caller.clone().unwrap_or_default();
        let call = approval.call.clone().unwrap_or_default();
        let reminder = match (&approval.reminded, &approval.reminds) {
            (Some(at), _) => Some((When::of(Some(at), now), true)),
            (None, Some(at)) => Some((When::of(Some(at), now), false)),
            (None, None) => None,
        };
        Self {
            id: approval.id.clone(),
            state: approval.state.clone(),
            created: When::of(approval.created.as_ref(), now),
            expires: When::of(approval.expires.as_ref(), now),
            caller: Shown::line(called(&caller)),
            method: Shown::line(call.method),
            host: Shown::line(call.host),
            path: Shown::line(call.path),
            rules: approval.rules.iter().map(Shown::line).collect(),
            asked: Asked::of(approval, now),
            reminder: reminder.filter(|_| approval.state == "pending"),
            class: approval.same.join(", ").replace("header:", "header "),
            may_decide: approval.may_decide,
            may_break_glass: approval.may_break_glass,
            may_withdraw: approval.may_withdraw,
            may_revoke: approval.may_revoke,
            within_hours: approval.within_hours,
        }
    }

    /// What tells it apart in a list, and what commands take for it.
    pub fn id_end(&self) -> &str {
        self.id.get(self.id.len().saturating_sub(8)..).unwrap_or(&self.id)
    }

    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    /// Whether there is anything that this person may do to it with a reason.
    pub fn may_act(&self) -> bool {
        self.may_decide || self.may_withdraw || self.may_revoke
    }
}

/// A caller as people call them.
pub fn called(caller: &v1::Caller) -> String {
    let names = [&caller.person, &caller.subject, &caller.spiffe];
    names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_else(|| "anonymous".to_owned())
}
