//! The section `mask`: how bodies are masked, whatever the rules say.

use std::path::{Path, PathBuf};

use super::value::{empty_map, number, wide};
use crate::document::{Node, Reader};
use crate::engine::AcceptEncoding;
use crate::mask::{Limits, UnknownFields};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The key of keyed hashes; without one, a key of this process's own.
    pub hash_key_file: Option<PathBuf>,
    /// What gRPC services answer.
    pub descriptor_set_file: Option<PathBuf>,
    pub unknown_fields: UnknownFields,
    pub accept_encoding: AcceptEncoding,
    pub limits: Limits,
}

pub(super) fn mask(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<Mask> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`mask`")?;
    let mut file = |name: &'static str, reader: &mut Reader| match fields.optional(name) {
        None => Some(None),
        Some(node) => reader.string(node, &format!("`{name}`")).map(|path| Some(folder.join(path))),
    };
    let hash_key_file = file("hash_key_file", reader);
    let descriptor_set_file = file("descriptor_set_file", reader);
    let words =
        [("drop", UnknownFields::Drop), ("pass", UnknownFields::Pass), ("block", UnknownFields::Block)];
    let unknown_fields = fields
        .optional("unknown_fields")
        .map_or(Some(UnknownFields::default()), |node| reader.word(node, "`unknown_fields`", &words));
    let words = [("identity", AcceptEncoding::Identity), ("supported", AcceptEncoding::Supported)];
    let accept_encoding = fields
        .optional("accept_encoding")
        .map_or(Some(AcceptEncoding::default()), |node| reader.word(node, "`accept_encoding`", &words));
    let default = Limits::default();
    let decoded = i64::try_from(default.decoded_bytes).unwrap_or(i64::MAX);
    let decoded_bytes = number(&mut fields, "decoded_bytes", decoded, 1..=(1 << 40), reader);
    let expansion = number(&mut fields, "expansion", i64::from(default.expansion), 2..=100_000, reader);
    let message = wide(default.message_bytes);
    let message_bytes = number(&mut fields, "message_bytes", message, 1..=(64 << 20), reader);
    fields.close(reader);
    let limits = Limits {
        decoded_bytes: decoded_bytes?.unsigned_abs(),
        expansion: u32::try_from(expansion?).ok()?,
        message_bytes: usize::try_from(message_bytes?).ok()?,
        ..default
    };
    Some(Mask {
        hash_key_file: hash_key_file?,
        descriptor_set_file: descriptor_set_file?,
        unknown_fields: unknown_fields?,
        accept_encoding: accept_encoding?,
        limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> (Option<Mask>, Vec<String>) {
        let document = Document::parse(&"c.yaml".into(), &text.into()).unwrap();
        let mut reader = Reader::new(&document.file);
        let mask = mask(document.roots.first(), Path::new("/etc"), &mut reader);
        (mask, reader.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_every_field() {
        let (mask, findings) = read(
            "hash_key_file: key\ndescriptor_set_file: /a.pb\nunknown_fields: block\naccept_encoding: supported\n\
             decoded_bytes: 5\nexpansion: 6\nmessage_bytes: 7\n",
        );
        let limits = Limits { decoded_bytes: 5, expansion: 6, message_bytes: 7, ..Limits::default() };
        let expected = Mask {
            hash_key_file: Some("/etc/key".into()),
            descriptor_set_file: Some("/a.pb".into()),
            unknown_fields: UnknownFields::Block,
            accept_encoding: AcceptEncoding::Supported,
            limits,
        };
        assert_eq!((mask, findings), (Some(expected), vec![]));
        let mask = read("{}").0.unwrap();
        assert_eq!((mask.unknown_fields, mask.limits), (UnknownFields::Drop, Limits::default()));
    }

    #[test]
    fn names_what_is_wrong() {
        let (mask, findings) = read("unknown_fields: keep\naccept_encoding: gzip\nexpansion: 1\nkey: x\n");
        assert_eq!(mask, None);
        for part in ["`keep`", "`gzip`", "`expansion`", "unknown field `key`"] {
            assert!(findings.iter().any(|finding| finding.contains(part)), "{part}: {findings:?}");
        }
    }
}
