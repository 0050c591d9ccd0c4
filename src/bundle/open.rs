//! Opens an archive: its signature first, then its files, each against the manifest. In memory only.

use std::sync::Arc;

use super::archive::{self, Entry};
use super::manifest::{self, FileEntry, Manifest};
use super::refusal::{Refusal, Refused};
use super::sign::{self, Signature};
use super::trust::Trust;
use super::{Bundle, digest, load, path};
use crate::policy::SourceFile;

/// How much of an archive is read before it is refused.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the archive as it comes.
    pub packed: u64,
    /// Bytes that it unpacks to, headers included.
    pub unpacked: u64,
    /// Policies and cases.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packed: 16 << 20, unpacked: 64 << 20, files: 20_000 }
    }
}

impl Bundle {
    /// Reads an archive. What comes back is byte for byte what the manifest says, and the manifest is signed by a key of
    /// `trust` unless that is empty. Whether the policies are any good is for `prepare` to say.
    pub fn open(bytes: &[u8], trust: &Trust, limits: &Limits) -> Result<Self, Refused> {
        Opened::read(bytes, trust, limits)?.bundle()
    }
}

/// An archive, read and verified.
pub(super) struct Opened {
    pub manifest_bytes: Vec<u8>,
    pub manifest: Manifest,
    pub signatures: Vec<Signature>,
    pub signer: Option<Arc<str>>,
    /// As the manifest lists them.
    pub contents: Vec<Vec<u8>>,
}

impl Opened {
    pub fn read(bytes: &[u8], trust: &Trust, limits: &Limits) -> Result<Self, Refused> {
        let mut reading = Reading { trust, limits, opened: None, verified: false };
        archive::read(bytes, limits, |entry| reading.take(entry))?;
        reading.finish()
    }

    fn bundle(self) -> Result<Bundle, Refused> {
        let (mut policies, mut cases) = (Vec::new(), Vec::new());
        for (file, content) in self.manifest.files.iter().zip(self.contents) {
            let text = String::from_utf8(content).map_err(|_| {
                Refused::because(Refusal::InvalidPolicy, format!("`{}` is not UTF-8", file.path))
            })?;
            let to = if path::is_cases(&file.path) { &mut cases } else { &mut policies };
            to.push(SourceFile { file: file.path.clone(), text: text.into() });
        }
        let signed_by = self.signatures.iter().map(|signature| signature.key.clone()).collect();
        Ok(Bundle { manifest: Some(self.manifest), signer: self.signer, signed_by, policies, cases })
    }
}

/// An archive that is being read.
struct Reading<'a> {
    trust: &'a Trust,
    limits: &'a Limits,
    opened: Option<Opened>,
    verified: bool,
}

impl Reading<'_> {
    /// Takes the next file. Nothing but the manifest and the signatures is unpacked before the signature was verified.
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Refused> {
        let Some(opened) = &mut self.opened else {
            self.opened = Some(first(entry, self.limits)?);
            return Ok(());
        };
        if entry.path == sign::FILE && opened.signatures.is_empty() && !self.verified {
            opened.signatures = sign::read(&entry.read(sign::MAX_BYTES)?)?;
            return Ok(());
        }
        if !self.verified {
            opened.signer = self.trust.verify(&opened.manifest_bytes, &opened.signatures)?;
            self.verified = true;
        }
        let Some(file) = opened.manifest.files.get(opened.contents.len()) else {
            return Err(opened.unexpected(entry.path));
        };
        if *file.path != *entry.path {
            return Err(opened.unexpected(entry.path));
        }
        let content = entry.read(load::MAX_BYTES)?;
        check(file, &content)?;
        opened.contents.push(content);
        Ok(())
    }

    fn finish(self) -> Result<Opened, Refused> {
        let Some(opened) = self.opened else {
            return Err(Refused::because(Refusal::InvalidManifest, "the archive is empty"));
        };
        match opened.manifest.files.get(opened.contents.len()) {
            Some(file) => {
                Err(Refused::because(Refusal::UnexpectedFile, format!("the archive lacks `{}`", file.path)))
            }
            None => Ok(opened),
        }
    }
}

impl Opened {
    /// Why the next file can't have this path.
    fn unexpected(&self, found: &str) -> Refused {
        let shown = found.escape_debug();
        let read = self.manifest.files.iter().take(self.contents.len());
        let signed = (!self.signatures.is_empty()).then_some(sign::FILE);
        let mut seen = read.map(|file| &*file.path).chain([manifest::FILE]).chain(signed);
        if seen.any(|path| path::fold(path) == path::fold(found)) {
            return Refused::because(Refusal::DuplicateFile, format!("`{shown}` comes again"));
        }
        if let Some(wrong) = path::check(found).err().filter(|_| found != sign::FILE) {
            return Refused::because(Refusal::UnsafePath, format!("the path `{shown}` {wrong}"));
        }
        let what = match self.manifest.files.get(self.contents.len()) {
            Some(file) => format!("`{shown}` comes where `{}` should", file.path),
            None => format!("`{shown}` comes after the last file"),
        };
        Refused::because(Refusal::UnexpectedFile, what)
    }
}

fn first(entry: Entry<'_>, limits: &Limits) -> Result<Opened, Refused> {
    if entry.path != manifest::FILE {
        let what = format!("`{}` is the first file, not `{}`", entry.path.escape_debug(), manifest::FILE);
        return Err(Refused::because(Refusal::InvalidManifest, what));
    }
    let manifest_bytes = entry.read(manifest::MAX_BYTES)?;
    let manifest = Manifest::read(&manifest_bytes, limits)?;
    Ok(Opened { manifest_bytes, manifest, signatures: Vec::new(), signer: None, contents: Vec::new() })
}

fn check(file: &FileEntry, content: &[u8]) -> Result<(), Refused> {
    let same_size = u64::try_from(content.len()).is_ok_and(|len| len == file.size);
    if same_size && digest::sha256(content) == *file.sha256 {
        return Ok(());
    }
    Err(Refused::because(Refusal::WrongDigest, format!("`{}`", file.path)))
}
