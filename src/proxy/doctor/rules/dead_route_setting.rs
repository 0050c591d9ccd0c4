//! Settings for a filter that does not exist.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Manager};
use std::collections::BTreeSet;

pub static RULE: Rule = Rule {
    id: "dead-route-setting",
    severity: Severity::Warning,
    title: "a route's setting is for a filter that isn't there",
    what: "Settings of ext_authz and ext_proc in `typed_per_filter_config` under a name that no filter \
          has in the HTTP connection managers that use the table.",
    why: "Envoy looks settings up by the filter's own name, not by its type. This one is never read: \
          bodies that it asks for are not shown, and what it switches off is on.",
    demonstrated: "Envoy 1.40.0: a route set the context that a denial depends on, under the filter's former \
          name. Envoy took the configuration without a word, and the call arrived. Under the filter's \
          own name it was refused.",
    test: Some("dead_route_setting"),
    fix: "Write the name that the filter has in `http_filters`.",
    example: "http_filters:\n  - name: portcullis            # this name\n# in the route\ntyped_per_filter_config:\n  portcullis: {}               # is the key here\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (place, table) in envoy.tables.iter().enumerate() {
        let users = || envoy.managers.iter().filter(|manager| manager.tables.contains(&place));
        if users().next().is_none() {
            continue;
        }
        let names: BTreeSet<_> = users().flat_map(|user| &user.filters).map(|filter| filter.name).collect();
        for setting in table.all_settings().filter(|setting| setting.is_ours()) {
            if !names.contains(setting.name) {
                let asking: BTreeSet<_> =
                    users().flat_map(Manager::asking).map(|filter| filter.name).collect();
                let known: Vec<_> = asking.into_iter().map(|name| format!("`{name}`")).collect();
                let message = format!("no filter has the name `{}`: this is never read", setting.name);
                let fix = match known.is_empty() {
                    true => "remove it, or add the filter".to_owned(),
                    false => format!("write {}", known.join(" or ")),
                };
                report.find(&RULE, &setting.at, message, fix);
            }
        }
    }
}
