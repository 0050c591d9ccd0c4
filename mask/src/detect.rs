//! Finding sensitive values in text by what they look like: numbers by their form and check digits, keys by how they
//! begin, and what people write patterns and words for.
//!
//! A [`Detect`] says what to look for. A `Set` is all that one body's rules look for, a `Finder` goes over one text as it
//! arrives. Knows nothing of JSON or of what takes a value's place.

use self::custom::{CustomError, Pattern, Words};
use self::found::{Confidence, MAX_WITHIN};

mod card;
mod cover;
pub mod custom;
mod digits;
mod email;
mod finder;
pub mod found;
mod glance;
mod iban;
mod ip;
mod key;
mod near;
mod phone;
mod scan;
mod set;
mod ssn;

#[cfg(test)]
mod tests;

pub use finder::{Finder, Piece};
pub use glance::Glance;
pub use set::{Active, Set};

/// The kinds of values that are known by themselves. Their order is that in which texts to redact with are chosen
/// where two of them overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    PrivateKey,
    ApiKey,
    Jwt,
    Card,
    Iban,
    Ssn,
    Email,
    Phone,
    Ip,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::PrivateKey,
        Self::ApiKey,
        Self::Jwt,
        Self::Card,
        Self::Iban,
        Self::Ssn,
        Self::Email,
        Self::Phone,
        Self::Ip,
    ];

    /// The word that policies use.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ip => "ip",
        }
    }
}

/// One thing to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detector {
    Known(Kind),
    Pattern { name: String, pattern: Pattern },
    Words { name: String, words: Words },
}

impl Detector {
    /// What stands in brackets where a value was redacted.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(kind) => kind.name(),
            Self::Pattern { name, .. } | Self::Words { name, .. } => name,
        }
    }
}

/// What a rule looks for, and how sure it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detect {
    detectors: Vec<Detector>,
    near: Option<Words>,
    within: usize,
    min_confidence: Confidence,
}

/// Why a rule can't look for something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    #[error("there is nothing to detect")]
    Nothing,
    #[error("`within` is {0}, and {MAX_WITHIN} is the most")]
    TooFar(usize),
    #[error(
        "the name `{0}` of a detector is empty, longer than 64 bytes, or has other signs than letters, digits, `_` and `-`"
    )]
    Name(String),
    #[error("the words to stand near: {0}")]
    Near(CustomError),
}

impl Detect {
    /// How far from a value words may stand, unless a rule says otherwise.
    pub const DEFAULT_WITHIN: usize = 40;

    /// `near` are words that make a value certain when they stand within `within` bytes before or after it; they take the
    /// place of those that a detector has by itself. With them, what a pattern or word list finds is of low confidence
    /// unless they stand there.
    pub fn new(
        detectors: Vec<Detector>,
        near: Option<Vec<String>>,
        within: usize,
        min_confidence: Confidence,
    ) -> Result<Self, DetectError> {
        if detectors.is_empty() {
            return Err(DetectError::Nothing);
        }
        if within > MAX_WITHIN {
            return Err(DetectError::TooFar(within));
        }
        let is_name = |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(found::is_word);
        if let Some(detector) = detectors.iter().find(|detector| !is_name(detector.name())) {
            return Err(DetectError::Name(detector.name().to_owned()));
        }
        let near = near.map(Words::new).transpose().map_err(DetectError::Near)?;
        Ok(Self { detectors, near, within, min_confidence })
    }

    /// These kinds, as sure as a form alone makes.
    pub fn known(kinds: &[Kind]) -> Result<Self, DetectError> {
        let detectors = kinds.iter().map(|kind| Detector::Known(*kind)).collect();
        Self::new(detectors, None, Self::DEFAULT_WITHIN, Confidence::Medium)
    }

    pub fn detectors(&self) -> &[Detector] {
        &self.detectors
    }

    pub fn near(&self) -> Option<&[String]> {
        self.near.as_ref().map(Words::words)
    }

    pub fn within(&self) -> usize {
        self.within
    }

    pub fn min_confidence(&self) -> Confidence {
        self.min_confidence
    }
}
