//! What differs from one Envoy to the next, and the configuration that comes of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{address, repository, template};

/// Which configuration Envoy gets.
#[derive(Clone, Debug)]
pub enum Template {
    /// `envoy/ext-proc.yaml`: decisions, held calls, masked responses.
    ExtProc,
    /// `envoy/ext-authz.yaml`: decisions and held calls.
    ExtAuthz,
    /// Any other, with the same placeholders or fewer.
    Text(String),
}

/// How to start Envoy. The addresses of its own listeners are any free ones unless they are set.
#[derive(Clone, Debug)]
pub struct Settings {
    pub template: Template,
    pub portcullis: SocketAddr,
    pub upstream: SocketAddr,
    pub listener: SocketAddr,
    pub admin: SocketAddr,
    /// Where its log goes; a temporary file otherwise.
    pub log: Option<PathBuf>,
    values: BTreeMap<&'static str, String>,
}

/// What the placeholders that have no address in them are, unless `with` says otherwise.
const DEFAULTS: [(&str, &str); 6] = [
    ("REQUEST_BODY_MODE", "NONE"),
    ("RESPONSE_HEADER_MODE", "SKIP"),
    ("RESPONSE_BODY_MODE", "NONE"),
    ("RESPONSE_TRAILER_MODE", "SKIP"),
    ("MESSAGE_TIMEOUT", "5s"),
    ("UPSTREAM_PROTOCOL", "http_protocol_options"),
];

impl Settings {
    pub fn new(template: Template, portcullis: SocketAddr, upstream: SocketAddr) -> Self {
        Self {
            template,
            portcullis,
            upstream,
            listener: address::ANY,
            admin: address::ANY,
            log: None,
            values: BTreeMap::new(),
        }
    }

    /// Sets one placeholder, such as `REQUEST_BODY_MODE`.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.values.insert(name, value.to_owned());
        self
    }

    /// Speaks HTTP/2 to the upstream: trailers pass.
    pub fn with_http2_upstream(self) -> Self {
        self.with("UPSTREAM_PROTOCOL", "http2_protocol_options")
    }

    pub fn render(&self) -> Result<String> {
        let text = self.template.text()?;
        let mut values: BTreeMap<&str, String> =
            DEFAULTS.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        values.insert("LISTENER_ADDRESS", self.listener.ip().to_string());
        values.insert("LISTENER_PORT", self.listener.port().to_string());
        values.insert("ADMIN_ADDRESS", self.admin.ip().to_string());
        values.insert("ADMIN_PORT", self.admin.port().to_string());
        values.insert("PORTCULLIS_ADDRESS", self.portcullis.ip().to_string());
        values.insert("PORTCULLIS_PORT", self.portcullis.port().to_string());
        values.insert("UPSTREAM_ADDRESS", self.upstream.ip().to_string());
        values.insert("UPSTREAM_PORT", self.upstream.port().to_string());
        // Not every template has every placeholder; what the caller set has to be there.
        values.retain(|name, _| text.contains(&format!("${{{name}}}")));
        values.extend(self.values.iter().map(|(&name, value)| (name, value.clone())));
        template::render(&text, &values)
    }
}

impl Template {
    fn text(&self) -> Result<String> {
        let name = match self {
            Self::ExtProc => "ext-proc.yaml",
            Self::ExtAuthz => "ext-authz.yaml",
            Self::Text(text) => return Ok(text.clone()),
        };
        let path = repository().join("envoy").join(name);
        fs::read_to_string(&path).with_context(|| format!("can't read `{}`", path.display()))
    }
}
