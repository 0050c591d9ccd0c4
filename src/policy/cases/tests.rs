use super::*;
use crate::policy::{Options, SourceFile, compile};

const POLICY: &str = "apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec:
  match: [{hosts: [a.example.com], paths: [/a]}]
  rules:
    - {name: staff, when: '\"staff\" in identity.groups', allow: {}}
    - {name: large, when: request.body.amount > 500, deny: {status: 451, because: too much}}
    - {name: cards, mask: [{field: card, with: last4}]}
    - {name: idea, enforce: false, deny: {}}
";

fn files(file: &str, text: &str) -> [SourceFile; 1] {
    [SourceFile { file: file.into(), text: text.into() }]
}

fn set() -> PolicySet {
    compile(&files("p.yaml", POLICY), &Options { gateway: true }).set.unwrap()
}

fn findings(cases: &str) -> Vec<String> {
    let (cases, mut findings) = read(&files("p.cases.yaml", cases));
    findings.extend(check(&cases, &set()));
    findings.iter().map(ToString::to_string).collect()
}

fn expecting(expect: &str) -> Vec<String> {
    findings(&format!("cases: [{{name: a, request: {{path: /a}}, expect: {{{expect}}}}}]"))
}

#[track_caller]
fn finds(found: &[String], wanted: &[&str]) {
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{found}\nlacks {wanted}");
    }
}

#[test]
fn rules_that_do_not_exist_are_suggested() {
    let place = "p.cases.yaml:1:";
    for (rule, wanted) in [
        ("p/staf", "error[unknown-rule]: there is no rule `p/staf` (did you mean `p/staff`?)"),
        ("staff", "error[unknown-rule]: there is no rule `staff` (did you mean `p/staff`?)"),
        ("something-else", "there is no rule `something-else` (rules are named `policy/rule`)"),
    ] {
        let found = expecting(&format!("rule: {rule}"));
        finds(&found, &[wanted]);
        assert!(found[0].starts_with(place));
    }
}

#[test]
fn expectations_that_exclude_each_other_are_refused() {
    for (expect, wanted) in [
        ("outcome: deny, rule: p/staff", "`p/staff` gives `allow`, not `deny`"),
        ("outcome: allow, rule: p/cards", "`p/cards` neither allows, denies nor holds"),
        ("outcome: deny, rule: p/idea", "`p/idea` is not enforced"),
        (
            "outcome: allow, reason: denied_by_rule",
            "the reason `denied_by_rule` comes with `deny`, not `allow`",
        ),
        ("reason: token_expired", "no case ends with `token_expired`"),
        ("outcome: allow, status: 403", "the status does not fit the outcome (`allow` counts as 200"),
        ("outcome: deny, status: 200", "the status does not fit the outcome"),
        ("body: '{}'", "the case expects a body and gives no response"),
        ("", "the case expects nothing (name an `outcome`"),
    ] {
        finds(&expecting(expect), &[wanted]);
    }
    for fine in ["outcome: indeterminate, rule: p/cards", "outcome: deny, rule: p/large, status: 451"] {
        finds(&expecting(fine), &[]);
    }
}

#[test]
fn mistakes_in_a_case_are_reported_with_their_places() {
    let cases = "cases:
  - name: one
    request: {mehtod: GET, path: /a}
    identity: {groups: staff, claims: [a]}
    expect: {outcome: alow}
  - name: two
    request: {path: /a}
    metadata: 5
    expects: {outcome: allow}
  - name: three
    request: {path: /a}
    expect: {outcome: allow}
  - name: three
    request: {path: /a}
    expect: {outcome: deny}
";
    finds(
        &findings(cases),
        &[
            "p.cases.yaml:3:15: error[unknown-field]: unknown field `mehtod` in `request` (did you mean `method`?)",
            "p.cases.yaml:4:24: error[wrong-type]: `groups` must be a list, not a string",
            "p.cases.yaml:4:39: error[wrong-type]: `claims` must be a map, not a list",
            "p.cases.yaml:5:23: error[unknown-value]: unknown outcome `alow` (did you mean `allow`?)",
            "p.cases.yaml:6:5: error[missing-field]: the case lacks the field `expect`",
            "p.cases.yaml:8:15: error[wrong-type]: `metadata` must be a map, not an integer",
            "p.cases.yaml:9:5: error[unknown-field]: unknown field `expects` in the case (did you mean `expect`?)",
            "p.cases.yaml:13:11: error[duplicate-case]: there is a case `three` already, in line 10",
        ],
    );
    finds(&findings(POLICY), &["p.cases.yaml:1:1: error[not-a-case]: this is a policy in a file of cases"]);
    finds(&findings("# nothing\n"), &["error[no-case]"]);
}

