//! What pages show of approvals, policies and records: texts that are safe to look at, and times that can be read.

use jiff::Timestamp;
use serde_json::Value;

use super::shown::{Shown, indented_json};
use crate::admin::v1;

/// A point in time: exact, and as people say it.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub exact: String,
    pub spoken: String,
}

impl When {
    pub fn of(at: Option<&prost_types::Timestamp>, now: Timestamp) -> Self {
        let at = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        at.map(|at| Self::at(at, now)).unwrap_or_default()
    }

    fn at(at: Timestamp, now: Timestamp) -> Self {
        let seconds = now.as_second().saturating_sub(at.as_second());
        let spoken = match seconds {
            0..=2 => "now".to_owned(),
            seconds if seconds < 0 => format!("in {}", span(seconds.unsigned_abs())),
            seconds => format!("{} ago", span(seconds.unsigned_abs())),
        };
        Self { exact: format!("{at:.0}"), spoken }
    }
}

/// So many seconds, in the largest unit that fits.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A request for approval, as lists show it.
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
    pub may_decide: bool,
    /// Such as `1 of 2`.
    pub votes: String,
}

impl ApprovalView {
    pub fn of(approval: &v1::Approval, now: Timestamp) -> Self {
        let caller = approval.caller.clone().unwrap_or_default();
        let call = approval.call.clone().unwrap_or_default();
        let wanted: u32 = approval.requires.iter().map(|required| required.count).max().unwrap_or(1);
        let given = approval.votes.iter().filter(|vote| vote.choice == "approve").count();
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
            may_decide: approval.may_decide,
            votes: format!("{given} of {wanted}"),
        }
    }

    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }
}

/// A caller as people call them.
fn called(caller: &v1::Caller) -> String {
    let names = [&caller.person, &caller.subject, &caller.spiffe];
    names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_else(|| "anonymous".to_owned())
}

/// All that there is to see before one decides.
#[derive(Clone, Debug)]
pub struct Detail {
    pub subject: Shown,
    pub issuer: Shown,
    pub person: Shown,
    pub spiffe: Shown,
    pub proven_by: Shown,
    pub address: Shown,
    pub destination: Shown,
    pub headers: Vec<(Shown, Shown)>,
    pub body: Option<Body>,
    pub rules: Vec<Rule>,
    pub revision: Shown,
    pub requires: Vec<Shown>,
    pub grant: String,
    pub digest: String,
    pub key: Shown,
    pub votes: Vec<VoteView>,
    /// Whether headers and body may be seen by who asks.
    pub whole: bool,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub name: Shown,
    pub because: Shown,
    /// Whether the text is of another revision than the one that held the call.
    pub newer: bool,
}

#[derive(Clone, Debug)]
pub struct Body {
    pub text: Shown,
    /// What it is, such as `JSON, indented`.
    pub kind: &'static str,
    pub bytes: usize,
    /// As it was sent, where `text` is not.
    pub raw: Option<Shown>,
}

#[derive(Clone, Debug)]
pub struct VoteView {
    pub who: Shown,
    pub choice: String,
    pub reason: Shown,
    pub at: When,
}

impl Detail {
    /// `because` knows what rules say, with the revision that this is of. `whole`: headers and body are shown.
    pub fn of(
        approval: &v1::Approval,
        because: impl Fn(&str) -> Option<(String, String)>,
        whole: bool,
        now: Timestamp,
    ) -> Self {
        let caller = approval.caller.clone().unwrap_or_default();
        let call = approval.call.clone().unwrap_or_default();
        let rule = |name: &String| {
            let (text, revision) = because(name).unwrap_or_default();
            let newer = !text.is_empty() && revision != approval.revision;
            Rule { name: Shown::line(name), because: Shown::lines(text), newer }
        };
        Self {
            subject: Shown::line(caller.subject),
            issuer: Shown::line(caller.issuer),
            person: Shown::line(caller.person),
            spiffe: Shown::line(caller.spiffe),
            proven_by: Shown::line(caller.method),
            address: Shown::line(caller.address),
            destination: Shown::line(call.destination),
            headers: call
                .headers
                .into_iter()
                .map(|one| (Shown::line(one.name), Shown::line(one.value)))
                .collect(),
            body: call.body.map(Body::of),
            rules: approval.rules.iter().map(rule).collect(),
            revision: Shown::line(&approval.revision),
            requires: approval.requires.iter().map(required).collect(),
            grant: match &approval.grant_for {
                None => "this call, once".to_owned(),
                Some(period) => {
                    let seconds = u64::try_from(period.seconds).unwrap_or(0);
                    format!("this same call, as often as it comes, for {}", span(seconds))
                }
            },
            digest: approval.digest.clone(),
            key: Shown::line(&approval.idempotency_key),
            votes: approval.votes.iter().map(|vote| VoteView::of(vote, now)).collect(),
            whole,
        }
    }
}

impl VoteView {
    fn of(vote: &v1::Vote, now: Timestamp) -> Self {
        let who = if vote.person.is_empty() { &vote.subject } else { &vote.person };
        Self {
            who: Shown::line(who),
            choice: vote.choice.clone(),
            reason: Shown::lines(&vote.reason),
            at: When::of(vote.at.as_ref(), now),
        }
    }
}

