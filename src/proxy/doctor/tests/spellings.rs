//! Values that Envoy reads otherwise than they are written in its documentation.

use super::*;

#[test]
fn mistakes_in_any_case_are_found() {
    let proc = |from: &str, to: &str| rules(&edited(PROC, from, to), &needs(false));
    let authz = |from: &str, to: &str| rules(&edited(AUTHZ, from, to), &needs(false));
    for word in ["skip", "Skip", "'2'"] {
        let mode = format!("request_header_mode: {word}, request_body_mode: BUFFERED");
        assert!(proc("request_body_mode: BUFFERED", &mode).contains(&"headers-skipped"), "{word}");
    }
    assert_eq!(proc("# filter", "route_cache_action: clear"), ["clear-route-cache"]);
    assert_eq!(authz("# manager", "forward_client_cert_details: append_forward"), ["forwarded-client-cert"]);
    assert_eq!(authz("# filter", "status_on_error: {code: ok}"), ["status-on-error"]);
    assert_eq!(authz("REJECT_REQUEST}", "allow}"), ["underscore-headers"]);
    for word in ["'yes'", "yes", "'1'", "'T'", "True"] {
        assert_eq!(authz("# filter", &format!("failure_mode_allow: {word}")), ["fail-open"], "{word}");
    }
}

#[test]
fn what_is_right_is_right_in_any_case() {
    let text = edited(PROC, "request_body_mode: BUFFERED", "request_body_mode: buffered");
    let text = edited(&text, "request_trailer_mode: SEND", "request_trailer_mode: send");
    let text = edited(&text, "response_header_mode: SKIP", "response_header_mode: skip");
    let text = text.replace("REJECT_REQUEST", "reject_request");
    let added = "request_headers_to_add: [{header: {key: x-user, value: x}, append_action: add_if_absent}]";
    let text = edited(&text, "# host", added);
    let text = edited(&text, "# filter", "failure_mode_allow: 'no'");
    assert_eq!(rules(&text, &needs(false)), [""; 0]);
}

/// What is said of the fields that stand twice: their paths' last parts.
fn twice(text: &str) -> Vec<String> {
    let mut found = examined(text, &needs(false)).findings;
    found.retain(|finding| finding.rule.id == "duplicate-field");
    assert!(found.iter().all(|finding| finding.severity == Severity::Error));
    found.iter().map(|finding| finding.path.rsplit('.').next().unwrap().to_owned()).collect()
}

#[test]
fn a_field_in_both_spellings_is_an_error_wherever_it_stands() {
    let both = "failure_mode_allow: false\n                      failureModeAllow: true";
    assert_eq!(rules(&edited(AUTHZ, "# filter", both), &needs(false)), ["duplicate-field"]);
    let settings = "typed_per_filter_config: {}\n                          typedPerFilterConfig: {}";
    assert_eq!(twice(&edited(AUTHZ, "# route\n", &format!("{settings}\n"))), ["typedPerFilterConfig"]);
    let camel_first = "maxRequestHeadersKb: 60\n                max_request_headers_kb: 90";
    assert_eq!(twice(&edited(AUTHZ, "# manager", camel_first)), ["max_request_headers_kb"]);
    let json = parsed(&edited(AUTHZ, "# filter", both)).to_string();
    assert_eq!(twice(&json), ["failureModeAllow"], "in JSON too");
}

#[test]
fn names_that_people_chose_are_no_fields() {
    let kind = "\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig";
    let named = format!("typed_per_filter_config: {{a_b: {{{kind}}}, aB: {{{kind}}}}}");
    let free = "metadata: {filter_metadata: {shop: {a_b: 1, aB: 2}}}";
    for text in [edited(AUTHZ, "# host", &named), edited(AUTHZ, "# host", free)] {
        assert_eq!(rules(&text, &needs(false)), [""; 0]);
    }
    let node = "node: {id: gateway, metadata: {a_b: 1, aB: 2}}";
    assert_eq!(rules(&edited(AUTHZ, "node: {id: gateway}", node), &needs(false)), [""; 0]);
    let within = format!("typed_per_filter_config: {{a_b: {{{kind}, is_optional: true, isOptional: true}}}}");
    assert_eq!(twice(&edited(AUTHZ, "# host", &within)), ["isOptional"]);
}

#[test]
fn a_secret_is_not_looked_into() {
    let text =
        format!("{AUTHZ}---\nname: a\ngeneric_secret: {{secret: {{inline_string: x, inlineString: y}}}}\n");
    assert_eq!(rules(&text, &needs(false)), [""; 0]);
}
