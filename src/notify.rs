//! Tells people of requests for approval: Slack, Teams, and webhooks of one's own.
//!
//! The store writes what is to be told together with the change that it tells of; this module takes it from there, and
//! sends it until the receiver has it or it is too old: at least once, with the same id each time. Messages lead to a
//! page, and no answer of a receiver means anything but "received": nobody approves by chat, and no link approves.

use std::sync::Arc;

use reqwest::Url;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::metrics::Metrics;
use crate::notice::Subscription;
use crate::store::Store;

mod attempt;
mod dispatch;
mod signature;
mod slack;
mod target;
mod teams;
#[cfg(test)]
mod tests;
mod webhook;
mod words;

pub use target::{Kind, Limits, TargetConfig, UrlSource};

use target::Target;

/// What is told to whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where people reach the server: links lead below it.
    pub page: Url,
    pub targets: Vec<TargetConfig>,
}

/// Targets that can be sent to: URLs and keys are read.
#[derive(Debug)]
pub struct Targets {
    page: Url,
    targets: Vec<Arc<Target>>,
}

/// What the sender works with.
#[derive(Clone)]
pub struct Ports {
    pub store: Store,
    pub audit: Audit,
    pub metrics: Metrics,
    pub clock: Clock,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// The running sender.
#[derive(Debug)]
pub struct Notifier {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Targets {
    /// Reads the URLs, keys and certificates that the configuration names; every mistake is in the error.
    pub fn load(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut mistakes = Vec::new();
        let mut targets = Vec::new();
        for target in &config.targets {
            match Target::load(target) {
                Ok(target) => targets.push(Arc::new(target)),
                Err(problem) => {
                    let message = format!("the notification target `{}`: {problem}", target.name);
                    mistakes.push(Diagnostic::error("notify-target", message));
                }
            }
        }
        if mistakes.is_empty() { Ok(Self { page: config.page.clone(), targets }) } else { Err(mistakes) }
    }

    /// What the store has to write down for these targets.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        self.targets.iter().map(|target| target.subscription.clone()).collect()
    }

    /// Sends until it is stopped. Must run within a tokio runtime.
    pub fn start(self, ports: Ports) -> Notifier {
        let stop = CancellationToken::new();
        let task = tokio::spawn(dispatch::run(self.page, self.targets, ports, stop.clone()));
        Notifier { stop, task }
    }
}

impl Notifier {
    /// Takes up nothing more, and gives what is under way a moment to end. What is cut off is sent again later.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if (&mut self.task).await.is_err() {
            tracing::error!("the sender of notifications ended by itself");
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}
