//! What people read: complete, and no more the caller's than it says.

use super::*;
use crate::approval::testing::vote;
use crate::approval::{Choice, Vote};
use crate::effect::{Class, Part};
use crate::notify::words::Message;
use crate::visible::{is_deceptive, naughty};

/// Beside those of `naughty`: texts that were made to be taken for a chat's markup.
const NAUGHTY: [&str; 34] = [
    "<https://evil.example|Approve>",
    "<!channel> <!here> <!everyone>",
    "<@U012AB3CD>",
    "<#C024BE7LR|general>",
    "*bold* _italic_ ~strike~ `code`",
    "```block```",
    "> quote",
    ":white_check_mark: approved",
    "[Approve](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "**bold** # title",
    "<at>Everyone</at>",
    "{{DATE(2026-01-01T00:00:00Z,SHORT)}}",
    "${$root.secret}",
    "{{{{{DATE(x)}}}}}",
    "$${{{x}}}",
    "&lt;https://evil.example&gt;",
    "&amp;&#60;",
    "line\r\nbreak\nforged: value",
    "\u{1b}[2J\u{1b}]8;;https://evil.example\u{7}x",
    "\u{2028}\u{2029}\u{85}",
    "\u{202e}lave\u{202c} \u{2066}x\u{2069}",
    "a\u{200b}b\u{200d}c\u{2060}d\u{feff}",
    "\u{e0041}\u{e0042}",
    "\u{fe0f}\u{fe00}",
    "\u{0}\u{8}\u{7f}",
    "'; DROP TABLE outbox; --",
    "\"}],\"blocks\":[{\"type\":\"actions\"",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "../../approvals/x:approve",
    "%0d%0aX: y",
    "\u{3164}\u{ffa0}\u{115f}",
    "田中さん é 😀",
];

fn texts_of_callers() -> Vec<String> {
    NAUGHTY.map(str::to_owned).into_iter().chain(naughty::strings()).collect()
}

pub(super) fn notice() -> Notice {
    named("ana", "/v1/refunds?x=1")
}

fn named(subject: &str, path: &str) -> Notice {
    let new = new("d");
    let mut caller = new.caller;
    caller.subject = subject.to_owned();
    let approval = crate::approval::Approval {
        id: "0190a1b2-0000-7000-8000-000000000000".into(),
        digest: new.digest,
        exact: None,
        idempotency_key: String::new(),
        state: State::Pending,
        created: "2026-11-21T20:00:00Z".parse().unwrap(),
        expires: "2026-11-21T20:10:00Z".parse().unwrap(),
        caller,
        call: CallSummary { path: path.to_owned(), ..new.call },
        rules: new.rules,
        revision: new.revision,
        requires: new.requires,
        grant: Grant::Once,
        same: None,
        remind_after: None,
        votes: vec![],
        progress: crate::approval::Progress::default(),
    };
    Notice::of(Event::Pending, &approval, approval.created)
}

fn page() -> Url {
    "https://portcullis.example.com/base".parse().unwrap()
}

fn slack(notice: &Notice) -> Value {
    slack::body(&Message::of(notice, &page(), slack::VALUE))
}

fn teams(notice: &Notice) -> Value {
    teams::body(&Message::of(notice, &page(), teams::VALUE))
}

/// Every text in a message.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

