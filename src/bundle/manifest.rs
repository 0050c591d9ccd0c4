//! What a bundle says about itself.

use std::sync::Arc;

use semver::Version;
use serde::{Deserialize, Serialize};

/// The format of bundles that this version writes; newer ones are refused.
pub const FORMAT: u32 = 1;

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
