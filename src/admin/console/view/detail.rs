//! All that there is to see of one request before one decides.

use std::time::Duration;

use jiff::Timestamp;

use super::call::called;
use super::{Asked, When, span};
use crate::admin::console::shown::Shown;
use crate::admin::{Looked, v1};
use crate::approval::{Choice, later};

/// One request, whole.
#[derive(Clone, Debug)]
pub struct Detail {
    pub subject: Shown,
    pub issuer: Shown,
    pub person: Shown,
    pub email: Shown,
    pub spiffe: Shown,
    pub tenant: Shown,
    pub groups: Shown,
    pub scopes: Shown,
    pub proven_by: Shown,
    pub address: Shown,
    pub destination: Shown,
    pub headers: Vec<(Shown, Shown)>,
    pub body: Option<Body>,
    pub revision: Shown,
    pub grant: Grant,
    pub digest: String,
    pub key: Shown,
    pub votes: Vec<VoteView>,
    pub similar: Vec<Past>,
    /// Whether headers and body may be seen by who asks.
    pub whole: bool,
    /// The body has to be masked and can't be read, so that nothing of it is shown.
    pub withheld: bool,
    /// How long the body was, if it is kept no longer; else 0.
    pub not_kept: u64,
    /// Why who asks may not decide.
    pub may_not: Option<String>,
    /// The notification targets that hear of a broken glass.
    pub told: Shown,
}

/// What an approval lets through.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whether it is still to be decided.
    pub pending: bool,
    /// Whether it was approved.
    pub given: bool,
    /// Such as `releases every call by ana with the same method and path`.
    pub releases: Shown,
    /// Until when; `None` for one call.
    pub until: Option<Until>,
    /// The parts that make a class of calls, each with its value.
    pub class: Vec<(String, Shown)>,
    /// What may differ all the same.
    pub open: Shown,
}

/// When a grant ends.
#[derive(Clone, Debug)]
pub struct Until {
    pub at: When,
    /// How long after the approval.
    pub after: String,
    /// Whether it was given; one that was neither given nor is to be decided never will be.
    pub given: bool,
}

#[derive(Clone, Debug)]
pub struct Body {
    pub text: Shown,
    /// What it is, such as `JSON, indented`.
    pub kind: &'static str,
    pub bytes: usize,
    /// How many values are masked.
    pub masked: u64,
    /// As it was sent, where `text` is not.
    pub raw: Option<Shown>,
}

#[derive(Clone, Debug)]
pub struct VoteView {
    pub who: Shown,
    pub choice: String,
    pub reason: Shown,
    pub at: When,
    /// Since when it counts no more, and why.
    pub void: Option<(When, Shown)>,
}

/// What became of an earlier call.
#[derive(Clone, Debug)]
pub struct Past {
    pub id: String,
    pub state: String,
    pub created: When,
    pub method: Shown,
    pub host: Shown,
    pub path: Shown,
    pub votes: Vec<VoteView>,
    pub same: bool,
}

impl Detail {
    pub fn of(looked: &Looked, now: Timestamp) -> Self {
        let approval = &looked.approval;
        let caller = approval.caller.clone().unwrap_or_default();
        let call = approval.call.clone().unwrap_or_default();
        let headers = call.headers.iter().map(|one| (Shown::line(&one.name), Shown::line(&one.value)));
        Self {
            grant: Grant::of(approval, &call, looked.whole, now),
            subject: Shown::line(caller.subject),
            issuer: Shown::line(caller.issuer),
            email: Shown::line(if caller.email == caller.person { String::new() } else { caller.email }),
            person: Shown::line(caller.person),
            spiffe: Shown::line(caller.spiffe),
            tenant: Shown::line(caller.tenant),
            groups: Shown::line(caller.groups.join(", ")),
            scopes: Shown::line(caller.scopes.join(" ")),
            proven_by: Shown::line(caller.method),
            address: Shown::line(caller.address),
            destination: Shown::line(&call.destination),
            headers: headers.collect(),
            withheld: call.withheld,
            not_kept: call.not_kept_bytes,
            body: Body::of(call),
            revision: Shown::line(&approval.revision),
            digest: approval.digest.clone(),
            key: Shown::line(&approval.idempotency_key),
            votes: approval.votes.iter().map(|vote| VoteView::of(vote, now)).collect(),
            similar: approval.similar.iter().map(|past| Past::of(past, now)).collect(),
            whole: looked.whole,
            may_not: looked.may_not.map(|refused| refused.to_string()),
            told: Shown::line(looked.told.join(", ")),
        }
    }
}

