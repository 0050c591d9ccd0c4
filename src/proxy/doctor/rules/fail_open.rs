//! `failure_mode_allow`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "fail-open",
    severity: Severity::Error,
    title: "calls pass while Portcullis can't be asked",
    what: "`failure_mode_allow` of ext_authz and ext_proc.",
    why: "Whoever can make Portcullis slow or unreachable, or make a call that can't be sent to it, is let through \
          unasked, and masked responses leave in clear.",
    demonstrated: "With `failure_mode_allow: true` and a Portcullis that can't be reached, a call that policies deny came \
                   back with 200 from the upstream. With `false` it was refused with 503.",
    test: None,
    fix: "Set `failure_mode_allow: false`, which is the default, and run two replicas of Portcullis.",
    example: "failure_mode_allow: false\nstatus_on_error: {code: ServiceUnavailable}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for filter in envoy.managers.iter().flat_map(|manager| &manager.filters) {
        let fails_open = filter.config.get("failure_mode_allow");
        if matches!(filter.kind, Kind::ExtAuthz | Kind::ExtProc) && fails_open.is_true() {
            let message = "a call passes unasked when Portcullis doesn't answer";
            report.find(&RULE, &fails_open, message, "set `failure_mode_allow: false`");
        }
    }
}
