//! Certificates and keys, from their files to what a handshake is made with.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Config, verify};
use crate::clock::Clock;
use crate::metrics::TlsListener;

/// What a listener makes handshakes with: all of it from one reading of the files.
pub struct Material {
    pub server: Arc<ServerConfig>,
    /// When the first certificate of the chain that is shown expires.
    pub expiry: Timestamp,
    begin: Timestamp,
    /// Of the files' bytes: equal when nothing changed.
    pub fingerprint: [u8; 32],
}

/// Why files make no working listener. `Display` names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("can't read `{path}`: {why}", path = .0.display(), why = .1)]
    Unreadable(PathBuf, std::io::Error),
    #[error("`{path}` is larger than 1 MiB: it is no PEM file of certificates or a key", path = .0.display())]
    TooLarge(PathBuf),
    #[error("`{path}` holds no certificate: a PEM file with `-----BEGIN CERTIFICATE-----` is expected", path = .0.display())]
    NoCertificate(PathBuf),
    #[error("`{path}` is not a PEM file: {why}", path = .0.display(), why = .1)]
    NotPem(PathBuf, String),
    #[error("a certificate of `{path}` can't be used: {why}", path = .0.display(), why = .1)]
    Certificate(PathBuf, String),
    #[error("`{path}` holds no private key: PEM of PKCS#8, PKCS#1 or SEC1 is expected, not encrypted", path = .0.display())]
    NoKey(PathBuf),
    #[error("the private key of `{path}` can't be used: {why}", path = .0.display(), why = .1)]
    Key(PathBuf, String),
    #[error("the first certificate of `{path}` and the private key of `{other}` don't belong together", path = .0.display(), other = .1.display())]
    Mismatch(PathBuf, PathBuf),
    #[error("the certificate of `{path}` expired at {why}: renew it", path = .0.display(), why = .1)]
    Expired(PathBuf, Timestamp),
    #[error("the certificate of `{path}` is not valid before {why}: compare clocks", path = .0.display(), why = .1)]
    NotYetValid(PathBuf, Timestamp),
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The largest file: a bundle of some hundred authorities has 250 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// How often files that keep changing are read again.
const MOST_READS: usize = 8;

impl Material {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// A file that is missing or holds something else. Not a certificate that has expired: see `check_validity`.
    pub fn read(config: &Config, listener: TlsListener, clock: &Clock) -> Result<Self, Broken> {
        let contents = Contents::read_at_rest(config)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = contents.certified_key(config, &provider)?;
        let (begin, expiry) = validity(&key.cert, &config.certificate)?;
        let time = Arc::new(Time(clock.clone()));
        let builder = ServerConfig::builder_with_details(provider.clone(), time)
            .with_safe_default_protocol_versions()
            .map_err(Broken::Setup)?;
        let builder = match (&config.client_ca, &contents.client_ca) {
            (Some(path), Some(bytes)) => {
                let roots = roots(path, bytes)?;
                let verifier = verify::verifier(roots, config.client_spiffe.clone(), provider)
                    .map_err(|error| Broken::Certificate(path.clone(), error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        server.alpn_protocols = super::protocols(listener).iter().map(|name| name.to_vec()).collect();
        // A resumed session would be that of a certificate which nobody looks at again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self { server: Arc::new(server), expiry, begin, fingerprint: contents.fingerprint() })
    }

    /// # Errors
    /// The certificate has expired, or is not valid yet: no client takes it.
    pub fn check_validity(&self, config: &Config, now: Timestamp) -> Result<(), Broken> {
        let path = || config.certificate.clone();
        if now > self.expiry {
            return Err(Broken::Expired(path(), self.expiry));
        }
        if now < self.begin {
            return Err(Broken::NotYetValid(path(), self.begin));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").field("expiry", &self.expiry).finish_non_exhaustive()
    }
}

/// The bytes of all files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    /// Files are read one by one, and a swap in between would mix two certificates: what is read twice alike is one.
    fn read_at_rest(config: &Config) -> Result<Self, Broken> {
        let mut contents = Self::read(config)?;
        for _ in 0..MOST_READS {
            let again = Self::read(config)?;
            if again == contents {
                break;
            }
            contents = again;
        }
        Ok(contents)
    }

    fn read(config: &Config) -> Result<Self, Broken> {
        Ok(Self {
            certificate: bytes(&config.certificate)?,
            private_key: bytes(&config.private_key)?,
            client_ca: config.client_ca.as_deref().map(bytes).transpose()?,
        })
    }

    fn certified_key(&self, config: &Config, provider: &CryptoProvider) -> Result<CertifiedKey, Broken> {
        let chain = certificates(&config.certificate, &self.certificate)?;
        let path = || config.private_key.clone();
        let key = PrivateKeyDer::from_pem_slice(&self.private_key).map_err(|error| match error {
            pem::Error::NoItemsFound => Broken::NoKey(path()),
            error => Broken::NotPem(path(), error.to_string()),
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Broken::Mismatch(config.certificate.clone(), path()),
            rustls::Error::InvalidCertificate(error) => {
                Broken::Certificate(config.certificate.clone(), error.to_string())
            }
            error => Broken::Key(path(), error.to_string()),
        })
    }

    fn fingerprint(&self) -> [u8; 32] {
        use aws_lc_rs::digest::{Context, SHA256};
        let mut digest = Context::new(&SHA256);
        for part in [Some(&self.certificate), Some(&self.private_key), self.client_ca.as_ref()] {
            let part = part.map(Vec::as_slice).unwrap_or_default();
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.finish().as_ref());
        fingerprint
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Broken> {
    let unreadable = |error| Broken::Unreadable(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(Broken::TooLarge(path.to_owned())),
        false => Ok(bytes),
    }
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Broken> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let read = read.map_err(|error| Broken::NotPem(path.to_owned(), error.to_string()))?;
    if read.is_empty() {
        return Err(Broken::NoCertificate(path.to_owned()));
    }
    Ok(read)
}

fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, Broken> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots.add(certificate).map_err(|error| Broken::Certificate(path.to_owned(), error.to_string()))?;
    }
    Ok(roots)
}

/// From when until when every certificate of the chain is valid.
fn validity(chain: &[CertificateDer<'_>], path: &Path) -> Result<(Timestamp, Timestamp), Broken> {
    let (mut begin, mut expiry) = (Timestamp::MIN, Timestamp::MAX);
    for certificate in chain {
        let (_, read) = X509Certificate::from_der(certificate)
            .map_err(|error| Broken::Certificate(path.to_owned(), error.to_string()))?;
        let [not_before, not_after] = [read.validity().not_before, read.validity().not_after]
            .map(|time| Timestamp::from_second(time.timestamp()));
        // Years beyond 9999 never come.
        begin = begin.max(not_before.unwrap_or(Timestamp::MIN));
        expiry = expiry.min(not_after.unwrap_or(Timestamp::MAX));
    }
    Ok((begin, expiry))
}

/// The clock of the process, as rustls asks for it.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
