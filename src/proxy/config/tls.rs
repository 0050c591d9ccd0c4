//! TLS from Envoy to the server.

use std::net::IpAddr;

use askama::Template;

use super::text::json;
use super::{Address, Refused};
use crate::proxy::needs::{ListenerTls, Server};

/// Files as Envoy finds them, and whom it has to meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The CA of the server's certificate.
    pub ca: String,
    /// A certificate for Envoy to show, and its key.
    pub certificate: Option<(String, String)>,
    /// Of which the server's certificate must have one: DNS names, IP addresses, URIs such as SPIFFE ids. When empty: the
    /// hosts of the replicas.
    pub names: Vec<String>,
}

/// The `transport_socket` of a cluster.
#[derive(Template)]
#[template(path = "envoy/tls.yaml", escape = "none")]
pub(super) struct Socket {
    /// Each value as YAML writes it.
    sni: Option<String>,
    ca: String,
    certificate: Option<(String, String)>,
    /// Kind and name.
    names: Vec<(&'static str, String)>,
}

impl Socket {
    /// `None` when the cluster speaks plain text.
    ///
    /// # Errors
    /// What was asked for can't reach a server that is configured so.
    pub fn of(tls: Option<&Tls>, server: &Server, replicas: &[Address]) -> Result<Option<Self>, Refused> {
        let Some(tls) = tls else {
            return if server.known && server.tls != ListenerTls::Off {
                Err(Refused::TlsWanted)
            } else {
                Ok(None)
            };
        };
        if let Some(socket) = replicas.iter().find(|address| matches!(address, Address::Unix(_))) {
            return Err(Refused::TlsOnSocket(socket.clone()));
        }
        match server.tls {
            ListenerTls::Off if server.known => return Err(Refused::NoTls),
            ListenerTls::Mutual if tls.certificate.is_none() => return Err(Refused::ClientCertificateWanted),
            _ => {}
        }
        let names = if tls.names.is_empty() { hosts(replicas) } else { tls.names.clone() };
        let sni = names.iter().find(|name| kind(name) == "DNS").map(|name| json(name));
        let mut names: Vec<_> = names.iter().map(|name| (kind(name), json(name))).collect();
        names.dedup();
        let certificate = tls.certificate.as_ref().map(|(chain, key)| (json(chain), json(key)));
        Ok(Some(Self { sni, ca: json(&tls.ca), certificate, names }))
    }
}

fn hosts(replicas: &[Address]) -> Vec<String> {
    let host = |address: &Address| match address {
        Address::Ip(address) => Some(address.ip().to_string()),
        Address::Name(name, _) => Some(name.clone()),
        Address::Unix(_) => None,
    };
    replicas.iter().filter_map(host).collect()
}

/// As Envoy's `san_type` names it.
fn kind(name: &str) -> &'static str {
    if name.contains("://") {
        "URI"
    } else if name.parse::<IpAddr>().is_ok() {
        "IP_ADDRESS"
    } else {
        "DNS"
    }
}
