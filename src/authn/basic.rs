//! User names and passwords, as HTTP Basic sends them (RFC 7617), against a file of Argon2id hashes.
//!
//! Verifying a password takes a processor for tens of milliseconds, and tens of megabytes. So it happens off the
//! threads that serve calls, so many at a time, and a password that was right is remembered for a minute.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::{Identity, Method};
use crate::metrics::{IdentityCache, Metrics};
use crate::reason::Reason;
use crate::secret::Secret;

use super::answers::{Answer, Answers, Key};
use super::config::{BasicConfig, CacheConfig};

mod password;
#[cfg(test)]
mod tests;
mod users;

use password::Hash;
use users::Users;

pub use password::hash as hash_password;

/// A name and a password in Base64.
const MAX_CREDENTIALS: usize = 4 << 10;
const MAX_FILE: u64 = 16 << 20;
/// A call waits this long for its turn.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// A right password is remembered for a minute; a wrong one for a second, so that a caller who insists costs less.
const REMEMBERED: CacheConfig =
    CacheConfig { max_ttl: Duration::from_secs(60), negative_ttl: Duration::from_secs(1), entries: 10_000 };

/// Finds out whether passwords are right.
pub struct Basic {
    users: Arc<Users>,
    realm: String,
    turns: Arc<Semaphore>,
    answers: Answers,
    /// Of this process alone: digests of names and passwords are worth nothing elsewhere.
    key: hmac::Key,
}

/// What the caller sent.
struct Credentials {
    name: String,
    password: Secret<Zeroizing<String>>,
}

impl Basic {
    /// Reads the file of users.
    pub async fn build(config: BasicConfig, clock: Clock) -> Result<Self, Vec<Diagnostic>> {
        let file: Arc<str> = config.file.to_string_lossy().into();
        let unreadable = |error: String| {
            vec![Diagnostic::error("unreadable-file", format!("can't read the users in `{file}`: {error}"))]
        };
        let size =
            tokio::fs::metadata(&config.file).await.map_err(|error| unreadable(error.to_string()))?.len();
        if size > MAX_FILE {
            return Err(unreadable(format!("it is larger than {MAX_FILE} bytes")));
        }
        let text = tokio::fs::read_to_string(&config.file).await.map(Zeroizing::new);
        let text = text.map_err(|error| unreadable(error.to_string()))?;
        let parsed = {
            let file = file.clone();
            tokio::task::spawn_blocking(move || Users::parse(&file, &text)).await
        };
        let users = parsed.map_err(|error| unreadable(error.to_string()))??;
        if let Some(warning) = nameless(&users, &file) {
            warn!("{warning}");
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| unreadable("the system gives no random numbers".to_owned()))?;
        Ok(Self {
            users: Arc::new(users),
            realm: config.realm,
            turns: Arc::new(Semaphore::new(config.concurrency)),
            answers: Answers::new(IdentityCache::Basic, REMEMBERED, clock),
            key,
        })
    }

    /// Whose name and password these are: what follows `Basic ` in the header.
    pub async fn identify(&self, credentials: &str) -> Result<Arc<Identity>, Reason> {
        let credentials = Credentials::parse(credentials).ok_or(Reason::BasicInvalid)?;
        let key = self.digest(&credentials).ok_or(Reason::InternalError)?;
        self.answers.get(key, self.verify(credentials)).await
    }

    /// For the challenge `Basic realm="..."`: ASCII without quotes and backslashes.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Counts remembered answers from now on. The first call decides where to.
    pub fn count_in(&self, metrics: &Metrics) {
        self.answers.count_in(metrics);
    }

    /// The length keeps `ab` + `c` apart from `a` + `bc`.
    fn digest(&self, credentials: &Credentials) -> Option<Key> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&credentials.name.len().to_le_bytes());
        context.update(credentials.name.as_bytes());
        context.update(credentials.password.expose().as_bytes());
        context.sign().as_ref().try_into().ok()
    }

    async fn verify(&self, credentials: Credentials) -> Result<Answer, Reason> {
        let turn = self.turn().await?;
        let (users, name) = (self.users.clone(), credentials.name.clone());
        let checked = tokio::task::spawn_blocking(move || {
            // A caller that hangs up does not end this: its memory counts until it is done.
            let _turn = turn;
            users.check(&credentials.name, credentials.password.expose().as_bytes(), Hash::is_of).cloned()
        });
        let known = checked.await.map_err(|_| Reason::InternalError)?.ok_or(Reason::BasicInvalid)?;
        let identity = Identity {
            method: Method::Basic,
            subject: name,
            issuer: self.realm.clone(),
            groups: known.groups,
            person: known.person,
            ..Identity::clone(&Identity::anonymous())
        };
        Ok(Answer { identity, bytes: 0 })
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Reason> {
        match timeout(MAX_WAIT, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Reason::BasicOverloaded),
        }
    }
}

/// Subjects differ from one application to the next: without a person, a caller may pass for somebody else than the approver
/// that they are.
fn nameless(users: &Users, file: &str) -> Option<String> {
    let (nameless, all) = (users.nameless(), users.len());
    (nameless > 0).then(|| {
        format!(
            "{nameless} of the {all} users in `{file}` name no person: who calls as one of them may approve that call with \
             another login; add the person, as in `name:hash:groups:person`"
        )
    })
}

/// A line for the file of users; without groups or a person where these are empty. The error says what is wrong with the
/// name, a group or the person.
pub fn user_line(name: &str, password: &str, groups: &str, person: &str) -> Result<String, String> {
    let hash = hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    let line = match (groups, person) {
        ("", "") => format!("{name}:{hash}"),
        (_, "") => format!("{name}:{hash}:{groups}"),
        _ => format!("{name}:{hash}:{groups}:{person}"),
    };
    // A colon would move what follows it into the next field.
    if groups.contains(':') {
        return Err("a group must not have a colon in it".to_owned());
    }
    match Users::parse(&"".into(), &line) {
        Ok(users) if users.contains(name) => Ok(line),
        Ok(_) => Err("a name must not begin with `#`, nor hold a colon or a line break".to_owned()),
        Err(findings) => Err(findings.into_iter().map(|finding| finding.message).collect()),
    }
}

impl Credentials {
    /// `None` for anything that RFC 7617 does not allow.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CREDENTIALS {
            return None;
        }
        let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
        let decoded = std::str::from_utf8(&decoded).ok()?;
        if decoded.chars().any(char::is_control) {
            return None;
        }
        let (name, password) = decoded.split_once(':')?;
        let password = Secret::new(Zeroizing::new(password.to_owned()));
        Some(Self { name: name.to_owned(), password })
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}
