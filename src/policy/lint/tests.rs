//! Lints through the compiler, as `policy check` sees them.

use crate::policy::{Options, SourceFile, compile};

/// The findings of one policy with this `match` and these rules.
fn check(matches: &str, rules: &[&str]) -> Vec<String> {
    let rules: String = rules.iter().map(|rule| format!("    - {{{rule}}}\n")).collect();
    let matches = if matches.is_empty() { String::new() } else { format!("  match: [{{{matches}}}]\n") };
    check_text(&format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n{matches}  rules:\n{rules}"
    ))
}

fn check_text(text: &str) -> Vec<String> {
    let files = [SourceFile { file: "p.yaml".into(), text: text.into() }];
    compile(&files, &Options { gateway: true }).findings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn finds(found: &[String], wanted: &[&str]) {
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{found}\nlacks {wanted}");
    }
}

#[test]
fn a_protection_that_never_applies_is_an_error_and_a_grant_that_never_applies_a_warning() {
    let when = "when: 'request.method == \"GET\" && request.method == \"POST\"'";
    let deny = check("", &[&format!("name: a, {when}, deny: {{}}")]);
    finds(
        &deny,
        &["p.yaml:6:23: error[never-applies]: the rule can never apply: `request.method == \"GET\"` and"],
    );
    assert!(deny[0].ends_with("(for any of both write `request.method in [\"GET\", \"POST\"]`)"), "{deny:?}");
    let allow = check("", &[&format!("name: a, {when}, allow: {{}}")]);
    finds(&allow, &["warning[never-applies]"]);
    let shadow = check("", &[&format!("name: a, enforce: false, {when}, deny: {{}}")]);
    finds(&shadow, &["warning[never-applies]"]);
}

#[test]
fn a_grant_that_always_applies_is_an_error() {
    let when = "when: 'request.method != \"GET\" || request.method != \"POST\"'";
    finds(
        &check("", &[&format!("name: a, {when}, allow: {{}}")]),
        &["error[always-true]: the condition is always true"],
    );
    finds(&check("", &[&format!("name: a, {when}, deny: {{}}")]), &["warning[always-true]"]);
    let part = "when: '\"g\" in identity.groups && (request.method != \"A\" || request.method != \"B\")'";
    finds(
        &check("", &[&format!("name: a, {part}, allow: {{}}")]),
        &["error[always-true]: a part of the condition"],
    );
}

#[test]
fn conditions_that_somebody_switched_off_are_warnings() {
    let rule = "name: a, when: 'request.method == \"GET\" && false', deny: {}";
    finds(&check("", &[rule]), &["warning[constant-condition]: the condition is always false"]);
    let rule = "name: a, when: 'request.method == \"GET\" || true', allow: {}";
    finds(&check("", &[rule]), &["warning[constant-condition]: the condition is always true"]);
}

#[test]
fn values_that_never_come_are_named_with_the_reason() {
    let rule = "name: a, when: 'request.host == \"API.example.com\"', deny: {}";
    finds(
        &check("", &[rule]),
        &["error[never-applies]: the rule can never apply: no call passes `request.host =="],
    );
    let rule = "name: a, when: 'request.method in [\"GET\", \"post\"]', allow: {}";
    finds(&check("", &[rule]), &["warning[idle-part]: `request.method` is never \"post\""]);
    let rule = "name: a, when: '\"g\" in identity.groups || request.method == \"get\"', allow: {}";
    finds(&check("", &[rule]), &["warning[idle-part]: a part of the condition is never true"]);
    let rule = "name: a, when: '\"g\" in identity.groups && request.size >= 0', allow: {}";
    finds(
        &check("", &[rule]),
        &["warning[idle-part]: a part of the condition is true wherever it can be evaluated: every call on"],
    );
    let rule = "name: a, when: '\"g\" in identity.groups && source.port >= 0', allow: {}";
    finds(&check("", &[rule]), &["warning[idle-part]: a part of the condition is always true: every call"]);
}

