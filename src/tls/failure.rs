//! Why a handshake failed: counted by reason, and logged without a flood.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::{CertificateError, Error};

use super::spiffe::Refusal;
use crate::clock;
use crate::metrics::{HandshakeFailure, Metrics, TlsListener};

/// The reason that an error of the handshake stands for.
pub fn reason(error: &io::Error) -> HandshakeFailure {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return HandshakeFailure::HungUp;
    };
    match error {
        Error::NoCertificatesPresented => HandshakeFailure::NoCertificate,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(_) => HandshakeFailure::RefusedByClient,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeFailure::Incompatible,
        _ => HandshakeFailure::NotTls,
    }
}

fn of_certificate(error: &CertificateError) -> HandshakeFailure {
    match error {
        CertificateError::Other(other) => match other.0.downcast_ref::<Refusal>() {
            Some(Refusal::Missing) => HandshakeFailure::SpiffeMissing,
            Some(Refusal::Several(_)) => HandshakeFailure::SpiffeSeveral,
            Some(Refusal::NotListed(_)) => HandshakeFailure::SpiffeNotListed,
            Some(Refusal::Invalid(..)) => HandshakeFailure::SpiffeInvalid,
            Some(Refusal::Unreadable) | None => HandshakeFailure::InvalidCertificate,
        },
        CertificateError::UnknownIssuer | CertificateError::BadSignature => HandshakeFailure::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => HandshakeFailure::Expired,
        _ => HandshakeFailure::InvalidCertificate,
    }
}

/// One reason is logged at most so often.
const EVERY: Duration = Duration::from_secs(10);

/// Counts and logs the failures of one listener.
#[derive(Clone, Debug)]
pub struct Failures(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: TlsListener,
    metrics: Metrics,
    /// By reason.
    lines: Mutex<[Line; HandshakeFailure::ALL.len()]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    last: Option<Instant>,
    /// Failures since then that no line told of.
    untold: u64,
}

impl Failures {
    pub fn new(listener: TlsListener, metrics: Metrics) -> Self {
        let lines = Mutex::new([Line::default(); HandshakeFailure::ALL.len()]);
        Self(Arc::new(Inner { listener, metrics, lines }))
    }

    /// A handshake with `peer` failed. `detail` is what rustls or the operating system says.
    pub fn tell(&self, failure: HandshakeFailure, peer: IpAddr, detail: &dyn std::fmt::Display) {
        let inner = &self.0;
        inner.metrics.handshake_failed(inner.listener, failure);
        let Some(untold) = self.line(failure, clock::instant()) else { return };
        let (listener, reason) = (inner.listener.as_str(), failure.as_str());
        // Load balancers and probes connect and hang up all day.
        if failure == HandshakeFailure::HungUp {
            tracing::debug!(listener, reason, %peer, untold, %detail, "a TLS handshake failed");
        } else {
            tracing::warn!(listener, reason, %peer, untold, %detail, "a TLS handshake failed");
        }
    }

    /// How many failures for this reason went untold, when it is time for a line; else counts one more.
    fn line(&self, failure: HandshakeFailure, now: Instant) -> Option<u64> {
        let mut lines = self.0.lines.lock();
        let line = lines.get_mut(failure as usize)?;
        if line.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            line.untold += 1;
            return None;
        }
        line.last = Some(now);
        Some(std::mem::take(&mut line.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_makes_one_line_for_each_reason() {
        let failures = Failures::new(TlsListener::Grpc, Metrics::new().unwrap());
        let start = clock::instant();
        assert_eq!(failures.line(HandshakeFailure::NotTls, start), Some(0));
        for _ in 0..1_000 {
            assert_eq!(failures.line(HandshakeFailure::NotTls, start), None);
        }
        assert_eq!(failures.line(HandshakeFailure::Timeout, start), Some(0), "another reason");
        assert_eq!(failures.line(HandshakeFailure::NotTls, start + EVERY), Some(1_000));
        assert_eq!(failures.line(HandshakeFailure::NotTls, start + EVERY), None);
    }
}
