//! TLS to the admin API: which servers a command trusts, what it shows, and what went wrong in words.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use rustls::{CertificateError, Error};

use super::Failure;

/// How a command speaks to an `https://` server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Tls {
    /// The CA (PEM) of the server's certificate, in place of those of the system
    #[arg(long, global = true, value_name = "FILE", env = "PORTCULLIS_CA")]
    ca: Option<PathBuf>,
    /// A certificate (PEM) to show, where the server's admin listener has a `client_ca`
    #[arg(long, global = true, value_name = "FILE", env = "PORTCULLIS_CLIENT_CERT")]
    client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "PORTCULLIS_CLIENT_KEY")]
    client_key: Option<PathBuf>,
}

impl Tls {
    pub fn shows_certificate(&self) -> bool {
        self.client_cert.is_some()
    }

    fn is_given(&self) -> bool {
        self.ca.is_some() || self.client_cert.is_some() || self.client_key.is_some()
    }

    /// Reads the files into a client for `address`.
    pub fn apply(
        &self,
        mut client: reqwest::ClientBuilder,
        address: &reqwest::Url,
    ) -> Result<reqwest::ClientBuilder, Failure> {
        if address.scheme() == "http" && self.is_given() {
            return Err(Failure::NotHttps(address.to_string()));
        }
        if let Some(path) = &self.ca {
            let unusable = |why: &dyn std::fmt::Display| Failure::TlsFile(path.clone(), why.to_string());
            let found =
                reqwest::Certificate::from_pem_bundle(&read(path)?).map_err(|error| unusable(&error))?;
            if found.is_empty() {
                return Err(unusable(&"it holds no certificate in PEM"));
            }
            client = client.tls_certs_only(found);
        }
        match (&self.client_cert, &self.client_key) {
            (None, None) => Ok(client),
            (Some(certificate), Some(key)) => {
                let mut pem = read(certificate)?;
                pem.push(b'\n');
                pem.extend(read(key)?);
                let unusable = |_| {
                    let why = format!("with `{}` it is no certificate with its key, in PEM", key.display());
                    Failure::TlsFile(certificate.clone(), why)
                };
                Ok(client.identity(reqwest::Identity::from_pem(&pem).map_err(unusable)?))
            }
            _ => Err(Failure::HalfIdentity),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::TlsFile(path.to_owned(), error.to_string()))
}

/// What kept a TLS connection from coming to be, and what to do; `None` when something else failed. `shown`: whether this
/// client has a certificate to show.
pub fn reason(error: &reqwest::Error, shown: bool) -> Option<String> {
    let mut next: Option<&dyn std::error::Error> = error.source();
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(in_words(tls));
        }
        // An I/O error passes over the error that it is made of.
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = within.map(|within| within as _).or_else(|| error.source());
    }
    // In TLS 1.3 a client learns what becomes of its certificate after the handshake. HTTP/2 keeps only the words of that,
    // or says no more than that the connection was closed.
    let words = crate::diagnostic::innermost(error);
    if let Some((_, alert)) = words.split_once("received fatal alert: ") {
        return Some(of_alert(alert));
    }
    let https = error.url().is_some_and(|url| url.scheme() == "https");
    (https && !error.is_connect() && !error.is_timeout()).then(|| match shown {
        false => of_alert(REQUIRED),
        true => of_alert(&words),
    })
}

fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is by no authority that is trusted here; name its CA with `--ca FILE`".into()
        }
        Error::InvalidCertificate(
            error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        ) => format!("its certificate is for another name ({error}); use one that it has in `--server`"),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; renew it on the server".into()
        }
        Error::InvalidCertificate(error) => format!("its certificate can't be trusted: {error}"),
        Error::AlertReceived(alert) => of_alert(&format!("{alert:?}")),
        Error::InvalidMessage(_) => "it does not speak TLS; is it http://?".into(),
        error => error.to_string(),
    }
}

/// The alert that says that there was no certificate, as rustls writes it.
const REQUIRED: &str = "CertificateRequired";

fn of_alert(alert: &str) -> String {
    match alert {
        REQUIRED => {
            "it closes connections without a client certificate; give `--client-cert FILE` and `--client-key FILE`".into()
        }
        _ => format!(
            "it refuses the connection, most likely for the client certificate ({alert}); its log says why"
        ),
    }
}
