//! Authorities and certificates of tests, and handshakes with them.

use std::net::IpAddr;
use std::path::Path;

use super::{Config, SpiffePattern};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Issued {
    pub der: Vec<u8>,
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, with: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::default();
        with(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { der: certificate.der().to_vec(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// For a server on 127.0.0.1.
    pub fn server(&self) -> Issued {
        self.issue(|params| params.subject_alt_names = vec![SanType::IpAddress(IpAddr::from([127, 0, 0, 1]))])
    }
}

impl Issued {
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.crt")), &self.certificate).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }
}

pub fn uris(names: &[&str]) -> Vec<SanType> {
    names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect()
}

mod files;
mod handshake;

/// A folder with `tls.crt`, `tls.key` and `ca.pem`, and the authority that signed them.
pub struct Files {
    pub folder: tempfile::TempDir,
    pub authority: Authority,
}

impl Files {
    pub fn valid() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
        authority.server().write(folder.path(), "tls");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, authority }
    }

    /// With a client CA where any ids are listed.
    pub fn config(&self, listed: &[&str]) -> Config {
        let at = |name: &str| self.folder.path().join(name);
        Config {
            certificate: at("tls.crt"),
            private_key: at("tls.key"),
            client_ca: (!listed.is_empty()).then(|| at("ca.pem")),
            client_spiffe: listed.iter().map(|id| SpiffePattern::parse(id).unwrap()).collect(),
        }
    }
}
