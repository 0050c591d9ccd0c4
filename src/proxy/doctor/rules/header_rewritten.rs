//! Request headers that routes set after policies did.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Table};

pub static RULE: Rule = Rule {
    id: "header-rewritten",
    severity: Severity::Error,
    title: "a route changes a header that policies set",
    what: "`request_headers_to_add` and `request_headers_to_remove` of route tables, virtual hosts, routes and weighted \
          clusters, for headers that policies change.",
    why: "The router works after all filters. What a policy says of a caller is replaced by what the route says, \
          which may be what the caller said.",
    demonstrated: "Envoy 1.40.0: a route overwrote `x-user` with a header that the caller sent, and the \
          upstream got `admin`, where the policy had set the caller's own name.",
    test: Some("header_rewritten"),
    fix: "Leave the header to the policy, or set it in a filter before Portcullis.",
    example: "request_headers_to_add:\n  - {header: {key: x-user, value: nobody}, append_action: ADD_IF_ABSENT}\n",
    envoy: Some(envoy),
};

const ACTIONS: [&str; 4] =
    ["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let managers = envoy.managers.iter().filter(|manager| manager.asking().next().is_some());
    for table in managers.flat_map(|manager| &manager.tables).filter_map(|table| envoy.tables.get(*table)) {
        for level in levels(table) {
            for added in level.get("request_headers_to_add").items() {
                check(&added, report);
            }
            for removed in level.get("request_headers_to_remove").items() {
                check_removed(&removed, report);
            }
        }
    }
}

/// Everything that can add headers.
fn levels<'a>(table: &Table<'a>) -> Vec<At<'a>> {
    let mut levels = vec![table.at.clone()];
    for host in &table.hosts {
        levels.push(host.at.clone());
        for route in &host.routes {
            levels.push(route.at.clone());
            levels.extend(route.action.at(&["weighted_clusters", "clusters"]).items());
        }
    }
    levels
}

fn check(added: &At<'_>, report: &mut Report<'_>) {
    let name = added.at(&["header", "key"]).text().unwrap_or_default().to_ascii_lowercase();
    let absent = added.get("append_action").word(&ACTIONS) == Some("ADD_IF_ABSENT");
    if report.needs.changes_request.contains(&name) && !absent {
        let message = format!("policies change `{name}`, and this changes it again after them");
        report.find(&RULE, added, message, "remove it, or set `append_action: ADD_IF_ABSENT`");
    }
}

/// What is only kept from the upstream lets nothing through: a warning.
fn check_removed(removed: &At<'_>, report: &mut Report<'_>) {
    let name = removed.text().unwrap_or_default().to_ascii_lowercase();
    if report.needs.changes_request.contains(&name) {
        let message =
            format!("policies change `{name}`, and this removes it after them: the upstream never sees it");
        report.warn(
            &RULE,
            removed,
            message,
            "remove it: what a caller sends under this name is taken away where policies set it",
        );
    }
}