#[test]
fn a_rule_that_fails_is_not_told_to_count_for_nothing() {
    let header = "name: a, when: 'request.headers[\"x\"] == \"b\"', allow: {}";
    finds(
        &check("", &[header, "name: d, deny: {}"]),
        &["the rule can do no more than fail: `p/d` denies every"],
    );
    let plain = "name: a, when: connection.mtls, allow: {}";
    finds(&check("", &[plain, "name: d, deny: {}"]), &["the rule never counts: `p/d` denies every"]);
    // Without the first, calls without the header would be allowed by the second.
    let wide = "name: b, when: '\"x\" in request.headers || connection.mtls', allow: {}";
    finds(&check("", &[header, wide]), &[]);
    let never =
        "name: a, when: 'request.headers[\"x\"] == \"b\" && request.headers[\"x\"] == \"c\"', allow: {}";
    finds(&check("", &[never]), &["the rule still denies calls on which it can't be evaluated"]);
}

#[test]
fn captures_of_two_policies_are_not_taken_for_each_other() {
    let when = "when: 'path.id == \"a\"'";
    let allow = policy("a", "match: [{paths: [\"/{id}/{x}\"]}], ", &format!("name: a, {when}, allow: {{}}"));
    let deny = policy("b", "match: [{paths: [\"/{x}/{id}\"]}], ", &format!("name: d, {when}, deny: {{}}"));
    finds(&check_text(&(allow + &deny)), &[]);
}

#[test]
fn conditions_are_held_against_the_match() {
    for (matches, condition) in [
        ("methods: [GET]", "request.method == \"POST\""),
        ("methods: [GET, HEAD]", "!(request.method in [\"GET\", \"HEAD\"])"),
        ("paths: [\"/v1/orders/{id}\"]", "request.url_path == \"/v1/refunds\""),
        ("paths: [\"/v1/orders/{id}\"]", "request.url_path.startsWith(\"/admin\")"),
        ("paths: [\"/v1/orders\"]", "request.url_path.endsWith(\"/export\")"),
        ("hosts: [a.example.com]", "request.host == \"b.example.com\""),
        ("ports: [8443]", "destination.port == 443"),
        ("ports: [8443], context: {route: a}", "context.route == \"b\""),
    ] {
        let found = check(matches, &[&format!("name: a, when: '{condition}', allow: {{}}")]);
        finds(
            &found,
            &["warning[unreachable-rule]: the rule can never apply: no call that `match` lets in passes `"],
        );
    }
    for (matches, condition) in [
        ("methods: [GET, POST]", "request.method == \"POST\""),
        ("paths: [\"/v1/{**}\"]", "request.url_path.startsWith(\"/v1/admin\")"),
        ("paths: [\"/v1/{a}\", \"/x\"]", "request.url_path == \"/x\""),
        ("hosts: [\"*.example.com\"]", "request.host == \"b.example.com\""),
    ] {
        finds(&check(matches, &[&format!("name: a, when: '{condition}', allow: {{}}")]), &[]);
    }
}

#[test]
fn constants_without_a_value_are_errors() {
    let rule = "name: a, when: 'request.size > 0 && request.size < 5 / 0', allow: {}";
    finds(&check("", &[rule]), &["error[always-fails]: `5 / 0` can never be evaluated"]);
}

#[test]
fn rules_that_a_deny_always_beats_are_found() {
    let staff = "name: a, when: '\"staff\" in identity.groups && request.method == \"GET\"', allow: {}";
    for deny in [
        "name: d, deny: {}",
        "name: d, when: '\"staff\" in identity.groups', deny: {}",
        "name: d, when: 'request.method != \"POST\"', deny: {}",
        "name: d, when: 'request.method in [\"GET\", \"HEAD\"] || identity.subject == \"\"', deny: {}",
    ] {
        let found = check("", &[staff, deny]);
        finds(
            &found,
            &["p.yaml:6:14: warning[always-denied]: the rule never counts: `p/d` denies every call"],
        );
    }
    for deny in [
        "name: d, enforce: false, deny: {}",
        "name: d, when: '!(\"staff\" in identity.groups)', deny: {}",
        "name: d, when: '\"staff\" in identity.groups && request.size > 5', deny: {}",
        "name: d, when: 'request.body.x == 1', deny: {}",
    ] {
        finds(&check("", &[staff, deny]), &[]);
    }
}

