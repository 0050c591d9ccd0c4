//! What Envoy makes of Portcullis' answers.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::{At, is_field};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "denial-rewritten",
    severity: Severity::Error,
    title: "denials and tickets leave as something else",
    what: "`local_reply_config` of HTTP connection managers that ask Portcullis, where it maps to a status of \
          success, policies of `custom_response` that do, and `disable_immediate_response` of ext_proc.",
    why: "A denial with a status of success tells the caller that the call was carried out. A ticket that is \
          dropped tells nobody how to come back with an approval.",
    demonstrated: "Envoy 1.40.0: an anonymous call was denied, and its caller was told 200 where a mapper \
          of local replies or a policy of `custom_response` said so, and 500 without a word with \
          `disable_immediate_response`. Without them it got 401, and the reason. The upstream never saw the call.",
    test: Some("denial_rewritten"),
    fix: "Leave statuses of 400 and more as they are, and `disable_immediate_response` out.",
    example: "local_reply_config:\n  mappers:\n    - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 503, runtime_key: none}}}}\n      status_code: 502\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        for mapper in manager.at.at(&["local_reply_config", "mappers"]).items() {
            success(&mapper.get("status_code"), "this mapper", report);
        }
        let first = manager.filters.iter().position(|filter| filter.asks).unwrap_or_default();
        for (place, filter) in manager.filters.iter().enumerate() {
            if filter.kind.short() == CUSTOM {
                custom(&filter.config, place < first, report);
            }
        }
        for filter in manager.asking() {
            let disabled = filter.config.get("disable_immediate_response");
            if filter.is(&Kind::ExtProc) && disabled.is_true() {
                let message = "denials and tickets of Portcullis are dropped: callers get 500 without a word";
                report.find(&RULE, &disabled, message, "remove `disable_immediate_response`");
            }
        }
    }
    for (_, setting) in envoy.settings().filter(|(_, setting)| setting.kind.ends_with(".CustomResponse")) {
        custom(&setting.config, true, report);
    }
}

/// The filter that puts other answers in the place of those that fit.
const CUSTOM: &str = "custom_response";

/// A status that answers are mapped to; `by` says what maps them.
fn success(status: &At<'_>, by: &str, report: &mut Report<'_>) {
    if let Some(code) = status.number().filter(|code| (200..400).contains(code)) {
        let message = format!("answers that {by} fits, denials included, leave with status {code}");
        report.find(&RULE, status, message, "map to a status of 400 or more, or to none");
    }
}

/// The policies of a `custom_response`. One that redirects takes no denial of a filter before it.
fn custom(at: &At<'_>, before: bool, report: &mut Report<'_>) {
    for (name, child) in at.fields() {
        if !is_field("action", name) {
            custom(&child, before, report);
            continue;
        }
        let (kind, policy) = child.get("typed_config").typed();
        let status = policy.get("status_code");
        match kind.rsplit('.').next().unwrap_or_default() {
            "LocalResponsePolicy" => success(&status, "this policy", report),
            "RedirectPolicy" if !before => {}
            "RedirectPolicy" if status.exists() => success(&status, "this policy", report),
            _ => {
                let message =
                    "not examined: with which status answers that this policy fits leave, denials included";
                report.find(&super::not_checked::RULE, &child, message, "set a `status_code` of 400 or more");
            }
        }
    }
    at.items().iter().for_each(|item| custom(item, before, report));
}
