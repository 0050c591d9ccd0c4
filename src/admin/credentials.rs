//! Keys and revocations: who may see and change them; the one implementation behind gRPC and JSON.

use std::sync::Arc;

use jiff::Timestamp;

use super::approvals::check_reason;
use super::encode::timestamp;
use super::fault::Fault;
use super::page::{next_page, page};
use super::{AdminState, CredentialEvent, v1, visible};
use crate::actor::Actor;
use crate::credential::{ApiKey, Revocation, RevocationKind};
use crate::effect::named_person;
use crate::identity::Identity;
use crate::store::{Changed, CredentialChange, NewApiKey, NewRevocation, RevokedKey};

/// The longest subject, id, issuer or group, in bytes.
const LONGEST: usize = 1_024;
const MAX_NAME: usize = 200;
const MAX_GROUPS: usize = 100;

impl AdminState {
    pub(super) async fn list_api_keys(
        &self,
        who: &Identity,
        request: v1::ListApiKeysRequest,
    ) -> Result<v1::ListApiKeysResponse, Fault> {
        self.may_look(who)?;
        let (limit, before) = page(request.limit, &request.page_token)?;
        let keys = self.store.api_keys(limit, before).await?;
        let now = self.clock.now();
        Ok(v1::ListApiKeysResponse {
            next_page_token: next_page(limit, keys.len(), keys.last().map(|key| &key.id)),
            keys: keys.iter().map(|key| api_key(key, now)).collect(),
        })
    }

    pub(super) async fn create_api_key(
        &self,
        who: &Arc<Identity>,
        request: v1::CreateApiKeyRequest,
    ) -> Result<v1::CreateApiKeyResponse, Fault> {
        self.may_administer(who)?;
        let keys = self.api_keys.as_ref().ok_or(Fault::KeysNotConfigured)?;
        check_key(&request)?;
        let expires = self.later("expires", request.expires.as_ref())?;
        let person = named_person(request.person).or_else(|| who.person.clone());
        let minted = keys.mint().map_err(|error| {
            tracing::error!(%error, "a key could not be made");
            Fault::Unavailable
        })?;
        let new = NewApiKey {
            id: minted.id,
            name: request.name,
            owner: request.owner,
            person: person.unwrap_or_default(),
            groups: request.groups,
            hash: minted.hash,
            created_by: Actor::of(who),
            expires,
        };
        let change = CredentialChange::CreateKey(new);
        match self.change_credential(who, change, String::new(), "key").await? {
            Changed::Key(key) => Ok(v1::CreateApiKeyResponse {
                key: Some(api_key(&key, self.clock.now())),
                secret: minted.key.expose().clone(),
            }),
            _ => Err(Fault::Unavailable),
        }
    }

    pub(super) async fn revoke_api_key(
        &self,
        who: &Arc<Identity>,
        request: v1::RevokeApiKeyRequest,
    ) -> Result<v1::ApiKey, Fault> {
        self.may_administer(who)?;
        let reason = check_reason(&request.reason)?;
        let revoked = RevokedKey { id: request.id, by: Actor::of(who), reason: reason.clone() };
        match self.change_credential(who, CredentialChange::RevokeKey(revoked), reason, "key").await? {
            Changed::Key(key) => Ok(api_key(&key, self.clock.now())),
            _ => Err(Fault::Unavailable),
        }
    }

    pub(super) async fn list_revocations(
        &self,
        who: &Identity,
        request: v1::ListRevocationsRequest,
    ) -> Result<v1::ListRevocationsResponse, Fault> {
        self.may_look(who)?;
        let (limit, before) = page(request.limit, &request.page_token)?;
        let found = self.store.revocations(limit, before).await?;
        let now = self.clock.now();
        Ok(v1::ListRevocationsResponse {
            next_page_token: next_page(limit, found.len(), found.last().map(|one| &one.id)),
            revocations: found.iter().map(|one| revocation(one, now)).collect(),
        })
    }

    pub(super) async fn create_revocation(
        &self,
        who: &Arc<Identity>,
        request: v1::CreateRevocationRequest,
    ) -> Result<v1::Revocation, Fault> {
        self.may_administer(who)?;
        let new = self.revocation_of(who, request)?;
        let change = CredentialChange::Revoke(new);
        match self.change_credential(who, change, String::new(), "revocation").await? {
            Changed::Revocation(made) => Ok(revocation(&made, self.clock.now())),
            _ => Err(Fault::Unavailable),
        }
    }

    pub(super) async fn undo_revocation(
        &self,
        who: &Arc<Identity>,
        request: v1::UndoRevocationRequest,
    ) -> Result<v1::Revocation, Fault> {
        self.may_administer(who)?;
        let reason = check_reason(&request.reason)?;
        let change = CredentialChange::Undo(request.id);
        match self.change_credential(who, change, reason, "revocation").await? {
            Changed::Revocation(undone) => {
                Ok(v1::Revocation { active: false, ..revocation(&undone, self.clock.now()) })
            }
            _ => Err(Fault::Unavailable),
        }
    }

