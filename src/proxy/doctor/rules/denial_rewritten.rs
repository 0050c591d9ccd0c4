//! What Envoy makes of Portcullis' answers.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "denial-rewritten",
    severity: Severity::Error,
    title: "denials and tickets leave as something else",
    what: "`local_reply_config` of HTTP connection managers that ask Portcullis, where it maps to a status of \
          success, and `disable_immediate_response` of ext_proc.",
    why: "A denial with a status of success tells the caller that the call was carried out. A ticket that is \
          dropped tells nobody how to come back with an approval.",
    demonstrated: "Envoy 1.40.0: an anonymous call was denied, and its caller was told 200 where a mapper \
          of local replies said so, and 500 without a word with `disable_immediate_response`. Without \
          either it got 401, and the reason. The upstream never saw the call.",
    test: Some("denial_rewritten"),
    fix: "Leave statuses of 400 and more as they are, and `disable_immediate_response` out.",
    example: "local_reply_config:\n  mappers:\n    - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 503, runtime_key: none}}}}\n      status_code: 502\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking() {
        for mapper in manager.at.at(&["local_reply_config", "mappers"]).items() {
            let status = mapper.get("status_code");
            if let Some(code) = status.number().filter(|code| (200..400).contains(code)) {
                let message =
                    format!("answers that this mapper fits, denials included, leave with status {code}");
                report.find(&RULE, &status, message, "map to a status of 400 or more, or to none");
            }
        }
        let disabled = filter.config.get("disable_immediate_response");
        if filter.is(&Kind::ExtProc) && disabled.is_true() {
            let message = "denials and tickets of Portcullis are dropped: callers get 500 without a word";
            report.find(&RULE, &disabled, message, "remove `disable_immediate_response`");
        }
    }
}
