//! What people do: come in, look, decide, leave.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn somebody_logs_in_sees_what_waits_and_approves_it() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.browser();
    let asked = bob.get(&format!("/approvals/{id}")).await;
    assert_eq!((asked.status, asked.location()), (303, format!("/login?next=%2Fapprovals%2F{id}").as_str()));
    let page = bob.get(asked.location()).await;
    assert!(page.text.contains(&world.issuer) && page.text.contains(&id), "{}", page.text);
    let url = bob.begin(&format!("/approvals/{id}")).await;
    for (name, value) in [("response_type", "code"), ("code_challenge_method", "S256"), ("tenant", "1")] {
        assert!(url.query_pairs().any(|pair| pair == (name.into(), value.into())), "{url}");
    }
    let back = bob.come_back(&bob.answer(&url, "bob+finance", |_| {})).await;
    assert_eq!((back.status, back.refresh()), (200, format!("/approvals/{id}")), "{}", back.text);
    assert!(bob.get("/").await.text.contains(&format!("/approvals/{id}")));
    let shown = bob.get(&format!("/approvals/{id}")).await;
    for text in
        ["ana@example.com", "pay 700", "large refunds wait", "refunds/large", "sha256:", "api.example.com"]
    {
        assert!(shown.text.contains(text), "{text} in {}", shown.text);
    }
    let done = bob.decide(&id, "approve", "checked\r\nwith the customer").await;
    assert_eq!((done.status, done.location()), (303, format!("/?done={id}").as_str()), "{}", done.text);
    assert!(bob.get(done.location()).await.text.contains("Approved. Your decision is recorded."));
    let approval = world.admin.store.approval(&id).await.unwrap().unwrap();
    assert_eq!(
        (approval.state.as_str(), approval.votes[0].reason.as_str()),
        ("approved", "checked\nwith the customer")
    );
    assert!(bob.get("/").await.text.contains("Nothing waits"));
    let late = bob.decide(&id, "reject", "").await;
    assert_eq!(late.status, 409);
    assert_eq!(*world.told.0.lock(), ["bob logged_in"]);
}

#[tokio::test]
async fn a_change_needs_a_fresh_login_and_the_reason_survives_it() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.logged_in("bob+finance").await;
    world.clock.advance(Duration::from_secs(301));
    let asked = bob.decide(&id, "approve", "a good <reason>").await;
    assert_eq!((asked.status, world.votes(&id).await), (200, 0), "{}", asked.text);
    let url: Url = asked.refresh().parse().unwrap();
    assert!(url.query_pairs().any(|pair| pair == ("prompt".into(), "login".into())));
    // A provider that did not ask again proves nothing.
    let began = world.seconds();
    let old = bob
        .come_back(&bob.answer(&url, "bob+finance", |token| token["auth_time"] = json!(began - 120)))
        .await;
    assert_eq!(old.status, 403, "{}", old.text);
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("a good") && !page.contains("logged in again"), "who turned back is not: {page}");
    let asked = bob.decide(&id, "approve", "a good <reason>").await;
    let url: Url = asked.refresh().parse().unwrap();
    let none = |token: &mut Value| {
        token.as_object_mut().unwrap().remove("auth_time");
    };
    assert_eq!(bob.come_back(&bob.answer(&url, "bob+finance", none)).await.status, 403);
    let asked = bob.decide(&id, "approve", "a good <reason>").await;
    let url: Url = asked.refresh().parse().unwrap();
    let back = bob.come_back(&bob.answer(&url, "bob+finance", |_| {})).await;
    assert_eq!((back.status, back.refresh()), (200, format!("/approvals/{id}")), "{}", back.text);
    assert_eq!(world.votes(&id).await, 0, "coming back decides nothing");
    let again = "You are logged in again. Nothing is decided yet: press Approve.";
    let page = bob.get(&back.refresh()).await.text;
    assert!(page.contains(">a good &#60;reason&#62;</textarea>") && page.contains(again), "{page}");
    let other = world.admin.hold("b", 1).await;
    assert!(!bob.get(&format!("/approvals/{other}")).await.text.contains("logged in again"));
    assert_eq!(bob.decide(&id, "approve", "a good reason").await.status, 303);
    assert_eq!(world.votes(&id).await, 1);
}

