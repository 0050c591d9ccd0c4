//! The keys of this server's own, from files or made up for the life of the process, and the schema of what it masks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, HandoverFiles};
use crate::diagnostic::Diagnostic;
use crate::engine::{HandoverKeys, Masking};
use crate::mask;
use crate::watch::Changes;

#[derive(Debug)]
pub struct Keys {
    /// Of keyed hashes in masked bodies.
    pub hash: mask::HashKey,
    /// Whether that one is of a file, and so the same after a restart.
    pub hash_lasts: bool,
    /// Of the seal on what one filter tells the next.
    pub handover: HandoverKeys,
    /// How bodies are masked, with what gRPC services answer.
    pub masking: Masking,
}

impl Keys {
    /// `None`, with findings, when a file can't be used.
    pub fn read(config: &Config, findings: &mut Vec<Diagnostic>) -> Option<Self> {
        let refused =
            |error| Diagnostic::error("invalid-hash-key", format!("the key of masked hashes: {error}"));
        let hash = hash(config).map_err(|error| findings.push(refused(error))).ok();
        let refused = |error| Diagnostic::error("invalid-handover-key", error);
        let handover = handover(&config.handover).map_err(|error| findings.push(refused(error))).ok();
        let refused = |error| Diagnostic::error("invalid-descriptor-set", error);
        let schema = schema(config).map_err(|error| findings.push(refused(error))).ok();
        let masking = Masking {
            schema: schema?,
            unknown_fields: config.mask.unknown_fields,
            accept_encoding: config.mask.accept_encoding,
            deadlines: config.mask.deadlines,
        };
        let hash_lasts = config.mask.hash_key_file.is_some() || !config.mask.hash_keys.is_empty();
        Some(Self { hash: hash?, hash_lasts, handover: handover?, masking })
    }
}

fn hash(config: &Config) -> Result<mask::HashKey, String> {
    if let Some(first) = named_hash_keys(config)?.into_iter().next() {
        return Ok(first);
    }
    match &config.mask.hash_key_file {
        Some(path) => match fs::read(path) {
            Ok(bytes) => mask::HashKey::from_file(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(format!("can't read `{}`: {error}", path.display())),
        },
        None => mask::HashKey::random().map_err(|error| error.to_string()),
    }
}

/// All are read, so that one which is used later, or was before, is known to be whole.
fn named_hash_keys(config: &Config) -> Result<Vec<mask::HashKey>, String> {
    let mut keys: Vec<mask::HashKey> = Vec::new();
    for named in &config.mask.hash_keys {
        let bytes = secret(&named.file, "mask.hash_keys")?;
        let key = mask::HashKey::named_from_file(&named.id, &bytes)
            .map_err(|error| format!("`mask.hash_keys`: `{}`: {error}", named.file.display()))?;
        if let Some(same) = keys.iter().find(|known| known.same_bytes(&key)) {
            let (one, other) = (same.id(), key.id());
            return Err(format!("`mask.hash_keys`: `{one}` and `{other}` are the same key under two names"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn schema(config: &Config) -> Result<Option<mask::Schema>, String> {
    let Some(path) = &config.mask.descriptor_set_file else { return Ok(None) };
    let failed = |error: String| format!("`mask.descriptor_set_file`: `{}`: {error}", path.display());
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    mask::Schema::decode(&bytes).map(Some).map_err(|error| failed(error.to_string()))
}

fn handover(files: &HandoverFiles) -> Result<HandoverKeys, String> {
    let Some(path) = &files.key else { return HandoverKeys::random().map_err(|error| error.to_string()) };
    let current = secret(path, "handover.key_file")?;
    let previous =
        files.previous.as_ref().map(|path| secret(path, "handover.previous_key_file")).transpose()?;
    HandoverKeys::from_files(&current, previous.as_deref())
        .map_err(|error| format!("the key of `handover.key_file` or `previous_key_file`: {error}"))
}

/// Takes the keys of handovers again whenever their files change; what can't be used changes nothing. `None` without files.
pub(super) fn follow(config: &Config, used: HandoverKeys) -> Option<AbortOnDropHandle<()>> {
    let files: Vec<_> = config.handover.key.iter().chain(&config.handover.previous).cloned().collect();
    if files.is_empty() {
        return None;
    }
    let config = config.handover.clone();
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        let mut changes = Changes::of_files(files);
        while changes.next().await {
            match handover(&config) {
                Ok(keys) if used.replace(&keys) => tracing::info!("the keys of handovers were replaced"),
                Ok(_) => {}
                Err(why) => tracing::error!(why, "the keys of handovers stay as they were"),
            }
            changes.taken();
        }
    })))
}

/// A file that others can't read: who has the key could make up decisions.
fn secret(path: &Path, what: &str) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error| format!("`{what}`: can't read `{shown}`: {error}");
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "`{what}`: `{shown}` has mode {mode:04o}, and others may read it: `chmod 600 {shown}`"
        ));
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_or_that_is_short_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8], mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("good", &[1; 32], 0o600);
        write("open", &[1; 32], 0o640);
        write("short", &[1; 31], 0o400);
        let said_of = |section: &str| {
            let text = format!("policies: [p]\n{section}\n");
            let read = crate::config::parse(&"c".into(), &text.into(), folder.path());
            let mut findings = Vec::new();
            let keys = Keys::read(&read.config.unwrap(), &mut findings);
            assert_eq!(keys.is_none(), !findings.is_empty());
            findings.first().map(|finding| finding.message.clone()).unwrap_or_default()
        };
        let said = |files: &str| said_of(&format!("handover: {{{files}}}"));
        assert_eq!(said("key_file: good"), "");
        assert_eq!(said("key_file: good, previous_key_file: good"), "");
        for (files, words) in [
            ("key_file: open", "has mode 0640"),
            ("key_file: good, previous_key_file: open", "`handover.previous_key_file`"),
            ("key_file: short", "it has 31 bytes and needs at least 32"),
            ("key_file: absent", "can't read"),
        ] {
            assert!(said(files).contains(words), "{files}: {}", said(files));
        }
        write("other", &[2; 16], 0o600);
        write("tiny", &[1; 15], 0o600);
        let hash_keys = |keys: &[(&str, &str)]| {
            let listed: Vec<_> =
                keys.iter().map(|(id, file)| format!("{{id: {id}, file: {file}}}")).collect();
            said_of(&format!("mask: {{hash_keys: [{}]}}", listed.join(", ")))
        };
        assert_eq!(hash_keys(&[("a", "good"), ("b", "other")]), "");
        for (second, words) in [
            ("open", "`mask.hash_keys`: `"),
            ("tiny", "the hash key has 15 bytes"),
            ("absent", "can't read"),
            ("good", "`a` and `b` are the same key"),
        ] {
            let said = hash_keys(&[("a", "good"), ("b", second)]);
            assert!(said.contains(words), "{second}: {said}");
        }
    }
}