fn failing(case: &str) -> CaseResult {
    let (cases, findings) = read(&files("p.cases.yaml", &format!("cases: [{{name: a, {case}}}]")));
    assert!(findings.is_empty(), "{findings:?}");
    run(&set(), &cases).results.remove(0)
}

#[test]
fn a_failing_case_says_what_was_expected_what_came_and_why() {
    let result = failing(
        "gateway: true, request: {host: a.example.com, path: /a, body: '{\"amount\": 700}'}, \
         identity: {subject: ana, groups: [staff]}, expect: {outcome: allow, rule: p/staff, status: 200}",
    );
    let failures: Vec<_> = result.failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [
            "expected outcome `allow`, got `deny`",
            "expected rule `p/staff`, got `p/large`",
            "expected status `200`, got `451`",
        ]
    );
    finds(
        &result.why,
        &[
            "p/staff allow, with identity.groups",
            "p/large deny, with request.body",
            "p/cards mask",
            "p/idea deny (not enforced)",
        ],
    );
}

#[test]
fn a_call_that_no_policy_matches_is_told_how_it_could() {
    let result = failing("request: {host: a.example.com, path: /a}, expect: {outcome: allow}");
    finds(
        &result.why,
        &["no policy matches the call; on a gateway one would: add `gateway: true` to the case"],
    );
    let result = failing("request: {path: /b}, expect: {outcome: allow}");
    assert_eq!(result.why, ["no policy matches the call"]);
    let result = failing("request: {path: /a/../b}, expect: {outcome: allow}");
    assert_eq!(result.why, ["the call is refused before any rule is asked"]);
}

#[test]
fn masked_bodies_are_shown_as_they_would_leave() {
    let result = failing(
        "gateway: true, request: {host: a.example.com, path: /a, body: '{\"amount\": 1}'}, identity: {subject: ana, groups: [staff]}, \
         response: {headers: {content-type: application/json}, body: '{\"card\":\"4111111111111111\"}'}, \
         expect: {body: '{\"card\":\"4111111111111111\"}'}",
    );
    assert_eq!(result.failures[0].got, "{\"card\":\"************1111\"}");
}

#[test]
fn bodies_that_can_not_be_masked_are_shown_as_their_rules_choose() {
    for (chosen, content_type, shown) in [
        ("redact_all", "text/html", "[redacted]"),
        ("redact_all", "application/json", "\"[redacted]\""),
        ("pass", "text/html", "no JSON"),
        ("pass", "application/json", "no JSON"),
    ] {
        let policy = POLICY.replace("with: last4", &format!("with: last4, on_unmaskable: {chosen}"));
        let compiled = compile(&files("p.yaml", &policy), &Options { gateway: true });
        let warned = compiled.findings.iter().any(|finding| finding.code == "unmaskable-passes");
        assert_eq!(warned, chosen == "pass");
        let case = format!(
            "cases: [{{name: a, gateway: true, request: {{host: a.example.com, path: /a, body: '{{\"amount\": 1}}'}}, \
             identity: {{subject: ana, groups: [staff]}}, \
             response: {{headers: {{content-type: {content_type}}}, body: no JSON}}, expect: {{body: '?'}}}}]"
        );
        let (cases, findings) = read(&files("p.cases.yaml", &case));
        assert!(findings.is_empty());
        let report = run(&compiled.set.unwrap(), &cases);
        assert_eq!(report.results[0].failures[0].got, shown, "{chosen} {content_type}");
    }
}

