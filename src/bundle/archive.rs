//! The container of a bundle: files in a gzip'd tar archive. Reading trusts nothing that the archive says of itself, and
//! writes nothing to disk; writing gives the same bytes for the same files.
//!
//! Only plain ustar entries are read. The extensions of tar (pax, GNU long names, sparse files) exist to override what
//! a header says, and readers disagree on them; so they are refused, not interpreted.

use std::fmt;
use std::io::{self, Read, Write as _};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use super::open::Limits;
use super::refusal::{Refusal, Refused};

/// What a compressed byte may become: policies that differ in little but a name stay well below this, bombs don't.
const MAX_RATIO: u64 = 200;
/// Below this many bytes unpacked, the ratio does not matter.
const HARMLESS: u64 = 1 << 20;
/// What tar writes by default: the end is filled up with zeros to twenty blocks.
const MAX_PADDING: usize = 10_240;

/// One file of an archive, not read yet.
pub struct Entry<'a> {
    pub path: &'a str,
    size: u64,
    content: &'a mut dyn Read,
}

impl Entry<'_> {
    /// The content, if it is at most `max` bytes.
    pub fn read(self, max: u64) -> Result<Vec<u8>, Refused> {
        if self.size > max {
            let what = format!("`{}` has {} bytes, and {max} are allowed", self.path, self.size);
            return Err(Refused::because(Refusal::TooLarge, what));
        }
        let mut bytes = Vec::new();
        self.content.take(max).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len == self.size) {
            return Ok(bytes);
        }
        Err(Refused::because(Refusal::Truncated, format!("the archive ends within `{}`", self.path)))
    }
}

/// Gives each file to `take`, in the order of the archive. Whatever `take` does not read is passed over.
pub fn read(
    bytes: &[u8],
    limits: &Limits,
    mut take: impl FnMut(Entry<'_>) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let packed = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if packed > limits.packed {
        let what = format!("the archive has {packed} bytes, and {} are allowed", limits.packed);
        return Err(Refused::because(Refusal::TooLarge, what));
    }
    let most = limits.unpacked.min(packed.saturating_mul(MAX_RATIO).max(HARMLESS));
    let mut archive = tar::Archive::new(Capped { inner: GzDecoder::new(bytes), left: most, most });
    for entry in archive.entries().map_err(|error| broken(&error))?.raw(true) {
        let mut entry = entry.map_err(|error| broken(&error))?;
        let path = plain_file(entry.header())?;
        let size = entry.size();
        take(Entry { path: &path, size, content: &mut entry })?;
    }
    let mut capped = archive.into_inner();
    only_zeros(&mut capped)?;
    match capped.inner.into_inner().len() {
        0 => Ok(()),
        more => {
            Err(Refused::because(Refusal::TrailingData, format!("{more} bytes follow the compressed data")))
        }
    }
}

/// An archive of the files, in the order given: the same for the same files, whenever and wherever it is made.
pub fn write<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (path, content) in files {
        let mut header = Header::new_ustar();
        header.set_path(path)?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_cksum();
        tar.append(&header, content)?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

/// The path of an entry that is a plain file.
fn plain_file(header: &Header) -> Result<String, Refused> {
    let path = header.path_bytes();
    let shown = path.escape_ascii();
    if header.as_gnu().is_some() {
        let what =
            format!("`{shown}` is in GNU tar's own format, and a bundle is plain ustar (docs/bundles.md)");
        return Err(Refused::because(Refusal::NotAFile, what));
    }
    let Some(ustar) = header.as_ustar() else {
        return Err(Refused::because(Refusal::NotAFile, format!("`{shown}` has no ustar header")));
    };
    if ustar.typeflag != *b"0" {
        let kind = kind(header.entry_type());
        return Err(Refused::because(Refusal::NotAFile, format!("`{shown}` is {kind}")));
    }
    // What follows the first NUL is not part of the name for us, and may be for another reader.
    let hidden = |field: &[u8]| field.iter().skip_while(|byte| **byte != 0).any(|byte| *byte != 0);
    if hidden(&ustar.name) || hidden(&ustar.prefix) {
        return Err(Refused::because(Refusal::UnsafePath, format!("something is hidden behind `{shown}`")));
    }
    match std::str::from_utf8(&path) {
        Ok(path) => Ok(path.to_owned()),
        Err(_) => Err(Refused::because(Refusal::UnsafePath, format!("`{shown}` is not UTF-8"))),
    }
}

fn kind(entry_type: EntryType) -> &'static str {
    match entry_type {
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Directory => "a directory",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        EntryType::GNULongName | EntryType::GNULongLink => "a GNU long name",
        EntryType::XGlobalHeader | EntryType::XHeader => "a pax header",
        _ => "of another type than `0`",
    }
}

/// An archive ends with two blocks of zeros, the first of which was read already, and maybe more zeros. Reading to
/// the end also makes gzip compare its checksum.
fn only_zeros(rest: &mut impl Read) -> Result<(), Refused> {
    let mut end = Vec::new();
    let most = u64::try_from(MAX_PADDING).unwrap_or(u64::MAX) + 1;
    rest.take(most).read_to_end(&mut end).map_err(|error| broken(&error))?;
    if end.len() > MAX_PADDING || end.iter().any(|byte| *byte != 0) {
        return Err(Refused::because(Refusal::TrailingData, "the archive goes on after its last file"));
    }
    if end.len() < 512 {
        return Err(Refused::because(Refusal::Truncated, "the archive lacks its end"));
    }
    Ok(())
}

fn broken(error: &io::Error) -> Refused {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Exceeded>()) {
        Some(exceeded) => Refused::because(Refusal::TooLarge, exceeded),
        None => Refused::because(Refusal::Truncated, error),
    }
}

/// More came out of the decompressor than may.
#[derive(Debug)]
struct Exceeded(u64);

impl std::error::Error for Exceeded {}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it unpacks to more than {} bytes, which its limits allow at its size", self.0)
    }
}

/// Gives at most `most` bytes, and then an error rather than the next.
struct Capped<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = u64::try_from(count)
            .ok()
            .and_then(|count| self.left.checked_sub(count))
            .ok_or_else(|| io::Error::other(Exceeded(self.most)))?;
        Ok(count)
    }
}
