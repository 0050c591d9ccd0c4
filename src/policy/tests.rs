use std::fmt::Write as _;

use super::*;
use crate::effect::HeaderChange;
use crate::identity::Identity;
use crate::reason::Reason;
use crate::request::{Body, Header, Limits, Parts, Peer};

mod claims;

/// A policy `p` for every call with these rules, each `name: rest` of a flow map.
fn rules(rules: &[&str]) -> String {
    let mut text =
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n"
            .to_owned();
    for rule in rules {
        writeln!(text, "    - {{{rule}}}").unwrap();
    }
    text
}

fn compile_text(text: &str) -> Compiled {
    compile(&[SourceFile { file: "p.yaml".into(), text: text.into() }], &Options::default())
}

#[track_caller]
fn set(text: &str) -> PolicySet {
    let compiled = compile_text(text);
    assert!(compiled.set.is_some(), "{:#?}", compiled.findings);
    compiled.set.unwrap()
}

fn call(edit: impl FnOnce(&mut Parts)) -> Request {
    let mut parts = Parts {
        method: "GET".into(),
        host: "api.example.com".into(),
        path: "/v1/orders/o-1".into(),
        body: Body::Complete(Vec::new().into()),
        ..Parts::default()
    };
    edit(&mut parts);
    Request::assemble(parts, &Limits::default())
}

fn decide_as(set: &PolicySet, request: &Request, identity: &Identity) -> Decision {
    let candidates = set.candidates(request, false);
    set.decide(&candidates, &Call { request, identity, response: None })
}

fn ana() -> Identity {
    let anonymous = std::sync::Arc::unwrap_or_clone(Identity::anonymous());
    Identity { method: crate::identity::Method::Jwt, subject: "ana".into(), ..anonymous }
}

const ALLOW: &str = "name: a-allow, allow: {}";
const DENY: &str = "name: c-deny, deny: {status: 451, because: law}";
const HOLD: &str = "name: b-hold, hold: {approvers: {groups: [g]}}";
const ERROR: &str = "name: d-error, when: request.headers.x == 'y', allow: {}";

#[test]
fn rules_combine_whatever_their_order() {
    for (wanted, reason, rule, given) in [
        ("deny", Reason::NoRuleAllows, None, vec!["name: m, headers: {request: {remove: [x-a]}}"]),
        ("allow", Reason::Allowed, Some("p/a-allow"), vec![ALLOW]),
        ("hold", Reason::ApprovalPending, Some("p/b-hold"), vec![ALLOW, HOLD]),
        ("deny", Reason::DeniedByRule, Some("p/c-deny"), vec![ALLOW, HOLD, DENY]),
        ("indeterminate", Reason::ConditionError, Some("p/d-error"), vec![ALLOW, HOLD, ERROR]),
        ("deny", Reason::DeniedByRule, Some("p/c-deny"), vec![ALLOW, ERROR, DENY]),
    ] {
        for reverse in [false, true] {
            let mut given = given.clone();
            if reverse {
                given.reverse();
            }
            let decision = decide_as(&set(&rules(&given)), &call(|_| ()), &ana());
            assert_eq!(decision.outcome.as_str(), wanted, "{given:?}");
            assert_eq!((decision.reason, decision.rule.as_deref()), (reason, rule), "{given:?}");
        }
    }
}

#[test]
fn nothing_allows_nobody() {
    let decision = decide_as(
        &set(&rules(&["name: a, when: identity.subject == 'ana', allow: {}"])),
        &call(|_| ()),
        &Identity::anonymous(),
    );
    assert_eq!(decision.reason, Reason::Unauthenticated);
    assert!(matches!(decision.outcome, Outcome::Deny(terms) if terms.status == 401));
}

#[test]
fn a_body_that_is_not_complete_is_never_judged() {
    for (rule, reason) in [
        ("name: a, when: request.body.amount < 5 || true, allow: {}", Reason::BodyUnavailable),
        (HOLD, Reason::BodyUnavailable),
        ("name: s, enforce: false, when: request.body.amount < 5, deny: {}", Reason::Allowed),
    ] {
        let set = set(&rules(&[rule, ALLOW]));
        for body in [Body::Absent, Body::Partial] {
            assert_eq!(decide_as(&set, &call(|parts| parts.body = body), &ana()).reason, reason, "{rule}");
        }
    }
}