impl Grant {
    fn of(approval: &v1::Approval, call: &v1::Call, whole: bool, now: Timestamp) -> Self {
        let who = called(&approval.caller.clone().unwrap_or_default());
        let same: Vec<_> = approval.same.iter().map(|part| part.replace("header:", "header ")).collect();
        let period = approval.grant_for.as_ref();
        let releases = match (period, same.split_last()) {
            (None, _) => "this one call".to_owned(),
            (Some(_), None) => format!("every call by {who} that is the same, byte by byte"),
            (Some(_), Some((last, []))) => format!("every call by {who} with the same {last}"),
            (Some(_), Some((last, rest))) => {
                format!("every call by {who} with the same {} and {last}", rest.join(", "))
            }
        };
        let until = period.map(|period| {
            let given = was_given(approval, now);
            let period = Duration::from_secs(u64::try_from(period.seconds).unwrap_or(0));
            let at = if given {
                When::of(approval.expires.as_ref(), now)
            } else {
                When::at(later(now, period), now)
            };
            Until { at, after: span(period.as_secs()), given }
        });
        let value = |part: &String| (part.replace("header:", "header "), value(part, call, whole));
        Self {
            pending: approval.state == "pending",
            given: was_given(approval, now),
            releases: Shown::line(releases),
            until,
            class: approval.same.iter().map(value).collect(),
            open: Shown::line(&approval.not_covered),
        }
    }
}

/// Whether the request was approved, whatever became of the approval.
fn was_given(approval: &v1::Approval, now: Timestamp) -> bool {
    match approval.state.as_str() {
        "pending" | "rejected" | "withdrawn" => false,
        "expired" => {
            let broken =
                |vote: &v1::Vote| vote.choice == Choice::BreakGlass.as_str() && vote.voided.is_none();
            approval.votes.iter().any(broken) || Asked::of(approval, now).iter().all(Asked::is_met)
        }
        _ => true,
    }
}

/// What a call of the class has in this part.
fn value(part: &str, call: &v1::Call, whole: bool) -> Shown {
    let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
    Shown::line(match part {
        "method" => call.method.clone(),
        "host" => call.host.clone(),
        "path" => path.to_owned(),
        "query" if query.is_empty() => "none".to_owned(),
        "query" => query.to_owned(),
        "body" => "the body shown here, byte by byte".to_owned(),
        _ if !whole => "shown to those who may decide".to_owned(),
        header => {
            let name = header.trim_start_matches("header:");
            let copies = call.headers.iter().filter(|one| one.name.eq_ignore_ascii_case(name));
            let values: Vec<_> = copies.map(|one| one.value.as_str()).collect();
            if values.is_empty() { "none".to_owned() } else { values.join(", ") }
        }
    })
}

impl VoteView {
    fn of(vote: &v1::Vote, now: Timestamp) -> Self {
        let who = match (vote.rule.as_str(), vote.person.as_str()) {
            ("", "") => vote.subject.clone(),
            ("", person) => person.to_owned(),
            (rule, _) => format!("rule {rule}"),
        };
        Self {
            who: Shown::line(who),
            choice: vote.choice.replace('_', " "),
            reason: Shown::lines(&vote.reason),
            at: When::of(vote.at.as_ref(), now),
            void: vote
                .voided
                .as_ref()
                .map(|at| (When::of(Some(at), now), Shown::lines(&vote.voided_because))),
        }
    }
}

impl Past {
    fn of(past: &v1::PastDecision, now: Timestamp) -> Self {
        Self {
            id: past.id.clone(),
            state: past.state.clone(),
            created: When::of(past.created.as_ref(), now),
            method: Shown::line(&past.method),
            host: Shown::line(&past.host),
            path: Shown::line(&past.path),
            votes: past.votes.iter().map(|vote| VoteView::of(vote, now)).collect(),
            same: past.same_digest,
        }
    }
}

impl Body {
    fn of(call: v1::Call) -> Option<Self> {
        let (masked, pretty) = (call.masked_fields, call.pretty);
        Some(match call.body? {
            v1::call::Body::Text(text) => {
                let bytes = text.len();
                let (shown, kind) = match (pretty.is_empty(), call.too_deep) {
                    (false, _) => (pretty, "JSON, indented for reading"),
                    (true, true) => (text.clone(), "JSON, too deep to be indented: shown as it was sent"),
                    (true, false) => (text.clone(), "text"),
                };
                let same = shown == text;
                let shown = Shown::folded(shown);
                let raw = (!same || shown.is_folded()).then(|| Shown::lines(text));
                Self { text: shown, kind, bytes, masked, raw }
            }
            v1::call::Body::Binary(bytes) => Self {
                text: Shown::lines(hex_lines(&bytes)),
                kind: "not text: bytes in hex, and as Latin letters",
                bytes: bytes.len(),
                masked,
                raw: None,
            },
        })
    }
}

fn hex_lines(bytes: &[u8]) -> String {
    let line = |(row, bytes): (usize, &[u8])| {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String =
            bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        format!("{:06x}  {:<47}  {letters}\n", row * 16, hex.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}
