//! One request: what its page says, and each thing that people may do to it.

use std::time::Duration;

use super::*;
use crate::admin::tests::asked;
use crate::approval::{Requirement, Shown, State};
use crate::effect::{Approvers, Class, Day, Escalation, Grant, Hours, Members, Part};
use crate::notice::{Event, Subscription};
use crate::store::{NewApproval, Opened, PendingLimits};

impl World {
    async fn open(&self, new: NewApproval) -> String {
        match self.admin.store.open_approval(new, PendingLimits::default()).await.unwrap() {
            Opened::Created(approval) => approval.id,
            other => panic!("{other:?}"),
        }
    }

    async fn state(&self, id: &str) -> State {
        self.admin.store.approval(id).await.unwrap().unwrap().state
    }
}

fn members(groups: &[&str]) -> Members {
    Members { groups: groups.iter().map(|group| (*group).to_owned()).collect(), people: vec![] }
}

/// The usual request, with its rule changed.
fn with(digest: &str, change: impl Fn(&mut Requirement)) -> NewApproval {
    let mut new = asked(digest, 1);
    change(&mut new.requires[0]);
    new
}

/// Hours that are not now, nor today.
fn other_hours() -> Hours {
    let day = crate::clock::Clock::system().now().to_zoned(jiff::tz::TimeZone::UTC).weekday();
    let away = usize::try_from(day.to_monday_zero_offset() + 3).unwrap() % 7;
    let time = |text: &str| text.parse().unwrap();
    Hours {
        days: vec![Day::ALL[away]],
        from: time("08:00"),
        to: Some(time("18:00")),
        time_zone: "UTC".into(),
    }
}

#[tokio::test]
async fn callers_and_admins_take_a_request_back_and_nobody_else_is_offered_it() {
    let world = World::start().await;
    for (name, may) in
        [("ana+staff", true), ("olga+operators", true), ("bob+finance", false), ("vera+auditors", false)]
    {
        let id = world.admin.hold(name, 1).await;
        let browser = world.logged_in(name).await;
        let page = browser.get(&format!("/approvals/{id}")).await;
        assert_eq!(page.text.contains("Withdraw the request"), may, "{name}");
        let got = browser.decide(&id, "withdraw", "a mistake").await;
        assert_eq!(got.status, if may { 303 } else { 403 }, "{name}: {}", got.text);
        let wanted = if may { State::Withdrawn } else { State::Pending };
        assert_eq!(world.state(&id).await, wanted, "{name}");
        if may {
            let page = browser.get(got.location()).await;
            assert!(page.text.contains("Withdrawn. The request is taken back"), "{}", page.text);
            assert!(!page.text.contains("Withdraw the request"));
        }
    }
}

#[tokio::test]
async fn approvers_take_back_an_approval_that_is_not_used_up() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.logged_in("bob+finance").await;
    assert!(!bob.get(&format!("/approvals/{id}")).await.text.contains("Revoke the approval"));
    assert_eq!(bob.decide(&id, "revoke", "").await.status, 409, "there is none yet");
    assert_eq!(bob.decide(&id, "approve", "").await.status, 303);
    let viewer = world.logged_in("vera+auditors").await;
    assert!(!viewer.get(&format!("/approvals/{id}")).await.text.contains("Revoke the approval"));
    assert_eq!(viewer.decide(&id, "revoke", "").await.status, 403);
    let carl = world.logged_in("carl+finance").await;
    assert!(carl.get(&format!("/approvals/{id}")).await.text.contains("Revoke the approval"));
    let done = carl.decide(&id, "revoke", "the wrong account").await;
    assert_eq!((done.status, world.state(&id).await), (303, State::Revoked), "{}", done.text);
    assert!(
        carl.get(done.location()).await.text.contains("Revoked. The approval releases nothing any more.")
    );
    // A link that says so to somebody else is not believed.
    assert!(!bob.get(done.location()).await.text.contains("releases nothing any more"));
}

