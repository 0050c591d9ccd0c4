//! Keys and revocations in the writer's transaction.

use jiff::Timestamp;

use super::Batch;
use crate::credential::{ApiKey, Revocation, RevocationKind};
use crate::store::StoreError;
use crate::store::credentials::{
    Changed, CredentialChange, MAX_CREDENTIALS, MAX_LOGOUTS, NewApiKey, NewRevocation, RevokedKey,
};

impl Batch<'_> {
    pub(super) async fn change_credential(
        &mut self,
        change: &CredentialChange,
    ) -> Result<Changed, StoreError> {
        self.revocations.clear();
        let changed = match change {
            CredentialChange::CreateKey(new) => self.create_key(new).await?,
            CredentialChange::RevokeKey(revoked) => self.revoke_key(revoked).await?,
            CredentialChange::Revoke(new) => self.revoke(new).await?,
            CredentialChange::Undo(id) => self.undo(id).await?,
        };
        self.committed.credentials |= matches!(changed, Changed::Key(_) | Changed::Revocation(_));
        Ok(changed)
    }

    async fn create_key(&mut self, new: &NewApiKey) -> Result<Changed, StoreError> {
        if self.transaction.count_api_keys().await? >= i64::from(MAX_CREDENTIALS) {
            return Ok(Changed::Full);
        }
        let key = ApiKey {
            id: new.id.clone(),
            name: new.name.clone(),
            owner: new.owner.clone(),
            person: new.person.clone(),
            groups: new.groups.clone(),
            hash: new.hash.clone(),
            created: self.now,
            created_by: new.created_by.clone(),
            expires: new.expires.map(stored),
            revoked: None,
        };
        self.transaction.insert_api_key(&key).await?;
        Ok(Changed::Key(key))
    }

    async fn revoke_key(&mut self, revoked: &RevokedKey) -> Result<Changed, StoreError> {
        let RevokedKey { id, by, reason } = revoked;
        let Some(mut key) = self.transaction.api_key(id).await? else { return Ok(Changed::Unknown) };
        if key.revoked.is_none() {
            key.revoked = Some(self.now);
            self.transaction.revoke_api_key(id, self.now).await?;
            let for_good = Revocation {
                id: String::new(),
                kind: RevocationKind::Key,
                value: id.clone(),
                issuer: String::new(),
                issued_before: None,
                until: None,
                created: self.now,
                created_by: by.clone(),
                reason: reason.clone(),
            };
            self.revoke_approvals(&for_good).await?;
        }
        Ok(Changed::Key(key))
    }

    async fn revoke(&mut self, new: &NewRevocation) -> Result<Changed, StoreError> {
        let logout = new.kind == RevocationKind::ConsoleSession;
        let most = if logout { MAX_LOGOUTS } else { MAX_CREDENTIALS };
        if self.transaction.count_revocations(logout).await? >= i64::from(most) {
            return Ok(Changed::Full);
        }
        let revocation = Revocation {
            id: self.ids.next(self.now),
            kind: new.kind,
            value: new.value.clone(),
            issuer: new.issuer.clone(),
            issued_before: new.issued_before.map(stored),
            until: new.until.map(stored),
            created: self.now,
            created_by: new.created_by.clone(),
            reason: new.reason.clone(),
        };
        self.transaction.insert_revocation(&revocation).await?;
        if !logout {
            self.revoke_approvals(&revocation).await?;
        }
        Ok(Changed::Revocation(revocation))
    }

    async fn undo(&mut self, id: &str) -> Result<Changed, StoreError> {
        let found = self.transaction.revocation(id).await?;
        let named = found.filter(|found| found.kind != RevocationKind::ConsoleSession);
        let Some(revocation) = named else { return Ok(Changed::Unknown) };
        self.transaction.delete_revocation(id, self.now).await?;
        Ok(Changed::Revocation(revocation))
    }
}

/// As precise as what is stored, so that what is answered equals what is read back.
fn stored(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
