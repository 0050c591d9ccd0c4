//! What the admin API needs of the rest: tokens verified like any other, votes recorded.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::admin::{AdminEvents, CredentialEvent, VerifyToken};
use crate::approval::{Approval, Choice, State};
use crate::audit::{self, Audit, Record};
use crate::authn::Authenticator;
use crate::authn::revocation::Revocations;
use crate::clock::Clock;
use crate::credential::{ApiKey, Revocation};
use crate::engine;
use crate::identity::Identity;
use crate::metrics::{ApprovalEvent, Metrics};
use crate::reason::Reason;

/// The admin API's authenticator: an audience of its own.
pub(super) struct Tokens {
    pub tokens: Arc<Authenticator>,
    pub revocations: Revocations,
    pub metrics: Metrics,
}

impl VerifyToken for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, Reason>> {
        async move {
            let verified = self.tokens.verify(token, &self.metrics).await;
            // Who is revoked changes nothing any more, and approves nothing.
            let verified = verified.and_then(|who| self.revocations.check(&who, []).map(|()| who));
            if let Err(reason) = &verified {
                self.metrics.admin_token_refused(*reason);
                tracing::info!(reason = reason.as_str(), "a token was refused by the admin API");
            }
            verified
        }
        .boxed()
    }
}

/// Votes go into the audit trail and the metrics, keys and revocations into the trail.
pub(super) struct Recorded {
    pub audit: Audit,
    pub metrics: Metrics,
    pub clock: Clock,
}

impl AdminEvents for Recorded {
    fn decided<'a>(
        &'a self,
        who: &'a Identity,
        approval: &'a Approval,
        choice: Choice,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        let counted = match (choice, approval.state) {
            (Choice::Approve, State::Approved) => Some(ApprovalEvent::Approved),
            (Choice::Approve, _) => None,
            (Choice::BreakGlass, _) => Some(ApprovalEvent::BrokenGlass),
            (Choice::Reject, _) => Some(ApprovalEvent::Rejected),
            (Choice::Withdraw, _) => Some(ApprovalEvent::Withdrawn),
            (Choice::Revoke, _) => Some(ApprovalEvent::Revoked),
        };
        if let Some(event) = counted {
            self.metrics.approval(event);
        }
        async move {
            let record = self.decision(who, approval, choice, reason);
            // The vote stands whatever happens here; a lost record is counted, and `required` has waited for it.
            if self.audit.record(&record).await.is_err() {
                tracing::error!(approval = %approval.id, "a vote could not be recorded");
            }
        }
        .boxed()
    }

    fn decision_unknown<'a>(
        &'a self,
        who: &'a Identity,
        approval: &'a str,
        choice: Choice,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            let record = self.vote(who, approval, choice, "unknown", reason);
            let recorded = self.audit.record(&record).await.is_ok();
            tracing::error!(
                approval,
                choice = choice.as_str(),
                recorded,
                "whether a vote was written is not known"
            );
        }
        .boxed()
    }

    fn credential_changed<'a>(&'a self, who: &'a Identity, event: CredentialEvent<'a>) -> BoxFuture<'a, ()> {
        async move {
            let record = Record::Credential(match event {
                CredentialEvent::KeyCreated(key) => self.key("key_created", key, &key.name, who),
                CredentialEvent::KeyRevoked(key, reason) => self.key("key_revoked", key, reason, who),
                CredentialEvent::Revoked(made) => self.revocation("revoked", made, &made.reason, who),
                CredentialEvent::Undone(undone, reason) => {
                    self.revocation("revocation_undone", undone, reason, who)
                }
            });
            if self.audit.record(&record).await.is_err() {
                tracing::error!("a change of a key or revocation could not be recorded");
            }
        }
        .boxed()
    }
}

impl Recorded {
    fn decision<'a>(
        &self,
        who: &'a Identity,
        approval: &'a Approval,
        choice: Choice,
        reason: &'a str,
    ) -> Record<'a> {
        if choice != Choice::BreakGlass {
            return self.vote(who, &approval.id, choice, approval.state.as_str(), reason);
        }
        let (caller, call) = (&approval.caller, &approval.call);
        let caller = caller.name().unwrap_or_default();
        let by = who.person.as_deref().unwrap_or(&who.subject);
        tracing::warn!(approval = %approval.id, by, caller, rules = ?approval.rules, "the glass was broken");
        Record::BrokenGlass(audit::BrokenGlass {
            time: self.clock.now(),
            approval: &approval.id,
            identity: engine::principal(who),
            comment: reason,
            caller,
            method: &call.method,
            host: &call.host,
            path: call.path.split('?').next().unwrap_or_default(),
            rules: &approval.rules,
        })
    }

    fn vote<'a>(
        &self,
        who: &'a Identity,
        approval: &'a str,
        choice: Choice,
        state: &'static str,
        comment: &'a str,
    ) -> Record<'a> {
        let (time, choice, identity) = (self.clock.now(), choice.as_str(), engine::principal(who));
        Record::Vote(audit::Vote { time, approval, choice, state, identity, comment })
    }

    fn key<'a>(
        &self,
        change: &'static str,
        key: &'a ApiKey,
        comment: &'a str,
        who: &'a Identity,
    ) -> audit::Credential<'a> {
        audit::Credential {
            time: self.clock.now(),
            change,
            id: &key.id,
            revokes: None,
            value: &key.owner,
            issuer: "",
            issued_before: None,
            until: key.expires,
            groups: &key.groups,
            identity: engine::principal(who),
            comment,
        }
    }

    fn revocation<'a>(
        &self,
        change: &'static str,
        revocation: &'a Revocation,
        comment: &'a str,
        who: &'a Identity,
    ) -> audit::Credential<'a> {
        audit::Credential {
            time: self.clock.now(),
            change,
            id: &revocation.id,
            revokes: Some(revocation.kind.as_str()),
            value: &revocation.value,
            issuer: &revocation.issuer,
            issued_before: revocation.issued_before,
            until: revocation.until,
            groups: &[],
            identity: engine::principal(who),
            comment,
        }
    }
}
