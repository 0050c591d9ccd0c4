//! Our own certificates, and handshakes that fail.

use ::metrics::{Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, gauge};

/// A listener that may have TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsListener {
    Grpc,
    Admin,
}

/// Why a connection never came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// It took longer than allowed.
    Timeout,
    /// As many as allowed were under way.
    TooMany,
    /// As many as allowed of its address were.
    TooManyOfAddress,
    /// The client went away.
    HungUp,
    /// What came is no TLS, or breaks its rules.
    NotTls,
    /// No version, cipher or protocol in common.
    Incompatible,
    /// The client does not take our certificate.
    RefusedByClient,
    NoCertificate,
    UnknownIssuer,
    Expired,
    InvalidCertificate,
    SpiffeMissing,
    SpiffeSeveral,
    SpiffeInvalid,
    SpiffeNotListed,
}

impl TlsListener {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Admin => "admin",
        }
    }
}

impl HandshakeFailure {
    pub const ALL: [Self; 15] = [
        Self::Timeout,
        Self::TooMany,
        Self::TooManyOfAddress,
        Self::HungUp,
        Self::NotTls,
        Self::Incompatible,
        Self::RefusedByClient,
        Self::NoCertificate,
        Self::UnknownIssuer,
        Self::Expired,
        Self::InvalidCertificate,
        Self::SpiffeMissing,
        Self::SpiffeSeveral,
        Self::SpiffeInvalid,
        Self::SpiffeNotListed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::TooMany => "too_many",
            Self::TooManyOfAddress => "too_many_of_address",
            Self::HungUp => "hung_up",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::RefusedByClient => "refused_by_client",
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::InvalidCertificate => "invalid_certificate",
            Self::SpiffeMissing => "spiffe_missing",
            Self::SpiffeSeveral => "spiffe_several",
            Self::SpiffeInvalid => "spiffe_invalid",
            Self::SpiffeNotListed => "spiffe_not_listed",
        }
    }
}

pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counters = [
        ("portcullis_tls_reloads_total", "Changes of TLS files, by result"),
        ("portcullis_tls_handshake_failures_total", "Clients that got no connection, by reason"),
    ];
    for (name, text) in counters {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    let expiry = "portcullis_tls_certificate_expiry_seconds";
    recorder.describe_gauge(expiry.into(), None, "When the certificate expires, in Unix time".into());
}

impl Metrics {
    /// When the certificate that a listener shows expires, in Unix time.
    pub fn certificate_expires(&self, listener: TlsListener, unix: i64) {
        let labels = [("listener", listener.as_str())];
        #[expect(clippy::cast_precision_loss, reason = "seconds of our age are far below 2^52")]
        let seconds = unix as f64;
        gauge(&self.0.recorder, "portcullis_tls_certificate_expiry_seconds", &labels).set(seconds);
    }

    /// Changed files were taken, or refused.
    pub fn tls_reloaded(&self, listener: TlsListener, accepted: bool) {
        let result = if accepted { "accepted" } else { "refused" };
        let labels = [("listener", listener.as_str()), ("result", result)];
        counter(&self.0.recorder, "portcullis_tls_reloads_total", &labels).increment(1);
    }

    /// A client got no connection.
    pub fn handshake_failed(&self, listener: TlsListener, failure: HandshakeFailure) {
        let labels = [("listener", listener.as_str()), ("reason", failure.as_str())];
        counter(&self.0.recorder, "portcullis_tls_handshake_failures_total", &labels).increment(1);
    }
}
