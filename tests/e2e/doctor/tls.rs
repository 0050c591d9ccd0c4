//! Certificates for configurations that name those of `/etc/envoy/tls/`.

use std::net::SocketAddr;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, SanType};
use tempfile::TempDir;

/// Certificate and key of a gateway, on disk as long as this lives.
pub struct Tls {
    folder: TempDir,
    certificate: String,
}

impl Tls {
    /// For these host names.
    pub fn for_hosts(hosts: &[&str]) -> Self {
        let names: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = certified.cert.pem();
        std::fs::write(folder.path().join("gateway.crt"), &certificate).unwrap();
        std::fs::write(folder.path().join("gateway.key"), certified.signing_key.serialize_pem()).unwrap();
        // Whoever verifies callers by it trusts nobody who presents another one.
        std::fs::write(folder.path().join("clients.crt"), &certificate).unwrap();
        Self { folder, certificate }
    }

    /// The configuration with these files.
    pub fn in_place(&self, text: &str) -> String {
        text.replace("/etc/envoy/tls", &self.folder.path().display().to_string())
    }

    /// A client that trusts the certificate, and finds every host at this address.
    pub fn client(&self, hosts: &[&str], address: SocketAddr) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]);
        hosts.iter().fold(builder, |builder, host| builder.resolve(host, address))
    }
}

/// A certificate with this URI that its bearer signed.
pub fn self_signed(uri: &str) -> reqwest::Identity {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let pem = key.serialize_pem();
    let signed = CertifiedIssuer::self_signed(params, key).unwrap();
    reqwest::Identity::from_pem(format!("{}{pem}", signed.pem()).as_bytes()).unwrap()
}
