//! The section `mask`: how bodies are masked, whatever the rules say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::value::{duration, empty_map, number, wide};
use crate::document::{Fields, Node, Reader};
use crate::engine::{AcceptEncoding, Deadlines};
use crate::mask::{HashKey, Limits, UnknownFields};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The key of keyed hashes; without one, a key of this process's own.
    pub hash_key_file: Option<PathBuf>,
    /// The keys of keyed hashes by their names, in place of that one: the first is used.
    pub hash_keys: Vec<HashKeyFile>,
    /// What gRPC services answer.
    pub descriptor_set_file: Option<PathBuf>,
    pub unknown_fields: UnknownFields,
    pub accept_encoding: AcceptEncoding,
    /// Whether responses are masked in FULL_DUPLEX_STREAMED mode, where the proxy leaves it to the server.
    pub full_duplex: bool,
    pub deadlines: Deadlines,
    pub limits: Limits,
}

/// A key that can be replaced by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKeyFile {
    pub id: String,
    pub file: PathBuf,
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
    let hash_keys = match fields.optional("hash_keys") {
        Some(node) => hash_keys(node, folder, reader),
        None => Some(Vec::new()),
    };
    if let (Some(Some(_)), Some(keys)) = (&hash_key_file, fields.optional("hash_keys")) {
        let help = "give the key of `hash_key_file` an id, and put it into the list";
        let message = "`mask` has either `hash_key_file` or `hash_keys`";
        reader.error_with_help(keys.span, "conflicting-fields", message, help);
    }
    let words =
        [("drop", UnknownFields::Drop), ("pass", UnknownFields::Pass), ("block", UnknownFields::Block)];
    let unknown_fields = fields
        .optional("unknown_fields")
        .map_or(Some(UnknownFields::default()), |node| reader.word(node, "`unknown_fields`", &words));
    let words = [("identity", AcceptEncoding::Identity), ("supported", AcceptEncoding::Supported)];
    let accept_encoding = fields
        .optional("accept_encoding")
        .map_or(Some(AcceptEncoding::default()), |node| reader.word(node, "`accept_encoding`", &words));
    let words = [("streamed", false), ("full_duplex_streamed", true)];
    let full_duplex = fields
        .optional("response_body")
        .map_or(Some(false), |node| reader.word(node, "`response_body`", &words));
    let deadlines = deadlines(&mut fields, reader);
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
        hash_keys: hash_keys?,
        descriptor_set_file: descriptor_set_file?,
        unknown_fields: unknown_fields?,
        accept_encoding: accept_encoding?,
        full_duplex: full_duplex?,
        deadlines: deadlines?,
        limits,
    })
}

/// How long bodies may take. Each is at least a tenth of a second: with less no body would be masked.
fn deadlines(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Deadlines> {
    const SHORTEST: Duration = Duration::from_millis(100);
    let default = Deadlines::default();
    let mut limit = |name: &'static str, default: Duration| {
        let limit = duration(fields, name, default, reader)?;
        if let Some(node) = fields.optional(name).filter(|_| limit < SHORTEST) {
            reader.error(node.span, "out-of-range", format!("`{name}` must be at least `100ms`"));
            return None;
        }
        Some(limit)
    };
    let chunk = limit("chunk_timeout", default.chunk);
    let body = limit("body_timeout", default.body);
    // Without it, a stream may last for ever.
    let stream =
        limit("stream_timeout", Duration::MAX).map(|limit| Some(limit).filter(|it| *it != Duration::MAX));
    Some(Deadlines { chunk: chunk?, body: body?, stream: stream? })
}

