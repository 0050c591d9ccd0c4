//! Manifests for Istio and Envoy Gateway.
//!
//! What their own resources can say is said there; the rest is patched into Envoy's configuration, with the reason beside it.

use std::fmt;
use std::str::FromStr;

use askama::Template;

use super::piece::{ExtAuthzRoute, ExtProc, ExtProcRoute, Mode, changes_envoys_headers, filters, metadata};
use super::text::{json, seconds};
use super::{Address, Figures, Refused, Service, buffered, check_times};
use crate::policy::cel::attribute::Attribute;
use crate::proxy::{BodySource, Needs};

mod gateway;
mod istio;

pub use gateway::{GatewayOptions, envoy_gateway};
pub use istio::{IstioOptions, Selection, istio};

/// The Service of Kubernetes that answers for Portcullis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    pub name: Name,
    pub namespace: Name,
    pub port: u16,
}

/// A name of Kubernetes: lower-case letters, digits, `-` and `.`, which YAML takes for a plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// One label, `app=orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub key: String,
    pub value: String,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let ends = ends(text.chars().next()) && ends(text.chars().next_back());
        if text.len() <= 253 && ends && text.chars().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is no name of Kubernetes: lower-case letters, digits, `-` and `.`"))
        }
    }
}

/// As YAML writes it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name of digits alone, or one that YAML takes for a word of its own, has to be quoted.
        let plain = self.0.starts_with(|c: char| c.is_ascii_lowercase())
            && !matches!(
                self.0.as_str(),
                "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
            );
        if plain { f.write_str(&self.0) } else { f.write_str(&json(&self.0)) }
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is no label: write `KEY=VALUE`"))?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        match !key.is_empty() && key.chars().chain(value.chars()).all(good) {
            true => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            false => Err(format!("`{text}` is no label: letters, digits, `-`, `_`, `.` and `/`")),
        }
    }
}

/// As YAML writes it.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", json(&self.key), json(&self.value))
    }
}

impl ServiceName {
    /// `SERVICE.NAMESPACE:PORT`, also with `.svc.cluster.local`.
    ///
    /// # Errors
    /// An address, or a name without a namespace.
    pub fn of(address: &Address) -> Result<Self, Refused> {
        let refused = || Refused::NoService(address.clone());
        let Address::Name(host, port) = address else { return Err(refused()) };
        let mut parts = host.split('.');
        let mut next = || parts.next().and_then(|part| part.parse::<Name>().ok()).ok_or_else(refused);
        let (name, namespace) = (next()?, next()?);
        match parts.next() {
            None | Some("svc") => Ok(Self { name, namespace, port: *port }),
            Some(_) => Err(refused()),
        }
    }

    /// Its name in the cluster's DNS.
    fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name.0, self.namespace.0)
    }
}

#[derive(Template)]
#[template(path = "kubernetes/heading.yaml", escape = "none")]
struct Heading {
    title: &'static str,
    ext_proc: bool,
    /// A setting that the server must have.
    server: Option<String>,
}

impl Heading {
    fn of(title: &'static str, service: Service, needs: &Needs, body: Option<BodySource>) -> Self {
        let server = match service {
            Service::ExtProc | Service::Both => {
                Some(format!("holds.max_message_timeout: {}", seconds(needs.server.max_message_timeout)))
            }
            Service::ExtAuthz => body.map(|body| format!("listen.request_body: {}", body.as_str())),
        };
        Self { title, ext_proc: service == Service::ExtProc, server }
    }
}

#[cfg(test)]
mod tests;
