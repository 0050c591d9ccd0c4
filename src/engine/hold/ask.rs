//! What the rules that hold a call ask for together, and how the call is put before people.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use tokio::sync::futures::OwnedNotified;

use super::super::digest::{self, Asked, Covered};
use super::super::fault::Point;
use super::super::waiters::Waiter;
use super::super::{Call, Engine, Evaluated};
use crate::approval::{Approval, CallSummary, Caller, Requirement, Shown};
use crate::audit::{self, Audit, Record};
use crate::effect::{Class, Grant};
use crate::mask::{self, FieldPath, Format, Masker, Plan};
use crate::metrics::{ApprovalEvent, Metrics};
use crate::policy::HoldRule;
use crate::reason::Reason;
use crate::request::Request;
use crate::store::{NewApproval, Opened, StoreError};

/// How a call hears of its approval.
pub(super) struct Waits<'a> {
    pub waiter: Waiter<'a>,
    /// Hears of changes since before the request was opened, or since it was found.
    pub changed: Pin<Box<OwnedNotified>>,
    /// As it was opened by this call; `None` when it was there before and has to be read.
    pub approval: Option<Box<Approval>>,
}

/// What an approval is good for: of several rules', what allows least.
struct Good {
    grant: Grant,
    same: Option<Class>,
}

impl Good {
    fn of(rules: &[Arc<HoldRule>], evaluated: &Evaluated) -> Self {
        // What no person looked at is for one call: the next one is asked about anew.
        if !evaluated.decision.auto_approved().is_empty() {
            return Self { grant: Grant::Once, same: None };
        }
        let grant = strictest(rules.iter().map(|rule| rule.terms.grant));
        let mut classes = rules.iter().map(|rule| rule.terms.same.clone());
        let first = classes.next().flatten();
        let same = classes.fold(first, |all, class| Some(all?.and(&class?)));
        Self { grant, same: same.filter(|_| grant != Grant::Once) }
    }
}

impl Engine {
    /// Whether an approval with this digest covers the call: as one of its class, or as the very call.
    pub(super) fn is_covered(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        rules: &[Arc<HoldRule>],
        digest: &str,
    ) -> bool {
        let same = Good::of(rules, evaluated).same;
        let covers =
            |covered: &Covered<'_>| covered.digest() == digest || covered.exact().as_deref() == Some(digest);
        self.covered(call, evaluated, rules, same.as_ref(), covers)
    }

    fn covered<T>(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        rules: &[Arc<HoldRule>],
        same: Option<&Class>,
        look: impl FnOnce(&Covered<'_>) -> T,
    ) -> T {
        let auto_approved = evaluated.decision.auto_approved();
        let asked = Asked { rules, auto_approved, same };
        let authenticator = &evaluated.snapshot.authenticator;
        let fleeting = evaluated.policies().fleeting_headers(&evaluated.candidates);
        let sets = evaluated.decision.headers().request.iter();
        let sets: Vec<_> = sets.filter(|change| !fleeting.contains(change.name())).collect();
        let scope = digest::Scope {
            headers: &self.settings.digest_headers,
            credentials: &authenticator.credentials,
            by_authorization: evaluated.by_authorization,
            redaction: &authenticator.redaction,
            sets: &sets,
        };
        look(&Covered::of(&call.request, &evaluated.identity, asked, scope))
    }

    /// The request for approval of this call, new or open already; or why there is none.
    pub(super) async fn open_approval(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        rules: &[Arc<HoldRule>],
        names: Vec<String>,
    ) -> Result<Waits<'_>, (Reason, Option<Box<Approval>>)> {
        let failed = |reason| (reason, None);
        let passed = self.ports.faults.pass(Point::OpenApproval).await;
        passed.map_err(|_| failed(Reason::StoreUnavailable))?;
        let new = self.new_approval(call, evaluated, rules, names);
        // Whoever decides has the id from the store: nobody can before this call listens.
        let waiter = self.waiters.of(&new.id);
        let changed = waiter.changed();
        match self.opened(new).await {
            Ok(Opened::Created(approval)) => {
                let approval = Some(Box::new(approval));
                Ok(Waits { waiter, changed, approval })
            }
            Ok(Opened::Attached(open)) => {
                let waiter = self.waiters.of(&open.id);
                let changed = waiter.changed();
                Ok(Waits { waiter, changed, approval: None })
            }
            Ok(Opened::AlreadyUsed(approval)) => Err((Reason::ApprovalUsed, Some(Box::new(approval)))),
            Ok(Opened::TooManyPending) => Err(failed(Reason::TooManyPending)),
            Ok(Opened::TooManyOpened) => Err(failed(Reason::TooManyOpened)),
            Err(error) => {
                tracing::error!(%error, "an approval could not be opened");
                Err(failed(Reason::StoreUnavailable))
            }
        }
    }

