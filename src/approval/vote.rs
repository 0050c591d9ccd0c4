//! One decision on a request for approval: whose it is, and with what credential it was given.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Choice;
use super::caller::{Credential, CredentialIds, names};
use crate::actor::Actor;
use crate::credential::Revocation;
use crate::identity::Identity;

/// One person's decision, or that of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub choice: Choice,
    pub issuer: String,
    pub subject: String,
    pub person: Option<String>,
    pub reason: String,
    pub at: Timestamp,
    /// Which of the approval's parts this person could speak for: indices of `Approval::parts`.
    pub speaks_for: Vec<usize>,
    /// The rule that approved by itself, as `policy/rule`; `None` for a person.
    #[serde(default)]
    pub rule: Option<String>,
    /// `None` for a rule, and in decisions that were kept before this was.
    #[serde(default)]
    pub presented: Option<Presented>,
    /// Since when, and why, it counts no more.
    #[serde(default)]
    pub void: Option<Void>,
}

/// What the credential said with which somebody decided, besides their login and person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presented {
    pub method: String,
    pub email: String,
    pub spiffe: String,
    pub ids: CredentialIds,
    /// When it was issued, where it says so.
    pub issued: Option<Timestamp>,
}

/// Why a decision counts no more: the credential of who gave it was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    pub at: Timestamp,
    /// Who revoked it.
    pub by: Actor,
    /// The reason of the revocation.
    pub because: String,
}

impl Vote {
    /// What `who` decided, for the parts `speaks_for`.
    pub fn of(who: &Identity, choice: Choice, reason: &str, at: Timestamp, speaks_for: Vec<usize>) -> Self {
        Self {
            choice,
            issuer: who.issuer.clone(),
            subject: who.subject.clone(),
            person: who.person.clone(),
            reason: reason.to_owned(),
            at,
            speaks_for,
            rule: None,
            presented: Some(Presented {
                method: who.method.as_str().to_owned(),
                email: who.email.clone(),
                spiffe: who.spiffe.clone(),
                ids: CredentialIds { token_id: who.token_id.clone(), session: who.session.clone() },
                issued: who.issued,
            }),
            void: None,
        }
    }

    /// An approval that nobody is asked for: the rule's own.
    pub fn of_rule(rule: &str, reason: &str, at: Timestamp) -> Self {
        Self {
            rule: Some(rule.to_owned()),
            ..Self::by(&Actor::default(), Choice::Approve, reason.to_owned(), at)
        }
    }

    /// What follows from a change that `actor` made elsewhere.
    pub fn by(actor: &Actor, choice: Choice, reason: String, at: Timestamp) -> Self {
        Self {
            choice,
            issuer: actor.issuer.clone(),
            subject: actor.subject.clone(),
            person: actor.person.clone(),
            reason,
            at,
            speaks_for: Vec::new(),
            rule: None,
            presented: None,
            void: None,
        }
    }

    /// The person, else the login, else the rule.
    pub fn author(&self) -> String {
        match &self.rule {
            Some(rule) => format!("rule {rule}"),
            None => self.person.clone().unwrap_or_else(|| self.subject.clone()),
        }
    }

    /// Whether it lets calls go on, and still counts.
    pub fn approves(&self) -> bool {
        self.choice.approves() && self.void.is_none()
    }

    /// Whether `who` may be the person who gave it: by login, or by any name of the person behind either. As for callers,
    /// a name that is not verified can only keep somebody from deciding.
    pub fn is_by(&self, who: &Identity) -> bool {
        if self.rule.is_some() {
            return false;
        }
        let same_login = self.issuer == who.issuer && self.subject == who.subject && !who.subject.is_empty();
        let (email, spiffe) = self.presented.as_ref().map_or(("", ""), |by| (&by.email, &by.spiffe));
        let own = names(self.person.as_deref(), email, &self.subject, spiffe);
        let theirs = names(who.person.as_deref(), &who.email, &who.subject, &who.spiffe);
        same_login || own.iter().flatten().any(|name| theirs.iter().flatten().any(|other| name == other))
    }

    /// The values that a revocation of the credential would name, empty for none: subject, SPIFFE id, token and session.
    pub fn revocable(&self) -> [&str; 4] {
        let by = self.presented.as_ref();
        let of = |value: fn(&Presented) -> &str| by.map_or("", value);
        [&self.subject, of(|by| &by.spiffe), of(|by| &by.ids.token_id), of(|by| &by.ids.session)]
    }

    /// Whether it was given with what is revoked. `owner` as for [`super::Caller::came_with`]. What does not say with which
    /// token it was given, or when that was issued, may be of the revoked one.
    pub fn came_with(&self, revocation: &Revocation, owner: Option<&str>) -> bool {
        let by = self.presented.as_ref();
        let credential = Credential {
            issuer: &self.issuer,
            subject: &self.subject,
            spiffe: by.map_or("", |by| &by.spiffe),
            // Nobody could decide with anything but a token.
            method: by.map_or("jwt", |by| &by.method),
            ids: by.map(|by| &by.ids),
        };
        let issued = by.and_then(|by| by.issued);
        let before =
            revocation.issued_before.is_none_or(|before| issued.is_none_or(|issued| issued < before));
        self.rule.is_none() && before && credential.is_revoked_by(revocation, owner)
    }
}