/// The link of a notification leads to the first of these, and that page to the second; chats, mail filters and browsers follow
/// links by themselves, some with the session of who may decide.
#[tokio::test]
async fn following_a_link_decides_nothing_whoever_follows_it() {
    let world = World::start().await;
    let id = world.open(with("a", |rule| rule.break_glass = Some(members(&["duty"])))).await;
    let dora = world.logged_in("dora+duty+finance").await;
    let token = dora.get("/").await.form_token();
    let filled = format!("?csrf={token}&reason=the+shop+is+down&confirm=yes");
    let page = format!("/approvals/{id}");
    let links = ["", "/break-glass", "/approve", "/reject", "?done=approve", "?done=break_glass"];
    let mut decided = Vec::new();
    for link in links.map(|link| format!("{page}{link}")).into_iter().chain([
        format!("{page}{filled}"),
        format!("{page}/break-glass{filled}"),
        format!("{page}/approve{filled}"),
        format!("/{filled}&done={id}"),
    ]) {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
            let before = world.votes(&id).await;
            let url = format!("{}{link}", world.url);
            let got = dora.send(dora.client.request(method.clone(), url).header("origin", ORIGIN)).await;
            assert!([200, 405].contains(&got.status), "{method} {link}: {} {}", got.status, got.text);
            if world.votes(&id).await != before {
                decided.push(format!("{method} {link}"));
            }
        }
    }
    assert_eq!((decided, world.state(&id).await), (vec![], State::Pending));
    assert_eq!(dora.decide(&id, "approve", "x").await.status, 303, "the button does");
    assert_eq!(world.votes(&id).await, 1);
}

#[tokio::test]
async fn breaking_the_glass_is_asked_for_twice_and_loud() {
    let world = World::start().await;
    let told =
        Subscription { target: "pager".into(), events: vec![Event::BreakGlass], ..Subscription::default() };
    let deaf = Subscription { target: "chat".into(), events: vec![Event::Pending], ..told.clone() };
    world.admin.store.subscribe(vec![told, deaf]);
    let id = world.open(with("a", |rule| rule.break_glass = Some(members(&["duty", "staff"])))).await;
    let path = format!("/approvals/{id}/break-glass");
    for stranger in ["bob+finance", "vera+auditors", "ana+duty"] {
        let browser = world.logged_in(stranger).await;
        let page = browser.get(&format!("/approvals/{id}")).await.text;
        assert!(!page.contains("Break the glass"), "{stranger}");
        assert_eq!(browser.get(&path).await.status, 403, "{stranger}");
        let token = browser.get("/").await.form_token();
        let form = [("csrf", token.as_str()), ("reason", "x"), ("confirm", "yes")];
        assert_eq!(browser.post(&path, &form).await.status, 403, "{stranger}");
    }
    let dora = world.logged_in("dora+duty").await;
    assert!(dora.get(&format!("/approvals/{id}")).await.text.contains(&path));
    let page = dora.get(&path).await;
    for text in ["alone and at once", "It is audited", "<b>pager</b>", "class=\"alarm\"", "/v1/refunds"] {
        assert!(page.text.contains(text), "{text} in {}", page.text);
    }
    assert!(!page.text.contains("chat"), "that target does not listen for it");
    let token = page.form_token();
    for form in [
        vec![("csrf", token.as_str()), ("reason", "the shop is down")],
        vec![("csrf", token.as_str()), ("confirm", "yes"), ("reason", "  ")],
        vec![("csrf", "00"), ("confirm", "yes"), ("reason", "the shop is down")],
    ] {
        let got = dora.post(&path, &form).await;
        assert!([400, 403].contains(&got.status), "{form:?}: {}", got.text);
    }
    assert_eq!(dora.decide(&id, "break_glass", "x").await.status, 404, "only by its own page");
    assert_eq!(world.votes(&id).await, 0);

    world.clock.advance(Duration::from_secs(301));
    let form = [("csrf", token.as_str()), ("confirm", "yes"), ("reason", "the shop is down")];
    let asked = dora.post(&path, &form).await;
    assert_eq!((asked.status, world.votes(&id).await), (200, 0), "a fresh login first");
    let url: Url = asked.refresh().parse().unwrap();
    let back = dora.come_back(&dora.answer(&url, "dora+duty", |_| {})).await;
    assert_eq!((back.refresh(), world.votes(&id).await), (path.clone(), 0));
    let page = dora.get(&path).await;
    assert!(page.text.contains(">the shop is down</textarea>"), "{}", page.text);
    let token = page.form_token();
    let form = [("csrf", token.as_str()), ("confirm", "yes"), ("reason", "the shop is down")];
    let done = dora.post(&path, &form).await;
    assert_eq!((done.status, world.state(&id).await), (303, State::Approved), "{}", done.text);
    assert!(dora.get(done.location()).await.text.contains("You broke the glass"));
    assert_eq!(dora.get(&path).await.status, 409, "once");
}

