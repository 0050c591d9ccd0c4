//! TLS of our own listeners: certificates from files that may change, client certificates of listed proxies only, and
//! handshakes that strangers can't tie up.
//!
//! A refused client gets a TLS alert and nothing else; the reason is in the log and counted. No session is resumed: each
//! connection shows its certificate anew. Knows nothing of what is spoken over the connections.

use std::path::PathBuf;

use crate::clock::Clock;
use crate::metrics::TlsListener;

mod failure;
mod listener;
mod material;
mod served;
mod share;
mod spiffe;
#[cfg(test)]
pub mod tests;
mod verify;

pub use listener::{Connection, Limits, Listener};
pub use material::{Broken, Material};
pub use served::Served;
pub use spiffe::{Pattern as SpiffePattern, trust_domain, uri_names};

/// The files of one listener, PEM all of them, and who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server's certificate first, then those that lead to its root.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub private_key: PathBuf,
    /// With it, a client must show a certificate by one of these authorities.
    pub client_ca: Option<PathBuf>,
    /// With any, the client's certificate must have one of these SPIFFE ids.
    pub client_spiffe: Vec<SpiffePattern>,
}

impl Config {
    fn files(&self) -> Vec<PathBuf> {
        let files = [Some(&self.certificate), Some(&self.private_key), self.client_ca.as_ref()];
        files.into_iter().flatten().cloned().collect()
    }
}

/// A configuration with what its files held at the start.
#[derive(Debug)]
pub struct Prepared {
    listener: TlsListener,
    config: Config,
    material: Material,
}

impl Prepared {
    /// Reads the files. Blocks. Beside it: why the certificate serves nobody at this time. That stops no start, since
    /// calls fail either way, and a new file is taken as soon as it comes.
    ///
    /// # Errors
    /// A file that is missing, or can't be used.
    pub fn read(
        config: &Config,
        listener: TlsListener,
        clock: &Clock,
    ) -> Result<(Self, Option<Broken>), Broken> {
        let material = Material::read(config, listener, clock)?;
        let warning = material.check_validity(config, clock.now()).err();
        Ok((Self { listener, config: config.clone(), material }, warning))
    }
}

/// What is spoken, the preferred first.
fn protocols(listener: TlsListener) -> &'static [&'static [u8]] {
    match listener {
        TlsListener::Grpc => &[b"h2"],
        TlsListener::Admin => &[b"h2", b"http/1.1"],
    }
}
