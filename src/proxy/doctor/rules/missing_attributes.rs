//! Attributes that are not sent.

use crate::diagnostic::Severity;
use crate::policy::cel::attribute::Attribute;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Kind};
use std::collections::BTreeSet;

pub static RULE: Rule = Rule {
    id: "missing-attributes",
    severity: Severity::Error,
    title: "Portcullis isn't sent attributes that rules read",
    what: "`request_attributes` of ext_proc, in the filter and in the settings of routes, against what \
          rules and `identity.mtls` read.",
    why: "An attribute that is not sent counts as absent: an empty address, no certificate.",
    demonstrated: "Envoy 1.40.0: a rule lets callers in by their address, which was not sent: who should have \
          been let in was denied.",
    test: Some("missing_attributes"),
    fix: "List every attribute that rules read.",
    example: "request_attributes: [source.address, source.port, connection.mtls, connection.uri_san_peer_certificate]\n",
    envoy: Some(envoy),
};

/// What rules read, and Envoy's name of it.
const ATTRIBUTES: [(Attribute, &str); 11] = [
    (Attribute::SourceAddress, "source.address"),
    (Attribute::SourcePort, "source.port"),
    (Attribute::SourcePrincipal, "connection.uri_san_peer_certificate"),
    (Attribute::Spiffe, "connection.uri_san_peer_certificate"),
    (Attribute::DestinationAddress, "destination.address"),
    (Attribute::DestinationPort, "destination.port"),
    (Attribute::DestinationPrincipal, "connection.uri_san_local_certificate"),
    (Attribute::Mtls, "connection.mtls"),
    (Attribute::RequestedServerName, "connection.requested_server_name"),
    (Attribute::Time, "request.time"),
    (Attribute::Protocol, "request.protocol"),
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let needs = report.needs;
    let read = ATTRIBUTES.iter().filter(|(attribute, _)| needs.reads(*attribute)).map(|(_, name)| *name);
    let of_mtls: &[&str] = match needs.server.mtls {
        true => &["connection.mtls", "connection.uri_san_peer_certificate"],
        false => &[],
    };
    let wanted: BTreeSet<_> = read.chain(of_mtls.iter().copied()).collect();
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtProc)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let list = spot.overridden(filter, "request_attributes");
            let sent: Vec<_> = list.items().iter().filter_map(At::text).collect();
            let missing: Vec<_> = wanted.iter().filter(|name| !sent.contains(name)).copied().collect();
            if !missing.is_empty() {
                let names = missing.join(", ");
                let message = format!("Envoy does not send what rules and identities read: {names}");
                report.find(&RULE, &list, message, format!("add {names}"));
            }
        }
    }
}