#[test]
fn shadow_rules_report_and_change_nothing() {
    let set = set(&rules(&[
        ALLOW,
        "name: s-deny, enforce: false, deny: {}",
        "name: s-error, enforce: false, when: request.headers.x == 'y', deny: {}",
        "name: s-quiet, enforce: false, when: request.method == 'PUT', deny: {}",
    ]));
    let decision = decide_as(&set, &call(|_| ()), &ana());
    assert_eq!(decision.outcome, Outcome::Allow);
    let said: Vec<_> = decision.shadow().iter().map(|shadow| (&*shadow.rule, shadow.said)).collect();
    assert_eq!(said, [("p/s-deny", Said::Deny), ("p/s-error", Said::Error)]);
    assert_eq!(decision.errors().len(), 1);
}

#[test]
fn header_values_are_filled_in_and_can_not_smuggle() {
    let text = "apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec:
  match: [{paths: ['/v1/orders/{id}']}]
  rules:
    - name: h
      allow: {}
      headers:
        request: {set: {X-User: 'user=${identity.subject}/${{\"k\": path.id}[\"k\"]}!'}, remove: [x-old]}
        response: {append: {vary: authorization}}
";
    let set = set(text);
    let decision = decide_as(&set, &call(|_| ()), &ana());
    assert_eq!(
        decision.headers().request,
        [
            HeaderChange::Set { name: "x-user".into(), value: "user=ana/o-1!".into() },
            HeaderChange::Remove { name: "x-old".into() }
        ]
    );
    assert_eq!(decision.headers().response.len(), 1);
    let smuggler = Identity { subject: "a\r\nx-role: admin".into(), ..ana() };
    assert_eq!(decide_as(&set, &call(|_| ()), &smuggler).reason, Reason::ConditionError);
}

#[test]
fn routes() {
    let policy = |entry: &str| {
        format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  match: [{entry}]\n  rules: [{{name: a, allow: {{}}}}]\n"
        )
    };
    let peer = || Peer { principal: "spiffe://x/ns/shop/sa/web".into(), port: 8443, ..Peer::default() };
    for (entry, path, gateway, wanted) in [
        ("{paths: ['/v1/orders/{id}']}", "/v1/orders/7", false, true),
        ("{paths: ['/v1/orders/{id}']}", "/v1/orders", false, false),
        ("{paths: ['/v1/orders/{id}']}", "/v1/orders/", false, false),
        ("{paths: ['/v1/orders/{id}']}", "/v1/orders/7/x", false, false),
        ("{paths: ['/v1/{**}']}", "/v1", false, true),
        ("{paths: ['/v1/{**}']}", "/v1/a/b/", false, true),
        ("{paths: ['/v1/{**}']}", "/v10/a", false, false),
        ("{paths: ['/{rest=**}']}", "/", false, true),
        ("{paths: ['/*/orders/*']}", "/v1/orders/7", false, true),
        ("{paths: ['/a%c3%bc']}", "/%61%C3%BC", false, true),
        ("{paths: ['/V1']}", "/v1", false, false),
        ("{paths: ['/'], methods: [POST]}", "/", false, false),
        ("{paths: ['/'], methods: [POST, GET]}", "/", false, true),
        ("{hosts: [api.example.com]}", "/", true, true),
        ("{hosts: [api.example.com]}", "/", false, false),
        ("{hosts: [api.example.com], paths: ['/']}", "/", false, false),
        ("{hosts: ['*.example.com'], ports: [8443]}", "/", false, true),
        ("{hosts: ['*.api.example.com'], ports: [8443]}", "/", false, false),
        ("{ports: [8080]}", "/", false, false),
        ("{destinations: ['spiffe://x/*']}", "/", false, true),
        ("{destinations: ['*/sa/db']}", "/", false, false),
        ("{context: {route: payments}}", "/", false, true),
        ("{context: {route: other}}", "/", false, false),
        ("{context: {other: payments}}", "/", false, false),
    ] {
        let set = set(&policy(entry));
        let request = call(|parts| {
            parts.path = path.into();
            parts.destination = peer();
            parts.context = [("route".to_owned(), "payments".to_owned())].into();
        });
        assert_eq!(!set.candidates(&request, gateway).0.is_empty(), wanted, "{entry} {path} {gateway}");
    }
}

#[test]
fn every_way_a_path_is_captured_counts() {
    let text = rules(&["name: d, when: path.x == 'admin', deny: {}", ALLOW])
        .replace("  rules:", "  match: [{paths: ['/a/{x}', '/{x}/b']}]\n  rules:");
    let set = set(&text);
    for path in ["/a/admin", "/admin/b"] {
        let decision = decide_as(&set, &call(|parts| parts.path = path.into()), &ana());
        assert_eq!(decision.reason, Reason::DeniedByRule, "{path}");
    }
    let decision = decide_as(&set, &call(|parts| parts.path = "/a/%C3".into()), &ana());
    assert_eq!(decision.reason, Reason::ConditionError, "a capture that is not UTF-8");
}

