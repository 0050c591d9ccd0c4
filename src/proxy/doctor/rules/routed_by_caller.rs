//! Routes whose path, host or cluster the caller chooses, after the decision.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Route};

pub static RULE: Rule = Rule {
    id: "routed-by-caller",
    severity: Severity::Error,
    title: "the caller chooses path, host or cluster after the decision",
    what: "`path_rewrite` and `host_rewrite` that are made of what a caller sends, `host_rewrite_header` and \
          `cluster_header`, also of weighted clusters, in the routes of HTTP connection managers that ask Portcullis; \
          `set_filter_state` that makes the upstream's address of it.",
    why: "The router works after all filters. Portcullis decides on the path and the host that it is shown, and the \
          upstream serves what a header says: whoever may call one path may call every path.",
    demonstrated: "Envoy 1.40.0: an anonymous call of a public path named an order in the header that `path_rewrite` \
          reads, and got all orders with their card numbers. With `host_rewrite` the upstream got the host that the \
          header named. Without either, the orders were refused and the host was the caller's own.",
    test: Some("routed_by_caller"),
    fix: "Use `prefix_rewrite`, `regex_rewrite`, `host_rewrite_literal` and `cluster`. Where a header has to choose, \
          choose in `match`, with a route for each value.",
    example: "routes:\n  - match: {prefix: /, headers: [{name: x-region, string_match: {exact: eu}}]}\n    route: {cluster: orders-eu}\n",
    envoy: Some(envoy),
};

/// What a formatter may say that is not the caller's choice, or that was decided on.
const HARMLESS: [&str; 11] = [
    "REQ(:AUTHORITY)",
    "REQ(:METHOD)",
    "REQ(:PATH)",
    "REQ(:SCHEME)",
    "REQ_WITHOUT_QUERY(:PATH)",
    "HOSTNAME",
    "PROTOCOL",
    "ROUTE_NAME",
    "UPSTREAM_CLUSTER",
    "VIRTUAL_CLUSTER_NAME",
    "START_TIME",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let managers = envoy.managers.iter().filter(|manager| manager.asking().next().is_some());
    let tables = managers.flat_map(|manager| &manager.tables).filter_map(|table| envoy.tables.get(*table));
    for route in tables.flat_map(|table| &table.hosts).flat_map(|host| &host.routes) {
        check(route, report);
    }
    let managers = envoy.managers.iter().filter(|manager| manager.asking().next().is_some());
    for manager in managers {
        let set = manager.filters.iter().filter(|filter| filter.kind.short() == "set_filter_state");
        set.for_each(|filter| check_state(&filter.config.get("on_request_headers"), report));
        for filter in manager.chain.get("filters").items() {
            let (kind, config) = filter.get("typed_config").typed();
            if kind.contains(".network.set_filter_state.") {
                check_state(&config.get("on_new_connection"), report);
            }
        }
    }
    for (_, setting) in envoy.settings().filter(|(_, setting)| setting.kind.contains(".set_filter_state.")) {
        check_state(&setting.config.get("on_request_headers"), report);
    }
}

/// Objects of the filter state by which an upstream is chosen.
const CHOOSING: [&str; 3] = [
    "envoy.network.transport_socket.original_dst_address",
    "envoy.upstream.dynamic_host",
    "envoy.upstream.dynamic_port",
];

/// What `set_filter_state` sets.
fn check_state(list: &At<'_>, report: &mut Report<'_>) {
    for item in list.items() {
        let keys = [item.get("object_key"), item.get("factory_key")];
        let key = keys.iter().find(|key| key.exists()).and_then(At::text);
        if !key.is_some_and(|key| CHOOSING.contains(&key)) {
            continue;
        }
        let format = item.get("format_string");
        let inline = [format.get("text_format"), format.at(&["text_format_source", "inline_string"])];
        match inline.iter().find_map(At::text) {
            Some(text) => {
                if let Some(command) = chosen(text) {
                    say(
                        &format,
                        "the upstream's address",
                        &format!("`%{command}%`"),
                        header_of(command),
                        report,
                    );
                }
            }
            None => unknown(&format, "what the upstream's address is made of", report),
        }
    }
}

fn unknown(at: &At<'_>, what: &str, report: &mut Report<'_>) {
    let fix = "make sure that the caller has no say in it, then ignore this";
    report.find(&super::not_checked::RULE, at, format!("not examined: {what}"), fix);
}

fn check(route: &Route<'_>, report: &mut Report<'_>) {
    for (field, what) in [("path_rewrite", "the path"), ("host_rewrite", "the host")] {
        let format = route.action.get(field);
        if let Some(command) = format.text().and_then(chosen) {
            say(&format, what, &format!("`%{command}%`"), header_of(command), report);
        }
    }
    let header = route.action.get("host_rewrite_header");
    say_header(&header, "the host", report);
    for name in ["cluster_specifier_plugin", "inline_cluster_specifier_plugin"] {
        let plugin = route.action.get(name);
        if plugin.exists() {
            unknown(&plugin, "how this plugin chooses the cluster, after the decision", report);
        }
    }
    let splits = route.action.at(&["weighted_clusters", "clusters"]).items();
    for level in splits.iter().chain([&route.action]) {
        say_header(&level.get("cluster_header"), "the cluster", report);
    }
}

/// A field that names a header.
fn say_header(field: &At<'_>, what: &str, report: &mut Report<'_>) {
    let Some(name) = field.text().filter(|name| !name.is_empty()) else { return };
    // What was decided on.
    if !name.starts_with(':') && !name.eq_ignore_ascii_case("host") {
        say(field, what, &format!("the header `{name}`"), Some(name), report);
    }
}

fn say(at: &At<'_>, what: &str, source: &str, header: Option<&str>, report: &mut Report<'_>) {
    let fix = "write a fixed value, or a route for each value of the header";
    let set = header.is_some_and(|name| report.needs.changes_request.contains(&name.to_ascii_lowercase()));
    if set {
        let message = format!("{source} chooses {what}: the caller does where no policy sets it");
        report.warn(&RULE, at, message, fix);
    } else {
        let message = format!("{source} chooses {what} after the decision, and the caller chooses that");
        report.find(&RULE, at, message, fix);
    }
}

/// The first command of a formatter that the caller has a say in; `%%` is a percent sign.
fn chosen(format: &str) -> Option<&str> {
    // Every second part is between percent signs.
    let mut commands = format.split('%').skip(1).step_by(2).filter(|command| !command.is_empty());
    commands.find(|command| {
        let fixed = ["ENVIRONMENT(", "START_TIME("].iter().any(|name| command.starts_with(name));
        !fixed && !HARMLESS.iter().any(|harmless| harmless.eq_ignore_ascii_case(command))
    })
}

/// The header of `REQ(x-path)`, without an alternative.
fn header_of(command: &str) -> Option<&str> {
    let (_, inner) = command.split_once("REQ(")?;
    let (inner, _) = inner.split_once(')')?;
    (!inner.contains('?')).then_some(inner)
}
