//! Mistakes that people make, and every word that they are told: one edit of a good policy each.

use crate::policy::{Options, SourceFile, compile};

const GOOD: &str = r#"apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata:
  name: refunds
spec:
  match:
    - paths: ["/v1/refunds", "/v1/refunds/{id}"]
      methods: [GET, POST]
  rules:
    - name: staff-read
      when: '"staff" in identity.groups && request.method == "GET"'
      allow: {}
    - name: large
      when: '"staff" in identity.groups && request.method == "POST" && request.body.amount > 500'
      hold:
        approvers: {groups: [finance]}
        wait: 5m
        grant: once
    - name: cards
      mask:
        - {field: "**.card.number", with: last4}
"#;

const WHEN: &str = r#"'"staff" in identity.groups && request.method == "GET"'"#;

fn check(text: &str) -> Vec<String> {
    let files = [SourceFile { file: "p".into(), text: text.into() }];
    compile(&files, &Options::default()).findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_policy_that_the_mistakes_are_made_in_has_none() {
    assert_eq!(check(GOOD), [""; 0]);
    assert_eq!(check(&GOOD.replace('\n', "\r\n")), [""; 0], "Windows line ends are no mistake");
}

#[track_caller]
fn mistakes(table: &[(&str, &str, &str)]) {
    for (good, bad, wanted) in table {
        assert!(GOOD.contains(good), "{good}");
        let found = check(&GOOD.replacen(good, bad, 1));
        assert_eq!(found, wanted.split("\n").collect::<Vec<_>>(), "{bad}");
    }
}

#[test]
fn mistakes_in_the_layout() {
    mistakes(&[
        (
            "  match:\n",
            "\tmatch:\n",
            "p:6:2: error[invalid-yaml]: tabs disallowed within this context (block indentation) (indent with spaces: YAML takes no tabs there)",
        ),
        (
            "      allow: {}",
            "     allow: {}",
            "p:12:6: error[invalid-yaml]: while parsing a block collection, did not find expected '-' indicator (indent the line like the fields of the same element above it)",
        ),
        (
            "name: large\n      when",
            "name: large\n        when",
            "p:14:13: error[invalid-yaml]: mapping values are not allowed in this context (a value with `: ` in it must be in quotes; else the line is indented deeper than the one above it)",
        ),
        (
            WHEN,
            "\"staff\" in identity.groups",
            "p:11:21: error[invalid-yaml]: invalid trailing content after double-quoted scalar (put the whole value in single quotes: '\"a\" in b')",
        ),
        (
            "== \"GET\"'",
            "== \"GET\"",
            "p:12:7: error[invalid-yaml]: invalid indentation in multiline quoted scalar (a quote that is opened above is not closed)",
        ),
        (
            "[GET, POST]",
            "[GET, POST",
            "p:9:8: error[invalid-yaml]: illegal placement of ':' indicator (a `[` or `{` that is opened above is not closed)",
        ),
        (
            "\"**.card.number\"",
            "**.card.number",
            "p:21:19: error[invalid-yaml]: alias references unknown anchor (a value that begins with `*` must be in quotes)",
        ),
        (
            "allow: {}",
            "allow: {}\n      allow: {}",
            "p:13:7: error[invalid-yaml]: duplicate mapping key: allow (a field is given once; a list holds several values)",
        ),
        (
            GOOD,
            "# nothing\n",
            "p:1:1: error[no-policy]: the file has no policy (write one, or remove the file)",
        ),
    ]);
}

#[test]
fn mistakes_in_the_fields() {
    mistakes(&[
        ("/v1alpha1", "/v1", "p:1:13: error[wrong-kind]: `apiVersion` must be `portcullis.dev/v1alpha1`"),
        ("kind: Policy", "kind: policy", "p:2:7: error[wrong-kind]: `kind` must be `Policy`"),
        (
            "rules:",
            "rule:",
            "p:6:3: error[missing-field]: `spec` lacks the field `rules`\np:9:3: error[unknown-field]: unknown field `rule` in `spec` (did you mean `rules`?)",
        ),
        (
            "allow: {}",
            "action: allow",
            "p:12:7: error[unknown-field]: unknown field `action` in the rule (known here: name, when, allow, deny, hold, mask, headers, enforce)",
        ),
        (
            "allow: {}",
            "allow: true",
            "p:12:14: error[wrong-type]: `allow` must be a map, not a boolean (write `allow: {}`)",
        ),
        ("allow: {}", "allow:", "p:12:7: error[empty-value]: `allow` has no value (write `allow: {}`)"),
        (
            "allow: {}",
            "deny: yes, really",
            "p:12:13: error[wrong-type]: `deny` must be a map, not a string (write `deny: {}`, or `deny: {status: 403, because: the reason}`)",
        ),
        (
            "allow: {}",
            "allow: {}\n      deny: {}",
            "p:10:7: error[several-verdicts]: a rule has one of `allow`, `deny` and `hold` (make two rules of it, each with a `when` of its own)",
        ),
        (
            WHEN,
            "",
            "p:11:7: error[empty-value]: `when` has no value (leave `when` out for a rule that always applies)",
        ),
        (
            "[GET, POST]",
            "",
            "p:8:7: error[empty-value]: `methods` has no value (give it one, or leave it out; what stands under it must be indented deeper)",
        ),
        (
            "name: large",
            "name: staff-read",
            "p:13:13: error[duplicate-rule]: there is a rule `refunds/staff-read` already, in line 10 (rules are named in audit records and approvals: give each its own name)",
        ),
        (
            "name: large",
            "name: large refunds",
            "p:13:13: error[invalid-name]: the rule's name `large refunds` has other characters than letters, digits, `-`, `_` and `.` (join its words with `-`)",
        ),
        (
            "once",
            "twice",
            "p:18:16: error[unknown-value]: the grant is neither `once` nor `{for: SPAN}` (write `grant: once`, or `grant: {for: 1h}` for every same call within an hour)",
        ),
        (
            "5m",
            "5 minutes",
            "p:17:15: error[invalid-duration]: `wait` is not a span of time (write it as `250ms`, `30s`, `5m`, `1h30m` or `2d`)",
        ),
        (
            "{groups: [finance]}",
            "finance",
            "p:16:20: error[wrong-type]: `approvers` must be a map, not a string (write `approvers: {groups: [NAME]}`, or `{people: [NAME]}`)",
        ),
        (
            "[finance]",
            "finance",
            "p:16:29: error[wrong-type]: `groups` must be a list, not a string (put it in brackets: `[finance]`)",
        ),
        (
            "\n        - {field: \"**.card.number\", with: last4}",
            " {field: a, with: last4}",
            "p:20:13: error[wrong-type]: the list of mask rules must be a list, not a map (begin each element with `- `)",
        ),
        (
            "last4",
            "last-4",
            "p:21:43: error[unknown-value]: unknown mask method `last-4` (did you mean `last4`?)",
        ),
    ]);
}

#[test]
fn mistakes_in_the_match() {
    mistakes(&[
        (
            "[GET, POST]",
            "GET",
            "p:8:16: error[wrong-type]: `methods` must be a list, not a string (put it in brackets: `[GET]`)",
        ),
        (
            "[GET, POST]",
            "[get]",
            "p:8:17: error[invalid-pattern]: `get` matches nothing: methods are written in capitals, as in `GET` (write `GET`)",
        ),
        (
            "{id}\"]",
            ".*\"]",
            "p:7:30: error[invalid-pattern]: `/v1/refunds/.*` matches nothing: `.*` mixes text with a wildcard; a segment is one or the other (`{name}` or `{*}` stands for one segment, a last `{**}` for all that is left)",
        ),
        (
            "\"/v1/refunds\"",
            "\"v1/refunds\"",
            "p:7:15: error[invalid-pattern]: `v1/refunds` matches nothing: a path begins with `/` (write `/v1/refunds`)",
        ),
        (
            "- paths",
            "- hosts: [\"https://a.example.com/v1\"]\n      ports: [1]\n      paths",
            "p:7:15: error[invalid-pattern]: `https://a.example.com/v1` matches nothing: hosts are matched without their port (write the host alone: `a.example.com`)",
        ),
        (
            "- paths",
            "  paths",
            "p:7:7: error[wrong-type]: `match` must be a list, not a map (begin each element with `- `)",
        ),
    ]);
}

#[test]
fn mistakes_in_the_conditions() {
    let message = |bad: &'static str, wanted: &'static str| (WHEN, bad, wanted);
    mistakes(&[
        message(
            "'request.method = \"GET\"'",
            "p:11:29: error[invalid-expression]: `=` is not CEL (`==` compares two values)",
        ),
        message(
            "'connection.mtls and true'",
            "p:11:30: error[invalid-expression]: `and` is not CEL (write `&&`)",
        ),
        message(
            "'identity.group == []'",
            "p:11:14: error[unknown-name]: unknown name `identity.group` (did you mean `identity.groups`?)",
        ),
        message(
            "'user.name == \"a\"'",
            "p:11:14: error[unknown-name]: unknown name `user` (did you mean `identity`?)",
        ),
        message(
            "request.method == GET",
            "p:11:31: error[unknown-name]: unknown name `GET` (a text stands in quotes: `\"GET\"`)",
        ),
        message(
            "'identity.groups.contains(\"staff\")'",
            "p:11:14: error[type-mismatch]: `contains` can't take a list(string) (`in` asks whether a list has an element: `\"staff\" in identity.groups`)",
        ),
        message(
            "'identity.groups == \"staff\"'",
            "p:11:14: error[type-mismatch]: `==` can't take a list(string) and a string (`in` asks whether a list has an element: `\"staff\" in identity.groups`)",
        ),
        message(
            "'identity.groups.any(g, g == \"a\")'",
            "p:11:14: error[unknown-function]: unknown function `any` (write `list.exists(x, ...)`)",
        ),
        message(
            "'request.header[\"x-a\"] == \"b\"'",
            "p:11:14: error[unknown-name]: unknown name `request.header` (did you mean `request.headers`?)",
        ),
        message(
            "identity.subject",
            "p:11:13: error[type-mismatch]: `when` must be true or false, and this is a string",
        ),
    ]);
}

#[test]
fn names_with_a_hyphen_and_what_others_call_things_are_told_in_our_words() {
    for (when, wanted) in [
        (
            "request.headers.x-a == \"b\"",
            "write `request.headers[\"x-a\"]`; `\"x-a\" in request.headers` asks",
        ),
        ("identity.claims.org-id == \"b\"", "write `identity.claims[\"org-id\"]`"),
        ("has(request.headers[\"x-a\"])", "(`has()` takes `a.b`; write `\"x-a\" in request.headers`)"),
        ("has(request.headers.x-a)", "(`has()` takes `a.b`; write `\"x-a\" in request.headers`)"),
        (
            "source.address in cidr(\"10.0.0.0/8\")",
            "(write `cidr(\"10.0.0.0/8\").containsIP(source.address)`)",
        ),
        ("request.query.a == \"b\"", "as in `\"x\" in request.params.NAME`)"),
        ("request.query[\"a\"] == \"b\"", "as in `\"x\" in request.params.NAME`)"),
        ("request.params.a == \"b\"", "its values are a list"),
        (
            "\"a\" in identity.roles",
            "did you mean `identity.groups`? other claims of the token are `identity.claims.roles`",
        ),
        ("identity.plan == \"b\"", "did you mean `identity.claims.plan`?"),
        ("request.size", "and this is an int"),
    ] {
        let found = check(&GOOD.replacen(WHEN, &format!("'{when}'"), 1));
        assert!(found.len() == 1 && found[0].contains(wanted), "{when}: {found:?}");
    }
    let captured = GOOD.replace("\"/v1/refunds\", ", "").replacen(WHEN, "'path.ids == \"b\"'", 1);
    assert!(check(&captured)[0].ends_with("(did you mean `path.id`?)"));
    // A minus between numbers is one.
    let found = check(&GOOD.replacen(WHEN, "'request.size-a == 5'", 1));
    assert_eq!(found, ["p:11:27: error[unknown-name]: unknown name `a`"]);
}

#[test]
fn a_template_is_told_to_be_rendered_first() {
    for text in [
        GOOD.replace("name: refunds", "name: {{ .Release.Name }}"),
        GOOD.replace("  rules:", "  rules:\n    {{- range .Values.rules }}"),
    ] {
        assert!(
            check(&text)[0]
                .ends_with("(this looks like a template, by its `{{`: render it first, and give the result)")
        );
    }
}

#[test]
fn other_files_among_the_policies_are_told_apart() {
    let moved = "(move it out of the policies' folder: every `*.yaml` there is read as a policy)";
    for (text, what, help) in [
        ("request: {path: /a}\nexpect: {outcome: allow}\n", "a call file", moved),
        ("- {field: a, with: hash}\n", "a list of mask rules", moved),
        ("policies: [policies]\nidentity: {}\n", "a configuration of the server", moved),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
            "a Kubernetes object of the kind `Deployment`",
            moved,
        ),
        ("cases: []\n", "a file of cases", "(call it `NAME.cases.yaml`, after the policy that it tests)"),
        (
            "match: []\nrules: []\n",
            "the inside of a policy",
            "(a policy has `apiVersion`, `kind`, `metadata` and `spec`; `match` and `rules` stand under `spec`)",
        ),
        (
            "- apiVersion: portcullis.dev/v1alpha1\n",
            "a list of policies",
            "(separate policies by a line `---` instead of writing them as a list)",
        ),
    ] {
        assert_eq!(check(text), [format!("p:1:1: error[not-a-policy]: this is {what}, not a policy {help}")]);
    }
}