#[test]
fn masks_may_depend_on_the_response() {
    let set = set(&rules(&[
        ALLOW,
        "name: always, mask: [{field: '**.card', with: redact}]",
        "name: json, when: response.code == 200, mask: [{field: '**.mail', with: redact}]",
    ]));
    let (request, identity) = (call(|_| ()), ana());
    let candidates = set.candidates(&request, false);
    assert!(set.needs(&candidates).may_mask);
    let decision = set.decide(&candidates, &Call { request: &request, identity: &identity, response: None });
    assert!(decision.may_mask && decision.outcome == Outcome::Allow);
    for (code, wanted) in [(200, 2), (404, 1)] {
        let response = ResponseHead { code, ..ResponseHead::default() };
        let call = Call { request: &request, identity: &identity, response: Some(&response) };
        assert_eq!(set.response_masks(&candidates, &call).unwrap().len(), wanted);
    }
    // In two parts, as ext_authz and ext_proc ask: together they are all.
    let before = Call { request: &request, identity: &identity, response: None };
    let (known, depends) = set.request_masks(&candidates, &before).unwrap();
    assert_eq!((known.len(), depends), (1, true));
    for (code, wanted) in [(200, 1), (404, 0)] {
        let response = ResponseHead { code, ..ResponseHead::default() };
        let call = Call { response: Some(&response), ..before };
        assert_eq!(set.dependent_masks(&candidates, &call).unwrap().len(), wanted);
    }
}

