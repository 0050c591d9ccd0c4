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
