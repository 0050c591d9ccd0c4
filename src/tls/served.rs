//! The certificate that a listener shows now, and how it follows its files.

use std::sync::Arc;

use parking_lot::RwLock;

use super::material::{Broken, Material};
use super::{Config, Prepared};
use crate::clock::Clock;
use crate::metrics::{Metrics, TlsListener};
use crate::watch::Changes;

/// What one listener makes handshakes with. It changes as a whole, for new connections only.
#[derive(Debug)]
pub struct Served {
    listener: TlsListener,
    config: Config,
    current: RwLock<Arc<Material>>,
    metrics: Metrics,
    clock: Clock,
}

impl Served {
    pub fn new(prepared: Prepared, metrics: Metrics, clock: Clock) -> Arc<Self> {
        let Prepared { listener, config, material } = prepared;
        metrics.certificate_expires(listener, material.expiry.as_second());
        Arc::new(Self { listener, config, current: RwLock::new(Arc::new(material)), metrics, clock })
    }

    pub fn listener(&self) -> TlsListener {
        self.listener
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn current(&self) -> Arc<Material> {
        self.current.read().clone()
    }

    /// Takes what the files hold whenever they change, until the task is dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut changes = Changes::of_files(self.config.files());
        while changes.next().await {
            changes.taken();
            let this = self.clone();
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                tracing::error!(listener = self.listener.as_str(), "changed certificates could not be read");
            }
        }
    }

    /// Reads the files again. What can't be used changes nothing.
    fn look(&self) {
        let listener = self.listener.as_str();
        match self.read_again() {
            Ok(None) => {}
            Ok(Some(material)) => {
                let expiry = material.expiry;
                *self.current.write() = Arc::new(material);
                self.metrics.certificate_expires(self.listener, expiry.as_second());
                self.metrics.tls_reloaded(self.listener, true);
                tracing::info!(listener, %expiry, "new TLS files are in use");
            }
            Err(error) => {
                self.metrics.tls_reloaded(self.listener, false);
                let expiry = self.current().expiry;
                tracing::error!(
                    listener,
                    %error,
                    %expiry,
                    "new TLS files were not taken; the old certificate stays until it expires"
                );
            }
        }
    }

    /// `None`: the files hold what is in use.
    fn read_again(&self) -> Result<Option<Material>, Broken> {
        let material = Material::read(&self.config, self.listener, &self.clock)?;
        if material.fingerprint == self.current().fingerprint {
            return Ok(None);
        }
        material.check_validity(&self.config, self.clock.now())?;
        Ok(Some(material))
    }
}
