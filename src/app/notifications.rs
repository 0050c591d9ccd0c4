//! Notifications: from the configuration to a sender that waits for the server to serve.

use crate::bundle;
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::notify::{Ports, Targets};

/// The receivers, with their URLs and keys; `Some(None)` without any.
pub(super) fn read(config: &Config, findings: &mut Vec<Diagnostic>) -> Option<Option<Targets>> {
    let Some(config) = &config.notify else { return Some(None) };
    Targets::load(config).map(Some).map_err(|mistakes| findings.extend(mistakes)).ok()
}

/// From now on the store writes down what the receivers are to be told.
pub(super) fn subscribe(targets: Option<Targets>, ports: &bundle::Ports) -> Option<(Targets, Ports)> {
    let targets = targets?;
    ports.store.subscribe(targets.subscriptions());
    let bundle::Ports { store, audit, metrics, clock, .. } = ports.clone();
    Some((targets, Ports { store, audit, metrics, clock }))
}
