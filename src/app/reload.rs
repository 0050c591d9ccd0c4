//! SIGHUP: the configuration is read again.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::candidate::{Candidate, Trying};
use super::policies::Following;
use super::{Loaded, Refused, load};
use crate::bundle::Control;
use crate::clock::Clock;
use crate::config;
use crate::engine::Engine;

/// Reads a server's configuration again.
#[derive(Debug)]
pub struct Reloader {
    pub(super) engine: Arc<Engine>,
    pub(super) control: Arc<Control>,
    pub(super) following: Following,
    /// Follows the candidate's files.
    pub(super) trying: Mutex<Option<Trying>>,
    pub(super) clock: Clock,
}

impl Reloader {
    /// Reads policies and identity providers again and puts them in force as one, and the key of masked hashes with them. A refusal changes nothing;
    /// sockets, store, audit trail and limits stay as they were until a restart.
    pub async fn reload(&self, config: &Path) {
        match load(config::read(config), &self.clock).await {
            Ok(loaded) => {
                // What is wrong with the policies is logged finding by finding as they are refused.
                let Loaded { policies, authenticator, candidate, keys, .. } = loaded;
                match self.following.reload(policies, authenticator, &self.control).await {
                    Ok(()) => {
                        self.try_out(candidate).await;
                        // A key that was made up lasts as long as the process does.
                        if keys.hash_lasts && self.engine.use_hash_key(keys.hash) {
                            tracing::info!("masked values are hashed under another key");
                        }
                        let revision = self.engine.snapshot().policies.revision().clone();
                        tracing::info!(%revision, "reloaded");
                    }
                    Err(why) => tracing::error!(why, "not reloaded: everything stays as it was"),
                }
            }
            Err(Refused { findings, .. }) => {
                self.engine.metrics().reload_refused("config");
                for finding in &findings {
                    tracing::error!(%finding, "not reloaded");
                }
            }
        }
    }

    /// Tries this candidate from now on, or none.
    async fn try_out(&self, candidate: Option<Candidate>) {
        *self.trying.lock().await = Some(Trying::start(candidate, &self.control).await);
    }
}
