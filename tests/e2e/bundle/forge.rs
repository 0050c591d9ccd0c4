//! Archives with one thing wrong, made from good ones.

use std::io::{Read as _, Write as _};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use portcullis::bundle::SigningKey;
use tar::{EntryType, Header};

/// The files of an archive, in order.
pub fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, content)
    });
    entries.collect()
}

/// One entry, whatever its path and kind.
pub fn entry(path: &str, content: &[u8], kind: EntryType) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(kind);
    if kind == EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [&header.as_bytes()[..], content, &padding].concat()
}

/// The archive of these files, and of raw entries after them.
pub fn archive(files: &[(String, Vec<u8>)], more: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for (path, content) in files {
        encoder.write_all(&entry(path, content, EntryType::Regular)).unwrap();
    }
    for entry in more {
        encoder.write_all(entry).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}

/// The same archive with the text of one file changed.
pub fn changed(good: &[u8], path: &str, change: impl Fn(String) -> String) -> Vec<u8> {
    let mut files = files(good);
    let (_, content) = files.iter_mut().find(|(name, _)| name.ends_with(path)).unwrap();
    *content = change(String::from_utf8(content.clone()).unwrap()).into_bytes();
    archive(&files, &[])
}

/// The same archive with its manifest changed, and signed by `key` all the same: what only a key holder can make.
pub fn with_manifest(good: &[u8], key: &SigningKey, from: &str, to: &str) -> Vec<u8> {
    let mut files = files(good);
    let manifest = String::from_utf8(files[0].1.clone()).unwrap();
    assert!(manifest.contains(from), "{manifest}");
    files[0].1 = manifest.replacen(from, to, 1).into_bytes();
    let signature = STANDARD.encode(pair(key).sign(&message(&files[0].1)).as_ref());
    let id = key.public().id();
    let signed = serde_json::json!([{"key": id, "algorithm": "ed25519", "signature": signature}]);
    files[1].1 = signed.to_string().into_bytes();
    archive(&files, &[])
}

/// As docs/bundles.md has it: two parts, each after its length.
fn message(manifest: &[u8]) -> Vec<u8> {
    let part = |bytes: &[u8]| [&(bytes.len() as u64).to_be_bytes()[..], bytes].concat();
    [part(b"portcullis bundle manifest v1"), part(manifest)].concat()
}

fn pair(key: &SigningKey) -> Ed25519KeyPair {
    let pem = key.to_pem().unwrap();
    let body: String = pem.expose().lines().filter(|line| !line.starts_with('-')).collect();
    Ed25519KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap()
}