#[test]
fn a_message_says_what_is_asked_by_whom_and_why() {
    for body in [slack(&notice()), teams(&notice())] {
        let text = body.to_string();
        for part in [
            "A call waits for approval",
            "POST api.example.com/v1/refunds (and a query of 4 bytes, shown on the page)",
            "- 8443",
            "ana@example.com (ana), of https://idp.example, proven by jwt, from 10.0.0.7",
            "refunds/large (policies r7)",
            "2 of groups finance",
            "one call",
            "2026-11-21 20:10 UTC",
            "https://portcullis.example.com/base/approvals/0190a1b2-0000-7000-8000-000000000000",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        assert!(!text.contains("SECRET") && !text.contains("x=1"), "{text}");
    }
}

#[test]
fn each_event_has_its_own_words() {
    let mut notice = notice();
    let title = |notice: &Notice| Message::of(notice, &page(), 500).title;
    notice.event = Event::Expired;
    notice.state = State::Expired;
    assert!(title(&notice).contains("nobody decided"));
    notice.approved = true;
    assert!(title(&notice).contains("not used"));
    notice.grant = Grant::For(std::time::Duration::from_secs(60));
    assert!(title(&notice).contains("its time is over"), "it may have been used often");
    notice.event = Event::Decided;
    notice.state = State::Approved;
    assert!(title(&notice).contains("approved"));
    notice.state = State::Rejected;
    notice.votes = vec![Vote {
        choice: Choice::Reject,
        issuer: "i".into(),
        subject: "bob".into(),
        person: Some("bob@example.com".into()),
        reason: "wrong account".into(),
        at: notice.created,
        speaks_for: vec![0],
        rule: None,
        presented: None,
        void: None,
    }];
    let message = Message::of(&notice, &page(), 500);
    assert!(message.title.contains("rejected"));
    assert!(message.facts.contains(&("Decided", "rejected by bob@example.com".to_owned())));
    assert!(message.facts.contains(&("Reason", "wrong account".to_owned())));
}

#[test]
fn every_decision_is_told_as_what_it_was_and_whose() {
    let said = |choice, state, rule: Option<&str>| {
        let mut notice = notice();
        notice.state = state;
        notice.votes = vec![Vote { rule: rule.map(str::to_owned), ..vote(choice) }];
        let facts = Message::of(&notice, &page(), 500).facts;
        facts.into_iter().find(|(name, _)| ["Decided", "So far"].contains(name)).unwrap()
    };
    for (choice, state, rule, label, text) in [
        (Choice::Approve, State::Approved, None, "Decided", "approved by bob@example.com"),
        (Choice::Approve, State::Pending, None, "So far", "approved by bob@example.com"),
        (Choice::Approve, State::Pending, Some("p/auto"), "So far", "approved by rule p/auto"),
        (Choice::Reject, State::Rejected, None, "Decided", "rejected by bob@example.com"),
        (Choice::Withdraw, State::Withdrawn, None, "Decided", "withdrawn by bob@example.com"),
        (Choice::Revoke, State::Revoked, None, "Decided", "revoked by bob@example.com"),
    ] {
        assert_eq!(said(choice, state, rule), (label, text.to_owned()));
    }
    let (_, alone) = said(Choice::BreakGlass, State::Approved, None);
    assert!(alone.contains("breaking the glass") && alone.ends_with("by bob@example.com"), "{alone}");
}

#[test]
fn a_class_of_calls_is_told_as_one() {
    let mut notice = notice();
    notice.grant = Grant::For(std::time::Duration::from_secs(3_600));
    let told = |notice: &Notice| slack(notice).to_string();
    assert!(told(&notice).contains("every same call, for 1h"), "{}", told(&notice));
    assert_eq!(webhook::body(&notice, &page())["data"]["same"], Value::Null);
    notice.same = Class::new([Part::Method]);
    let words = "every call with the same method, whatever its host, path, query, body, headers, for 1h";
    assert!(told(&notice).contains(words) && teams(&notice).to_string().contains(words), "{}", told(&notice));
    let body = webhook::body(&notice, &page());
    assert_eq!(body["data"]["same"], serde_json::json!(["method"]));
    // What was written down before there were classes is read all the same.
    let mut old = serde_json::to_value(&notice).unwrap();
    old.as_object_mut().unwrap().remove("same");
    assert_eq!(serde_json::from_value::<Notice>(old).unwrap().same, None);
}

#[test]
fn a_webhook_names_the_rule_that_approved() {
    let mut notice = notice();
    notice.votes = vec![Vote { rule: Some("p/auto".into()), ..vote(Choice::Approve) }];
    assert_eq!(webhook::body(&notice, &page())["data"]["votes"][0]["rule"], "p/auto");
}

#[test]
fn a_callers_text_forges_no_link_mention_or_line() {
    for text in &texts_of_callers() {
        let notice = named(text, &format!("/{text}"));
        for body in [slack(&notice), teams(&notice)] {
            let mut all = Vec::new();
            texts(&body, &mut all);
            for one in &all {
                assert!(!one.chars().any(is_deceptive), "{one:?}");
            }
        }
        let slack = slack(&notice);
        let blocks = slack["blocks"].as_array().unwrap();
        let markup: Vec<_> = blocks.iter().filter(|block| block["text"]["type"] != "plain_text").collect();
        let [link] = markup.as_slice() else { panic!("{markup:?}") };
        let expected = "<https://portcullis.example.com/base/approvals/0190a1b2-0000-7000-8000-000000000000|Open the request>";
        assert_eq!(link["text"]["text"], expected);
        assert!(blocks.iter().all(|block| block["type"] == "header" || block["type"] == "section"));
        let plain = blocks.iter().filter(|block| block["text"]["type"] == "plain_text");
        for text in plain.map(|block| block["text"]["text"].as_str().unwrap()).chain(slack["text"].as_str()) {
            assert!(!text.contains(['<', '>']), "{text}");
        }
        let card = teams(&notice)["attachments"][0]["content"].clone();
        assert!(!card.to_string().contains("{{") && !card.to_string().contains("${"), "{card}");
        assert_eq!(card["actions"].as_array().unwrap().len(), 1);
        assert_eq!(card["actions"][0]["type"], "Action.OpenUrl");
        assert!(card.get("msteams").is_none(), "no mentions");
        let blocks = card["body"].as_array().unwrap();
        let markdown: Vec<_> = blocks.iter().filter(|block| block["type"] == "TextBlock").collect();
        assert_eq!(markdown.len(), 1, "only our own words are Markdown");
        assert_eq!(markdown[0]["text"], "A call waits for approval");
    }
}

#[test]
fn a_webhook_gives_the_text_as_it_was_in_one_document() {
    for text in &texts_of_callers() {
        let body = webhook::body(&named(text, "/"), &page()).to_string();
        assert_eq!(body.lines().count(), 1, "{body:?}");
        let read: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read["data"]["caller"]["subject"], text.as_str());
    }
}