fn hash_keys(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Vec<HashKeyFile>> {
    let items = reader.list(node, "`hash_keys`")?;
    if items.is_empty() {
        reader.error_with_help(
            node.span,
            "empty-value",
            "`hash_keys` names no key",
            "write `{id: ..., file: ...}`",
        );
        return None;
    }
    let mut keys: Vec<HashKeyFile> = Vec::new();
    let mut whole = true;
    for item in items {
        let Some(key) = hash_key(item, folder, reader) else {
            whole = false;
            continue;
        };
        if keys.iter().any(|known| known.id == key.id) {
            let message = format!("two keys have the id `{}`: hashes tell their keys by it", key.id);
            reader.error(item.span, "duplicate-id", message);
            whole = false;
        }
        keys.push(key);
    }
    whole.then_some(keys)
}

fn hash_key(node: &Node, folder: &Path, reader: &mut Reader) -> Option<HashKeyFile> {
    let mut fields = reader.fields(node, "a hash key")?;
    let id = fields.required("id", reader);
    let file = fields.required("file", reader).and_then(|node| reader.string(node, "`file`"));
    fields.close(reader);
    let id_text = reader.string(id?, "`id`")?;
    if let Err(error) = HashKey::check_id(id_text) {
        reader.error(id?.span, "invalid-name", error.to_string());
        return None;
    }
    Some(HashKeyFile { id: id_text.to_owned(), file: folder.join(file?) })
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
             response_body: full_duplex_streamed\nchunk_timeout: 2s\nbody_timeout: 3m\nstream_timeout: 4h\n\
             decoded_bytes: 5\nexpansion: 6\nmessage_bytes: 7\n",
        );
        let limits = Limits { decoded_bytes: 5, expansion: 6, message_bytes: 7, ..Limits::default() };
        let expected = Mask {
            hash_key_file: Some("/etc/key".into()),
            hash_keys: Vec::new(),
            descriptor_set_file: Some("/a.pb".into()),
            unknown_fields: UnknownFields::Block,
            accept_encoding: AcceptEncoding::Supported,
            full_duplex: true,
            deadlines: Deadlines {
                chunk: Duration::from_secs(2),
                body: Duration::from_secs(180),
                stream: Some(Duration::from_secs(4 * 3_600)),
            },
            limits,
        };
        assert_eq!((mask, findings), (Some(expected), vec![]));
        let mask = read("{}").0.unwrap();
        assert_eq!((mask.unknown_fields, mask.limits), (UnknownFields::Drop, Limits::default()));
        assert_eq!((mask.full_duplex, mask.deadlines), (false, Deadlines::default()));
    }

    #[test]
    fn hash_keys_have_ids_of_their_own() {
        let (mask, findings) = read("hash_keys: [{id: new, file: new.key}, {id: old, file: /old.key}]\n");
        let keys: Vec<_> = mask.unwrap().hash_keys.into_iter().map(|key| (key.id, key.file)).collect();
        let expected = [("new", "/etc/new.key"), ("old", "/old.key")];
        assert_eq!(keys, expected.map(|(id, file)| (id.to_owned(), PathBuf::from(file))));
        assert_eq!(findings, [""; 0]);
        for (text, part) in [
            ("hash_keys: []", "c.yaml:1:12: error[empty-value]"),
            ("hash_keys: [{id: a}]", "lacks the field `file`"),
            ("hash_keys: [{file: a}]", "lacks the field `id`"),
            ("hash_keys: [{id: 'a:b', file: a}]", "c.yaml:1:18: error[invalid-name]: the id `a:b`"),
            ("hash_keys: [{id: a, file: a}, {id: a, file: b}]", "c.yaml:1:31: error[duplicate-id]"),
            ("{hash_keys: [{id: a, file: a}], hash_key_file: b}", "either `hash_key_file` or `hash_keys`"),
        ] {
            let (_, findings) = read(text);
            assert!(findings.len() == 1 && findings[0].contains(part), "{text}: {findings:?}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let (mask, findings) = read(
            "unknown_fields: keep\naccept_encoding: gzip\nexpansion: 1\nkey: x\nresponse_body: buffered\n\
             chunk_timeout: 99ms\nbody_timeout: 0s\nstream_timeout: 1ms\n",
        );
        assert_eq!(mask, None);
        let timeouts = ["`chunk_timeout` must be at least", "`body_timeout` must", "`stream_timeout` must"];
        for part in ["`keep`", "`gzip`", "`expansion`", "unknown field `key`", "`buffered`"]
            .into_iter()
            .chain(timeouts)
        {
            assert!(findings.iter().any(|finding| finding.contains(part)), "{part}: {findings:?}");
        }
    }
}
