//! Addresses that callers claim.

use crate::diagnostic::Severity;
use crate::policy::cel::attribute::Attribute;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Manager};

pub static RULE: Rule = Rule {
    id: "forwarded-for-trust",
    severity: Severity::Warning,
    title: "the caller's address is what the caller says",
    what: "HTTP connection managers without `use_remote_address: true` and without \
          `original_ip_detection_extensions`, and such extensions that believe a header of any caller.",
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
        let extensions = manager.at.get("original_ip_detection_extensions").items();
        if extensions.is_empty() && !remote.is_true() {
            claimed(&remote, "its own `x-forwarded-for`", "set `use_remote_address: true`", report);
        }
        for extension in extensions {
            detected(&extension, report);
        }
        proxied(manager, report);
    }
}

fn claimed(at: &At<'_>, source: &str, fix: &str, report: &mut Report<'_>) {
    let read = report.needs.reads(Attribute::SourceAddress);
    let read = if read { ", and rules read `source.address`" } else { "" };
    report.find(&RULE, at, format!("the caller's address is taken from {source}{read}"), fix);
}

/// One of the extensions that say what the caller's address is.
fn detected(extension: &At<'_>, report: &mut Report<'_>) {
    let (kind, config) = extension.get("typed_config").typed();
    match kind.rsplit('.').next().unwrap_or_default() {
        "XffConfig" if config.get("xff_trusted_cidrs").exists() => {}
        "XffConfig" => {
            let fix = "set `xff_trusted_cidrs` to the proxies before this one, or `use_remote_address: true` in the place of this";
            claimed(extension, "`x-forwarded-for`, whoever sends it", fix, report);
        }
        "CustomHeaderConfig" => {
            let name = config.get("header_name").text().unwrap_or("?");
            let fix = "use `XffConfig` with `xff_trusted_cidrs`, or `use_remote_address: true` in the place of this";
            claimed(extension, &format!("the header `{name}`, whoever sends it"), fix, report);
        }
        _ => {
            let message = "not examined: where this takes the caller's address from";
            let fix = "make sure that no caller has a say in it, then ignore this";
            report.find(&super::not_checked::RULE, extension, message, fix);
        }
    }
}

/// Whoever connects says in the PROXY protocol which address it has. Who can connect is in no configuration of Envoy.
fn proxied(manager: &Manager<'_>, report: &mut Report<'_>) {
    if !report.needs.reads(Attribute::SourceAddress) {
        return;
    }
    let filters = manager.listener.get("listener_filters").items().into_iter();
    let is_proxy =
        |filter: &At<'_>| filter.get("typed_config").typed().0.ends_with(".proxy_protocol.v3.ProxyProtocol");
    let older = Some(manager.chain.get("use_proxy_proto")).filter(At::is_true);
    for at in filters.filter(is_proxy).chain(older) {
        let message = "not examined: who can connect here, and say by the PROXY protocol which `source.address` rules read";
        let fix = "let only the load balancer connect, then ignore this";
        report.find(&super::not_checked::RULE, &at, message, fix);
    }
}
