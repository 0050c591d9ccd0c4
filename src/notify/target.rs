//! One receiver: where it is, what it wants to hear, and how it is spoken to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::signature::Key;
use crate::notice::Subscription;
use crate::outbound::{self, Environment, GuardedClient, Reach, UrlFault};
use crate::secret::Secret;

/// A receiver, as the configuration describes it.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Names it in metrics, logs and records.
    pub name: String,
    pub kind: Kind,
    pub url: UrlSource,
    pub subscription: Subscription,
    /// Certificates to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the URL may be `http://` to another machine.
    pub allow_insecure: bool,
    pub reach: Reach,
    pub limits: Limits,
}

/// What it understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Slack,
    Teams,
    /// Files with the keys that sign; each signs every message.
    Webhook(Vec<PathBuf>),
}

/// The URL itself is often the only secret that protects a chat's webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    Given(Secret<String>),
    File(PathBuf),
}

/// How hard it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one attempt.
    pub timeout: Duration,
    /// Attempts at the same time.
    pub concurrency: usize,
    pub max_attempts: u32,
    /// What is older is given up.
    pub max_age: Duration,
    /// When more wait, the oldest are dropped.
    pub max_waiting: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let (timeout, max_age) = (Duration::from_secs(10), Duration::from_secs(24 * 3_600));
        Self { timeout, concurrency: 4, max_attempts: 150, max_age, max_waiting: 10_000 }
    }
}

/// How a message is written.
#[derive(Debug)]
pub(super) enum Form {
    Slack,
    Teams,
    Webhook(Vec<Key>),
}

/// A receiver that can be sent to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) url: Secret<Url>,
    pub(super) client: GuardedClient,
    pub(super) subscription: Subscription,
    pub(super) limits: Limits,
}

impl Target {
    /// Reads what the configuration names. The error is for the operator, and says nothing of the URL.
    pub(super) fn load(config: &TargetConfig) -> Result<Self, String> {
        let url = match &config.url {
            UrlSource::Given(url) => url.expose().clone(),
            UrlSource::File(path) => read(path)?,
        };
        let url = check_url(url.trim(), config.allow_insecure)?;
        config.reach.check_url(&url).map_err(|unreachable| unreachable.to_string())?;
        let form = match &config.kind {
            Kind::Slack => Form::Slack,
            Kind::Teams => Form::Teams,
            Kind::Webhook(files) => {
                Form::Webhook(files.iter().map(|path| key(path)).collect::<Result<_, _>>()?)
            }
        };
        let client = outbound::guarded_client(
            &url,
            config.ca_file.as_deref(),
            config.limits.timeout,
            config.reach.clone(),
            &Environment::of_process(),
        )?;
        Ok(Self {
            name: config.name.clone(),
            form,
            url: Secret::new(url),
            client,
            subscription: config.subscription.clone(),
            limits: config.limits,
        })
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("can't read `{}`: {error}", path.display()))
}

fn key(path: &Path) -> Result<Key, String> {
    Key::parse(&read(path)?).map_err(|error| format!("the key in `{}`: {error}", path.display()))
}

/// Never repeats the text: it may be a secret, whatever is wrong with it.
fn check_url(text: &str, allow_insecure: bool) -> Result<Url, String> {
    // Where it may lead is `reach`'s business, which the operator can widen.
    outbound::web_url(text, allow_insecure).map_err(|fault| {
        match fault {
            UrlFault::NotHttp | UrlFault::Metadata => "its URL is not an `https://` URL",
            UrlFault::Credentials => "its URL must not hold a user name or password",
            UrlFault::Insecure => {
                "over `http://`, messages and the URL itself can be read on the way; use `https://`, or set \
                 `allow_insecure: true`"
            }
        }
        .to_owned()
    })
}
