//! What strangers write is shown, and never obeyed.

use std::time::Duration;

use super::*;
use crate::admin::console::shown::Shown;
use crate::approval::{CallSummary, Caller};
use crate::effect::{Approvers, Grant, Members};
use crate::store::{NewApproval, Opened, PendingLimits};
use crate::visible::naughty;

/// Beside those of `naughty`: what is aimed at our own pages.
const NAUGHTY: [&str; 32] = [
    "<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</pre><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "javascript:alert(1)",
    "\" onmouseover=\"alert(1)",
    "' autofocus onfocus='alert(1)",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<math><mtext></form><form action=//evil>",
    "<meta http-equiv=refresh content='0;url=//evil'>",
    "<base href=//evil>",
    "<!--",
    "]]>",
    "&lt;script&gt;",
    "&#x3c;script&#x3e;",
    "{{7*7}}{% raw %}",
    "<div hx-get=/logout hx-trigger=load>",
    "<div hx-on:load='alert(1)'>",
    "<hx-partial hx-target='body'>x</hx-partial>",
    "data: fake\n\nevent: close",
    "\r\ndata: <b>",
    "\u{202e}evom",
    "a\u{200b}b\u{feff}c",
    "\u{1b}[2J\u{7}",
    "\u{e0041}\u{e0042}",
    "\u{2028}\u{2029}",
    "\0null",
    "ＦＵＬＬ ﷽ 日本 é",
];

fn new(index: usize, text: &str) -> NewApproval {
    let subject = person("ana");
    let mut caller = Caller::of(&subject, text);
    caller.subject = text.to_owned();
    caller.person = Some(format!("{text}@x"));
    NewApproval {
        id: uuid::Uuid::now_v7().to_string(),
        digest: format!("d{index}"),
        exact: None,
        idempotency_key: text.to_owned(),
        caller,
        call: CallSummary {
            method: text.into(),
            host: text.into(),
            path: format!("/{text}"),
            destination: text.into(),
            headers: vec![(text.into(), text.into())],
            body: base64::engine::general_purpose::STANDARD.encode(text),
            ..CallSummary::default()
        },
        rules: vec![text.to_owned()],
        revision: text.to_owned(),
        requires: vec![crate::approval::Requirement {
            because: text.to_owned(),
            break_glass: Some(Members { groups: vec![text.into()], people: vec![] }),
            ..crate::approval::Requirement::of(
                text,
                vec![Approvers { groups: vec!["finance".into(), text.into()], people: vec![], count: 2 }],
            )
        }],
        grant: Grant::Once,
        same: None,
        remind_after: None,
        auto_approved: vec![],
        retry_window: Duration::ZERO,
        expires_in: Duration::from_secs(600),
    }
}

#[tokio::test]
async fn what_callers_write_is_text_wherever_it_stands() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let plain = world.admin.hold("plain", 2).await;
    let markup = |html: &str| html.matches('<').count() - html.matches("<span class=\"mark\"").count() * 2;
    let expected = markup(&bob.get(&format!("/approvals/{plain}")).await.text);
    for (index, text) in NAUGHTY.into_iter().enumerate() {
        let limits = PendingLimits { per_principal: 100, per_rule: 100, opened_per_principal: 10_000 };
        let opened = world.admin.store.open_approval(new(index, text), limits).await.unwrap();
        let Opened::Created(approval) = opened else { panic!("{opened:?}") };
        let reason = text.replace(|c: char| crate::admin::visible::is_deceptive(c) && c != '\n', "");
        let voter = person("carl+finance");
        let store = &world.admin.store;
        store.vote(&approval.id, &voter, crate::approval::Choice::Approve, &reason).await.unwrap();
        for path in [format!("/approvals/{}", approval.id), "/".into(), "/history".into()] {
            let page = bob.get(&path).await;
            assert_eq!(page.status, 200, "{text:?}");
            for bad in [
                "<script>alert",
                "<img src=x",
                "<svg",
                "<iframe",
                "<a href=\"javascript",
                "<math",
                "<base",
                "<!--",
                "<div hx-",
                "<hx-",
                "url=//evil'>",
            ] {
                assert!(!page.text.contains(bad), "{path} {text:?} has {bad}");
            }
            let hidden = |c: char| crate::admin::visible::is_deceptive(c) && c != '\n';
            assert!(!page.text.contains(hidden), "{path} {text:?}");
        }
        let page = bob.get(&format!("/approvals/{}", approval.id)).await.text;
        // More rows than the plain call's (votes, SPIFFE id, key), and no element that is not ours.
        assert!(markup(&page) < expected + 40, "{text:?}: {} for {expected}", markup(&page));
        let escaped = Shown::line(text).to_string();
        assert!(page.contains(&escaped), "{text:?}: all of it is shown, as {escaped}");
    }
    let live =
        bob.get("/history?principal=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&rule=%3Cimg%20src=x%3E").await;
    assert!(!live.text.contains("<script>alert") && !live.text.contains("<img src=x"));
}