    /// Opens the request and records that, in a task of its own: a caller who hangs up meanwhile does not keep the store
    /// from opening it, so neither may the record be missing.
    async fn opened(&self, new: NewApproval) -> Result<Opened, StoreError> {
        let (store, limits) = (self.ports.store.clone(), self.settings.pending);
        let (metrics, audit) = (self.ports.metrics.clone(), self.ports.audit.clone());
        let opening = tokio::spawn(async move {
            let auto_approved = new.auto_approved.clone();
            let opened = store.open_approval(new, limits).await?;
            if let Opened::Created(approval) = &opened {
                note_opened(&metrics, &audit, approval, &auto_approved);
            }
            Ok(opened)
        });
        // A task that panicked opened nothing that is known of.
        opening.await.unwrap_or(Err(StoreError::Closed))
    }

    fn new_approval(
        &self,
        call: &Call,
        evaluated: &Evaluated,
        rules: &[Arc<HoldRule>],
        names: Vec<String>,
    ) -> NewApproval {
        let Good { grant, same } = Good::of(rules, evaluated);
        let (digest, exact, summary) = self.covered(call, evaluated, rules, same.as_ref(), |covered| {
            (covered.digest(), covered.exact(), covered.summary())
        });
        let key = call.request.headers.text("idempotency-key").ok().flatten().unwrap_or_default();
        let auto = evaluated.decision.auto_approved();
        let by_rules = auto.len() == rules.len();
        NewApproval {
            id: self.ports.store.new_id(),
            digest,
            exact,
            // A class is of many calls, each with a key of its own.
            idempotency_key: if same.is_some() { String::new() } else { key.to_owned() },
            caller: Caller::of(&evaluated.identity, &call.request.source.address),
            call: self.masked(summary, &call.request, evaluated),
            rules: names,
            revision: evaluated.policies().revision().to_string(),
            requires: rules.iter().map(|rule| requirement(rule)).collect(),
            grant,
            same,
            remind_after: rules.iter().filter_map(|rule| rule.terms.remind_after).min(),
            auto_approved: auto.iter().map(|(rule, why)| (rule.to_string(), why.to_string())).collect(),
            expires_in: rules.iter().map(|rule| rule.terms.open_for()).min().unwrap_or_default(),
            retry_window: if by_rules { Duration::ZERO } else { self.settings.retry_window },
        }
    }