    /// Writes a change and tells of it: a task of its own, so that none stays untold because its author hung up, or ran
    /// out of time, between the commit and the telling.
    async fn change_credential(
        &self,
        who: &Arc<Identity>,
        change: CredentialChange,
        reason: String,
        what: &'static str,
    ) -> Result<Changed, Fault> {
        let (state, who) = (self.clone(), who.clone());
        let undoes = matches!(change, CredentialChange::Undo(_));
        let creates = matches!(change, CredentialChange::CreateKey(_));
        let changing = tokio::spawn(async move {
            let changed = state.store.change_credential(change).await?;
            let event = match &changed {
                Changed::Full => return Err(Fault::Full(what)),
                Changed::Unknown => return Err(Fault::NoSuch(what)),
                Changed::Key(key) if creates => CredentialEvent::KeyCreated(key),
                Changed::Key(key) => CredentialEvent::KeyRevoked(key, &reason),
                Changed::Revocation(undone) if undoes => CredentialEvent::Undone(undone, &reason),
                Changed::Revocation(made) => CredentialEvent::Revoked(made),
            };
            state.events.credential_changed(&who, event).await;
            Ok(changed)
        });
        changing.await.unwrap_or(Err(Fault::Unavailable))
    }

    fn revocation_of(
        &self,
        who: &Identity,
        request: v1::CreateRevocationRequest,
    ) -> Result<NewRevocation, Fault> {
        let kind = request.kind.parse::<RevocationKind>();
        let kind = kind.map_err(|error| Fault::Invalid(error.to_string()))?;
        check_text("value", &request.value, LONGEST)?;
        if !request.issuer.is_empty() {
            check_text("issuer", &request.issuer, LONGEST)?;
        }
        let reason = check_reason(&request.reason)?;
        if kind == RevocationKind::Key && !request.issuer.is_empty() {
            return Err(invalid("a key has no issuer: leave `issuer` out"));
        }
        Ok(NewRevocation {
            kind,
            issued_before: self.issued_before(kind, &request)?,
            until: self.later("until", request.until.as_ref())?,
            value: request.value,
            issuer: request.issuer,
            created_by: Actor::of(who),
            reason,
        })
    }

    fn issued_before(
        &self,
        kind: RevocationKind,
        request: &v1::CreateRevocationRequest,
    ) -> Result<Option<Timestamp>, Fault> {
        let before = match (&request.issued_before, request.issued_before_now) {
            (None, false) => return Ok(None),
            (Some(_), true) => return Err(invalid("give either `issuedBefore` or `issuedBeforeNow`")),
            (None, true) => self.clock.now(),
            (Some(at), false) => time("issuedBefore", at)?,
        };
        if !matches!(kind, RevocationKind::Subject | RevocationKind::Session) {
            return Err(invalid("`issuedBefore` goes with a subject or a session"));
        }
        if before > self.clock.now() {
            return Err(invalid("`issuedBefore` is yet to come"));
        }
        Ok(Some(before))
    }

    /// A time that must be yet to come.
    fn later(&self, what: &str, at: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Fault> {
        let Some(at) = at else { return Ok(None) };
        let at = time(what, at)?;
        if at <= self.clock.now() {
            return Err(Fault::Invalid(format!("`{what}` is past")));
        }
        Ok(Some(at))
    }
}

fn check_key(request: &v1::CreateApiKeyRequest) -> Result<(), Fault> {
    check_text("owner", &request.owner, LONGEST)?;
    for (what, text, most) in [("name", &request.name, MAX_NAME), ("person", &request.person, LONGEST)] {
        if !text.is_empty() {
            check_text(what, text, most)?;
        }
    }
    if request.groups.len() > MAX_GROUPS {
        return Err(Fault::Invalid(format!("a key has at most {MAX_GROUPS} groups")));
    }
    request.groups.iter().try_for_each(|group| check_text("groups", group, LONGEST))
}

/// Names are compared and read by people: nothing in them may hide.
fn check_text(what: &str, text: &str, most: usize) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::Invalid(format!("`{what}` is empty")));
    }
    if text.len() > most {
        return Err(Fault::Invalid(format!("`{what}` is longer than {most} bytes")));
    }
    if text.chars().any(visible::is_deceptive) {
        return Err(Fault::Invalid(format!("`{what}` has control or invisible characters")));
    }
    Ok(())
}

fn invalid(message: &str) -> Fault {
    Fault::Invalid(message.to_owned())
}

fn time(what: &str, at: &prost_types::Timestamp) -> Result<Timestamp, Fault> {
    Timestamp::new(at.seconds, at.nanos)
        .map_err(|_| Fault::Invalid(format!("`{what}` is no time between the years -9999 and 9999")))
}

fn actor(actor: &Actor) -> v1::Actor {
    v1::Actor {
        issuer: actor.issuer.clone(),
        subject: actor.subject.clone(),
        person: actor.person.clone().unwrap_or_default(),
    }
}

fn api_key(key: &ApiKey, now: Timestamp) -> v1::ApiKey {
    v1::ApiKey {
        id: key.id.clone(),
        name: key.name.clone(),
        owner: key.owner.clone(),
        groups: key.groups.clone(),
        person: key.person.clone(),
        created: Some(timestamp(key.created)),
        created_by: Some(actor(&key.created_by)),
        expires: key.expires.map(timestamp),
        revoked: key.revoked.map(timestamp),
        state: key.state_at(now).as_str().to_owned(),
    }
}

fn revocation(revocation: &Revocation, now: Timestamp) -> v1::Revocation {
    v1::Revocation {
        id: revocation.id.clone(),
        kind: revocation.kind.as_str().to_owned(),
        value: revocation.value.clone(),
        issuer: revocation.issuer.clone(),
        issued_before: revocation.issued_before.map(timestamp),
        until: revocation.until.map(timestamp),
        created: Some(timestamp(revocation.created)),
        created_by: Some(actor(&revocation.created_by)),
        reason: revocation.reason.clone(),
        active: revocation.is_active_at(now),
    }
}
