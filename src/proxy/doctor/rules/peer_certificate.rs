//! Certificates that nobody verified.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "peer-certificate",
    severity: Severity::Error,
    title: "the certificate that stands for the caller isn't verified",
    what: "The TLS settings of filter chains before Portcullis, with `identity.mtls: true`.",
    why: "Portcullis takes the name in the peer's certificate for the caller. A listener that asks for \
          certificates and verifies none lets anyone present any name; one without TLS never has any.",
    demonstrated: "Envoy 1.40.0 with `ACCEPT_UNTRUSTED`: a certificate by an authority that its bearer had made \
          up, with the name of another workload, was taken for that workload. Verified, the forged one \
          got no connection. Without a CA Envoy asked for no certificate.",
    test: Some("peer_certificate"),
    fix: "Give `common_tls_context` a `validation_context` with the CA, and set \
          `require_client_certificate: true`.",
    example: "require_client_certificate: true\ncommon_tls_context:\n  validation_context: {trusted_ca: {filename: /etc/envoy/ca.pem}}\n",
    envoy: Some(envoy),
};

/// What certificates of callers can be verified by.
const SOURCES: [&str; 6] = [
    "trusted_ca",
    "ca_certificate_provider_instance",
    "system_root_certs",
    "verify_certificate_hash",
    "verify_certificate_spki",
    "custom_validator_config",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.server.mtls {
        return;
    }
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let socket = manager.chain.get("transport_socket");
        let (name, outer) = socket.get("typed_config").typed();
        // QUIC has the same within.
        let tls = [outer.get("downstream_tls_context"), outer].into_iter().find(At::exists);
        let Some(tls) =
            tls.filter(|_| name.ends_with("TlsContext") || name.ends_with("QuicDownstreamTransport"))
        else {
            let message = "`identity.mtls` is on, and no caller here can present a certificate";
            report.warn(&RULE, &socket, message, "set `transport_socket` to TLS, with client certificates");
            continue;
        };
        let common = tls.get("common_tls_context");
        let inline = common.get("validation_context");
        let fetched = common.get("validation_context_sds_secret_config");
        let combined = common.get("combined_validation_context");
        if !(fetched.exists() || combined.exists() || SOURCES.iter().any(|name| inline.get(name).exists())) {
            let message = "certificates of callers are not verified, and `identity.mtls` trusts them";
            report.find(&RULE, &inline, message, "set `validation_context` with `trusted_ca`");
            continue;
        }
        for at in [inline, combined.get("default_validation_context")] {
            let chain = at.get("trust_chain_verification");
            if chain.word(&["VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"]) == Some("ACCEPT_UNTRUSTED") {
                let message = "certificates of any issuer are accepted, and `identity.mtls` trusts them";
                report.find(&RULE, &chain, message, "remove it");
            }
        }
    }
}
