use super::*;

fn policy(name: &str, matches: &str, rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("    - {{{rule}}}\n")).collect();
    format!(
        "---\napiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n  {matches}\n  rules:\n{rules}"
    )
}

fn between(old: &str, new: &str) -> Vec<String> {
    let files = |file: &str, text: &str| [SourceFile { file: file.into(), text: text.into() }];
    let changes = changes(&files("old.yaml", old), &files("new.yaml", new));
    changes.iter().map(|change| format!("{:?} {}: {}", change.risk, change.name, change.message)).collect()
}

fn rule(old: &str, new: &str) -> Vec<String> {
    between(&policy("p", "", &[old]), &policy("p", "", &[new]))
}

#[test]
fn layout_order_and_defaults_are_no_changes() {
    let old = policy(
        "p",
        "match: [{paths: [/a, /b]}]",
        &["name: a, when: 'request.size > 5 && x.y == \"b\"', allow: {}"],
    )
    .replace("x.y", "request.host");
    let new = "# a comment\napiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p, labels: {a: b}}\nspec:
  match:\n    - paths: [/b]\n    - paths: [/a]\n  rules:\n    - name: a\n      when: |-\n        request.host == 'b'\n          && request.size>5\n      allow: {}\n";
    assert_eq!(between(&old, new), Vec::<String>::new());
    assert_eq!(
        rule("name: a, deny: {}", "name: a, enforce: true, deny: {status: 403}"),
        Vec::<String>::new()
    );
    let hold = "name: a, hold: {approvers: {groups: [g]}}";
    assert_eq!(
        rule(hold, "name: a, hold: {wait: 300s, grant: once, approvers: {count: 1, groups: [g]}}"),
        Vec::<String>::new()
    );
}

#[test]
fn protection_that_goes_is_loudest() {
    let old = policy(
        "p",
        "",
        &[
            "name: deny, when: request.size > 5, deny: {}",
            "name: cards, mask: [{field: card, with: last4}, {field: iban, with: redact}]",
            "name: allow, when: request.size < 9, allow: {}",
        ],
    );
    let new = policy(
        "p",
        "",
        &[
            "name: cards, mask: [{field: iban, with: hash}, {field: email, with: redact}]",
            "name: allow, when: request.size < 10, allow: {}",
            "name: more, when: request.size == 100, deny: {}",
        ],
    );
    assert_eq!(
        between(&old, &new),
        [
            "Unprotects p/cards: mask of `card` is gone",
            "Unprotects p/cards: mask of `iban`: \"redact\" is now \"hash\"",
            "Unprotects p/deny: gone: deny",
            "Loosens p/allow: allow: applies to more calls",
            "Tightens p/cards: new mask of `email`: \"redact\"",
            "Tightens p/more: new: deny",
        ]
    );
}

#[test]
fn conditions_change_in_a_direction_where_it_can_be_proved() {
    let allow = |when: &str| format!("name: a, when: '{when}', allow: {{}}");
    let deny = |when: &str| format!("name: a, when: '{when}', deny: {{}}");
    let (narrow, wide) = ("connection.mtls && source.port > 5", "source.port > 5");
    assert_eq!(rule(&allow(narrow), &allow(wide)), ["Loosens p/a: allow: applies to more calls"]);
    assert_eq!(rule(&allow(wide), &allow(narrow)), ["Tightens p/a: allow: applies to fewer calls"]);
    assert_eq!(rule(&deny(wide), &deny(narrow)), ["Unprotects p/a: deny: applies to fewer calls"]);
    let other = "request.host == \"a\"";
    assert_eq!(rule(&deny(wide), &deny(other)), ["Changes p/a: deny: applies to other calls"]);
    assert_eq!(rule(&allow(wide), &allow(other)), ["Changes p/a: allow: applies to other calls"]);
    assert_eq!(rule("name: a, allow: {}", &allow(wide)), ["Tightens p/a: allow: applies to fewer calls"]);
}