#[test]
fn masked_headers_are_shown_as_the_caller_sees_them() {
    let policy = POLICY.replace(
        "mask: [{field: card, with: last4}]",
        "mask: [{header: set-cookie, with: last4}, {header: location, with: remove}, \
         {header: 'x-*', detect: email, with: redact}], headers: {response: {append: {x-note: policy}}}",
    );
    let set = compile(&files("p.yaml", &policy), &Options { gateway: true }).set.unwrap();
    let failures = |expect: &str, response: &str| {
        let text = format!(
            "cases: [{{name: a, gateway: true, request: {{host: a.example.com, path: /a, body: '{{\"amount\": 1}}'}}, \
             identity: {{subject: ana, groups: [staff]}}, {response} expect: {{response_headers: {expect}}}}}]"
        );
        let (cases, findings) = read(&files("p.cases.yaml", &text));
        match findings.first() {
            Some(finding) => vec![finding.code.to_string()],
            None => run(&set, &cases).results[0].failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }
    };
    let response = "response: {headers: {Set-Cookie: [session=123456, theme=dark-blue], location: /a, \
                    x-note: to ana@example.com, x-other: '1'}},";
    let expected = "{set-cookie: ['**********3456', '***********blue'], Location: none, x-note: ['to [email]', policy], x-other: '1'}";
    assert_eq!(failures(expected, response), [""; 0]);
    assert_eq!(
        failures("{set-cookie: session=123456}", response),
        ["expected response header set-cookie `session=123456`, got `**********3456, ***********blue`"]
    );
    assert_eq!(failures("{location: none}", ""), ["expectation-conflict"]);
}

#[test]
fn a_body_to_be_masked_without_a_type_is_told_to_have_one() {
    let result = failing(
        "gateway: true, request: {host: a.example.com, path: /a, body: '{\"amount\": 1}'}, identity: {subject: ana, groups: [staff]}, \
         response: {body: '{\"card\":\"4111111111111111\"}'}, expect: {body: '{\"card\":\"************1111\"}'}",
    );
    assert!(result.failures[0].got.contains("add `headers: {content-type: application/json}`"), "{result:?}");
}

#[test]
fn coverage_counts_rules_that_applied() {
    let cases = "cases: [{name: a, gateway: true, request: {host: a.example.com, path: /a, body: '{\"amount\": 1}'}, expect: {outcome: deny}}]";
    let (cases, _) = read(&files("p.cases.yaml", cases));
    let report = run(&set(), &cases);
    assert_eq!((report.rules, report.unreached.len(), report.coverage()), (4, 2, 50));
    let refused = "cases: [{name: a, gateway: true, request: {host: a.example.com, path: //a}, expect: {outcome: deny}}]";
    let (cases, _) = read(&files("p.cases.yaml", refused));
    assert_eq!(run(&set(), &cases).coverage(), 0);
}

#[test]
fn a_case_says_whether_a_held_call_needs_a_person() {
    let policy = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n    - {name: h, hold: {approvers: {groups: [g]}, auto_approve: {when: request.size < 5}}}\n";
    let set = compile(&files("p.yaml", policy), &Options::default()).set.unwrap();
    let failures = |body: &str, expect: &str| {
        let text = format!("cases: [{{name: a, request: {{body: '{body}'}}, expect: {{{expect}}}}}]");
        let (cases, findings) = read(&files("p.cases.yaml", &text));
        assert!(findings.is_empty(), "{findings:?}");
        run(&set, &cases).results[0].failures.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(failures("", "outcome: hold, auto_approved: true"), [""; 0]);
    assert_eq!(failures("123456", "auto_approved: false"), [""; 0]);
    assert_eq!(failures("123456", "auto_approved: true"), ["expected auto_approved `true`, got `false`"]);
    finds(&expecting("outcome: allow, auto_approved: true"), &["only a call that is held can be approved"]);
}
