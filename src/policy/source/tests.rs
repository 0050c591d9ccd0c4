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
