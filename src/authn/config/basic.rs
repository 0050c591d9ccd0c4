//! `identity.basic`: user names and passwords (RFC 7617).

use std::path::{Path, PathBuf};

use crate::document::{Node, Reader};

use super::callout::{self, number};
use super::non_empty;

/// Whose passwords are accepted.
#[derive(Clone, Debug)]
pub struct BasicConfig {
    pub file: PathBuf,
    /// What a browser shows when it asks for the password, and the issuer of the identities.
    pub realm: String,
    /// Passwords that are verified at the same time. Each takes the memory that its hash says.
    pub concurrency: usize,
}

impl BasicConfig {
    /// Reads the section, in which relative paths start from `folder`; every mistake is left with `reader`.
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`basic`")?;
        let file = fields.required("file", reader);
        let file = file.and_then(|node| callout::path(Some(node), "`file`", folder, reader));
        let realm = fields.optional("realm");
        let realm = realm.map_or(Some("portcullis"), |node| read_realm(node, reader));
        let concurrency = number(fields.optional("concurrency"), "`concurrency`", 2, 1..=64, reader);
        fields.close(reader);
        Some(Self {
            file: file??,
            realm: realm?.to_owned(),
            concurrency: usize::try_from(concurrency?).ok()?,
        })
    }
}

/// It goes into a header between quotes.
fn read_realm<'n>(node: &'n Node, reader: &mut Reader) -> Option<&'n str> {
    let realm = non_empty(node, "`realm`", reader)?;
    if realm.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && b != b'"' && b != b'\\') {
        return Some(realm);
    }
    reader.error(
        node.span,
        "invalid-realm",
        "`realm` must be of ASCII characters without quotes and backslashes",
    );
    None
}
