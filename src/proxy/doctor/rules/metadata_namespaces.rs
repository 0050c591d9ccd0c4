//! Metadata that is not passed on.

use crate::diagnostic::Severity;
use crate::policy::cel::attribute::Attribute;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "metadata-namespaces",
    severity: Severity::Error,
    title: "Portcullis isn't shown metadata that rules read",
    what: "`metadata_context_namespaces` of ext_authz and \
          `metadata_options.forwarding_namespaces.untyped` of ext_proc, where rules read `metadata`.",
    why: "What is not passed on counts as absent.",
    demonstrated: "Envoy 1.40.0: a rule denies what metadata calls a kiosk. In a namespace that was not sent, \
          the denied call arrived, by ext_authz and by ext_proc.",
    test: Some("metadata_namespaces"),
    fix: "Name the namespaces that rules read.",
    example: "metadata_context_namespaces: [envoy.filters.http.jwt_authn]\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.reads(Attribute::Metadata) {
        return;
    }
    let entries = report.needs.reads.entries.iter();
    let read: Vec<&str> =
        entries.filter(|(of, _)| *of == Attribute::Metadata).map(|(_, name)| name.as_str()).collect();
    for (manager, filter) in envoy.asking() {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let list = match filter.kind {
                Kind::ExtAuthz => filter.config.get("metadata_context_namespaces"),
                _ => spot.overridden(filter, "metadata_options").at(&["forwarding_namespaces", "untyped"]),
            };
            let shown: Vec<_> = list.items().iter().filter_map(At::text).collect();
            let missing: Vec<_> = read.iter().filter(|name| !shown.contains(name)).copied().collect();
            if !missing.is_empty() || shown.is_empty() {
                let names = if missing.is_empty() { "`metadata`".to_owned() } else { missing.join(", ") };
                let message = format!("rules read metadata that Envoy does not show: {names}");
                report.find(&RULE, &list, message, "name the namespaces that rules read");
            }
        }
    }
}
