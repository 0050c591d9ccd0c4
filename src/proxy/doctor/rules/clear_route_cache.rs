//! Routes chosen anew after the decision.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "clear-route-cache",
    severity: Severity::Warning,
    title: "the route is chosen again after the decision",
    what: "`clear_route_cache` of ext_authz, and `route_cache_action: CLEAR` of ext_proc.",
    why: "Policies may set headers. If routes match on them, the call goes on by another route than \
          the one whose settings were in force: its body was not shown, or Portcullis would not have \
          been asked there.",
    demonstrated: "Envoy 1.40.0: a header that a policy set chose another route, and a call that was decided as \
          one for orders was served by the route of exports, whose context would have had it refused.",
    test: Some("clear_route_cache"),
    fix: "Leave it off, or make all routes that a changed header can lead to have the same settings.",
    example: "clear_route_cache: false\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking() {
        let clear = filter.config.get("clear_route_cache");
        let action = filter.config.get("route_cache_action");
        let cleared = action.word(&["DEFAULT", "CLEAR", "RETAIN"]) == Some("CLEAR");
        let found = clear.is_true().then_some(clear).or_else(|| cleared.then_some(action));
        if let Some(at) = found {
            let message = "a header that policies set can send the call to another route than was decided on";
            report.find(&RULE, &at, message, "remove it");
        }
    }
}
