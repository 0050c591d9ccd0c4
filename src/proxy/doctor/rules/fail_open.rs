//! `failure_mode_allow`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "fail-open",
    severity: Severity::Error,
    title: "calls pass while Portcullis can't be asked",
    what: "`failure_mode_allow` of ext_authz and ext_proc, in the filter and in the settings of routes.",
    why: "Whoever can make Portcullis slow or unreachable, or make a call that can't be sent to it, is \
          let through unasked, and masked responses leave in clear.",
    demonstrated: "Envoy 1.40.0, with Portcullis stopped: an anonymous call that policies deny came back with \
          200 and the upstream's answer. With `false` it was refused, with 503 by ext_authz and 500 by \
          ext_proc. On a route the setting weighs as much.",
    test: Some("fail_open"),
    fix: "Set `failure_mode_allow: false`, which is the default, and run two replicas of Portcullis.",
    example: "failure_mode_allow: false\nstatus_on_error: {code: ServiceUnavailable}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let of_filters = envoy.asking().map(|(_, filter)| filter.config.get("failure_mode_allow"));
    let of_routes = envoy.settings().filter(|(_, setting)| setting.is_ours());
    let of_routes = of_routes.map(|(_, setting)| setting.config.at(&["overrides", "failure_mode_allow"]));
    for flag in of_filters.chain(of_routes).filter(At::is_true) {
        let message = "a call passes unasked when Portcullis doesn't answer";
        report.find(&RULE, &flag, message, "set `failure_mode_allow: false`");
    }
}
