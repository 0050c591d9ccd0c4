//! What differs from one Envoy to the next, and the configuration that comes of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use crate::{address, template};

/// How to start Envoy. The addresses of its own listeners are any free ones unless they are set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A whole configuration; `${LISTENER_PORT}` and the like in it are filled in.
    pub text: String,
    pub portcullis: SocketAddr,
    pub upstream: SocketAddr,
    pub listener: SocketAddr,
    pub admin: SocketAddr,
    /// Where its log goes; a temporary file otherwise.
    pub log: Option<PathBuf>,
    values: BTreeMap<&'static str, String>,
}

impl Settings {
    pub fn new(text: String, portcullis: SocketAddr, upstream: SocketAddr) -> Self {
        Self {
            text,
            portcullis,
            upstream,
            listener: address::ANY,
            admin: address::ANY,
            log: None,
            values: BTreeMap::new(),
        }
    }

    /// Sets one placeholder.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.values.insert(name, value.to_owned());
        self
    }

    pub fn render(&self) -> Result<String> {
        let mut values: BTreeMap<&str, String> = BTreeMap::new();
        values.insert("LISTENER_ADDRESS", self.listener.ip().to_string());
        values.insert("LISTENER_PORT", self.listener.port().to_string());
        values.insert("ADMIN_ADDRESS", self.admin.ip().to_string());
        values.insert("ADMIN_PORT", self.admin.port().to_string());
        values.insert("PORTCULLIS_ADDRESS", self.portcullis.ip().to_string());
        values.insert("PORTCULLIS_PORT", self.portcullis.port().to_string());
        values.insert("UPSTREAM_ADDRESS", self.upstream.ip().to_string());
        values.insert("UPSTREAM_PORT", self.upstream.port().to_string());
        // Not every template has every placeholder; what the caller set has to be there.
        values.retain(|name, _| self.text.contains(&format!("${{{name}}}")));
        values.extend(self.values.iter().map(|(&name, value)| (name, value.clone())));
        template::render(&self.text, &values)
    }
}