fn required(required: &v1::Requirement) -> Shown {
    let groups = required.groups.iter().map(|group| format!("a member of {group}"));
    let who: Vec<_> = groups.chain(required.people.iter().cloned()).collect();
    let people = if required.count == 1 { "one person" } else { "different people" };
    let count = if required.count == 1 { String::new() } else { format!("{} ", required.count) };
    Shown::line(format!("{count}{people}: {}", who.join(", or ")))
}

impl Body {
    fn of(body: v1::call::Body) -> Self {
        match body {
            v1::call::Body::Text(text) => match indented_json(&text) {
                Some(indented) => Self {
                    text: Shown::lines(&indented),
                    kind: "JSON, indented for reading",
                    bytes: text.len(),
                    raw: (indented != text).then(|| Shown::lines(text)),
                },
                None => Self { bytes: text.len(), text: Shown::lines(text), kind: "text", raw: None },
            },
            v1::call::Body::Binary(bytes) => Self {
                text: Shown::lines(hex_lines(&bytes)),
                kind: "not text: bytes in hex, and as Latin letters",
                bytes: bytes.len(),
                raw: None,
            },
        }
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

/// A revision that can be gone back to.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub revision: String,
    pub name: Shown,
    pub signer: Shown,
    pub source: Shown,
    pub last_active: When,
    pub active: bool,
    pub pinned: bool,
}

impl Bundle {
    pub fn of(bundle: &v1::Bundle, now: Timestamp) -> Self {
        Self {
            revision: bundle.revision.clone(),
            name: Shown::line(format!("{} {}", bundle.name, bundle.version).trim()),
            signer: Shown::line(&bundle.signer),
            source: Shown::line(&bundle.source),
            last_active: When::of(bundle.last_active.as_ref(), now),
            active: bundle.active,
            pinned: bundle.pinned,
        }
    }
}

/// What is to say of the policies as a whole.
#[derive(Clone, Debug)]
pub struct Standing {
    pub location: Shown,
    pub error: Shown,
    pub pinned: bool,
    pub rolled_back: bool,
    pub available: Option<Bundle>,
    pub passed_over: Option<Bundle>,
    pub refused: Option<(Shown, Vec<Shown>, When)>,
    pub candidate: Option<Shown>,
}

impl Standing {
    pub fn of(listing: &v1::ListBundlesResponse, now: Timestamp) -> Self {
        let source = listing.source.clone().unwrap_or_default();
        let bundle = |bundle: &v1::Bundle| Bundle::of(bundle, now);
        Self {
            location: Shown::line(source.location),
            error: Shown::line(source.error),
            pinned: listing.bundles.iter().any(|bundle| bundle.pinned),
            rolled_back: listing.rolled_back,
            available: listing.available.as_ref().map(bundle),
            passed_over: listing.passed_over.as_ref().map(bundle),
            refused: listing.refused.as_ref().map(|refused| {
                let findings = refused.findings.iter().map(Shown::line).collect();
                (Shown::line(&refused.reason), findings, When::of(refused.at.as_ref(), now))
            }),
            candidate: listing.candidate.as_ref().map(|tried| {
                let revision = tried.policies.clone().unwrap_or_default().revision;
                Shown::line(format!(
                    "{revision}, for {} % of the callers: {} {}",
                    tried.share, tried.state, tried.why
                ))
            }),
        }
    }
}

/// A change of policies.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: When,
    pub kind: String,
    pub revision: String,
    pub who: Shown,
    pub comment: Shown,
}

impl Event {
    pub fn of(event: &v1::BundleEvent, now: Timestamp) -> Self {
        let who = event.actor.clone().map(|who| if who.person.is_empty() { who.subject } else { who.person });
        let comment = if event.comment.is_empty() { &event.reason } else { &event.comment };
        Self {
            at: When::of(event.at.as_ref(), now),
            kind: event.kind.replace('_', " "),
            revision: event.revision.clone(),
            who: Shown::line(who.unwrap_or_else(|| "the server".to_owned())),
            comment: Shown::lines(comment),
        }
    }
}

/// A decision of the audit trail.
#[derive(Clone, Debug)]
pub struct Decision {
    pub at: When,
    pub outcome: String,
    pub reason: Shown,
    pub rule: Shown,
    pub who: Shown,
    pub method: Shown,
    pub host: Shown,
    pub path: Shown,
    pub took: String,
    /// The id of the request for approval; empty for none.
    pub approval: String,
    pub id: Shown,
}

impl Decision {
    /// `None` for a record of another kind.
    pub fn of(record: &Value, now: Timestamp) -> Option<Self> {
        if record.get("kind").and_then(Value::as_str) != Some("decision") {
            return None;
        }
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let who = |name: &str| record.pointer(&format!("/identity/{name}")).and_then(Value::as_str);
        let names =
            ["person", "subject", "spiffe"].into_iter().find_map(|name| who(name).filter(|n| !n.is_empty()));
        let at = text("time").parse::<Timestamp>().map(|at| When::at(at, now)).unwrap_or_default();
        let micros = record.get("latency_us").and_then(Value::as_u64).unwrap_or(0);
        Some(Self {
            at,
            outcome: text("outcome").to_owned(),
            reason: Shown::line(text("reason")),
            rule: Shown::line(text("rule")),
            who: Shown::line(names.unwrap_or("anonymous")),
            method: Shown::line(text("method")),
            host: Shown::line(text("host")),
            path: Shown::line(text("path")),
            took: if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1_000) },
            approval: text("approval").to_owned(),
            id: Shown::line(text("decision_id")),
        })
    }
}
