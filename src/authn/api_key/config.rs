//! The section `identity.api_keys` of the configuration.

use std::path::{Path, PathBuf};

use crate::document::{Node, Reader};

/// How API keys are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file with the key of the keyed hashes: 32 random bytes or more.
    pub hash_key: PathBuf,
}

impl Config {
    /// Reads the section, in which paths start from `folder`; every mistake is left with `reader`.
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`api_keys`")?;
        let hash_key = fields.required("hash_key", reader).and_then(|node| reader.string(node, "`hash_key`"));
        fields.close(reader);
        Some(Self { hash_key: folder.join(hash_key?) })
    }
}