#[tokio::test]
async fn a_page_that_is_not_there_says_so_and_a_refused_login_leads_back_to_it() {
    let world = World::with(Setting { provider: false, ..USUAL }).await;
    let browser = world.browser();
    let page = browser.get("/nope").await;
    assert_eq!(page.status, 404);
    assert!(page.text.contains("There is no such thing"), "{}", page.text);
    let wrong = browser.post("/login/first", &[("token", "wrong")]).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.text.contains("<a href=\"/login\" autofocus>Try again</a>"), "{}", wrong.text);
}

#[tokio::test]
async fn only_roles_that_the_configuration_gives_are_named() {
    let world = World::start().await;
    for (name, role) in [
        ("olga+operators", Some("admin")),
        ("vera+auditors", Some("viewer")),
        ("bob+finance", None),
        ("carl", None),
    ] {
        let page = world.logged_in(name).await.get("/").await.text;
        let shown = page.split("<span class=\"role\">").nth(1).and_then(|rest| rest.split('<').next());
        assert_eq!(shown, role, "{name}");
    }
}

#[tokio::test]
async fn a_login_that_is_not_proven_again_makes_no_change_even_without_a_time() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.browser();
    let url = bob.begin("/").await;
    let none = |token: &mut Value| {
        token.as_object_mut().unwrap().remove("auth_time");
    };
    assert_eq!(bob.come_back(&bob.answer(&url, "bob+finance", none)).await.status, 200);
    assert_eq!(bob.decide(&id, "approve", "").await.status, 200, "off to the provider");
    assert_eq!(world.votes(&id).await, 0);
}

#[tokio::test]
async fn sessions_end_when_nobody_is_there_and_when_they_are_old() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    for _ in 0..15 {
        world.clock.advance(Duration::from_secs(29 * 60));
        assert_eq!(bob.get("/history").await.status, 200);
    }
    world.clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(bob.get("/history").await.status, 303, "idle");
    let bob = world.logged_in("bob+finance").await;
    for _ in 0..16 {
        world.clock.advance(Duration::from_secs(1_790));
        assert_eq!(bob.get("/history").await.status, 200);
    }
    world.clock.advance(Duration::from_secs(200));
    assert_eq!(bob.get("/history").await.status, 303, "eight hours");
}

#[tokio::test]
async fn who_leaves_takes_every_copy_of_the_session_along() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let copy = bob.cookies.lock().clone();
    let token = bob.get("/").await.form_token();
    let gone = bob.post("/logout", &[("csrf", &token)]).await;
    assert_eq!((gone.status, gone.location()), (303, "/login"));
    assert_eq!(bob.cookies.lock().keys().collect::<Vec<_>>(), ["portcullis-known"], "which lets nobody in");
    let thief = world.browser();
    *thief.cookies.lock() = copy;
    refused_soon(&thief).await;
    assert_eq!(*world.told.0.lock(), ["bob logged_in", "bob logged_out"]);
    // Others of the same person are still there, and come in again.
    assert_eq!(world.logged_in("bob+finance").await.get("/").await.status, 200);
}

/// Revocations are followed, not asked for.
async fn refused_soon(browser: &Browser<'_>) {
    for _ in 0..200 {
        if browser.get("/history").await.status == 303 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("still let in");
}

#[tokio::test]
async fn who_is_revoked_is_out() {
    use crate::credential::RevocationKind;
    use crate::store::{CredentialChange, NewRevocation};
    for (kind, value) in [(RevocationKind::Subject, "bob"), (RevocationKind::Session, "sid-1")] {
        let world = World::start().await;
        let bob = world.logged_in("bob+finance").await;
        let new = NewRevocation {
            kind,
            value: value.into(),
            issuer: String::new(),
            issued_before: None,
            until: None,
            created_by: crate::actor::Actor::default(),
            reason: String::new(),
        };
        world.admin.store.change_credential(CredentialChange::Revoke(new)).await.unwrap();
        refused_soon(&bob).await;
    }
}

#[tokio::test]
async fn the_list_is_sent_anew_when_something_changes_until_the_session_ends() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let mut stream = bob.stream("/live").await;
    let mut seen = String::new();
    until(&mut stream, &mut seen, "Nothing waits").await;
    let id = world.admin.hold("a", 1).await;
    until(&mut stream, &mut seen, &id).await;
    let token = bob.get("/").await.form_token();
    bob.post("/logout", &[("csrf", &token)]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.admin.hold("b", 1).await;
    until(&mut stream, &mut seen, "Your session has ended").await;
    until(&mut stream, &mut seen, "event: ended").await;
    assert_eq!(bob.get("/live").await.status, 403, "no page to be shown in the list");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_says_so_and_ends_nothing() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let mut stream = bob.stream("/live").await;
    let mut seen = String::new();
    until(&mut stream, &mut seen, "Nothing waits").await;
    world.admin.hold("a", 1).await;
    world.admin.store.close().await;
    until(&mut stream, &mut seen, "event: away").await;
    seen.clear();
    until(&mut stream, &mut seen, "event: away").await;
}

#[tokio::test]
async fn one_person_has_a_few_live_lists_and_others_have_theirs() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(bob.stream("/live").await);
    }
    assert_eq!(bob.get("/live").await.status, 503);
    world.logged_in("carl+finance").await.stream("/live").await;
}

