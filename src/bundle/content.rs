//! Which content a bundle has, and how plain files are written into the store.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use aws_lc_rs::digest;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::Bundle;
use crate::policy::SourceFile;

/// What the store kept is ours, and was checked against tighter limits before; this one guards against a damaged file.
const LARGEST: u64 = 1 << 30;

/// Tells one content from another: name, version and digest of a bundle, or the digest of plain files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name and version; `None` for plain files.
    pub bundle: Option<(Arc<str>, Version)>,
    pub digest: Arc<str>,
}

impl Key {
    pub fn of(bundle: &Bundle) -> Self {
        match &bundle.manifest {
            Some(manifest) => Self {
                bundle: Some((manifest.name.clone(), manifest.version.clone())),
                digest: manifest.digest.clone(),
            },
            None => Self { bundle: None, digest: digest_of_files(bundle).into() },
        }
    }

    /// Empty for plain files.
    pub fn name(&self) -> &str {
        self.bundle.as_ref().map(|(name, _)| &**name).unwrap_or_default()
    }

    /// Empty for plain files.
    pub fn version(&self) -> String {
        self.bundle.as_ref().map(|(_, version)| version.to_string()).unwrap_or_default()
    }
}

/// One word for one content.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bundle {
            Some((name, version)) => write!(f, "{name}@{version}:{}", self.digest),
            None => write!(f, "files:{}", self.digest),
        }
    }
}

/// SHA-256 over the texts, sorted, whatever the files are called: what the policies and their cases say.
fn digest_of_files(bundle: &Bundle) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for files in [&bundle.policies, &bundle.cases] {
        let mut texts: Vec<_> = files.iter().map(|file| &*file.text).collect();
        texts.sort_unstable();
        context.update(&(texts.len() as u64).to_be_bytes());
        for text in texts {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
    }
    hex::encode(context.finish())
}

#[derive(Serialize, Deserialize)]
struct Files {
    policies: Vec<File>,
    cases: Vec<File>,
}

#[derive(Serialize, Deserialize)]
struct File {
    file: Arc<str>,
    text: Arc<str>,
}

/// Plain files as gzip'd JSON.
pub fn encode(bundle: &Bundle) -> io::Result<Vec<u8>> {
    let list = |files: &[SourceFile]| {
        files.iter().map(|file| File { file: file.file.clone(), text: file.text.clone() }).collect()
    };
    let files = Files { policies: list(&bundle.policies), cases: list(&bundle.cases) };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut encoder, &files)?;
    encoder.flush()?;
    encoder.finish()
}

/// What `encode` wrote.
pub fn decode(bytes: &[u8]) -> io::Result<Bundle> {
    let files: Files = serde_json::from_reader(GzDecoder::new(bytes).take(LARGEST))?;
    let list = |files: Vec<File>| {
        files.into_iter().map(|file| SourceFile { file: file.file, text: file.text }).collect()
    };
    Ok(Bundle::of_files(list(files.policies), list(files.cases)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile { file: name.into(), text: text.into() }
    }

    #[test]
    fn plain_files_come_back_as_they_were() {
        let bundle = Bundle::of_files(vec![file("a.yaml", "é"), file("b.yaml", "")], vec![file("c", "d")]);
        let again = decode(&encode(&bundle).unwrap()).unwrap();
        assert_eq!((&again.policies, &again.cases), (&bundle.policies, &bundle.cases));
        assert_eq!(Key::of(&again), Key::of(&bundle));
        assert!(decode(b"no gzip").is_err());
    }

    #[test]
    fn content_is_told_apart_by_its_texts_and_not_by_names_and_order() {
        let key = |policies: &[&str], cases: &[&str]| {
            let list = |texts: &[&str]| {
                texts.iter().enumerate().map(|(n, text)| file(&n.to_string(), text)).collect()
            };
            Key::of(&Bundle::of_files(list(policies), list(cases)))
        };
        assert_eq!(key(&["a", "b"], &["c"]), key(&["b", "a"], &["c"]));
        for other in [key(&["ab"], &["c"]), key(&["a", "b", "c"], &[]), key(&["a", "b"], &["d"])] {
            assert_ne!(other, key(&["a", "b"], &["c"]));
        }
    }
}
