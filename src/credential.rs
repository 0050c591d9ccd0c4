//! What is known of credentials beyond themselves: the keys that were handed out, and what was revoked.
//!
//! Values alone: who keeps them is `store`, who refuses by them is `authn`.

use std::str::FromStr;

use jiff::Timestamp;

use crate::actor::Actor;

/// A key that was handed out, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Public: it is part of the key, and names it in lists and records.
    pub id: String,
    /// What it is for, in its creator's words.
    pub name: String,
    /// The subject of calls that are made with it.
    pub owner: String,
    /// The human being behind it, whose calls nobody else may pass for; empty for nobody.
    pub person: String,
    pub groups: Vec<String>,
    /// HMAC-SHA-256 in hex, under a key that is not stored beside it.
    pub hash: String,
    pub created: Timestamp,
    pub created_by: Actor,
    /// `None`: it ends when it is revoked.
    pub expires: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
}

/// Whether a key is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    Active,
    Expired,
    Revoked,
}

/// Credentials that are refused although they are genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub id: String,
    pub kind: RevocationKind,
    /// The subject, `jti`, `sid` or key id that is refused.
    pub value: String,
    /// Only credentials of this issuer; empty for those of any.
    pub issuer: String,
    /// Only credentials issued before; one that does not say when counts as issued before.
    pub issued_before: Option<Timestamp>,
    /// When it ends; `None` for never.
    pub until: Option<Timestamp>,
    pub created: Timestamp,
    pub created_by: Actor,
    pub reason: String,
}

/// What a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationKind {
    /// Everything that proves this subject, or this SPIFFE id.
    Subject,
    /// One token, by its `jti`.
    TokenId,
    /// The tokens of one login, by their `sid`.
    Session,
    /// One API key, by its id.
    Key,
    /// One session of the console, by its own id: a log-out. Nobody makes one by name, and nobody else's credentials have
    /// anything to do with it.
    ConsoleSession,
}

impl ApiKey {
    pub fn state_at(&self, now: Timestamp) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|end| end <= now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }
}

impl KeyState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Revocation {
    /// Whether it holds at `now`.
    pub fn is_active_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|end| now < end)
    }
}

impl RevocationKind {
    /// Those that people name.
    pub const ALL: [Self; 4] = [Self::Subject, Self::TokenId, Self::Session, Self::Key];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::TokenId => "token_id",
            Self::Session => "session",
            Self::Key => "key",
            Self::ConsoleSession => "console_session",
        }
    }
}

/// The text is no kind of revocation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not what a revocation can name: it is one of subject, token_id, session, key")]
pub struct UnknownKind(String);

impl FromStr for RevocationKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in RevocationKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("person".parse::<RevocationKind>().is_err());
    }
}
