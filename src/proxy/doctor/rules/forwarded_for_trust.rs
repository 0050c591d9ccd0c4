//! Addresses that callers claim.

use crate::diagnostic::Severity;
use crate::policy::cel::attribute::Attribute;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "forwarded-for-trust",
    severity: Severity::Warning,
    title: "the caller's address is what the caller says",
    what: "HTTP connection managers without `use_remote_address: true` and without \
          `original_ip_detection_extensions`.",
    why: "Envoy then takes the caller's address from `x-forwarded-for`, which anyone can send: with \
          ext_proc `source.address` in rules and records is a claim, and calls that claim an internal \
          address may set Envoy's own headers.",
    demonstrated: "Envoy 1.40.0 with ext_proc: a path for callers inside 10.0.0.0/8 was served to one at \
          127.0.0.1 who sent `x-forwarded-for: 10.0.0.1`, without `use_remote_address` and with one \
          trusted hop too many. ext_authz always told the address of the connection.",
    test: Some("forwarded_for_trust"),
    fix: "Set `use_remote_address: true`, with `xff_num_trusted_hops` for the proxies before this one. \
          Inside a mesh, where only proxies can connect, ignore it.",
    example: "use_remote_address: true\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let remote = manager.at.get("use_remote_address");
        if !remote.is_true() && !manager.at.get("original_ip_detection_extensions").exists() {
            let read = report.needs.reads(Attribute::SourceAddress);
            let read = if read { ", and rules read `source.address`" } else { "" };
            let message = format!("the caller's address is taken from its own `x-forwarded-for`{read}");
            report.find(&RULE, &remote, message, "set `use_remote_address: true`");
        }
    }
}