#[test]
fn hold_rules_carry_what_an_approval_covers() {
    let rule = |headers: &str, wait: &str| {
        let text = rules(&[&format!(
            "name: h, when: \"{headers}\", hold: {{approvers: {{people: [bob]}}, wait: {wait}}}"
        )]);
        let request = call(|parts| parts.headers = vec![Header::new("x-a", "1")].into());
        match decide_as(&set(&text), &request, &ana()).outcome {
            Outcome::Hold(rules) => rules[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let (first, other) =
        (rule("request.headers['X-A'] == '1'", "5m"), rule("request.headers['X-A'] == '1'", "6m"));
    assert_eq!(first.headers_read, HeadersRead::Named(vec!["x-a".into()]));
    assert_ne!(first.content, other.content);
    assert_eq!(rule("request.headers['x-' + 'a'] == '1'", "5m").headers_read, HeadersRead::All);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = "apiVersion: portcullis.dev/v1
kind: Policy
metadata: {name: p}
spec:
  match: [{hosts: [api.example.com]}]
  rules:
    - name: a
      when: request.metod == 'GET'
      allow: {}
    - name: a
      when: |
        request.method == 'GET' &&
          identity.grups == []
      deny: {status: 200}
    - name: c
      when: 'request.host == ''a'' && foo'
      hold: {approvers: {}}
    - {name: d, when: request.method, alow: {}}
    - {name: e, when: response.code == 200, allow: {}}
    - {name: f, when: true, headers: {request: {set: {Host: x, y: '${1}'}}}}
    - name: g
";
    let shown: Vec<_> = compile_text(text).findings.iter().map(ToString::to_string).collect();
    let wanted = [
        "p.yaml:1:13: error[wrong-kind]: `apiVersion` must be `portcullis.dev/v1alpha1`",
        "p.yaml:5:19: warning[host-only-match]",
        "p.yaml:8:13: error[unknown-name]: unknown name `request.metod` (did you mean `request.method`?)",
        "p.yaml:10:13: error[duplicate-rule]",
        "p.yaml:13:11: error[unknown-name]: unknown name `identity.grups` (did you mean `identity.groups`?)",
        "p.yaml:14:22: error[out-of-range]",
        "p.yaml:16:39: error[unknown-name]: unknown name `foo`",
        "p.yaml:17:25: error[nobody-approves]",
        "p.yaml:18:23: error[type-mismatch]: `when` must be true or false, and this is a string",
        "p.yaml:18:39: error[unknown-field]: unknown field `alow` in the rule (did you mean `allow`?)",
        "p.yaml:19:23: error[response-too-early]",
        "p.yaml:20:23: warning[constant-condition]",
        "p.yaml:20:55: error[invalid-header]",
        "p.yaml:20:67: error[type-mismatch]",
        "p.yaml:21:7: error[no-effect]",
    ];
    for (shown, wanted) in shown.iter().zip(wanted) {
        assert!(shown.starts_with(wanted), "{shown}\n  wanted {wanted}");
    }
    assert_eq!(shown.len(), wanted.len(), "{shown:#?}");
}

#[test]
fn the_revision_names_the_texts_in_any_order() {
    let file = |name: &str, text: &str| SourceFile { file: name.into(), text: text.into() };
    let (a, b) =
        (file("a.yaml", &rules(&[ALLOW])), file("b.yaml", &rules(&[ALLOW]).replace("name: p", "name: q")));
    let revision = |files: &[SourceFile]| compile(files, &Options::default()).set.unwrap().revision().clone();
    let both = revision(&[a.clone(), b.clone()]);
    assert_eq!(both, revision(&[b.clone(), a.clone()]));
    assert_eq!(both.len(), 16);
    assert_ne!(both, revision(std::slice::from_ref(&a)));
    let twice = compile(&[a.clone(), SourceFile { file: "c.yaml".into(), ..a }], &Options::default());
    assert!(twice.findings.iter().any(|finding| finding.code == "duplicate-policy"));
}

#[test]
fn sets_and_candidates_may_cross_threads() {
    fn may_cross<T: Send + Sync + 'static>() {}
    may_cross::<PolicySet>();
    may_cross::<Candidates>();
    may_cross::<Decision>();
}

#[test]
fn mistakes_are_placed_in_every_style_of_scalar() {
    for scalar in [
        "request.method == 'ü' && nonsense",
        "'request.method == ''ü'' && nonsense'",
        r#""request.method == \"ü\" && nonsense""#,
        ">-\n        request.method == 'ü' &&\n          nonsense",
        "|\n        request.method == 'ü'\n\n        && nonsense\n",
        "request.method == 'ü'\n        && nonsense",
    ] {
        let text = format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  rules:\n    - name: a\n      when: {scalar}\n      allow: {{}}\n"
        );
        let findings = compile_text(&text).findings;
        let place = findings[0].place.as_ref().unwrap();
        assert_eq!(text.get(place.offset..place.offset + place.len), Some("nonsense"), "{scalar}");
    }
}

#[test]
fn a_rule_that_holds_may_approve_by_itself_and_a_failing_condition_never_does() {
    let small = "name: b-small, hold: {approvers: {groups: [g]}, auto_approve: {when: request.size < 5, because: tiny}}";
    let broken =
        "name: c-broken, hold: {approvers: {groups: [g]}, auto_approve: {when: request.headers.x == 'y'}}";
    let shadow =
        "name: d, enforce: false, hold: {approvers: {groups: [g]}, auto_approve: {when: request.size < 5}}";
    let set = set(&rules(&[small, broken, shadow]));
    let tiny = decide_as(&set, &call(|_| ()), &ana());
    assert_eq!(tiny.outcome.as_str(), "hold");
    assert_eq!(tiny.auto_approved(), [("p/b-small".into(), "tiny".into())]);
    assert_eq!(tiny.errors().len(), 1, "{:?}", tiny.errors());
    let large = decide_as(&set, &call(|parts| parts.body = Body::Complete("123456".into())), &ana());
    assert!(large.outcome.as_str() == "hold" && large.auto_approved().is_empty());
    let denied = set_with_deny(small);
    assert!(decide_as(&denied, &call(|_| ()), &ana()).auto_approved().is_empty(), "deny beats it");
}

fn set_with_deny(rule: &str) -> PolicySet {
    set(&rules(&[rule, DENY]))
}

#[test]
fn what_auto_approve_reads_counts_among_what_the_rule_reads() {
    let rule = "name: a, hold: {approvers: {groups: [g]}, auto_approve: {when: 'request.headers[\"x-env\"] == \"test\"'}}";
    let set = set(&rules(&[rule]));
    let request = call(|parts| parts.headers = [Header::new("x-env", "test")].into_iter().collect());
    let decision = decide_as(&set, &request, &ana());
    let Outcome::Hold(holds) = &decision.outcome else { panic!("{decision:?}") };
    assert_eq!(holds[0].headers_read, HeadersRead::Named(vec!["x-env".into()]), "its approval covers them");
    assert_eq!(decision.auto_approved().len(), 1);
    let response =
        rules(&["name: a, hold: {approvers: {groups: [g]}, auto_approve: {when: response.code == 200}}"]);
    let findings = compile_text(&response).findings;
    assert!(findings.iter().any(|finding| finding.code == "response-too-early"), "{findings:?}");
}

#[test]
fn the_headers_of_a_class_are_among_those_that_the_proxy_must_show() {
    let rule = "name: a, hold: {approvers: {groups: [g]}, grant: {for: 1h, same: [method, 'header:X-Env']}}";
    let set = set(&rules(&[rule]));
    let demanded: Vec<_> = set.demands().flat_map(|demand| demand.reads.headers).collect();
    assert_eq!(demanded, ["x-env"]);
}
