//! The admin port.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;
use std::net::IpAddr;

pub static RULE: Rule = Rule {
    id: "admin-exposed",
    severity: Severity::Error,
    title: "Envoy's admin port can be reached from other machines",
    what: "`admin.address` that is neither loopback nor a Unix socket.",
    why: "Who reaches it can read the configuration, change runtime values and stop Envoy; it asks \
          nobody who they are. CVE-2026-73546 ran scripts in the browser of who looks at its \
          statistics.",
    demonstrated: "Envoy 1.40.0 told its whole configuration on an address that it was not meant for. Bound to \
          127.0.0.1, it refused the connection.",
    test: Some("admin_exposed"),
    fix: "Bind it to 127.0.0.1.",
    example: "admin:\n  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for admin in &envoy.admin {
        let address = admin.at(&["address", "socket_address", "address"]);
        let Some(host) = address.text() else { continue };
        let loopback =
            host.parse::<IpAddr>().map_or(host == "localhost", |ip| ip.to_canonical().is_loopback());
        if !loopback {
            let message = format!("the admin port listens on `{host}`");
            report.find(&RULE, &address, message, "set the address to 127.0.0.1");
        }
    }
}
