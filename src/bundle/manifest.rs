//! What a bundle says about itself.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::open::Limits;
use super::refusal::{Refusal, Refused};
use super::{digest, path};

/// The format of bundles that this version writes; newer ones are refused.
pub const FORMAT: u32 = 1;
/// The name of the manifest in the archive.
pub(super) const FILE: &str = "manifest.json";
/// Room for as many files as a bundle may hold.
pub(super) const MAX_BYTES: u64 = 8 << 20;
const MAX_NAME: usize = 64;
/// What `is_name` asks for, in words.
pub const NAME_IS: &str = "1 to 64 of `a-z0-9._-`, beginning with a letter or digit";

/// `manifest.json`, the first file of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    /// Which bundle this is a version of.
    pub name: Arc<str>,
    pub version: Version,
    /// SHA-256 over `files`, in hex: what the bundle holds, whoever signed it and whenever it was built.
    pub digest: Arc<str>,
    pub created: jiff::Timestamp,
    /// The digest of the version that this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<str>>,
    /// The oldest server that may load it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_server: Option<Version>,
    /// Every other file of the archive but the signatures, sorted by path.
    pub files: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    pub path: Arc<str>,
    pub size: u64,
    /// In hex.
    pub sha256: Arc<str>,
}

/// Refuses a manifest of a newer format, whatever else is in it.
pub(super) fn check_format(bytes: &[u8]) -> Result<(), Refused> {
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(invalid)?;
    if head.format > u64::from(FORMAT) {
        let what = format!("`{FILE}` says format {}, and {FORMAT} is known", head.format);
        return Err(Refused::because(Refusal::FutureFormat, what));
    }
    Ok(())
}

fn invalid(error: serde_json::Error) -> Refused {
    Refused::because(Refusal::InvalidManifest, error)
}

impl Manifest {
    /// Reads and checks `manifest.json`, whose format was checked. Read without a tree of values in between, so that it
    /// can't grow to many times its size; a repeated key is a mistake to serde too.
    pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Refused> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(invalid)?;
        manifest.check(limits)?;
        Ok(manifest)
    }

    /// The bytes of `manifest.json`: the same for equal manifests.
    pub(super) fn write(&self) -> Result<Vec<u8>, Refused> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Refused::because(Refusal::InvalidManifest, error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// How this version stands to another, as Semantic Versioning orders them: build metadata (`+...`) does not count.
    pub fn compare(&self, version: &Version) -> Ordering {
        self.version.cmp_precedence(version)
    }

    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        let refuse = |refusal, what: String| Err(Refused::because(refusal, what));
        if self.format != FORMAT {
            return refuse(Refusal::InvalidManifest, format!("format {} does not exist", self.format));
        }
        if let Some(minimum) = &self.minimum_server {
            let own = env!("CARGO_PKG_VERSION");
            if Version::parse(own).is_ok_and(|own| minimum.cmp_precedence(&own) == Ordering::Greater) {
                return refuse(Refusal::ServerTooOld, format!("it needs {minimum}, and this is {own}"));
            }
        }
        if !is_name(&self.name) {
            let shown: String = self.name.escape_debug().take(MAX_NAME).collect();
            return refuse(Refusal::InvalidManifest, format!("the name `{shown}` is not {NAME_IS}"));
        }
        if let Some(parent) = self.parent.as_ref().filter(|parent| !is_digest(parent)) {
            return refuse(Refusal::InvalidManifest, format!("the parent `{parent}` is no digest"));
        }
        self.check_files(limits)?;
        if *self.digest != *digest::of_files(&self.files) {
            return refuse(Refusal::WrongDigest, format!("the digest in `{FILE}` is not that of its files"));
        }
        Ok(())
    }

    fn check_files(&self, limits: &Limits) -> Result<(), Refused> {
        let refuse = |refusal, what: String| Err(Refused::because(refusal, what));
        if self.files.len() > limits.files {
            let what = format!("it lists {} files, and {} are allowed", self.files.len(), limits.files);
            return refuse(Refusal::TooLarge, what);
        }
        let mut folded = BTreeSet::new();
        for file in &self.files {
            let shown = file.path.escape_debug();
            if let Err(wrong) = path::check(&file.path) {
                return refuse(Refusal::UnsafePath, format!("the path `{shown}` {wrong}"));
            }
            if !folded.insert(path::fold(&file.path)) {
                let what = format!("`{FILE}` lists `{shown}` twice, or another that differs in case only");
                return refuse(Refusal::DuplicateFile, what);
            }
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return refuse(Refusal::InvalidManifest, format!("`{FILE}` does not list the files by path"));
        }
        if self.files.iter().all(|file| path::is_cases(&file.path)) {
            return refuse(Refusal::InvalidManifest, format!("`{FILE}` lists no policy"));
        }
        Ok(())
    }
}

/// Whether this is a SHA-256 as bundles write it: 64 lower-case hex digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Whether a bundle may be called this.
pub fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || b"._-".contains(&byte))
}