#[tokio::test]
async fn who_has_spoken_for_what_is_seen_and_what_time_will_do() {
    let world = World::start().await;
    let group = |name: &str, count| Approvers { groups: vec![name.into()], people: vec![], count };
    let mut new = with("a", |rule| {
        rule.all_of = vec![group("finance", 2), group("security", 1)];
        rule.escalate = Some(Escalation { after: Duration::from_secs(3_600), to: members(&["managers"]) });
    });
    new.requires.push(Requirement {
        escalate: Some(Escalation { after: Duration::ZERO, to: members(&["directors"]) }),
        break_glass: Some(members(&["duty"])),
        because: "a second <rule>".into(),
        ..Requirement::of("limits/daily", vec![group("treasury", 1)])
    });
    new.rules.push("limits/daily".into());
    new.remind_after = Some(Duration::from_secs(1_800));
    let id = world.open(new).await;
    let bob = world.logged_in("bob+finance").await;
    assert_eq!(bob.decide(&id, "approve", "fine").await.status, 303);
    for path in ["/".to_owned(), format!("/approvals/{id}")] {
        let page = bob.get(&path).await.text;
        for text in [
            "<b>1 of 2</b>",
            "finance",
            "bob@example.com",
            "<b>0 of 1</b>",
            "security",
            "treasury",
            "scalates to managers|then managers may decide too",
            "scalated to directors|directors may decide too",
            "reminder in|The approvers are reminded",
        ] {
            assert!(text.split('|').any(|text| page.contains(text)), "{path}: {text} in {page}");
        }
    }
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    for text in
        ["large refunds wait", "a second &lt;rule&gt;", "In an emergency, alone: duty", "decided already"]
    {
        assert!(page.contains(text), "{text} in {page}");
    }
}

#[tokio::test]
async fn outside_its_hours_a_call_can_be_rejected_and_says_when_it_can_be_approved() {
    let world = World::start().await;
    let id = world.open(with("a", |rule| rule.hours = Some(other_hours()))).await;
    let bob = world.logged_in("bob+finance").await;
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("closed now, opens") && page.contains("08:00 to 18:00 UTC"), "{page}");
    assert!(page.contains("/reject\"") && !page.contains("/approve\""), "{page}");
    assert!(bob.get("/").await.text.contains("outside its hours: opens in"));
    assert_eq!(bob.decide(&id, "approve", "").await.status, 409);
    assert_eq!(bob.decide(&id, "reject", "").await.status, 303);
    let always =
        Hours { days: Day::ALL.to_vec(), from: jiff::civil::Time::midnight(), to: None, ..other_hours() };
    let id = world.open(with("b", |rule| rule.hours = Some(always.clone()))).await;
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("open now") && page.contains("/approve\""), "{page}");
}

