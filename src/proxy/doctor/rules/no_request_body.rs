//! Bodies that are not shown.

use crate::diagnostic::Severity;
use crate::proxy::BodySource;
use crate::proxy::doctor::handover;
use crate::proxy::doctor::text::BODY_MODES;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Filter, Kind, Setting, Spot};

pub static RULE: Rule = Rule {
    id: "no-request-body",
    severity: Severity::Error,
    title: "Portcullis isn't shown a body that policies need",
    what: "Routes that calls whose body a rule reads, or an approval covers, can take: \
          `with_request_body` of ext_authz, `request_body_mode` of ext_proc, as in force there.",
    why: "Portcullis denies such calls with `body_unavailable`: a body that was not shown satisfies no \
          rule.",
    demonstrated: "Envoy 1.40.0: the body of refunds was not shown, and each was denied with \
          `body_unavailable`. With `BUFFERED` a small one passed.",
    test: Some("no_request_body"),
    fix: "Have the body buffered on this route, in its `typed_per_filter_config` under the filter's name. For ext_proc \
          restate the whole mode.",
    example: "typed_per_filter_config:\n  envoy.filters.http.ext_proc:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute\n    overrides:\n      processing_mode: {request_header_mode: SEND, request_body_mode: BUFFERED, request_trailer_mode: SEND}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking() {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let Some(example) = spot.example() else { continue };
            if filter.is(&Kind::ExtAuthz) {
                ext_authz(&spot, filter, &example, report);
            } else if !handover::is_expected(&spot, filter, &report.needs.server) {
                ext_proc(&spot, filter, &example, report);
            }
        }
    }
}

fn ext_authz<'a>(spot: &Spot<'_, 'a>, filter: &Filter<'a>, example: &str, report: &mut Report<'_>) {
    let buffer = spot.buffer(filter);
    // Of a server that is told to expect bodies, `server-disagrees` says worse.
    let expected = report.needs.server.known && report.needs.server.body == BodySource::Buffered;
    if buffer.get("max_request_bytes").exists() || expected {
        return;
    }
    let message = format!("policies need the body of calls, and Envoy does not show it ({example})");
    match place(spot, filter, report) {
        Place::Setting(setting) => {
            let check = setting.config.get("check_settings");
            let off = check.get("disable_request_body_buffering");
            let at = if off.is_true() { off } else { check.get("with_request_body") };
            report.find(&RULE, &at, message, "set `with_request_body` in `check_settings` of this route");
        }
        Place::Route(at, other) => {
            let message = message + &misnamed(other, filter);
            report.find(&RULE, &at, message, add(filter, "ExtAuthzPerRoute", "with_request_body"));
        }
        Place::Filter => {
            let fix = "set `with_request_body`, in the filter or in `check_settings` of the route";
            report.find(&RULE, &buffer, message, fix);
        }
    }
}

fn ext_proc<'a>(spot: &Spot<'_, 'a>, filter: &Filter<'a>, example: &str, report: &mut Report<'_>) {
    let mode = spot.mode(filter).get("request_body_mode");
    let word = mode.word(&BODY_MODES).unwrap_or("NONE");
    if ["BUFFERED", "BUFFERED_PARTIAL"].iter().any(|whole| word.eq_ignore_ascii_case(whole)) {
        return;
    }
    let message = format!("policies need the body of calls, and its mode is {word} ({example})");
    match place(spot, filter, report) {
        Place::Setting(setting) => {
            let at = setting.config.at(&["overrides", "processing_mode", "request_body_mode"]);
            report.find(&RULE, &at, message, "set `request_body_mode: BUFFERED`");
        }
        Place::Route(at, other) => {
            let message = message + &misnamed(other, filter);
            report.find(&RULE, &at, message, add(filter, "ExtProcPerRoute", "request_body_mode: BUFFERED"));
        }
        Place::Filter => report.find(&RULE, &mode, message, "set `request_body_mode: BUFFERED`"),
    }
}

/// Where to ask for the body.
enum Place<'e, 'a> {
    /// What the route has for this filter.
    Setting(&'e Setting<'a>),
    /// The route, which has nothing for this filter; perhaps something of ours under another name.
    Route(At<'a>, Option<&'e Setting<'a>>),
    /// The filter: its routes are not known, or made of manifests that have no such lines.
    Filter,
}

/// Bodies are asked for on the route that needs them: in the filter, every call would wait for its own.
fn place<'e, 'a>(spot: &Spot<'e, 'a>, filter: &Filter<'a>, report: &Report<'_>) -> Place<'e, 'a> {
    let Some(route) = spot.route.filter(|_| !report.is_of_manifests()) else { return Place::Filter };
    let own = || route.splits.iter().flatten().chain(&route.settings);
    let set = spot.settings(filter).next();
    match set.filter(|set| own().any(|own| own.at.path() == set.at.path())) {
        Some(set) => Place::Setting(set),
        None => Place::Route(route.at.clone(), own().find(|own| own.is_ours() && own.name != filter.name)),
    }
}

fn misnamed(other: Option<&Setting<'_>>, filter: &Filter<'_>) -> String {
    let Some(other) = other else { return String::new() };
    format!("; what the route sets for `{}` is not for the filter `{}`", other.name, filter.name)
}

fn add(filter: &Filter<'_>, kind: &str, field: &str) -> String {
    format!(
        "add `typed_per_filter_config` to this route: under `{}` an `{kind}` with `{field}`, as \
         `portcullis envoy config --output snippet` writes it",
        filter.name
    )
}
