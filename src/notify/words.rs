//! A notice as people read it, before a chat's own form is given to it.
//!
//! Much of it is the caller's own text. What a chat would hide or reorder is made visible, and what is too long says how
//! much of it is missing.

use std::fmt::Write as _;

use jiff::Timestamp;
use reqwest::Url;

use crate::approval::{Caller, Choice, State};
use crate::effect::{Approvers, Class, Grant, Part, span};
use crate::notice::{Event, Notice};
use crate::visible::visible;

/// What to say. Values hold no line ends and nothing that is not seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Our own words.
    pub title: &'static str,
    /// What each value is, and the value.
    pub facts: Vec<(&'static str, String)>,
    /// The page on which the request can be decided. Opening it changes nothing.
    pub link: String,
    /// What the link is called.
    pub link_text: &'static str,
}

impl Message {
    /// No value has more than `most` characters, but for the words that say how many are missing.
    pub(super) fn of(notice: &Notice, page: &Url, most: usize) -> Self {
        let mut facts = Vec::new();
        let mut fact = |name: &'static str, value: &str| {
            if !value.is_empty() {
                facts.push((name, fit(&visible(value), most)));
            }
        };
        fact("Call", &call(notice));
        fact("Goes to", &notice.destination);
        fact("Caller", &caller(&notice.caller));
        fact("Held by", &format!("{} (policies {})", notice.rules.join(", "), notice.revision));
        if let Some(vote) = notice.votes.iter().rfind(|vote| vote.void.is_none()) {
            let label = if notice.state == State::Pending { "So far" } else { "Decided" };
            fact(label, &format!("{} by {}", verb(vote.choice), vote.author()));
            fact("Reason", &vote.reason);
        }
        if notice.state == State::Pending {
            fact("Needs", &notice.requires.iter().map(needs).collect::<Vec<_>>().join("; and "));
            fact("An approval is good for", &grant(notice.grant, notice.same.as_ref()));
        }
        if !matches!(notice.state, State::Rejected | State::Expired) {
            fact("Expires", &minutes(notice.expires));
        }
        fact("Request", &notice.approval);
        Self {
            title: title(notice),
            facts,
            link: link(page, &notice.approval),
            link_text: "Open the request",
        }
    }
}

/// The page of a request.
pub(super) fn link(page: &Url, approval: &str) -> String {
    let mut url = page.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("approvals").push(approval);
    }
    // The one character of a path that ends a link in Slack's markup.
    url.as_str().replace('|', "%7C")
}

fn title(notice: &Notice) -> &'static str {
    match (notice.event, notice.state) {
        (Event::Pending, _) => "A call waits for approval",
        (Event::Decided, State::Rejected) => "A call was rejected",
        (Event::Decided, _) => "A call was approved",
        (Event::Reminder, _) => "A call still waits for approval",
        (Event::Escalated, _) => "A call still waits, and more people may decide now",
        (Event::BreakGlass, _) => "One person released a call alone",
        // How often it was used is not counted.
        (Event::Expired, _) if notice.approved && notice.grant != Grant::Once => {
            "An approval expired: its time is over"
        }
        (Event::Expired, _) if notice.approved => "An approval expired: it was not used in time",
        (Event::Expired, _) => "A request for approval expired: nobody decided in time",
    }
}

fn call(notice: &Notice) -> String {
    let mut call = format!("{} {}{}", notice.method, notice.host, notice.path);
    if notice.query_bytes > 0 {
        // Writing to a String can't fail.
        let _ = write!(call, " (and a query of {} bytes, shown on the page)", notice.query_bytes);
    }
    call
}

fn caller(caller: &Caller) -> String {
    let login = [&caller.subject, &caller.spiffe].into_iter().find(|name| !name.is_empty());
    let login = login.map_or("nobody", String::as_str);
    let mut text = match &caller.person {
        Some(person) if person != login => format!("{person} ({login})"),
        _ => login.to_owned(),
    };
    for (before, value) in
        [(", of ", &caller.issuer), (", proven by ", &caller.method), (", from ", &caller.address)]
    {
        if !value.is_empty() {
            text.push_str(before);
            text.push_str(value);
        }
    }
    text
}

fn needs(approvers: &Approvers) -> String {
    let mut from = Vec::new();
    if !approvers.groups.is_empty() {
        from.push(format!("groups {}", approvers.groups.join(", ")));
    }
    if !approvers.people.is_empty() {
        from.push(approvers.people.join(", "));
    }
    format!("{} of {}", approvers.count.max(1), from.join(", or "))
}

fn grant(grant: Grant, same: Option<&Class>) -> String {
    match (grant, same) {
        (Grant::Once, _) => "one call".to_owned(),
        (Grant::For(period), None) => format!("every same call, for {}", span(period)),
        (Grant::For(period), Some(class)) => {
            let parts: Vec<_> = class.parts().map(Part::to_string).collect();
            let (same, open) = (parts.join(", "), class.left_open().join(", "));
            format!("every call with the same {same}, whatever its {open}, for {}", span(period))
        }
    }
}

fn verb(choice: Choice) -> &'static str {
    match choice {
        Choice::Approve => "approved",
        Choice::BreakGlass => "released alone, by breaking the glass,",
        Choice::Reject => "rejected",
        Choice::Withdraw => "withdrawn",
        Choice::Revoke => "revoked",
    }
}

fn minutes(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// At most `most` characters of `text`, and how many are missing.
fn fit(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most).collect();
    format!("{kept} … ({} more characters on the page)", length.saturating_sub(most))
}
