//! Archives as somebody makes them who does not keep to the format.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::super::digest;
use super::super::manifest::FileEntry;

/// One entry of a tar archive: header, content, and zeros up to a whole block.
pub fn entry(path: &str, content: impl AsRef<[u8]>) -> Vec<u8> {
    entry_with(path.as_bytes(), content.as_ref(), |_| {})
}

/// The same after `change` to the header, whose checksum is right nevertheless.
pub fn entry_with(path: &[u8], content: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(EntryType::Regular);
    change(&mut header);
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [&header.as_bytes()[..], content, &padding].concat()
}

/// The two blocks that end an archive.
pub fn end() -> Vec<u8> {
    vec![0; 1024]
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The archive of these entries.
pub fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    gzip(&[entries.concat(), end()].concat())
}

/// A manifest that is true of these files.
pub fn manifest(files: &[(&str, &str)]) -> Value {
    let entries: Vec<FileEntry> = files
        .iter()
        .map(|(path, text)| FileEntry {
            path: (*path).into(),
            size: text.len() as u64,
            sha256: digest::sha256(text.as_bytes()).into(),
        })
        .collect();
    listing(&entries)
}

/// A manifest that lists these files, with the digest of the list.
pub fn listing(entries: &[FileEntry]) -> Value {
    json!({
        "format": 1,
        "name": "shop",
        "version": "1.4.0",
        "digest": digest::of_files(entries),
        "created": "2026-11-21T10:00:00Z",
        "files": entries,
    })
}

/// An archive with this manifest and these files.
pub fn bundle(manifest: &Value, files: &[(&str, &str)]) -> Vec<u8> {
    let files = files.iter().map(|(path, text)| entry(path, text));
    let entries: Vec<_> =
        std::iter::once(entry("manifest.json", manifest.to_string())).chain(files).collect();
    archive(&entries)
}
