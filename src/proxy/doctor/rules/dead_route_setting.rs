//! Settings for a filter that does not exist.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Filter, Kind, Setting};
use std::collections::BTreeSet;

pub static RULE: Rule = Rule {
    id: "dead-route-setting",
    severity: Severity::Warning,
    title: "a route's setting is for a filter that isn't there",
    what: "Settings of ext_authz and ext_proc in `typed_per_filter_config` under a name that no filter \
          has in the HTTP connection managers that use the table, or that a filter of another type has.",
    why: "Envoy looks settings up by the filter's own name, and drops those of another filter's type. This one is never read: \
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
        let users = envoy.managers.iter().filter(|manager| manager.tables.contains(&place));
        let filters: Vec<_> = users.flat_map(|user| &user.filters).collect();
        if filters.is_empty() {
            continue;
        }
        for setting in table.all_settings().filter(|setting| setting.is_ours()) {
            let named: Vec<_> = filters.iter().filter(|filter| filter.name == setting.name).collect();
            let why = match named.first() {
                None => format!("no filter has the name `{}`", setting.name),
                Some(_) if named.iter().any(|filter| setting.is_of(filter)) => continue,
                Some(other) => {
                    let (is, kind) = (other.kind.short(), own_kind(setting));
                    format!("`{}` is a filter of {is}, and this a setting of {}", setting.name, kind.short())
                }
            };
            report.find(&RULE, &setting.at, format!("{why}: this is never read"), instead(setting, &filters));
        }
    }
}

/// The filter that the setting's type is for.
fn own_kind(setting: &Setting<'_>) -> Kind {
    if setting.kind.ends_with(".ExtAuthzPerRoute") { Kind::ExtAuthz } else { Kind::ExtProc }
}

/// What to write in the place of a setting that is never read.
fn instead(setting: &Setting<'_>, filters: &[&Filter<'_>]) -> String {
    let asking = || filters.iter().filter(|filter| filter.asks);
    let fitting: BTreeSet<_> =
        asking().filter(|filter| setting.is_of(filter)).map(|filter| filter.name).collect();
    if !fitting.is_empty() {
        let names: Vec<_> = fitting.into_iter().map(|name| format!("`{name}`")).collect();
        return format!("write {}", names.join(" or "));
    }
    // Both services have settings of their own form: another name alone would not do.
    match asking().find(|filter| matches!(filter.kind, Kind::ExtAuthz | Kind::ExtProc)) {
        Some(filter) => {
            let kind = if filter.is(&Kind::ExtAuthz) { "ExtAuthzPerRoute" } else { "ExtProcPerRoute" };
            format!(
                "write an `{kind}` for `{}` in its place: `portcullis envoy config` shows it",
                filter.name
            )
        }
        None => "remove it, or add the filter".to_owned(),
    }
}