#[test]
fn mistakes_in_the_terms_of_a_hold() {
    let approvers = "approvers: {groups: [finance]}";
    let with = |more: &str| format!("{approvers}\n        {more}");
    mistakes(&[
        (
            approvers,
            "approvers: {all_of: [{people: [bob]}, {people: [Bob]}]}",
            "p:16:29: error[nobody-approves]: fewer people are named than must approve: one person counts for one entry only (name groups, or more people)",
        ),
        (
            approvers,
            "approvers: {all_of: []}",
            "p:16:29: error[out-of-range]: `all_of` has 0 entries, not 1 to 10",
        ),
        (
            approvers,
            "approvers: {all_of: [{groups: [a]}], count: 2}",
            "p:16:46: error[unknown-field]: unknown field `count` in `approvers` with `all_of` (known here: all_of)",
        ),
        (
            approvers,
            &with("remind_after: 1h"),
            "p:17:23: error[never-in-time]: `remind_after` is never over: the request lapses after 1h (make it shorter than `expires`, or `expires` longer)",
        ),
        (
            approvers,
            &with("escalate: {after: 2h, approvers: {groups: [m]}}"),
            "p:17:27: error[never-in-time]: `escalate.after` is never over: the request lapses after 1h (make it shorter than `expires`, or `expires` longer)",
        ),
        (
            approvers,
            &with("escalate: {approvers: {groups: [m]}}"),
            "p:17:19: error[escalation-conflict]: `escalate` does not say when (write `after: 30m`, or `on_expiry: escalate` beside `escalate`)",
        ),
        (
            approvers,
            &with("on_expiry: escalate"),
            "p:16:9: error[escalation-conflict]: `on_expiry: escalate` needs to know to whom (add `escalate: {approvers: {groups: [...]}}`)",
        ),
        (
            approvers,
            &with("on_expiry: escalate\n        escalate: {after: 5m, approvers: {groups: [m]}}"),
            "p:18:27: error[escalation-conflict]: the rule escalates with `on_expiry`, so there is no other time for it (leave out `after`, or `on_expiry: escalate`)",
        ),
        (
            approvers,
            &with("escalate: {after: 5m, approvers: {groups: [m], count: 2}}"),
            "p:17:56: error[unknown-field]: unknown field `count` in `escalate.approvers` (known here: groups, people)",
        ),
        (
            approvers,
            &with("break_glass: {groups: []}"),
            "p:17:22: error[nobody-approves]: `break_glass` names nobody (name `groups` or `people`)",
        ),
        (
            "grant: once",
            "grant: {for: 1h, same: [methd]}",
            "p:18:33: error[unknown-value]: `methd` is no part of a call (it is one of `method`, `host`, `path`, `query`, `body` and `header:NAME`)",
        ),
        (
            "grant: once",
            "grant: {for: 1h, same: []}",
            "p:18:32: error[out-of-range]: `same` is empty: an approval would be for whatever call the rule holds (name what must be the same, as `[method, host, path]`; leave `same` out for all of it)",
        ),
        (
            "grant: once",
            "grant: {for: 1h, same: [method, \"header:Authorization\"]}",
            "p:18:41: error[never-covered]: `authorization` is never covered: it differs each time, or carries the credential",
        ),
        (
            "grant: once",
            "grant: {for: 1h, same: [body]}",
            "p:18:16: warning[wide-class]: an approval is for calls with any method and any path that the rule holds (add `method` or `path` to `same`)",
        ),
        (
            approvers,
            "approvers: {groups: [finance], count: 2}\n        break_glass: {groups: [duty, finance]}",
            "p:17:22: warning[break-glass-approver]: approvers of this rule may also break the glass: each could release the call alone (give `break_glass` groups of its own)",
        ),
        (
            approvers,
            &with("hours: {from: '8:00', time_zone: UTC}"),
            "p:17:23: error[invalid-time]: `from` is not a time of day: `8:00` (write it as `\"08:00\"`, in quotes; the end of a day is `\"24:00\"`)",
        ),
        (
            approvers,
            &with("hours: {from: '08:00', to: '08:00', time_zone: UTC}"),
            "p:17:16: error[invalid-time]: `hours` end where they begin (leave out `to` for whole days)",
        ),
        (
            approvers,
            &with("hours: {days: [mon, fry], time_zone: UTC}"),
            "p:17:29: error[unknown-value]: unknown day `fry` (did you mean `fri`?)",
        ),
        (
            approvers,
            &with("hours: {time_zone: Europe/Berln}"),
            "p:17:28: error[invalid-time]: there is no time zone `Europe/Berln` (write a name of the IANA database, as `Europe/Berlin` or `UTC`)",
        ),
        (
            approvers,
            &with("hours: {from: '08:00'}"),
            "p:17:16: error[missing-field]: `hours` lacks the field `time_zone`",
        ),
        (
            approvers,
            &with("auto_approve: {when: request.size}"),
            "p:17:30: error[type-mismatch]: `auto_approve.when` must be true or false, and this is an int",
        ),
        (
            approvers,
            &with("auto_approve: {when: 'true'}"),
            "p:17:30: error[constant-condition]: `auto_approve.when` reads nothing of the call: it is the same for all of them (use `allow` if nobody needs to be asked, or leave `auto_approve` out)",
        ),
    ]);
}

