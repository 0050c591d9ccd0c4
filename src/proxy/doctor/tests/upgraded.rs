//! The filters that upgrades have for themselves.

use super::*;

const TYPE: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters.http";

/// A list for WebSockets: what stands before the filter that asks, more of that filter, and what stands after it.
fn list(before: &str, more: &str, after: &str) -> String {
    let guard = format!(
        "{{name: guard, typed_config: {{{TYPE}.ext_authz.v3.ExtAuthz, grpc_service: {{envoy_grpc: {{cluster_name: portcullis}}, \
         timeout: 330s}}, encode_raw_headers: true, with_request_body: {{max_request_bytes: 1048576, pack_as_bytes: true}}, \
         metadata_context_namespaces: [shop]{more}}}}}"
    );
    let router = format!("{{name: router, typed_config: {{{TYPE}.router.v3.Router}}}}");
    format!("upgrade_configs: [{{upgrade_type: websocket, filters: [{before}{guard}, {after}{router}]}}]")
}

fn found(manager: &str, action: &str) -> Vec<&'static str> {
    rules(&edited(&edited(AUTHZ, "# manager", manager), "# action", action), &needs(false))
}

#[test]
fn filters_of_an_upgrade_are_examined_like_the_managers_own() {
    let lua = format!("{{name: lua, typed_config: {{{TYPE}.lua.v3.Lua}}}}, ");
    let cache = format!("{{name: cache, typed_config: {{{TYPE}.cache.v3.CacheConfig}}}}, ");
    let odd = format!("{{name: odd, typed_config: {{{TYPE}.odd.v3.Odd}}}}, ");
    assert_eq!(found(&list("", "", ""), ""), [""; 0]);
    assert_eq!(found(&list("", "", &lua), ""), ["filter-order"]);
    assert_eq!(found(&list(&lua, "", ""), ""), [""; 0]);
    assert_eq!(found(&list("", "", &odd), ""), ["not-checked"]);
    assert_eq!(found(&list(&cache, "", ""), ""), ["cache-before-portcullis"]);
    assert_eq!(found(&list("", ", failure_mode_allow: true", ""), ""), ["fail-open"]);
    let mut off = list("", "", "");
    off = off.replace("{name: guard,", "{name: guard, disabled: true,");
    assert_eq!(found(&off, ""), ["filter-disabled"]);
    assert_eq!(
        found(&list("", "", "").replace("_name: portcullis", "_name: gone"), ""),
        ["cluster-missing", "upgrade-filters"]
    );
}

#[test]
fn a_list_that_no_route_leads_to_is_left_alone() {
    let (on, off) = ("enabled: true", "enabled: false");
    let of_route = |enabled: &str| format!("upgrade_configs: [{{upgrade_type: WebSocket, {enabled}}}]");
    let list = |enabled: &str| {
        let filters = format!("filters: [{{name: router, typed_config: {{{TYPE}.router.v3.Router}}}}]");
        format!("upgrade_configs: [{{upgrade_type: websocket, {enabled}, {filters}}}]")
    };
    assert_eq!(found(&list(on), ""), ["upgrade-filters"]);
    assert_eq!(found(&list(on), &of_route(off)), [""; 0]);
    assert_eq!(found(&list(off), ""), [""; 0]);
    assert_eq!(found(&list(off), &of_route(on)), ["upgrade-filters"]);
}
