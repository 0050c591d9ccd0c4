//! Whose call it is, and who else is the same.

use serde::{Deserialize, Serialize};

use crate::credential::{Revocation, RevocationKind};
use crate::effect::{person_key, same_person};
use crate::identity::{Identity, Method};

/// Who made the call that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub issuer: String,
    pub subject: String,
    pub person: Option<String>,
    #[serde(default)]
    pub email: String,
    pub spiffe: String,
    #[serde(default)]
    pub tenant: String,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How the identity was proven (`jwt`, `mtls`, `anonymous`).
    pub method: String,
    pub address: String,
    /// `None` in requests that were kept before this was.
    #[serde(default)]
    pub credential: Option<CredentialIds>,
}

/// The public names of the credential that a call was made with, never the credential: empty where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialIds {
    /// The token's `jti`, or the id of the API key.
    pub token_id: String,
    /// The login session that the token is of (`sid`).
    pub session: String,
}

impl Caller {
    pub fn of(identity: &Identity, address: &str) -> Self {
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            person: identity.person.clone(),
            email: identity.email.clone(),
            spiffe: identity.spiffe.clone(),
            tenant: identity.tenant.clone(),
            groups: identity.groups.clone(),
            scopes: identity.scopes.clone(),
            method: identity.method.as_str().to_owned(),
            address: address.to_owned(),
            credential: Some(CredentialIds {
                token_id: identity.token_id.clone(),
                session: identity.session.clone(),
            }),
        }
    }

    /// Whether the call was made with what is revoked, whenever that was; `owner` is the subject of a key that is
    /// revoked, if it is known. Of a request that does not say with which token it was made, any of the revoked one's
    /// issuer may be it.
    pub fn came_with(&self, revocation: &Revocation, owner: Option<&str>) -> bool {
        let credential = Credential {
            issuer: &self.issuer,
            subject: &self.subject,
            spiffe: &self.spiffe,
            method: &self.method,
            ids: self.credential.as_ref(),
        };
        credential.is_revoked_by(revocation, owner)
    }

    /// What people call the caller: the person, else the login, else the SPIFFE id. `None` for nobody in particular.
    pub fn name(&self) -> Option<&str> {
        let names = [self.person.as_deref().unwrap_or_default(), &self.subject, &self.spiffe];
        names.into_iter().find(|name| !name.is_empty())
    }

    /// Whether `who` is the caller, by verified names alone: the same login, SPIFFE id or `person`. What may be given to
    /// the caller is given by this.
    pub fn is_surely(&self, who: &Identity) -> bool {
        let same_login = self.issuer == who.issuer && self.subject == who.subject && !who.subject.is_empty();
        let same_workload = self.spiffe == who.spiffe && !who.spiffe.is_empty();
        let persons = self.person.as_deref().zip(who.person.as_deref());
        let same_person =
            persons.is_some_and(|(own, other)| !own.trim().is_empty() && same_person(own, other));
        same_login || same_workload || same_person
    }

    /// Whether `who` may be the caller: by login, by SPIFFE id, or by any name of the person behind either. A name that is
    /// not verified can only keep somebody from deciding.
    pub fn is(&self, who: &Identity) -> bool {
        let same_login = self.issuer == who.issuer && self.subject == who.subject && !who.subject.is_empty();
        let own = names(self.person.as_deref(), &self.email, &self.subject, &self.spiffe);
        let theirs = names(who.person.as_deref(), &who.email, &who.subject, &who.spiffe);
        same_login || own.iter().flatten().any(|name| theirs.iter().flatten().any(|other| name == other))
    }
}

/// The credential that a call was made, or a decision given, with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credential<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) spiffe: &'a str,
    pub(super) method: &'a str,
    /// `None` where it was not kept.
    pub(super) ids: Option<&'a CredentialIds>,
}

impl Credential<'_> {
    /// Whether this is what is revoked, whenever it was issued; the rest as [`Caller::came_with`] says.
    pub(super) fn is_revoked_by(&self, revocation: &Revocation, owner: Option<&str>) -> bool {
        let Revocation { kind, value, issuer, .. } = revocation;
        let of_issuer = issuer.is_empty() || *issuer == self.issuer;
        let is_key = self.method == Method::ApiKey.as_str();
        let is_token = [Method::Jwt, Method::Introspection, Method::Kubernetes]
            .iter()
            .any(|m| self.method == m.as_str());
        match (kind, self.ids) {
            _ if value.is_empty() => false,
            (RevocationKind::ConsoleSession, _) => false,
            (RevocationKind::Subject, _) => (self.subject == value && of_issuer) || self.spiffe == value,
            (RevocationKind::Key, Some(ids)) => is_key && ids.token_id == *value && of_issuer,
            (RevocationKind::Key, None) => is_key && owner.is_none_or(|owner| owner == self.subject),
            (RevocationKind::TokenId, Some(ids)) => ids.token_id == *value && of_issuer,
            (RevocationKind::TokenId, None) => (is_token || is_key) && of_issuer,
            (RevocationKind::Session, Some(ids)) => ids.session == *value && of_issuer,
            (RevocationKind::Session, None) => is_token && of_issuer,
        }
    }
}

/// What a person or workload is called in a credential: a subject counts where it is a mail address, or a SPIFFE id, as in
/// a JWT-SVID.
pub(super) fn names(person: Option<&str>, email: &str, subject: &str, spiffe: &str) -> [Option<String>; 4] {
    let key = |name: &str| Some(person_key(name)).filter(|name| !name.is_empty());
    let of_anybody = |name: &String| name.contains('@') || name.starts_with("spiffe://");
    [person.and_then(key), key(email), key(subject).filter(of_anybody), key(spiffe)]
}