#[tokio::test]
async fn a_list_that_all_watch_shows_each_their_own() {
    let world = World::start().await;
    let (bob, ana) = (world.logged_in("bob+finance").await, world.logged_in("sara+security").await);
    let (mut his, mut hers) = (bob.stream("/live").await, ana.stream("/live").await);
    let (mut seen, mut none) = (String::new(), String::new());
    until(&mut his, &mut seen, "Nothing waits").await;
    until(&mut hers, &mut none, "Nothing waits").await;
    none.clear();
    let id = world.admin.hold("a", 1).await;
    until(&mut his, &mut seen, &id).await;
    until(&mut hers, &mut none, "Nothing waits").await;
    assert!(!none.contains(&id), "{none}");
}

#[tokio::test]
async fn a_session_that_cannot_be_checked_is_no_lost_one() {
    let world = World::stale().await;
    let bob = world.logged_in("bob+finance").await;
    let got = bob.get("/").await;
    assert_eq!(got.status, 503);
    assert!(got.text.contains("check sessions now"), "{}", got.text);
    assert!(bob.cookies.lock().contains_key("portcullis"), "it is kept");
}

#[tokio::test]
async fn a_log_out_takes_back_nothing_and_is_in_no_list() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.logged_in("bob+finance").await;
    bob.decide(&id, "approve", "").await;
    let token = bob.get("/").await.form_token();
    assert_eq!(bob.post("/logout", &[("csrf", &token)]).await.location(), "/login");
    assert!(world.admin.store.revocations(10, None).await.unwrap().is_empty());
    let kept = world.admin.store.credential_changes(None).await.unwrap().revocations.remove(0).1.unwrap();
    assert_eq!(kept.kind, crate::credential::RevocationKind::ConsoleSession);
    let longest = Times::default().longest.as_secs();
    assert_eq!(kept.until.unwrap().as_second(), world.seconds() + i64::try_from(longest).unwrap());
    assert_eq!(world.admin.store.approval(&id).await.unwrap().unwrap().state.as_str(), "approved");
}

#[tokio::test]
async fn a_log_out_that_is_not_kept_says_so() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let token = bob.get("/").await.form_token();
    world.admin.store.close().await;
    let got = bob.post("/logout", &[("csrf", &token)]).await;
    assert_eq!(got.status, 503);
    assert!(got.text.contains("logged out here only"), "{}", got.text);
    assert!(!bob.cookies.lock().contains_key("portcullis"));
}

#[tokio::test]
async fn the_first_one_comes_in_by_the_one_time_token_and_approves_nothing() {
    let world = World::with(Setting { provider: false, ..USUAL }).await;
    let id = world.admin.hold("a", 1).await;
    let token = std::fs::read_to_string(world.folder.path().join("first-login")).unwrap();
    let first = world.browser();
    assert!(first.get("/login").await.text.contains("one-time token"));
    assert_eq!(first.post("/login", &[]).await.status, 404, "no provider");
    assert_eq!(first.post("/login/first", &[("token", "guess")]).await.status, 403);
    assert_eq!(first.post("/login/first", &[("token", &token)]).await.status, 303);
    assert!(first.get("/policies").await.text.contains("Upload a bundle"));
    assert_eq!(first.decide(&id, "approve", "").await.status, 403);
    assert_eq!(world.votes(&id).await, 0);
    world.clock.advance(Duration::from_secs(14 * 60));
    let late = first.decide(&id, "approve", "").await;
    assert_eq!(late.status, 403, "not for want of a fresh login, which nobody could give: {}", late.text);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(first.get("/").await.status, 303, "fifteen minutes");
    let second = world.browser();
    assert_eq!(second.post("/login/first", &[("token", &token)]).await.status, 403, "once");
    assert!(second.get("/login").await.text.contains("Nobody can log in"));
    assert_eq!(*world.told.0.lock(), ["first-login logged_in_by_one_time_token"]);
}
