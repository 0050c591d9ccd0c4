//! The hashes of a bundle, and the message that its signatures are over. Every part is preceded by its length (8 bytes,
//! big-endian), and every message by the name of what it is, so that none can be taken for another.

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::manifest::FileEntry;

const FILES: &[u8] = b"portcullis bundle files v1";
const MANIFEST: &[u8] = b"portcullis bundle manifest v1";

/// SHA-256, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// The digest of what a bundle holds: path, size and hash of each file, in the order given.
pub fn of_files(files: &[FileEntry]) -> String {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&length(bytes));
        context.update(bytes);
    };
    part(FILES);
    for file in files {
        part(file.path.as_bytes());
        part(&file.size.to_be_bytes());
        part(file.sha256.as_bytes());
    }
    hex::encode(context.finish())
}

/// What is signed: the exact bytes of `manifest.json`.
pub fn signed_message(manifest: &[u8]) -> Vec<u8> {
    [&length(MANIFEST)[..], MANIFEST, &length(manifest)[..], manifest].concat()
}

fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, size: u64, sha256: &str) -> FileEntry {
        FileEntry { path: path.into(), size, sha256: sha256.into() }
    }

    /// The values that docs/bundles.md gives to other implementations.
    #[test]
    fn the_hashes_are_those_that_the_format_documents() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        let document = include_str!("../../docs/bundles.md");
        assert!(document.contains(&of_files(&[entry("policies/a.yaml", 0, empty)])));
        assert!(document.contains(&hex::encode(signed_message(b"{}"))));
    }

    #[test]
    fn every_part_of_every_entry_counts() {
        let base = [entry("a", 1, "x"), entry("b", 2, "y")];
        let others = [
            vec![entry("a", 1, "x")],
            vec![entry("b", 2, "y"), entry("a", 1, "x")],
            vec![entry("a", 2, "x"), entry("b", 2, "y")],
            vec![entry("a", 1, "z"), entry("b", 2, "y")],
            vec![entry("c", 1, "x"), entry("b", 2, "y")],
            vec![entry("ab", 1, "x"), entry("", 2, "y")],
        ];
        for other in others {
            assert_ne!(of_files(&base), of_files(&other), "{other:?}");
        }
    }
}