fn policy(name: &str, matches: &str, rule: &str) -> String {
    format!(
        "---\napiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: {name}}}\nspec: {{{matches}rules: [{{{rule}}}]}}\n"
    )
}

#[test]
fn a_deny_of_another_policy_is_reported_once_and_only_where_it_covers_the_route() {
    let orders = policy("orders", "match: [{paths: [/v1/orders], methods: [GET]}], ", "name: a, allow: {}");
    let refunds = policy("refunds", "match: [{paths: [/v1/refunds]}], ", "name: a, allow: {}");
    let stop = |matches: &str| {
        check_text(&(orders.clone() + &refunds + &policy("stop", matches, "name: d, deny: {}")))
    };
    let all = ["warning[always-denied]: this deny beats `orders/a`, `refunds/a` whenever they apply"];
    finds(&stop(""), &all);
    finds(&stop("match: [{paths: [\"/v1/{**}\"]}], "), &all);
    let orders_only = ["this deny beats `orders/a` whenever"];
    finds(&stop("match: [{paths: [\"/{**}\"], methods: [GET, HEAD]}], "), &orders_only);
    finds(&stop("match: [{paths: [/v1/orders]}], "), &orders_only);
    finds(&stop("match: [{paths: [/v1/orders], ports: [1]}], "), &[]);
    finds(&stop("match: [{hosts: [a.example.com], paths: [\"/{**}\"]}], "), &[]);
}

#[test]
fn rules_and_policies_that_add_nothing_are_found() {
    let narrow = "name: narrow, when: '\"a\" in identity.groups && request.method == \"GET\"', allow: {}";
    let wide = "name: wide, when: '\"a\" in identity.groups', allow: {}";
    finds(
        &check("", &[narrow, wide]),
        &["p.yaml:6:14: warning[redundant-rule]: the rule adds nothing: `p/wide`"],
    );
    let again = "name: again, when: '\"a\" in identity.groups', allow: {}";
    finds(
        &check("", &[wide, again]),
        &["p.yaml:7:14: warning[redundant-rule]: the rule adds nothing: `p/wide`"],
    );
    let named =
        "name: named, when: '\"a\" in identity.groups', allow: {}, headers: {request: {set: {x-a: b}}}";
    finds(&check("", &[named, wide]), &["`p/named`"]);
    let deny =
        |because: &str| format!("name: {because}, when: 'request.size > 5', deny: {{because: {because}}}");
    finds(&check("", &[&deny("one"), &deny("two")]), &[]);
    let twice = policy("a", "", "name: x, when: request.size > 5, deny: {}")
        + &policy("b", "", "name: z, when: 'request.size  >  5', deny: {status: 403}");
    finds(&check_text(&twice), &["warning[duplicate-content]: the policy says the same as `a` in p.yaml:4"]);
}

#[test]
fn a_rule_can_not_be_enforced_in_a_policy_that_is_not() {
    let text = policy("a", "enforce: false, ", "name: x, enforce: true, when: request.size > 5, deny: {}");
    finds(&check_text(&text), &["warning[enforce-overridden]: `a/x` is not enforced"]);
}

#[test]
fn large_sets_are_compared_within_bounds() {
    let text: String = (0..400)
        .map(|n| {
            policy(
                &format!("p{n}"),
                &format!("match: [{{paths: [/{n}]}}], "),
                "name: a, when: request.size > 5, deny: {}",
            )
        })
        .collect();
    finds(&check_text(&text), &[]);
    let rules: Vec<_> =
        (0..600).map(|n| format!("name: r{n}, when: 'request.size == {n}', allow: {{}}")).collect();
    finds(&check("", &rules.iter().map(String::as_str).collect::<Vec<_>>()), &[]);
}
