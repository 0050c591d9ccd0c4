//! Which client certificates are taken: those of the configured authorities, and of them those that are listed.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::spiffe::{self, Pattern};

/// Demands a certificate by one of `roots`; where ids are listed, one of those.
pub fn verifier(
    roots: RootCertStore,
    listed: Vec<Pattern>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        // Strangers are not told whom we trust.
        .clear_root_hint_subjects()
        .build()?;
    match listed.is_empty() {
        true => Ok(chain),
        false => Ok(Arc::new(Listed { chain, listed })),
    }
}

/// Takes what `chain` takes, if its SPIFFE id is listed.
#[derive(Debug)]
struct Listed {
    chain: Arc<dyn ClientCertVerifier>,
    listed: Vec<Pattern>,
}

impl ClientCertVerifier for Listed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        spiffe::admit(end_entity, &self.listed)
            .map_err(|refusal| CertificateError::Other(OtherError(Arc::new(refusal))))?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
