//! `headers_with_underscores_action`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "underscore-headers",
    severity: Severity::Warning,
    title: "headers with underscores pass for others",
    what: "HTTP connection managers that ask Portcullis, without `headers_with_underscores_action`, or \
          with `ALLOW`.",
    why: "CGI, WSGI, PHP and others give an application `x_user` and `x-user` under one name. A caller \
          who sends one beside the other that a proxy sets is taken for somebody else. Portcullis \
          takes away such copies of headers that policies set; not of those that other filters set.",
    demonstrated: "Envoy 1.40.0: a rule denies a value of `x-partner`. The same in `x_partner` arrived at the \
          upstream. With `REJECT_REQUEST` it was refused with 400. CVE-2025-64484.",
    test: Some("underscore_headers"),
    fix: "Set `REJECT_REQUEST`, or `DROP_HEADER`.",
    example: "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let options = manager.at.get("common_http_protocol_options");
        let action = options.get("headers_with_underscores_action");
        if action.word(&["ALLOW", "REJECT_REQUEST", "DROP_HEADER"]).is_none_or(|word| word == "ALLOW") {
            let message =
                "a caller can send `x_user` beside `x-user`, and many backends take one for the other";
            report.find(&RULE, &action, message, "set `headers_with_underscores_action: REJECT_REQUEST`");
        }
    }
}
