//! `identity.introspection`: opaque tokens, which their authorization server is asked about (RFC 7662).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::{Fields, Node, Reader};

use super::callout::{self, CalloutConfig};
use super::jwt::read_leeway;
use super::{ClaimNames, names, non_empty};

/// Whom to ask about opaque tokens, and what of the answer counts.
#[derive(Clone, Debug)]
pub struct IntrospectionConfig {
    pub callout: CalloutConfig,
    pub client_id: String,
    pub client_secret_file: PathBuf,
    /// The answer's `aud`, if it has one, must name one of these; `None` where any will do.
    pub audiences: Option<Vec<String>>,
    /// The answer's `iss`, if it has one, must be this; it is the issuer of the identities.
    pub issuer: Option<String>,
    pub claims: ClaimNames,
    pub leeway: Duration,
}

impl IntrospectionConfig {
    /// Reads the section, in which relative paths start from `folder`; every mistake is left with `reader`.
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`introspection`")?;
        let callout = CalloutConfig::read(&mut fields, None, folder, reader);
        let client_id = fields.required("client_id", reader);
        let client_id = client_id.and_then(|node| non_empty(node, "`client_id`", reader));
        let secret = fields.required("client_secret_file", reader);
        let secret =
            secret.and_then(|node| callout::path(Some(node), "`client_secret_file`", folder, reader));
        let audiences = read_audiences(&mut fields, reader);
        let issuer = match fields.optional("issuer") {
            Some(node) => non_empty(node, "`issuer`", reader).map(|issuer| Some(issuer.to_owned())),
            None => Some(None),
        };
        let claims = match fields.optional("claims") {
            Some(node) => ClaimNames::read(node, reader),
            None => Some(ClaimNames::default()),
        };
        let leeway = read_leeway(&mut fields, reader);
        fields.close(reader);
        Some(Self {
            callout: callout?,
            client_id: client_id?.to_owned(),
            client_secret_file: secret??,
            audiences: audiences?,
            issuer: issuer?,
            claims: claims?,
            leeway: leeway?,
        })
    }
}

/// Without audiences, a token that was given to any service would be good here: that must be said aloud.
fn read_audiences(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Option<Vec<String>>> {
    let (list, any) = (fields.optional("audiences"), fields.optional("any_audience"));
    let span = fields.span;
    let any = any.map_or(Some(false), |node| reader.boolean(node, "`any_audience`"))?;
    match (list, any) {
        (Some(node), false) => names(node, "`audiences`", reader).map(Some),
        (None, true) => Some(None),
        (Some(node), true) => {
            let message = "`audiences` and `any_audience: true` contradict each other";
            reader.error(node.span, "conflicting-fields", message);
            None
        }
        (None, false) => {
            let message = "`introspection` lacks the field `audiences`";
            let help = "name the audiences of this service, or set `any_audience: true` to accept tokens that were \
                        issued for other services";
            reader.error_with_help(span, "missing-field", message, help);
            None
        }
    }
}
