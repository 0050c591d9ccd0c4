//! `path_with_escaped_slashes_action`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "escaped-slashes",
    severity: Severity::Warning,
    title: "escaped slashes stay in paths",
    what: "HTTP connection managers that ask Portcullis, without `path_with_escaped_slashes_action`, or \
          with `KEEP_UNCHANGED`.",
    why: "To Envoy's routes `/a%2fb` is one segment, to many backends two. Portcullis refuses such \
          paths as ambiguous.",
    demonstrated: "Envoy 1.40.0: `/public/..%2Finternal/keys` was refused either way, by Portcullis with \
          `path_ambiguous` or by Envoy itself. Portcullis alone keeps it out where Envoy leaves it. \
          CVE-2021-29492.",
    test: Some("escaped_slashes"),
    fix: "Set `REJECT_REQUEST`, or `UNESCAPE_AND_REDIRECT` where callers send them in good faith.",
    example: "path_with_escaped_slashes_action: REJECT_REQUEST\n",
    envoy: Some(envoy),
};

const ACTIONS: [&str; 5] = [
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let action = manager.at.get("path_with_escaped_slashes_action");
        let acts = matches!(
            action.word(&ACTIONS),
            Some("REJECT_REQUEST" | "UNESCAPE_AND_REDIRECT" | "UNESCAPE_AND_FORWARD")
        );
        if !acts {
            let message = "`%2F` and `%5C` stay in paths: backends read them in different ways";
            let fix = "set `path_with_escaped_slashes_action: REJECT_REQUEST`";
            report.find(&RULE, &action, message, fix);
        }
    }
}
