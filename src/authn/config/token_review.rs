//! `identity.kubernetes`: tokens of a Kubernetes cluster, which its API server is asked about (TokenReview).

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::document::{Node, Reader};

use super::callout::{self, CalloutConfig};
use super::names;

/// Where pods find their API server, and what they show to it.
const URL: &str = "https://kubernetes.default.svc";
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// Which API server to ask about tokens.
#[derive(Clone, Debug)]
pub struct TokenReviewConfig {
    /// `url` is that of the API server, without the path of the resource.
    pub callout: CalloutConfig,
    /// A token must be meant for one of these.
    pub audiences: Vec<String>,
    /// Our own token, read for each request, since Kubernetes replaces it.
    pub token_file: PathBuf,
}

impl TokenReviewConfig {
    /// Reads the section, in which relative paths start from `folder`; every mistake is left with `reader`.
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`kubernetes`")?;
        let in_cluster = fields.optional("url").is_none();
        let callout = CalloutConfig::read(&mut fields, Url::parse(URL).ok().as_ref(), folder, reader);
        let audiences = fields.required("audiences", reader);
        let audiences = audiences.and_then(|node| names(node, "`audiences`", reader));
        let token_file = callout::path(fields.optional("token_file"), "`token_file`", folder, reader);
        fields.close(reader);
        let mut callout = callout?;
        if in_cluster {
            callout.ca_file.get_or_insert_with(|| CA_FILE.into());
        }
        let token_file = token_file?.unwrap_or_else(|| TOKEN_FILE.into());
        Some(Self { callout, audiences: audiences?, token_file })
    }
}
