//! `identity.forward`: what upstreams are told of the caller.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::{Node, Reader, Value};

use super::{names, non_empty};

/// The headers of every call that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardConfig {
    /// Names in lower case, each once.
    pub headers: Vec<(String, Field)>,
    pub token: Option<ForwardToken>,
}

/// A token of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardToken {
    pub header: String,
    pub issuer: String,
    pub audience: Vec<String>,
    pub lifetime: Duration,
    pub key_file: PathBuf,
}

/// A field of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Subject,
    Issuer,
    Groups,
    Scopes,
    Email,
    Tenant,
    Person,
    Spiffe,
    Method,
    TokenId,
    Session,
}

const FIELDS: [(&str, Field); 11] = [
    ("subject", Field::Subject),
    ("issuer", Field::Issuer),
    ("groups", Field::Groups),
    ("scopes", Field::Scopes),
    ("email", Field::Email),
    ("tenant", Field::Tenant),
    ("person", Field::Person),
    ("spiffe", Field::Spiffe),
    ("method", Field::Method),
    ("token_id", Field::TokenId),
    ("session", Field::Session),
];

/// Where our token stands unless another header is configured.
const TOKEN_HEADER: &str = "x-portcullis-identity";

impl ForwardConfig {
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`forward`")?;
        let headers = fields.optional("headers").map_or(Some(Vec::new()), |node| read_headers(node, reader));
        let token = fields
            .optional("jwt")
            .map_or(Some(None), |node| ForwardToken::read(node, folder, reader).map(Some));
        fields.close(reader);
        let (headers, token) = (headers?, token?);
        if let Some(token) = &token
            && headers.iter().any(|(name, _)| *name == token.header)
        {
            reader.error(node.span, "duplicate-header", format!("`{}` is set twice", token.header));
            return None;
        }
        Some(Self { headers, token })
    }
}

impl ForwardToken {
    fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`forward.jwt`")?;
        let header = fields.optional("header").map_or(Some(TOKEN_HEADER.to_owned()), |node| {
            let name = non_empty(node, "`header`", reader)?;
            header_name(node, name, reader)
        });
        let issuer = fields.required("issuer", reader).and_then(|node| non_empty(node, "`issuer`", reader));
        let audience = fields.required("audience", reader).and_then(|node| names(node, "`audience`", reader));
        let lifetime = fields.optional("lifetime");
        let life = lifetime.map_or(Some(Duration::from_secs(60)), |node| reader.duration(node, "`lifetime`"));
        let key = fields.required("key_file", reader).and_then(|node| non_empty(node, "`key_file`", reader));
        fields.close(reader);
        let life = life?;
        if !(Duration::from_secs(10)..=Duration::from_secs(3_600)).contains(&life) {
            let place = lifetime.unwrap_or(node).span;
            reader.error(place, "out-of-range", "`lifetime` must be between `10s` and `1h`");
            return None;
        }
        Some(Self {
            header: header?,
            issuer: issuer?.to_owned(),
            audience: audience?,
            lifetime: life,
            key_file: folder.join(key?),
        })
    }
}

fn read_headers(node: &Node, reader: &mut Reader) -> Option<Vec<(String, Field)>> {
    let Value::Map(entries) = &node.value else { return reader.wrong_kind(node, "`headers`", "a map") };
    let mut headers: Vec<(String, Field)> = Vec::new();
    let before = reader.findings.len();
    for entry in entries {
        let name = header_name(&entry.value, &entry.key, reader);
        let field = reader.word(&entry.value, "field of the identity", &FIELDS);
        let (Some(name), Some(field)) = (name, field) else { continue };
        // As backends fold them.
        let folded = |name: &str| name.replace('_', "-");
        if headers.iter().any(|(known, _)| folded(known) == folded(&name)) {
            reader.error(entry.value.span, "duplicate-header", format!("`{name}` is set twice"));
        }
        headers.push((name, field));
    }
    (reader.findings.len() == before).then_some(headers)
}

/// A name that may be set: none that says how a message is to be read, and none that already means somebody.
fn header_name(node: &Node, name: &str, reader: &mut Reader) -> Option<String> {
    const TAKEN: [&str; 9] = [
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let lower = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(lower.as_bytes()).is_err() || TAKEN.contains(&&*lower) {
        reader.error(node.span, "invalid-header", format!("`{name}` can't be a header of the identity"));
        return None;
    }
    Some(lower)
}
