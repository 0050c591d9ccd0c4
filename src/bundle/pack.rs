//! Makes archives, and signs them.

use std::sync::Arc;

use semver::Version;

use super::manifest::{self, FORMAT, FileEntry, Manifest};
use super::open::{Limits, Opened};
use super::refusal::{Refusal, Refused};
use super::sign::{self, SigningKey};
use super::trust::Trust;
use super::{Bundle, archive, digest, path};
use crate::policy::SourceFile;

/// What a manifest says that the files don't.
#[derive(Clone, Debug)]
pub struct Label {
    pub name: Arc<str>,
    pub version: Version,
    pub created: jiff::Timestamp,
    pub parent: Option<Arc<str>>,
    pub minimum_server: Option<Version>,
}

impl Bundle {
    /// The archive of these policies and cases, not signed: the same bytes for the same texts and label, wherever plain
    /// files lie. What could not be opened again with the default limits is refused.
    pub fn pack(&self, label: &Label) -> Result<Vec<u8>, Refused> {
        let files = self.files();
        let entries: Vec<_> = files.iter().map(|(path, text)| entry(path, text)).collect();
        let manifest = Manifest {
            format: FORMAT,
            name: label.name.clone(),
            version: label.version.clone(),
            digest: digest::of_files(&entries).into(),
            created: label.created,
            parent: label.parent.clone(),
            minimum_server: label.minimum_server.clone(),
            files: entries,
        };
        let manifest = manifest.write()?;
        let contents = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes()));
        finish(std::iter::once((manifest::FILE, &*manifest)).chain(contents))
    }

    /// The files with their paths in the archive, by path. A bundle that was opened keeps its own.
    fn files(&self) -> Vec<(String, Arc<str>)> {
        let (policies, cases) = (names(&self.policies), names(&self.cases));
        let (policies, cases) = match self.manifest {
            Some(_) => (owned(&policies), owned(&cases)),
            None => path::layout(&policies, &cases),
        };
        let texts = self.policies.iter().chain(&self.cases).map(|source| source.text.clone());
        let mut files: Vec<_> = policies.into_iter().chain(cases).zip(texts).collect();
        files.sort_unstable();
        files
    }
}

/// The same archive with a signature by this key, in place of one that the key gave before.
pub fn sign(bytes: &[u8], key: &SigningKey) -> Result<Vec<u8>, Refused> {
    let opened = Opened::read(bytes, &Trust::none(), &Limits::default())?;
    let mut signatures = opened.signatures;
    let signature = key.sign(&opened.manifest_bytes);
    signatures.retain(|other| other.key != signature.key);
    signatures.push(signature);
    signatures.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let signatures = sign::write(&signatures)?;
    let paths = opened.manifest.files.iter().map(|file| &*file.path);
    let contents = paths.zip(opened.contents.iter().map(Vec::as_slice));
    let own = [(manifest::FILE, &*opened.manifest_bytes), (sign::FILE, &*signatures)];
    finish(own.into_iter().chain(contents))
}

fn names(files: &[SourceFile]) -> Vec<&str> {
    files.iter().map(|source| &*source.file).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn entry(path: &str, text: &str) -> FileEntry {
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    FileEntry { path: path.into(), size, sha256: digest::sha256(text.as_bytes()).into() }
}

/// Writes the archive, and opens it as every reader will.
fn finish<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, Refused> {
    let bytes = archive::write(files).map_err(|error| Refused::because(Refusal::Unreadable, error))?;
    Opened::read(&bytes, &Trust::none(), &Limits::default())?;
    Ok(bytes)
}