/// One call that has every text that we know in each of its places.
#[tokio::test]
async fn no_naughty_text_is_markup_or_hidden_on_any_page() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let plain = world.admin.hold("plain", 1).await;
    let texts = naughty::strings();
    let mut all = new(0, "x");
    all.call.headers = texts.iter().map(|text| (text.clone(), text.clone())).collect();
    all.call.body = base64::engine::general_purpose::STANDARD.encode(texts.join("\n"));
    all.rules.clone_from(&texts);
    let groups = || std::iter::once("finance".to_owned()).chain(texts.clone()).collect();
    all.requires = texts
        .iter()
        .map(|text| {
            let approvers = Approvers { groups: groups(), people: vec![], count: 1 };
            let mut requirement = crate::approval::Requirement::of(text, vec![approvers]);
            requirement.because.clone_from(text);
            requirement
        })
        .take(1)
        .collect();
    let limits = PendingLimits { per_principal: 100, per_rule: 100, opened_per_principal: 10_000 };
    let opened = world.admin.store.open_approval(all, limits).await.unwrap();
    let Opened::Created(approval) = opened else { panic!("{opened:?}") };
    let own = bob.get(&format!("/approvals/{plain}")).await.text;
    let page = bob.get(&format!("/approvals/{}", approval.id)).await.text;
    for bad in ["<script", "<img", "<svg"] {
        assert_eq!(page.matches(bad).count(), own.matches(bad).count(), "{bad}: our own, and no other");
    }
    for path in [format!("/approvals/{}", approval.id), "/".into(), "/history".into()] {
        let page = bob.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.chars().any(|c| crate::admin::visible::is_deceptive(c) && c != '\n'), "{path}");
        for bad in [
            "<script>alert",
            "<img src=x",
            "<iframe",
            // Not our own `<footer>`.
            "<foo ",
            "<IMG",
            "<div style",
            "<a href=\"\\x",
            "<marquee",
        ] {
            assert!(!page.text.contains(bad), "{path} has {bad}");
        }
        // Lists are of some of it.
        for text in texts.iter().filter(|_| path.starts_with("/approvals/")) {
            assert!(page.text.contains(&Shown::line(text).to_string()), "{path}: all of {text:?} is shown");
        }
    }
}

#[tokio::test]
async fn a_reason_that_would_deceive_is_refused() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.logged_in("bob+finance").await;
    for reason in ["fine\u{202e}ton", "a\u{1b}[2J", &"x".repeat(2_001)] {
        assert_eq!(bob.decide(&id, "approve", reason).await.status, 400);
    }
    assert_eq!(world.votes(&id).await, 0);
    assert_eq!(bob.decide(&id, "approve", "<script>alert(1)</script>").await.status, 303);
    let page = bob.get(&format!("/approvals/{id}")).await;
    assert!(page.text.contains("&lt;script&gt;alert(1)") && !page.text.contains("<script>alert"));
}

#[tokio::test]
async fn the_pages_of_viewers_show_decisions_policies_and_health() {
    let world = World::start().await;
    let vera = world.logged_in("vera+auditors").await;
    let decisions = vera.get("/decisions").await;
    assert!(decisions.text.contains("/&lt;b&gt;") && decisions.text.contains("deny"), "{}", decisions.text);
    assert!(!vera.get("/decisions?outcome=allow").await.text.contains("&lt;b&gt;"));
    assert!(
        vera.get("/health").await.text.contains("&lt;gone&gt;")
            || vera.get("/health").await.text.contains("&#60;gone&#62;")
    );
    let policies = vera.get("/policies").await;
    assert!(policies.status == 200 && !policies.text.contains("Roll back"));
    let admin = world.logged_in("olga+operators").await;
    let token = admin.get("/policies").await.form_token();
    let refused = admin.post("/policies/rollback", &[("csrf", &token), ("reason", "x")]).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(admin.post("/policies/burn", &[("csrf", &token)]).await.status, 404);
}

#[tokio::test]
async fn history_is_filtered_and_comes_in_pages() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for index in 0..52 {
        let mut new = new(index, "x");
        new.rules = vec![if index == 0 { "pay/first".into() } else { "pay/other".into() }];
        let limits = PendingLimits { per_principal: 100, per_rule: 100, opened_per_principal: 10_000 };
        match world.admin.store.open_approval(new, limits).await.unwrap() {
            Opened::Created(approval) => ids.push(approval.id),
            other => panic!("{other:?}"),
        }
    }
    let bob = world.logged_in("bob+finance").await;
    let first = bob.get("/history").await.text;
    assert!(first.contains(&ids[51]) && !first.contains(&ids[1]) && first.contains("Older"));
    let older = first.split("/history?").nth(1).unwrap().split('"').next().unwrap();
    let second =
        bob.get(&format!("/history?{}", older.replace("&#38;", "&").replace("&amp;", "&"))).await.text;
    assert!(second.contains(&ids[1]) && second.contains(&ids[0]) && !second.contains(&ids[51]));
    let rule = bob.get("/history?rule=FIRST&state=pending&principal=x%40X").await.text;
    assert!(rule.contains(&ids[0]) && !rule.contains(&ids[1]));
    assert!(bob.get("/history?principal=nobody").await.text.contains("Nothing fits"));
    assert_eq!(bob.get("/history?state=open").await.status, 400);
}
