//! Upgrades and tunnels.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "upgrades",
    severity: Severity::Warning,
    title: "what goes through an upgraded connection is not seen",
    what: "`upgrade_configs` of HTTP connection managers and routes: CONNECT always, others where \
          policies mask responses.",
    why: "Only the opening request is decided on. What follows in a WebSocket or a tunnel is neither \
          decided on nor masked; Portcullis refuses the response to an upgrade where it would have to \
          mask it, and whole requests in a CONNECT tunnel pass unseen.",
    demonstrated: "Envoy 1.40.0: a WebSocket on a path whose responses are masked was opened by the upstream, \
          and its caller got 502: the upstream had taken the call. Without upgrades Envoy refused it \
          before that.",
    test: Some("upgrades"),
    fix: "Allow upgrades only on the routes that need them (`enabled: false` in the connection \
          manager, `true` in the route), and no CONNECT.",
    example: "upgrade_configs:\n  - {upgrade_type: websocket, enabled: false}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        manager.at.get("upgrade_configs").items().iter().for_each(|upgrade| check(upgrade, report));
        for route in envoy.spots(manager).filter_map(|spot| spot.route) {
            route.action.get("upgrade_configs").items().iter().for_each(|upgrade| check(upgrade, report));
        }
    }
}

fn check(upgrade: &At<'_>, report: &mut Report<'_>) {
    let kind = upgrade.get("upgrade_type").text().unwrap_or_default();
    let tunnel = kind.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("connect"));
    if upgrade.get("enabled").flag() == Some(false) || !(tunnel || report.needs.masks) {
        return;
    }
    let message = match tunnel {
        true => format!("requests within a `{kind}` tunnel pass unseen"),
        false => {
            format!("policies mask responses, and what comes through `{kind}` can't be masked: it is refused")
        }
    };
    report.find(&RULE, upgrade, message, "set `enabled: false` here, and `true` in the routes that need it");
}
