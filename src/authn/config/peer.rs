//! `identity.mtls`: the certificates of peers.

use crate::document::{Node, Reader, Value};
use crate::tls::trust_domain;

use super::{names, non_empty};

/// Which certificates are an identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerConfig {
    /// Callers must have a SPIFFE id of one of these; without any, every name that the proxy verified counts.
    pub trust_domains: Vec<String>,
    pub forwarded: Option<Forwarded>,
}

/// Whom to believe about the certificates of their own clients: `x-forwarded-client-cert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Principals, byte for byte.
    pub trusted_proxies: Vec<String>,
    /// Which element is the caller's, from the right, from 1.
    pub hop: usize,
}

impl PeerConfig {
    /// `true`, `false`, or what counts in detail.
    pub fn read(node: &Node, reader: &mut Reader) -> Option<Option<Self>> {
        if let Value::Bool(on) = node.value {
            return Some(on.then(Self::default));
        }
        let mut fields = reader.fields(node, "`mtls`")?;
        let domains = fields.optional("trust_domains").map_or(Some(Vec::new()), |node| {
            names(node, "`trust_domains`", reader).filter(|_| are_domains(node, reader))
        });
        let forwarded = fields
            .optional("forwarded_client_cert")
            .map_or(Some(None), |node| Forwarded::read(node, reader).map(Some));
        fields.close(reader);
        Some(Some(Self { trust_domains: domains?, forwarded: forwarded? }))
    }
}

fn are_domains(node: &Node, reader: &mut Reader) -> bool {
    let before = reader.findings.len();
    for item in reader.list(node, "`trust_domains`").unwrap_or_default() {
        let Some(name) = non_empty(item, "the trust domain", reader) else { continue };
        if trust_domain(&format!("spiffe://{name}")) != Ok(name) {
            let message = format!("`{name}` is not a SPIFFE trust domain");
            let help = "write its name alone and in lower case, as in `example.com`";
            reader.error_with_help(item.span, "invalid-trust-domain", message, help);
        }
    }
    reader.findings.len() == before
}

impl Forwarded {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`forwarded_client_cert`")?;
        let proxies = fields.required("trusted_proxies", reader);
        let proxies = proxies.and_then(|node| names(node, "`trusted_proxies`", reader));
        let hop = fields.optional("hop").map_or(Some(1), |node| reader.integer(node, "`hop`", 1..=32));
        fields.close(reader);
        Some(Self { trusted_proxies: proxies?, hop: usize::try_from(hop?).ok()? })
    }
}
