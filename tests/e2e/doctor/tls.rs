//! Certificates for configurations that name those of `/etc/envoy/tls/`.

use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;

/// Certificate and key of a gateway, on disk as long as this lives.
pub struct Tls {
    folder: TempDir,
    certificate: String,
    /// Signs the certificates of callers.
    authority: CertifiedIssuer<'static, KeyPair>,
    /// Signs those of servers that Envoy asks.
    servers: CertifiedIssuer<'static, KeyPair>,
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
        let authority = authority();
        std::fs::write(folder.path().join("clients.crt"), authority.pem()).unwrap();
        let servers = self::authority();
        std::fs::write(folder.path().join("portcullis-ca.crt"), servers.pem()).unwrap();
        Self { folder, certificate, authority, servers }
    }

    /// Certificate and key (PEM) of a server that Envoy asks, by the CA that it knows.
    pub fn server(&self, host: &str) -> (String, String) {
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.servers).unwrap().pem(), key.serialize_pem())
    }

    /// The file of these.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The configuration with these files.
    pub fn in_place(&self, text: &str) -> String {
        text.replace("/etc/envoy/tls", &self.folder.path().display().to_string())
    }

    /// A caller's certificate by the authority that the configuration trusts.
    pub fn genuine(&self, uri: &str) -> reqwest::Identity {
        issue(uri, &self.authority)
    }

    /// The same by an authority that its bearer made up, under the same name.
    pub fn forged(&self, uri: &str) -> reqwest::Identity {
        issue(uri, &authority())
    }

    /// A client that trusts the certificate, and finds every host at this address.
    pub fn client(&self, hosts: &[&str], address: SocketAddr) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]);
        hosts.iter().fold(builder, |builder, host| builder.resolve(host, address))
    }
}

/// An authority that signs certificates of callers.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with this URI by an authority.
fn issue(uri: &str, authority: &CertifiedIssuer<'static, KeyPair>) -> reqwest::Identity {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    reqwest::Identity::from_pem(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes()).unwrap()
}
