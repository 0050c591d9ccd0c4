//! Upgrades and tunnels.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, upgrade_type};
use std::collections::BTreeSet;

pub static RULE: Rule = Rule {
    id: "upgrades",
    severity: Severity::Warning,
    title: "what goes through an upgraded connection is not seen",
    what: "`upgrade_configs` of HTTP connection managers and routes: CONNECT always, others on \
          routes that calls can take whose responses policies mask.",
    why: "Only the opening request is decided on. What follows in a WebSocket or a tunnel is neither \
          decided on nor masked; Portcullis refuses the response to an upgrade where it would have to \
          mask it, and whole requests in a CONNECT tunnel pass unseen.",
    demonstrated: "Envoy 1.40.0: a WebSocket on a path whose responses are masked was opened by the upstream, \
          and its caller got 502: the upstream had taken the call. Without upgrades Envoy refused it \
          before that.",
    test: Some("upgrades"),
    fix: "Allow upgrades only on the routes that need them and whose responses no rule masks (`enabled: false` in \
          the connection manager, `true` in the route), and no CONNECT. A route may need to be split for that.",
    example: "upgrade_configs:\n  - {upgrade_type: websocket, enabled: false}   # connection manager\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let of_all = manager.at.get("upgrade_configs").items();
        let own_filters: BTreeSet<_> = of_all
            .iter()
            .filter(|upgrade| !upgrade.get("filters").items().is_empty())
            .map(upgrade_type)
            .collect();
        // These filters see the upgrades that the list is of; the manager's own see those without a list.
        let seen = |upgrade: &&At<'_>| match &manager.upgrade {
            Some(own) => upgrade_type(own) == upgrade_type(upgrade),
            None => !own_filters.contains(&upgrade_type(upgrade)),
        };
        for spot in envoy.spots(manager) {
            let own = spot.route.map(|route| route.action.get("upgrade_configs").items()).unwrap_or_default();
            // What a route says of a type is in force there, else what the manager says of it.
            let said = |upgrade: &&At<'_>| own.iter().any(|own| upgrade_type(own) == upgrade_type(upgrade));
            let masked = manager.asking().any(|filter| spot.asks(filter)).then(|| spot.masked()).flatten();
            for upgrade in own.iter().filter(seen) {
                let fix = "set `enabled: false` here, or have no rule mask what this route answers";
                check(upgrade, masked.as_deref(), fix, report);
            }
            for upgrade in of_all.iter().filter(seen).filter(|upgrade| !said(upgrade)) {
                let fix = "set `enabled: false` here, and `true` in the routes that need it and whose responses no \
                           rule masks";
                check(upgrade, masked.as_deref(), fix, report);
            }
        }
    }
}

/// An upgrade that is in force on a route; `masked` is a call that takes the route and whose response is masked.
fn check(upgrade: &At<'_>, masked: Option<&str>, fix: &str, report: &mut Report<'_>) {
    let name = upgrade.get("upgrade_type").text().unwrap_or_default();
    if upgrade.get("enabled").flag() == Some(false) {
        return;
    }
    if upgrade_type(upgrade).starts_with("connect") {
        let message = format!("requests within a `{name}` tunnel pass unseen");
        report.find(&RULE, upgrade, message, "set `enabled: false` here");
    } else if let Some(example) = masked {
        let message = format!(
            "what comes through `{name}` can't be masked, so it is refused where rules mask ({example})"
        );
        report.find(&RULE, upgrade, message, fix);
    }
}
