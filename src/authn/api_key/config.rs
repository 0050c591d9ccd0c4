//! The section `identity.api_keys` of the configuration.

use std::path::{Path, PathBuf};

use crate::document::{Node, Reader};

/// The header that keys stand in unless another is configured.
const HEADER: &str = "x-api-key";

/// How API keys are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file with the key of the keyed hashes: 32 random bytes or more.
    pub hash_key: PathBuf,
    /// The header that holds a key and nothing else, in lower case.
    pub header: String,
}

impl Config {
    /// Reads the section, in which paths start from `folder`; every mistake is left with `reader`.
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`api_keys`")?;
        let hash_key = fields.required("hash_key", reader).and_then(|node| reader.string(node, "`hash_key`"));
        let header = fields.optional("header").map_or(Some(HEADER.to_owned()), |node| header(node, reader));
        fields.close(reader);
        Some(Self { hash_key: folder.join(hash_key?), header: header? })
    }
}

/// A header of their own: in `authorization` and `cookie` stand other credentials too.
fn header(node: &Node, reader: &mut Reader) -> Option<String> {
    let name = reader.string(node, "`header`")?.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() || ["authorization", "cookie"].contains(&&*name)
    {
        reader.error(node.span, "invalid-header", format!("`{name}` can't be the header of API keys"));
        return None;
    }
    Some(name)
}