#[test]
fn all_terms_of_a_hold_are_read() {
    let full = "approvers: {all_of: [{groups: [finance], count: 2}, {people: [eve]}]}
        remind_after: 10m
        escalate: {after: 20m, approvers: {groups: [managers]}}
        break_glass: {groups: [duty]}
        hours: {days: [fri, mon], from: \"22:00\", to: \"06:00\", time_zone: Europe/Berlin}
        auto_approve: {when: request.body.amount < 510, because: hardly large}";
    let text = GOOD.replacen("approvers: {groups: [finance]}", full, 1).replacen(
        "grant: once",
        "grant: {for: 1h, same: [method, path, \"header:x-env\"]}",
        1,
    );
    let files = [SourceFile { file: "p".into(), text: text.as_str().into() }];
    let (outlines, findings) = super::outlines(&files, &Options::default());
    assert!(findings.is_empty(), "{findings:?}");
    let verdict = outlines[0].rules.iter().find_map(|rule| match &rule.verdict {
        Some(crate::policy::rule::Verdict::Hold(hold)) => Some(hold.clone()),
        _ => None,
    });
    assert_eq!(
        verdict.unwrap().terms.clauses(),
        [
            "needs 2 of finance and 1 of eve, all different people",
            "after 20m also managers may approve",
            "approvers are reminded after 10m",
            "good for every call of the same method, path, header:x-env for 1h",
            "duty may release it alone",
            "approved and used in these hours only: mon fri 22:00 to 06:00 Europe/Berlin",
            "needs nobody when request.body.amount < 510",
        ]
    );
}
