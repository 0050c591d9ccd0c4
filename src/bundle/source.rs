//! Where policies come from, and what they must satisfy to be taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::content::{self, Key};
use super::{Bundle, Limits, LoadError, Prepared, Refusal, Refused, Trust, cases, digest, read};
use crate::policy;
use crate::store::Content;

/// What the configuration says about policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub source: Source,
    /// Public keys: with any, only bundles that one of them signed are taken.
    pub keys: Vec<PathBuf>,
    /// Whether files are watched; they are always read again on SIGHUP.
    pub watch: bool,
    /// The largest bundle, packed; `None` for the default of `Limits`.
    pub max_bytes: Option<u64>,
    /// Policies that are tried beside the active ones.
    pub candidate: Option<CandidateConfig>,
}

/// What the configuration says about a candidate. Its source is read from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateConfig {
    pub source: Source,
    /// The percentage of callers for whom it decides.
    pub share: u8,
    /// How many disagreements of each kind are recorded in a minute.
    pub sample: u32,
}

impl CandidateConfig {
    /// Reads and judges the candidate: it may come to decide calls, so it must be what the active policies must be.
    pub fn judge(&self, admission: &Admission) -> Result<Offer, Refused> {
        let Some(found) = self.source.read(&admission.limits) else {
            return Err(Refused::because(Refusal::Unreadable, "a candidate is read from disk"));
        };
        found.admit(admission)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Policy files and folders.
    Paths(Vec<PathBuf>),
    /// A bundle on disk.
    File(PathBuf),
    /// A bundle that is fetched again and again.
    Url(Remote),
}

/// A bundle behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub url: Url,
    /// How often it is asked for.
    pub poll: Duration,
    /// A bearer token, read anew for each request.
    pub token_file: Option<PathBuf>,
    /// Certificates that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// The URL without its query, which may be a credential (a pre-signed URL).
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_fragment(None);
    if shown.query().is_some() {
        shown.set_query(Some("..."));
    }
    shown.into()
}

/// As the log and the history name it.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Paths(paths) => {
                let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                f.write_str(&names.join(", "))
            }
            Self::File(path) => path.display().fmt(f),
            Self::Url(remote) => shown(&remote.url).fmt(f),
        }
    }
}

/// What policies must satisfy to be taken, wherever they come from.
#[derive(Clone, Debug)]
pub struct Admission {
    pub trust: Trust,
    pub limits: Limits,
    pub options: policy::Options,
}

/// Policies that compile and whose cases pass, with what the store keeps of them.
#[derive(Clone, Debug)]
pub struct Offer {
    pub prepared: Prepared,
    pub content: Content,
    pub key: Key,
}

impl Admission {
    /// Verifies, compiles and tests an archive.
    pub fn archive(&self, bytes: Vec<u8>) -> Result<Offer, Refused> {
        let prepared = Bundle::open(&bytes, &self.trust, &self.limits)?.prepare(&self.options)?;
        let key = Key::of(&prepared.bundle);
        Ok(Offer { prepared, content: Content::Archive(bytes), key })
    }

    /// Compiles and tests plain files. Where keys are configured they are refused: nobody signed them.
    pub fn files(&self, bundle: Bundle) -> Result<Offer, Refused> {
        if !self.trust.is_empty() {
            return Err(Refused::because(Refusal::Unsigned, "plain files"));
        }
        let key = Key::of(&bundle);
        let content = content::encode(&bundle).map_err(|error| unreadable("the policies", error))?;
        Ok(Offer { prepared: bundle.prepare(&self.options)?, content: Content::Files(content), key })
    }

    /// What the store kept, judged as if it came today.
    pub fn kept(&self, content: Content) -> Result<Offer, Refused> {
        match content {
            Content::Archive(bytes) => self.archive(bytes),
            Content::Files(bytes) => {
                let bundle = content::decode(&bytes)
                    .map_err(|error| unreadable("the revision that the store keeps", error))?;
                self.files(bundle)
            }
        }
    }
}

/// What lies at a local source now: bytes that are judged next, and a fingerprint that tells one content from
/// another, also one that is refused.
#[derive(Debug)]
pub struct Found {
    pub fingerprint: String,
    content: Result<Raw, Refused>,
}

#[derive(Debug)]
enum Raw {
    Files(Box<Bundle>),
    Archive(Vec<u8>),
}

impl Found {
    /// Reads the files at `paths`, and the cases beside them.
    pub fn paths(paths: &[PathBuf]) -> Self {
        match read(paths).and_then(|policies| Ok(Bundle::of_files(policies, cases(paths)?))) {
            Ok(bundle) => {
                Self { fingerprint: Key::of(&bundle).to_string(), content: Ok(Raw::Files(Box::new(bundle))) }
            }
            Err(error) => Self::unreadable(&error),
        }
    }

    /// Reads one bundle.
    pub fn file(path: &Path, limits: &Limits) -> Self {
        match super::load::read_bytes(path, limits.packed) {
            Ok(bytes) => Self::bytes(bytes),
            Err(error) => Self::unreadable(&error),
        }
    }

    /// A bundle that was fetched.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self { fingerprint: digest::sha256(&bytes), content: Ok(Raw::Archive(bytes)) }
    }

    fn unreadable(error: &LoadError) -> Self {
        let refusal = match error {
            LoadError::TooLarge { .. } => Refusal::TooLarge,
            _ => Refusal::Unreadable,
        };
        let fingerprint = digest::sha256(error.to_string().as_bytes());
        Self { fingerprint, content: Err(Refused::because(refusal, error)) }
    }

    /// Judges it.
    pub fn admit(self, admission: &Admission) -> Result<Offer, Refused> {
        match self.content? {
            Raw::Files(bundle) => admission.files(*bundle),
            Raw::Archive(bytes) => admission.archive(bytes),
        }
    }
}

fn unreadable(what: &str, error: impl std::fmt::Display) -> Refused {
    Refused::because(Refusal::Unreadable, format_args!("{what} ({error})"))
}