#[tokio::test]
async fn a_class_of_calls_is_named_as_such_with_what_it_has_in_common() {
    let world = World::start().await;
    let mut new = asked("a", 1);
    new.grant = Grant::For(Duration::from_secs(3_600));
    new.same = Class::new([Part::Method, Part::Path, Part::Query, Part::Header("content-type".into())]);
    new.call.path = "/v1/refunds?shop=<7>".into();
    let id = world.open(new).await;
    let bob = world.logged_in("bob+finance").await;
    assert!(
        bob.get("/")
            .await
            .text
            .contains("for every call with the same method, path, query, header content-type")
    );
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    let until = world.clock.now().checked_add(Duration::from_secs(3_600)).unwrap();
    for text in [
        "Approving this releases <b>every call by ana@example.com with the same method, path, query and header content-type</b>",
        &format!("for 60 min after the approval: approved now, until {until:.0}"),
        "<dt>path</dt><dd class=\"code\">/v1/refunds</dd>",
        "<dt>query</dt><dd class=\"code\">shop=&lt;7&gt;</dd>",
        "<dt>header content-type</dt><dd class=\"code\">text/plain</dd>",
        "Not covered: host, body, other headers",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let viewer = world.logged_in("vera+auditors").await;
    let page = viewer.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("shown to those who may decide") && !page.contains("text/plain"), "{page}");
    let once = world.admin.hold("b", 1).await;
    let page = bob.get(&format!("/approvals/{once}")).await.text;
    assert!(page.contains("Approving this releases <b>this one call</b>."), "{page}");
}

#[tokio::test]
async fn what_is_masked_or_withheld_of_a_body_is_said() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    for (shown, text) in
        [(Shown::Masked(2), "2 values are masked here"), (Shown::Withheld, "The body is not shown")]
    {
        let mut new = asked(text, 1);
        new.call.shown = shown;
        if shown == Shown::Withheld {
            new.call.body = String::new();
        }
        let id = world.open(new).await;
        let page = bob.get(&format!("/approvals/{id}")).await.text;
        assert!(page.contains(text) && !page.contains("No body."), "{text} in {page}");
    }
}

#[tokio::test]
async fn earlier_calls_are_shown_with_what_became_of_them() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let before = world.admin.hold("a", 1).await;
    assert_eq!(bob.decide(&before, "reject", "not <b>without</b> a ticket").await.status, 303);
    let now = world.admin.hold("a", 1).await;
    let page = bob.get(&format!("/approvals/{now}")).await.text;
    for text in
        [&format!("/approvals/{before}"), "the very same", "reject by bob@example.com: not &lt;b&gt;without"]
    {
        assert!(page.contains(text), "{text} in {page}");
    }
}

#[tokio::test]
async fn what_was_decided_is_said_as_it_is_and_only_to_whom_decided() {
    let world = World::start().await;
    let id = world.admin.hold("a", 2).await;
    let (bob, carl) = (world.logged_in("bob+finance").await, world.logged_in("carl+finance").await);
    let first = bob.decide(&id, "approve", "").await;
    let said = bob.get(first.location()).await.text;
    assert!(said.contains("Your approval is recorded; 1 more is needed."), "{said}");
    assert!(!said.contains("Approved."), "{said}");
    assert!(!carl.get(first.location()).await.text.contains("recorded"), "a link is not believed");
    for forged in ["/?done=approve", "/?done=reject"] {
        assert!(!bob.get(forged).await.text.contains("recorded"), "{forged}");
    }
    let second = carl.decide(&id, "approve", "").await;
    assert!(carl.get(second.location()).await.text.contains("Approved. Your decision is recorded."));
}

#[tokio::test]
async fn a_page_says_what_became_of_its_request_and_why_a_decision_came_to_nothing() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let mut new = asked("a", 2);
    new.grant = Grant::For(Duration::from_secs(3_600));
    let id = world.open(new).await;
    bob.decide(&id, "approve", "").await;
    let twice = bob.decide(&id, "approve", "").await;
    assert_eq!(twice.status, 409);
    assert!(twice.text.contains("You have decided already") && !twice.text.contains("Too late"));
    let carl = world.logged_in("carl+finance").await;
    carl.decide(&id, "reject", "").await;
    let late = world.logged_in("dora+finance").await.decide(&id, "approve", "").await;
    assert!(late.text.contains("Too late"), "{}", late.text);
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("A rejected call") && !page.contains("A call that waits"), "{page}");
    assert!(page.contains("An approval would have been for") && page.contains("for 60 min"), "{page}");
    let history = bob.get("/history").await.text;
    for state in State::ALL {
        assert!(history.contains(&format!("<option value=\"{}\"", state.as_str())), "{state:?}");
    }
}
