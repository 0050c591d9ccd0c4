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
        let mut reading = Reading { trust, limits, claim: None, opened: None };
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
    claim: Option<Claim>,
    opened: Option<Opened>,
}

/// What the archive says of itself, not verified yet.
struct Claim {
    manifest: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Reading<'_> {
    /// Takes the next file. Nothing but the manifest and the signatures is unpacked before the signature was verified.
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Refused> {
        if self.opened.is_none() {
            let Some(claim) = &mut self.claim else {
                self.claim = Some(first(entry)?);
                return Ok(());
            };
            if entry.path == sign::FILE && claim.signatures.is_empty() {
                claim.signatures = sign::read(&entry.read(sign::MAX_BYTES)?)?;
                return Ok(());
            }
        }
        self.verified()?.take(entry)
    }

    fn finish(mut self) -> Result<Opened, Refused> {
        self.verified()?;
        let opened = self.opened.ok_or_else(empty)?;
        match opened.manifest.files.get(opened.contents.len()) {
            Some(file) => {
                Err(Refused::because(Refusal::UnexpectedFile, format!("the archive lacks `{}`", file.path)))
            }
            None => Ok(opened),
        }
    }

    /// The archive once its manifest is known to be signed; only then is that parsed.
    fn verified(&mut self) -> Result<&mut Opened, Refused> {
        if let Some(claim) = self.claim.take() {
            let signer = self.trust.verify(&claim.manifest, &claim.signatures)?;
            self.opened = Some(Opened {
                manifest: Manifest::read(&claim.manifest, self.limits)?,
                manifest_bytes: claim.manifest,
                signatures: claim.signatures,
                signer,
                contents: Vec::new(),
            });
        }
        self.opened.as_mut().ok_or_else(empty)
    }
}

/// The first file, which is the manifest. A newer format may be signed in another way, so its number is looked at before
/// the signature.
fn first(entry: Entry<'_>) -> Result<Claim, Refused> {
    if entry.path != manifest::FILE {
        let what = format!("`{}` is the first file, not `{}`", entry.path.escape_debug(), manifest::FILE);
        return Err(Refused::because(Refusal::InvalidManifest, what));
    }
    let manifest = entry.read(manifest::MAX_BYTES)?;
    manifest::check_format(&manifest)?;
    Ok(Claim { manifest, signatures: Vec::new() })
}

impl Opened {
    /// Takes the next of the files that the manifest lists.
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Refused> {
        let expected = self.manifest.files.get(self.contents.len()).filter(|file| *file.path == *entry.path);
        let Some(file) = expected else { return Err(self.unexpected(entry.path)) };
        let content = entry.read(load::MAX_BYTES)?;
        check(file, &content)?;
        self.contents.push(content);
        Ok(())
    }

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

fn empty() -> Refused {
    Refused::because(Refusal::InvalidManifest, "the archive is empty")
}

fn check(file: &FileEntry, content: &[u8]) -> Result<(), Refused> {
    let same_size = u64::try_from(content.len()).is_ok_and(|len| len == file.size);
    if same_size && digest::sha256(content) == *file.sha256 {
        return Ok(());
    }
    Err(Refused::because(Refusal::WrongDigest, format!("`{}`", file.path)))
}
