//! SIGHUP: the configuration is read again.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::candidate::{Trial, Trying};
use super::policies::Following;
use super::{Refused, load};
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
    pub(super) trial: Mutex<Option<Trying>>,
    pub(super) clock: Clock,
}

impl Reloader {
    /// Reads policies and identity providers again and puts them in force as one. A refusal changes nothing;
    /// sockets, store, audit trail and limits stay as they were until a restart.
    pub async fn reload(&self, config: &Path) {
        match load(config::read(config), &self.clock).await {
            Ok(loaded) => {
                if self.following.reload(loaded.policies, loaded.authenticator, &self.control).await {
                    self.try_out(loaded.candidate);
                    let revision = self.engine.snapshot().policies.revision().clone();
                    tracing::info!(%revision, "reloaded");
                } else {
                    tracing::error!("not reloaded");
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
    fn try_out(&self, candidate: Option<Trial>) {
        let mut following = self.trial.lock();
        *following = None;
        if candidate.is_none() {
            self.engine.update(|snapshot| snapshot.candidate = None);
        }
        *following = candidate.map(|candidate| candidate.start(&self.engine));
    }
}
