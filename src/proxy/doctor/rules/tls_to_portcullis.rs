//! TLS to Portcullis that anyone could answer, or that our listener doesn't take.

use crate::diagnostic::Severity;
use crate::proxy::ListenerTls;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Cluster, Envoy};

pub static RULE: Rule = Rule {
    id: "tls-to-portcullis",
    severity: Severity::Error,
    title: "Envoy doesn't make sure that it is Portcullis that answers",
    what: "The TLS settings of clusters of Portcullis: the CA, the name, and, with `listen.grpc.tls` of Portcullis, whether \
           there are any and whether they have a client certificate.",
    why: "Who answers in the place of Portcullis decides. Without a CA that can be anyone on the way; without a name \
          anyone with a certificate of that CA. Where the two disagree about TLS, no call can be authorized.",
    demonstrated: "Envoy 1.40.0 without `validation_context`: a server with a certificate that it had signed itself \
          answered OK to every Check, and calls passed that the policies deny. With the CA and without a name, a certificate of \
          another workload did the same. With both they were refused, and plain text to a listener with TLS was refused with 503.",
    test: Some("tls_to_portcullis"),
    fix: "Give the cluster a `validation_context` with the CA and the name of Portcullis, as `portcullis envoy config \
          --tls-ca FILE` writes it.",
    example: "common_tls_context:\n  validation_context:\n    trusted_ca: {filename: /etc/envoy/tls/portcullis-ca.crt}\n    match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: portcullis.security}}]\n",
    envoy: Some(envoy),
};

/// What the server's certificate can be verified by, when it need not be of a CA: it is the one.
const PINNED: [&str; 2] = ["verify_certificate_hash", "verify_certificate_spki"];
const AUTHORITIES: [&str; 3] = ["trusted_ca", "ca_certificate_provider_instance", "system_root_certs"];
const NAMES: [&str; 2] = ["match_typed_subject_alt_names", "match_subject_alt_names"];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking() {
        if let Some(cluster) = envoy.cluster(&filter.service()) {
            examine(cluster, report);
        }
    }
}

fn examine(cluster: &Cluster<'_>, report: &mut Report<'_>) {
    let (known, wanted) = (report.needs.server.known, report.needs.server.tls);
    let socket = cluster.at.get("transport_socket");
    if cluster.at.get("transport_socket_matches").exists() {
        return;
    }
    let (kind, tls) = socket.get("typed_config").typed();
    if !socket.exists() || kind.ends_with("RawBuffer") {
        if known && wanted != ListenerTls::Off {
            let message = format!(
                "the cluster `{}` speaks plain text, and `listen.grpc` of Portcullis has TLS: no call can be authorized",
                cluster.name
            );
            report.find(&RULE, &cluster.at, message, "set `transport_socket` to TLS");
        }
        return;
    }
    if !kind.ends_with("UpstreamTlsContext") {
        return;
    }
    if known && wanted == ListenerTls::Off {
        let message = format!(
            "the cluster `{}` speaks TLS, and `listen.grpc` of Portcullis has none: no call can be authorized",
            cluster.name
        );
        return report.find(&RULE, &socket, message, "set `listen.grpc.tls` in Portcullis");
    }
    let common = tls.get("common_tls_context");
    verification(&tls, &common, report);
    let own = ["tls_certificates", "tls_certificate_sds_secret_configs", "tls_certificate_provider_instance"];
    let shown = own.iter().map(|name| common.get(name)).any(|at| at.exists() && !is_empty_list(&at));
    if known && wanted == ListenerTls::Mutual && !shown {
        let message =
            "`listen.grpc.tls` of Portcullis asks for a client certificate, and there is none to show";
        report.find(&RULE, &common.get("tls_certificates"), message, "set `tls_certificates`");
    }
}

fn is_empty_list(at: &At<'_>) -> bool {
    at.text().is_none() && at.fields().is_empty() && at.items().is_empty()
}

/// Whether the server's certificate is verified, and its name.
fn verification(tls: &At<'_>, common: &At<'_>, report: &mut Report<'_>) {
    let inline = common.get("validation_context");
    let combined = common.get("combined_validation_context");
    let contexts = [inline.clone(), combined.get("default_validation_context")];
    let has = |names: &[&str]| {
        let found =
            |at: &At<'_>| names.iter().any(|name| at.get(name).exists() && !is_empty_list(&at.get(name)));
        contexts.iter().any(found)
    };
    // Of a secret that is fetched, or an extension that verifies, no file tells.
    let elsewhere = common.get("validation_context_sds_secret_config").exists()
        || contexts.iter().any(|at| at.get("custom_validator_config").exists());
    for context in &contexts {
        let chain = context.get("trust_chain_verification");
        if chain.word(&["VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"]) == Some("ACCEPT_UNTRUSTED") {
            let message =
                "certificates of any issuer are accepted: whoever answers in the place of Portcullis decides";
            return report.find(&RULE, &chain, message, "remove it");
        }
    }
    if has(&PINNED) || elsewhere {
        return;
    }
    if !has(&AUTHORITIES) && !combined.get("validation_context_sds_secret_config").exists() {
        let message = "the certificate of Portcullis is not verified: whoever answers in its place decides";
        return report.find(
            &RULE,
            &inline,
            message,
            "set `validation_context` with `trusted_ca`, and a name",
        );
    }
    if !has(&NAMES) && !tls.get("auto_sni_san_validation").is_true() {
        let message =
            "no name is asked of the certificate of Portcullis: whoever has one of the same CA can answer";
        report.find(&RULE, &inline, message, "set `match_typed_subject_alt_names`");
    }
}