    /// The call as approvers see it: what the policies mask in bodies of such calls is masked here too. A body that says
    /// it is JSON and can't be masked is not shown.
    fn masked(&self, call: CallSummary, request: &Request, evaluated: &Evaluated) -> CallSummary {
        let rules = evaluated.policies().masks(&evaluated.candidates);
        let Some(body) = request.body.complete().filter(|body| !body.is_empty() && !rules.is_empty()) else {
            return call;
        };
        let content_type = request.headers.text("content-type").ok().flatten().unwrap_or_default();
        let format = match Format::of_content_type(content_type) {
            Some(format) if format != Format::Text => format,
            _ if serde_json::from_slice::<IgnoredAny>(body).is_ok() => Format::Json,
            Some(format) => format,
            None => return call,
        };
        let rules = if format == Format::Text { rules_for_text(&rules) } else { rules };
        if rules.is_empty() {
            return call;
        }
        let plan = Arc::new(Plan::compile(&rules, &self.settings.hash_keys.current()));
        let mut masker = Masker::new(plan, format, self.settings.mask_limits);
        let mut masked = Vec::with_capacity(body.len());
        match masker.push(body, &mut masked).and_then(|()| masker.finish(&mut masked)) {
            Ok(()) if masker.masked_fields() == 0 => call,
            Ok(()) => CallSummary {
                body: STANDARD.encode(masked),
                shown: Shown::Masked(masker.masked_fields()),
                ..call
            },
            Err(error) => {
                tracing::info!(%error, "the body of a held call can't be masked, and is not shown");
                CallSummary { body: String::new(), shown: Shown::Withheld, ..call }
            }
        }
    }
}

fn note_opened(metrics: &Metrics, trail: &Audit, approval: &Approval, auto_approved: &[(String, String)]) {
    let note = |change, rules| {
        trail.note(&Record::Approval(audit::Approval {
            time: approval.created,
            approval: &approval.id,
            change,
            state: approval.state.as_str(),
            rules,
        }));
    };
    metrics.approval(ApprovalEvent::Created);
    note("opened", approval.rules.iter().map(String::as_str).collect());
    if !auto_approved.is_empty() {
        metrics.approval(ApprovalEvent::AutoApproved);
        note("auto_approved", auto_approved.iter().map(|(rule, _)| rule.as_str()).collect());
    }
}

/// What one rule asks for, as it is kept.
fn requirement(rule: &HoldRule) -> Requirement {
    Requirement {
        rule: rule.name.to_string(),
        because: rule.because.clone(),
        all_of: rule.terms.approvers.clone(),
        escalate: rule.terms.escalate.clone(),
        break_glass: rule.terms.break_glass.clone(),
        hours: rule.terms.hours.clone(),
    }
}

/// Of several rules' grants the one that allows least.
fn strictest(grants: impl Iterator<Item = Grant>) -> Grant {
    grants
        .min_by_key(|grant| match grant {
            Grant::Once => Duration::ZERO,
            Grant::For(period) => *period,
        })
        .unwrap_or(Grant::Once)
}

/// Text has no fields: what rules look for is looked for in all of it, and what else they name is not there.
fn rules_for_text(rules: &[Arc<mask::Rule>]) -> Vec<Arc<mask::Rule>> {
    let looking = rules.iter().filter(|rule| rule.detect.is_some());
    looking.map(|rule| Arc::new(mask::Rule { field: FieldPath::everything(), ..(**rule).clone() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_that_allows_least_wins() {
        let hour = Grant::For(Duration::from_secs(3_600));
        assert_eq!(strictest([hour, Grant::Once].into_iter()), Grant::Once);
        assert_eq!(
            strictest([hour, Grant::For(Duration::from_secs(1))].into_iter()),
            Grant::For(Duration::from_secs(1))
        );
    }

    #[test]
    fn in_text_everything_that_rules_look_for_is_looked_for_and_no_field() {
        let rule = |field: &str, detect: Option<mask::Detect>| {
            let field = FieldPath::parse(field).unwrap();
            Arc::new(mask::Rule {
                detect: detect.map(Arc::new),
                ..mask::Rule::new(field, mask::Method::redact())
            })
        };
        let cards = mask::Detect::known(&[mask::Kind::Card]).unwrap();
        let rules = rules_for_text(&[rule("note", None), rule("note", Some(cards.clone()))]);
        assert_eq!(rules, [rule("**", Some(cards))]);
    }
}