#[test]
fn what_is_cut_says_how_much_is_missing() {
    for (one, shown) in [("a", 1), ("<", 1), ("\u{202e}", 8), ("漢", 1)] {
        let notice = named("ana", &format!("/{}", one.repeat(20_000)));
        let start = "POST api.example.com/".chars().count();
        let missing = start + 20_000 * shown - 500;
        let words = format!("({missing} more characters on the page)");
        let slack = slack(&notice);
        assert!(slack["blocks"][1]["text"]["text"].as_str().unwrap().ends_with(&words), "{words} {slack}");
        for block in slack["blocks"].as_array().unwrap() {
            assert!(block["text"]["text"].as_str().unwrap().chars().count() <= 3_000);
        }
        let teams = teams(&notice).to_string();
        assert!(teams.contains(&words));
        assert!(teams.len() <= 28 << 10, "{}", teams.len());
    }
}

#[test]
fn a_vote_that_counts_no_more_is_not_told_as_what_was_decided() {
    let mut notice = notice();
    let void = crate::approval::Void { at: notice.created, by: Default::default(), because: "left".into() };
    notice.votes = vec![Vote { void: Some(void), ..vote(Choice::Approve) }];
    let facts = Message::of(&notice, &page(), 500).facts;
    assert!(!facts.iter().any(|(name, _)| ["Decided", "So far"].contains(name)), "{facts:?}");
}

#[test]
fn the_longest_message_fits() {
    let long = "漢".repeat(10_000);
    let mut notice = named(&long, &long);
    notice.caller.person = Some(long.clone());
    notice.destination.clone_from(&long);
    notice.rules = vec![long.clone()];
    notice.requires = vec![Approvers { groups: vec![long.clone()], people: vec![], count: 1 }];
    notice.votes = vec![Vote {
        choice: Choice::Approve,
        issuer: String::new(),
        subject: long.clone(),
        person: None,
        reason: long,
        at: notice.created,
        speaks_for: vec![],
        rule: None,
        presented: None,
        void: None,
    }];
    let teams = teams(&notice).to_string();
    assert!(teams.len() <= 28 << 10, "{}", teams.len());
}

#[test]
fn the_link_leads_below_the_page_and_ends_no_markup() {
    let link = |page: &str| words::link(&page.parse().unwrap(), "1");
    assert_eq!(link("https://p.example/"), "https://p.example/approvals/1");
    assert_eq!(link("https://p.example/a|b/"), "https://p.example/a%7Cb/approvals/1");
    assert_eq!(words::link(&page(), "../x?y"), "https://portcullis.example.com/base/approvals/..%2Fx%3Fy");
}
