//! Portcullis switched off.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "filter-disabled",
    severity: Severity::Error,
    title: "Portcullis is not asked on a route",
    what: "`disabled: true` in the list of filters, and `disabled`, `FilterConfig.disabled` or another \
          `grpc_service` in the settings of a table, virtual host, route or weighted cluster, where no \
          other filter asks Portcullis for the same calls.",
    why: "Every call that takes the route passes. Envoy chooses the route by what the caller sends, so \
          a rewrite or a header can be enough to get there.",
    demonstrated: "Envoy 1.40.0: an anonymous call reached the upstream where the filter was disabled on the \
          route, the virtual host, the table, and in the list; on one of two weighted clusters, a \
          share of calls did. With the filter on, none of 200 did.",
    test: Some("filter_disabled"),
    fix: "Remove the setting. Where calls are to pass unasked, let a policy allow them: then they are \
          recorded. Else say so with `--ignore filter-disabled@PATH`.",
    example: "# instead of a route without Portcullis: a policy that allows it\nrules:\n  - name: health-is-open\n    when: 'true'\n    allow: {}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        for spot in envoy.spots(manager).filter(|spot| !manager.asking().any(|filter| spot.asks(filter))) {
            let why = |filter| spot.off(filter).or_else(|| spot.elsewhere(filter));
            let Some(at) = manager.asking().find_map(why) else { continue };
            let fix = "remove it, and let a policy allow what is to pass";
            report.find(&RULE, &at, format!("{} without asking Portcullis", spot.calls()), fix);
        }
    }
}