#[test]
fn a_condition_that_can_fail_denies_where_it_does() {
    let allow = |when: &str| format!("name: a, when: '{when}', allow: {{}}");
    let deny = |when: &str| format!("name: a, when: '{when}', deny: {{}}");
    let (header, guarded) =
        ("request.headers[\"a\"] == \"b\"", "\"A\" in request.headers && request.headers[\"a\"] == \"b\"");
    let fewer = "may fail on fewer calls, which were denied";
    assert_eq!(rule(&allow(header), &allow(guarded)), [format!("Loosens p/a: allow: {fewer}")]);
    assert_eq!(rule(&deny(header), &deny(guarded)), [format!("Unprotects p/a: deny: {fewer}")]);
    let more = "may fail on more calls, which are denied";
    assert_eq!(rule(&allow(guarded), &allow(header)), [format!("Tightens p/a: allow: {more}")]);
    assert_eq!(rule(&deny(guarded), &deny(header)), [format!("Tightens p/a: deny: {more}")]);
    let plain = "name: z, allow: {}";
    let set = |rules: &[&str]| policy("p", "", rules);
    assert_eq!(
        between(&set(&[plain, &allow(header)]), &set(&[plain])),
        ["Changes p/a: gone: allow; it denied calls on which it failed"]
    );
    assert_eq!(
        between(&set(&[plain]), &set(&[plain, &allow(header)])),
        ["Changes p/a: new: allow; it denies calls on which it fails"]
    );
    let body = "request.body.x == 1";
    assert_eq!(
        rule(&allow(body), &allow("connection.mtls")),
        ["Changes p/a: allow: applies to other calls; may fail on fewer calls, which were denied"]
    );
}

#[test]
fn what_the_paths_capture_counts_where_a_condition_reads_it() {
    let own = &["name: a, when: path.user == identity.subject, allow: {}"][..];
    let any = &["name: a, allow: {}"][..];
    let at = |path: &str, rules: &[&str]| policy("p", &format!("match: [{{paths: [\"{path}\"]}}]"), rules);
    assert_eq!(
        between(&at("/{user}/{order}", own), &at("/{order}/{user}", own)),
        ["Changes p: `match` lets in other calls, or captures other parts of their paths"]
    );
    assert_eq!(between(&at("/{user}/{order}", any), &at("/{order}/{user}", any)), Vec::<String>::new());
}

#[test]
fn enforcement_verdicts_and_holds_change_with_their_risk() {
    let hold = |rest: &str| format!("name: a, hold: {{approvers: {{groups: [g], count: {rest}}}}}");
    for (old, new, wanted) in [
        (
            "name: a, deny: {}",
            "name: a, enforce: false, deny: {}",
            "Unprotects p/a: deny (not enforced): is no longer enforced, only recorded",
        ),
        (
            "name: a, enforce: false, allow: {}",
            "name: a, allow: {}",
            "Loosens p/a: allow: is enforced now, and was only recorded",
        ),
        ("name: a, deny: {}", "name: a, allow: {}", "Unprotects p/a: deny is now allow"),
        ("name: a, allow: {}", "name: a, deny: {}", "Tightens p/a: allow is now deny"),
        ("name: a, deny: {}", "name: a, deny: {because: law}", "Wording p/a: deny: `because` is now \"law\""),
        (
            &hold("2"),
            &hold("1"),
            "Loosens p/a: hold: 2 must approve, now 1; approvals of calls that wait are void",
        ),
        (
            &hold("1}, grant: {for: 1h"),
            &hold("1}, grant: {for: 2h"),
            "Loosens p/a: hold: grant for 1h is now for 2h; approvals",
        ),
        (
            &hold("1"),
            &hold("1, people: [bob]"),
            "Loosens p/a: hold: g may approve, now bob, g; approvals of calls that wait are void",
        ),
        (
            "name: a, allow: {}, headers: {request: {set: {x-a: b}}}",
            "name: a, allow: {}",
            "Changes p/a: the header changes differ",
        ),
    ] {
        let found = rule(old, new);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{found:?}\n{wanted}");
    }
}

