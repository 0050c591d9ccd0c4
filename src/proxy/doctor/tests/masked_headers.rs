//! What masks of headers and trailers ask of a filter.

use super::*;

/// What a policy with this one mask asks for.
fn masking(rule: &str) -> Needs {
    of_policies(&MASK.replace("field: \"**.card.number\"", rule))
}

fn finds(id: &str, rule: &str, from: &str, to: &str) -> bool {
    rules(&edited(PROC, from, to), &masking(rule)).contains(&id)
}

#[test]
fn the_mode_that_masks_need_must_be_allowed() {
    let allows = |rule: &str, mode: &str| {
        let mode = format!("request_body_mode: BUFFERED, response_header_mode: SEND, {mode}");
        let list =
            format!("allowed_override_modes: [{{{mode}}}]\n                      allow_mode_override: true");
        !finds("mode-override-off", rule, "allow_mode_override: true", &list)
    };
    let (body, trailers, headers) = (
        "response_body_mode: STREAMED, response_trailer_mode: SEND",
        "response_trailer_mode: SEND",
        "response_body_mode: NONE",
    );
    for (rule, wanted) in [("field: a", body), ("trailer: x-a", trailers), ("header: x-a", headers)] {
        for mode in [body, trailers, headers] {
            assert_eq!(allows(rule, mode), mode == wanted, "{rule} {mode}");
        }
    }
}

#[test]
fn a_change_that_masks_need_must_be_carried_out() {
    let given = "mutation_rules: {disallow_is_error: true}";
    let allowed = "mutation_rules: {disallow_is_error: true, allow_envoy: true}";
    let silent = "mutation_rules: {disallow_is_error: false}";
    for (rule, to, found) in [
        ("header: x-a", given, false),
        ("header: x-a", silent, true),
        ("trailer: x-a", silent, true),
        ("header: x-envoy-upstream-service-time", given, true),
        ("header: 'x-e*'", given, true),
        ("header: 'x-envoy-up*'", given, true),
        ("header: '*'", given, true),
        ("header: '*'", allowed, false),
        ("header: 'x-a*'", given, false),
    ] {
        assert_eq!(finds("mutation-rules", rule, given, to), found, "{rule} {to}");
    }
}
