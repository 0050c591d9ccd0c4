//! Filters of their own for upgrades.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "upgrade-filters",
    severity: Severity::Error,
    title: "upgraded calls have filters of their own, without Portcullis",
    what: "`upgrade_configs` with `filters` among which none asks Portcullis, where a route takes such calls. \
          Filters that ask are examined by every other rule too.",
    why: "A call with `upgrade: websocket` takes those filters in place of the usual ones, and reaches \
          the upstream unasked. Whether a request is an upgrade is up to the caller.",
    demonstrated: "Envoy 1.40.0: an anonymous request for a WebSocket reached the upstream past the list of \
          filters that upgrades had for themselves. With the usual filters it was refused with 401.",
    test: Some("upgrade_filters"),
    fix: "Leave `filters` out, so that the usual ones run; or put the filter of Portcullis among them.",
    example: "upgrade_configs:\n  - upgrade_type: websocket\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_none()) {
        let Some(upgrade) = &manager.upgrade else { continue };
        if envoy.spots(manager).next().is_some() {
            let kind = upgrade.get("upgrade_type").text().unwrap_or_default();
            let message = format!("calls that ask for an upgrade to `{kind}` pass without asking Portcullis");
            report.find(
                &RULE,
                &upgrade.get("filters"),
                message,
                "remove `filters`, or add Portcullis to them",
            );
        }
    }
}
