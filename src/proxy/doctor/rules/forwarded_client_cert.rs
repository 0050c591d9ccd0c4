//! `x-forwarded-client-cert` from callers.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "forwarded-client-cert",
    severity: Severity::Warning,
    title: "a caller's own word about its certificate is passed on",
    what: "`forward_client_cert_details` of `FORWARD_ONLY`, `APPEND_FORWARD` or `ALWAYS_FORWARD_ONLY`.",
    why: "The header says who the caller is. What a caller sent in it is passed on as it is, to \
          upstreams and to rules that read it.",
    demonstrated: "Envoy 1.40.0: a header that an anonymous caller had made up arrived at the upstream. By \
          default Envoy removes it.",
    test: Some("forwarded_client_cert"),
    fix: "Use `SANITIZE`, or `SANITIZE_SET` where the upstream reads the header; let only a listener that nobody but a trusted proxy can reach forward \
          the header. Rules read `source.principal`, which is of the connection. Where the server's `identity.mtls.forwarded_client_cert` names the trusted proxies, \
          `FORWARD_ONLY` and `APPEND_FORWARD` are right.",
    example: "forward_client_cert_details: SANITIZE\n",
    envoy: Some(envoy),
};

const DETAILS: [&str; 5] =
    ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let details = manager.at.get("forward_client_cert_details");
        // These pass on what a verified client said, and the server asks who that is.
        let configured =
            |word: &str| report.needs.server.forwarded_certificates && word != "ALWAYS_FORWARD_ONLY";
        let forwards = |word: &&str| word.contains("FORWARD") && !configured(word);
        if let Some(word) = details.word(&DETAILS).filter(forwards) {
            let message = format!("{word}: a caller's own `x-forwarded-client-cert` is passed on");
            report.find(&RULE, &details, message, "set `forward_client_cert_details: SANITIZE`");
        }
    }
}
