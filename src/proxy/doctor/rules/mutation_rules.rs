//! Which headers Portcullis may change.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "mutation-rules",
    severity: Severity::Warning,
    title: "Envoy doesn't carry out header changes, or not safely",
    what: "`mutation_rules` of ext_proc and `decoder_header_mutation_rules` of ext_authz, where \
          policies change or mask headers; those of responses with ext_proc.",
    why: "A change that is not allowed is dropped without a word: a header that should be gone or masked \
          gets through, or one that the upstream relies on is missing. With `allow_all_routing` a policy \
          can change where a call goes after it was decided.",
    demonstrated: "Envoy 1.40.0: a rule sets `x-user`, and the mutation rules refused it in silence: the \
          upstream got `x-user: admin`, which the caller had sent.",
    test: Some("mutation_rules"),
    fix: "Set `disallow_is_error: true`, and allow what policies change.",
    example: "mutation_rules: {allow_all_routing: false, allow_envoy: false, disallow_is_error: true}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let query = report.needs.server.changes_query;
    let of_envoy = report.needs.changes_envoys_headers(true);
    for (_, filter) in envoy.asking() {
        let is_proc = filter.is(&Kind::ExtProc);
        // ext_authz asks about changes to requests alone.
        let of_responses = is_proc && !report.needs.changes_response.is_empty();
        if report.needs.changes_request.is_empty() && !of_responses && !query {
            continue;
        }
        let rules =
            filter.config.get(if is_proc { "mutation_rules" } else { "decoder_header_mutation_rules" });
        let flag = |name: &str| rules.get(name);
        if flag("disallow_all").is_true() {
            report.find(
                &RULE,
                &flag("disallow_all"),
                "policies change headers, and none may be",
                "remove it",
            );
        }
        if flag("allow_all_routing").is_true() {
            let message = "policies may change where a call goes after it was decided";
            report.find(&RULE, &flag("allow_all_routing"), message, "set `allow_all_routing: false`");
        }
        let path = flag("allow_expression").exists() || flag("allow_all_routing").is_true();
        if query && !path && (is_proc || rules.exists()) {
            let message = "tokens are taken out of the query, and `:path` may not be changed";
            let fix = "set `allow_expression: {regex: \":path\"}`";
            report.find(&RULE, &flag("allow_expression"), message, fix);
        }
        if is_proc && of_envoy && !flag("allow_envoy").is_true() {
            let message = "policies change `x-envoy-` headers, which is not allowed";
            report.find(
                &RULE,
                &flag("allow_envoy"),
                message,
                "set `allow_envoy: true`, or use other headers",
            );
        }
        if is_proc && !flag("disallow_is_error").is_true() {
            let message = "a header change that Envoy refuses is dropped, and the call goes on";
            report.find(&RULE, &flag("disallow_is_error"), message, "set `disallow_is_error: true`");
        }
    }
}