#[test]
fn routes_policies_and_names_change() {
    let deny = &["name: d, when: request.size > 5, deny: {}"][..];
    let paths = |paths: &str| policy("p", &format!("match: [{{paths: [{paths}]}}]"), deny);
    assert_eq!(between(&paths("/a, /b"), &paths("/a")), ["Unprotects p: `match` lets in fewer calls"]);
    assert_eq!(between(&paths("/a"), &paths("\"/{**}\"")), ["Tightens p: `match` lets in more calls"]);
    assert_eq!(between(&paths("/a"), &paths("/b")), ["Unprotects p: `match` lets in other calls"]);
    let other = policy("q", "", &["name: a, allow: {}"]);
    assert_eq!(between(&other, &(other.clone() + &paths("/a"))), ["Tightens p/d: new: deny with its policy"]);
    assert_eq!(
        between(&(other.clone() + &paths("/a")), &other),
        ["Unprotects p/d: gone: deny with its policy"]
    );
    let renamed = policy("q", "", &["name: b, allow: {}"]);
    assert_eq!(between(&other, &renamed), ["Wording q/b: renamed, was `q/a`"]);
}

#[test]
fn ways_round_the_approvers_are_told_with_their_risk() {
    let hold = |rest: &str| format!("name: a, hold: {{approvers: {{groups: [g]}}{rest}}}");
    let both = "name: a, hold: {approvers: {all_of: [{groups: [g]}, {groups: [s]}]}}";
    for (old, new, wanted) in [
        (
            hold("").as_str(),
            both,
            "Tightens p/a: hold: needs 1 of g, now 1 of g and 1 of s, all different people;",
        ),
        (both, &hold(""), "Loosens p/a: hold: needs 1 of g and 1 of s, all different people, now 1 of g;"),
        (
            &hold(""),
            &hold(", break_glass: {groups: [d]}"),
            "Loosens p/a: hold: nobody may break the glass, now d;",
        ),
        (
            &hold(", break_glass: {groups: [d]}"),
            &hold(""),
            "Tightens p/a: hold: d may break the glass, now nobody;",
        ),
        (
            &hold(""),
            &hold(", escalate: {after: 5m, approvers: {groups: [m]}}"),
            "Loosens p/a: hold: escalates to nobody, now to m after 5m;",
        ),
        (
            &hold(""),
            &hold(", hours: {from: '08:00', time_zone: UTC}"),
            "Tightens p/a: hold: approved at any time, now at mon tue wed thu fri sat sun 08:00 to 24:00 UTC;",
        ),
        (
            &hold(", hours: {from: '08:00', time_zone: UTC}"),
            &hold(", hours: {from: '09:00', time_zone: UTC}"),
            "Loosens p/a: hold: approved at mon tue",
        ),
        (
            &hold(""),
            &hold(", auto_approve: {when: request.size < 5}"),
            "Loosens p/a: hold: needs nobody never, now when request.size < 5;",
        ),
        (
            &hold(", auto_approve: {when: request.size < 5}"),
            &hold(", auto_approve: {when: request.size < 5, because: small}"),
            "Wording p/a: hold: needs nobody",
        ),
        (
            &hold(", grant: {for: 1h, same: [method]}"),
            &hold(", grant: {for: 1h, same: [method, host]}"),
            "Tightens p/a: hold: an approval is for calls of the same method, now for calls of the same method, host;",
        ),
        (
            &hold(", grant: {for: 1h}"),
            &hold(", grant: {for: 1h, same: [method]}"),
            "Loosens p/a: hold: an approval is for the same call, now for calls of the same method;",
        ),
        (&hold(""), &hold(", remind_after: 5m"), "Wording p/a: hold: remind_after never is now 5m;"),
        (
            &hold(""),
            &hold(", on_expiry: escalate, escalate: {approvers: {groups: [m]}}"),
            "Loosens p/a: hold: expires 1h is now 2h; escalates to nobody, now to m after 1h;",
        ),
    ] {
        let found = rule(old, new);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{old}\n{new}\n{found:?}");
    }
}
