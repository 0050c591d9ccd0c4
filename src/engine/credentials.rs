//! Follows the store's keys and revocations, so that no call waits for the store to find out whether it is refused.

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::fault::{Faults, Point};
use crate::authn::api_key::ApiKeys;
use crate::authn::revocation::Revocations;
use crate::clock;
use crate::store::{Store, StoreError};

/// How often the store is asked. Changes of this process are told at once.
const POLL: Duration = Duration::from_millis(500);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is kept in step with the store.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub revocations: Revocations,
    /// `None` where keys are not accepted.
    pub api_keys: Option<ApiKeys>,
}

/// Keeps following until it is dropped.
#[derive(Debug)]
pub struct Following(#[expect(dead_code, reason = "lives as long as this")] AbortOnDropHandle<()>);

impl Credentials {
    /// Reads everything, and follows what changes from then on. Fails when the store can't be read the first time.
    pub async fn follow(self, store: Store, faults: Faults) -> Result<Following, StoreError> {
        let mut follower = Follower { credentials: self, store, faults, seen: None };
        follower.read().await?;
        Ok(Following(AbortOnDropHandle::new(tokio::spawn(follower.run()))))
    }
}

struct Follower {
    credentials: Credentials,
    store: Store,
    faults: Faults,
    /// The newest change that is known here.
    seen: Option<i64>,
}

impl Follower {
    async fn run(mut self) {
        let mut told = self.store.credentials_changed();
        let mut failing = false;
        loop {
            // The next poll comes either way.
            tokio::time::timeout(POLL, told.changed()).await.ok();
            match self.read().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("keys and revocations can be read again");
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%error, "keys and revocations can't be read; the last that are known count");
                    }
                    // A store that fails at once is not asked in a tight loop.
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Takes in what changed since the last time.
    async fn read(&mut self) -> Result<(), StoreError> {
        // What is committed later than this may be missing from the answer.
        let asked = clock::instant();
        let reading = async {
            self.faults.pass(Point::ReadCredentials).await.map_err(|_| StoreError::Slow)?;
            self.store.credential_changes(self.seen).await
        };
        let changes = tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(StoreError::Slow))?;
        let Credentials { revocations, api_keys } = &self.credentials;
        if changes.whole || self.seen != Some(changes.newest) {
            let revoked = |(id, key): &(String, Option<_>)| (id.clone(), is_revoked(key.as_ref()));
            let revoked: Vec<_> = changes.api_keys.iter().map(revoked).collect();
            if let Some(api_keys) = api_keys {
                api_keys.change(changes.whole, changes.api_keys);
            }
            revocations.change(changes.whole, changes.revocations, revoked);
        }
        self.seen = Some(changes.newest);
        revocations.was_current(asked);
        Ok(())
    }
}

/// A key that is gone was not revoked as far as anybody knows; it is refused as one that there is not.
fn is_revoked(key: Option<&crate::credential::ApiKey>) -> bool {
    key.is_some_and(|key| key.revoked.is_some())
}

#[cfg(test)]
mod tests;
