//! Filters that change what was decided on.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "filter-order",
    severity: Severity::Warning,
    title: "a filter after Portcullis changes what was decided on",
    what: "Filters between Portcullis and the router that change a request's method, path, headers or \
          body, or its route: lua, wasm, header_mutation, transcoders and others.",
    why: "Portcullis decides on one request and the upstream gets another. A caller who can steer the \
          change gets past the policies.",
    demonstrated: "Envoy 1.40.0: a Lua filter after Portcullis replaced the path by that of a header, and a \
          call that was allowed as `/public/hello` was served as `/internal/keys`.",
    test: Some("filter_order"),
    fix: "Put these filters before Portcullis, which stands last before the router, or make sure that what they change is of \
          no weight. `health_check`, `cors`, rate limits and compression stand before it as well; only a cache comes after it.",
    example: "http_filters:\n  - name: envoy.filters.http.cors\n  - name: envoy.filters.http.lua\n  - name: envoy.filters.http.ext_authz     # Portcullis: last before the router\n  - name: envoy.filters.http.router\n",
    envoy: Some(envoy),
};

/// By the name in their types.
pub(super) const CHANGING: [&str; 20] = [
    "ai_protocol_manager",
    "aws_lambda",
    "composite",
    "connect_grpc_bridge",
    "decompressor",
    "dynamic_modules",
    "ext_authz",
    "ext_proc",
    "filter_chain",
    "golang",
    "grpc_http1_bridge",
    "grpc_http1_reverse_bridge",
    "grpc_json_reverse_transcoder",
    "grpc_json_transcoder",
    "grpc_web",
    "header_mutation",
    "lua",
    "mcp_json_rest_bridge",
    "transform",
    "wasm",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in &envoy.managers {
        for filter in manager.after() {
            let name = filter.kind.short();
            if CHANGING.contains(&name) || name == "on_demand" {
                let message = format!("`{name}` comes after Portcullis and can change what was decided on");
                report.find(&RULE, &filter.entry, message, "put it before Portcullis");
            }
        }
    }
}
