//! What must not work.

use std::time::Duration;

use super::*;

const PAGES: [&str; 7] =
    ["/", "/history", "/decisions", "/policies", "/health", "/login", "/assets/console.css"];

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.logged_in("bob+finance").await;
    let eve = world.logged_in("eve+finance").await;
    let (mine, foreign) = (bob.get("/").await.form_token(), eve.get("/").await.form_token());
    let path = format!("/approvals/{id}/approve");
    for token in ["", "00", foreign.as_str(), &mine[1..]] {
        let got = bob.post(&path, &[("csrf", token), ("reason", "x")]).await;
        assert_eq!((got.status, world.votes(&id).await), (403, 0), "{token}");
    }
    let good = [("csrf", mine.as_str())];
    assert_eq!(bob.send(bob.form(&path, &good)).await.status, 403, "no origin");
    for origin in [
        "null",
        "https://evil.example",
        "http://127.0.0.1:9191",
        "https://127.0.0.1:9190",
        "http://localhost:9190",
    ] {
        let got = bob.send(bob.form(&path, &good).header("origin", origin)).await;
        assert_eq!(got.status, 403, "{origin}");
    }
    let got = bob
        .send(bob.form(&path, &good).header("origin", ORIGIN).header("origin", "https://evil.example"))
        .await;
    assert_eq!((got.status, world.votes(&id).await), (403, 0));
    for path in ["/logout", "/policies/rollback"] {
        assert_eq!(bob.post(path, &[("csrf", &foreign)]).await.status, 403, "{path}");
    }
    assert_eq!(bob.get("/").await.status, 200, "still logged in");
    assert_eq!(bob.post(&path, &good).await.status, 303);
}

#[tokio::test]
async fn asking_for_a_page_changes_nothing() {
    let world = World::start().await;
    let id = world.admin.hold("a", 1).await;
    let bob = world.logged_in("bob+finance+operators").await;
    let token = bob.get("/").await.form_token();
    let changes = [format!("/approvals/{id}/approve"), format!("/approvals/{id}/reject"), "/logout".into()];
    let policies = ["activate", "rollback", "pin", "unpin"].map(|change| format!("/policies/{change}"));
    for path in changes.into_iter().chain(policies).chain(["/login/first".into()]) {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
            let url = format!("{}{path}?csrf={token}&reason=x", world.url);
            assert_eq!(bob.send(bob.client.request(method, url)).await.status, 405, "{path}");
        }
    }
    for path in [format!("/approvals/{id}"), "/?done=approve".into(), "/policies".into(), "/live".into()] {
        bob.send(bob.client.head(format!("{}{path}", world.url))).await;
    }
    assert_eq!(world.votes(&id).await, 0);
    assert_eq!(bob.get("/").await.status, 200);
}

#[tokio::test]
async fn the_rules_of_approval_hold_here_too() {
    let world = World::start().await;
    let id = world.admin.hold("a", 2).await;
    let own = world.logged_in("ana+finance").await;
    assert!(own.get(&format!("/approvals/{id}")).await.text.contains("You can't decide on this call"));
    let refused = own.decide(&id, "approve", "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("Nobody may decide on their own call"), "{}", refused.text);
    let viewer = world.logged_in("vera+auditors").await;
    let seen = viewer.get(&format!("/approvals/{id}")).await;
    assert!(seen.status == 200 && !seen.text.contains("pay 700") && !seen.text.contains("sha256:"));
    assert_eq!(viewer.decide(&id, "approve", "").await.status, 403);
    assert_eq!(
        viewer.post("/policies/rollback", &[("csrf", &viewer.get("/").await.form_token())]).await.status,
        403
    );
    let stranger = world.logged_in("dave+staff").await;
    assert_eq!(stranger.get(&format!("/approvals/{id}")).await.status, 403);
    assert!(
        !stranger.get("/").await.text.contains(&id) && !stranger.get("/history").await.text.contains(&id)
    );
    for path in ["/decisions", "/policies", "/health"] {
        assert_eq!(stranger.get(path).await.status, 403, "{path}");
    }
    assert_eq!(stranger.decide(&id, "reject", "").await.status, 403);
    let bob = world.logged_in("bob+finance").await;
    assert_eq!(bob.decide(&id, "approve", "").await.status, 303);
    assert_eq!(bob.decide(&id, "approve", "").await.status, 409, "one person, one vote");
    assert_eq!(world.votes(&id).await, 1);
}

#[tokio::test]
async fn an_answer_of_the_provider_counts_once_in_one_browser_and_in_time() {
    let world = World::start().await;
    let bob = world.browser();
    let url = bob.begin("/").await;
    let answer = bob.answer(&url, "bob+finance", |_| {});
    let eve = world.browser();
    assert_eq!(eve.come_back(&answer).await.status, 403, "another browser");
    eve.begin("/").await;
    assert_eq!(eve.come_back(&answer).await.status, 403, "with a flow of its own");
    let flow = bob.cookies.lock().clone();
    assert_eq!(bob.come_back(&answer).await.status, 200);
    *bob.cookies.lock() = flow;
    assert_eq!(bob.come_back(&answer).await.status, 403, "replayed with the cookie put back");
    assert!(!bob.cookies.lock().contains_key("portcullis"));
    let url = bob.begin("/").await;
    let answer = bob.answer(&url, "bob+finance", |_| {});
    world.clock.advance(Duration::from_secs(601));
    assert_eq!(bob.come_back(&answer).await.status, 403, "too late");
    for query in ["", "code=1&state=", "code=1&state=guess"] {
        bob.begin("/").await;
        assert_eq!(bob.come_back(query).await.status, 403, "{query}");
    }
    let url = bob.begin("/").await;
    let refused =
        bob.answer(&url, "bob", |_| {}).replace("code=", "error=access_denied&error_description=%3Cb%3E&x=");
    let refused = bob.come_back(&refused).await;
    assert!(refused.status == 403 && refused.text.contains("access_denied &lt;b&gt;"), "{}", refused.text);
}

#[tokio::test]
async fn a_token_of_another_login_client_or_time_is_refused() {
    let world = World::start().await;
    let later = world.seconds() + 3_600;
    let changes: [(&str, Value); 6] = [
        ("nonce", json!("other")),
        ("nonce", json!(null)),
        ("azp", json!("other")),
        ("aud", json!(["console", "other"])),
        ("auth_time", json!(later)),
        ("auth_time", json!("now")),
    ];
    for (claim, value) in changes {
        let bob = world.browser();
        let url = bob.begin("/").await;
        let got = bob.come_back(&bob.answer(&url, "bob", |token| token[claim] = value.clone())).await;
        assert_eq!(got.status, 403, "{claim} {value}");
        assert!(!bob.cookies.lock().contains_key("portcullis"));
    }
    // A code that was stolen lacks the browser's verifier.
    let (bob, eve) = (world.browser(), world.browser());
    let (stolen, own) = (bob.begin("/").await, eve.begin("/").await);
    let code = bob.answer(&stolen, "bob", |_| {}).split('&').next().unwrap().to_owned();
    let answer = eve.answer(&own, "eve", |_| {});
    let injected = answer.split('&').skip(1).fold(code, |query, pair| format!("{query}&{pair}"));
    let got = eve.come_back(&injected).await;
    assert!(got.status == 403 && got.text.contains("invalid_grant"), "{}", got.text);
}

#[tokio::test]
async fn an_answer_of_another_provider_is_refused() {
    let world = World::start().await;
    let bob = world.browser();
    let url = bob.begin("/").await;
    let answer = bob.answer(&url, "bob", |_| {});
    let other = answer.replace("iss=", "iss=https%3A%2F%2Fevil.example&x=");
    assert_eq!(bob.come_back(&other).await.status, 403);
    let url = bob.begin("/").await;
    let nameless = bob.answer(&url, "bob", |_| {}).replace("&iss=", "&x=");
    assert_eq!(bob.come_back(&nameless).await.status, 403, "this provider always says who it is");
    let world = World::with(Setting { names_itself: false, ..USUAL }).await;
    let bob = world.browser();
    let url = bob.begin("/").await;
    assert_eq!(bob.come_back(&bob.answer(&url, "bob", |_| {}).replace("&iss=", "&x=")).await.status, 200);
}

#[tokio::test]
async fn a_session_is_never_taken_over_from_before_the_login() {
    let world = World::start().await;
    let eve = world.logged_in("eve+finance").await;
    let planted = eve.cookies.lock()["portcullis"].clone();
    let bob = world.browser();
    bob.cookies.lock().insert("portcullis".into(), planted.clone());
    assert_eq!(bob.log_in("bob+finance").await.status, 200);
    assert_ne!(bob.cookies.lock()["portcullis"], planted);
    assert!(bob.get("/").await.text.contains("bob@example.com"));
    assert!(eve.get("/").await.text.contains("eve@example.com"));
    for forged in ["", "e30", "bob", planted.get(1..).unwrap()] {
        let browser = world.browser();
        browser.cookies.lock().insert("portcullis".into(), forged.into());
        assert_eq!(browser.get("/").await.status, 303, "{forged}");
    }
    // What is sealed for a login is no session.
    let browser = world.browser();
    browser.begin("/").await;
    let flow = browser.cookies.lock()["portcullis-login"].clone();
    browser.cookies.lock().insert("portcullis".into(), flow);
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn every_answer_keeps_out_of_frames_and_of_caches_and_runs_our_files_only() {
    let world = World::start().await;
    let bob = world.logged_in("bob+operators").await;
    let mut answers = Vec::new();
    for path in PAGES.into_iter().chain(["/approvals/none", "/login/callback", "/assets/none"]) {
        answers.push((path, bob.get(path).await));
    }
    answers.push(("refused", bob.send(bob.form("/logout", &[])).await));
    for (path, got) in answers {
        let policy = got.headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        let header = |name: &str| got.headers[name].to_str().unwrap();
        assert_eq!(
            (header("x-frame-options"), header("x-content-type-options")),
            ("DENY", "nosniff"),
            "{path}"
        );
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        let cached = if path.starts_with("/assets/console") { "private, no-cache" } else { "no-store" };
        assert_eq!(header("cache-control"), cached, "{path}");
        for inline in ["<script>", " style=", " onclick=", "javascript:", "<style"] {
            assert!(path.starts_with("/assets") || !got.text.contains(inline), "{path}: {inline}");
        }
    }
}

#[tokio::test]
async fn cookies_of_a_console_with_tls_are_secure() {
    let world = World::with(Setting { origin: "https://console.example", ..USUAL }).await;
    let browser = world.browser();
    let request = browser
        .form("/login", &[])
        .header("host", "console.example")
        .header("origin", "https://console.example");
    let got = browser.send_bare(request).await;
    assert_eq!(got.status, 200);
    let cookie = got.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-portcullis-login=") && cookie.contains("; Secure"), "{cookie}");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax") && !cookie.contains("Domain"));
    assert!(got.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn only_the_configured_name_is_served() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let cookie = format!("portcullis={}", bob.cookies.lock()["portcullis"]);
    let ask = |host: &'static str, method: reqwest::Method| {
        let request = bob.client.request(method, format!("{}/history", world.url));
        bob.send_bare(request.header("host", host).header(COOKIE, cookie.clone()))
    };
    for host in [
        "evil.example",
        "evil.example:9190",
        "127.0.0.1",
        "127.0.0.1.evil.example:9190",
        "127.0.0.1:9190@evil.example",
    ] {
        let got = ask(host, reqwest::Method::GET).await;
        assert!(got.status == 421 && !got.text.contains("bob@"), "{host} {}", got.status);
    }
    let got = ask("localhost:9190", reqwest::Method::GET).await;
    assert_eq!((got.status, got.location()), (303, "http://127.0.0.1:9190/history"));
    assert_eq!(ask("localhost:9190", reqwest::Method::POST).await.status, 421);
    // The API has no cookies, and other names.
    let request = bob.client.get(format!("{}/api/v1/approvals", world.url)).bearer_auth("bob+finance");
    assert_eq!(bob.send_bare(request).await.status, 200);
    let request = bob.client.get(format!("{}/api/v1/approvals", world.url)).header(COOKIE, cookie.clone());
    assert_eq!(bob.send_bare(request).await.status, 401, "a session is no token");
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_after_a_login() {
    let world = World::start().await;
    for next in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/%0d%0a",
        "javascript:alert(1)",
        "/logout",
    ] {
        let bob = world.browser();
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        let page = bob.get(&format!("/login?{query}")).await;
        assert!(!page.text.contains("evil") && !page.text.contains("javascript"), "{}", page.text);
        let url = bob.begin(next).await;
        let back = bob.come_back(&bob.answer(&url, "bob", |_| {})).await;
        assert!(["/", "/%0d%0a"].contains(&back.refresh().as_str()), "{}", back.refresh());
        let again = bob.get(&format!("/login?{query}")).await;
        assert!(
            again.status == 303 && again.location().starts_with('/') && !again.location().contains("evil")
        );
    }
}

#[tokio::test]
async fn logins_and_guesses_are_limited_and_who_was_here_before_still_comes_in() {
    let world = World::start().await;
    let known = world.logged_in("bob+finance").await;
    let token = known.get("/").await.form_token();
    assert_eq!(known.post("/logout", &[("csrf", &token)]).await.status, 303);
    let eve = world.browser();
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..25 {
        let got = eve.post("/login", &[]).await;
        statuses.insert(got.status);
        if got.status == 429 {
            assert!(got.text.contains("Too many logins from your address: try again in 3 s"), "{}", got.text);
            assert_eq!(got.headers["retry-after"], "3");
        }
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 429]);
    assert_eq!(eve.come_back("code=1&state=guess").await.status, 429, "the way back counts too");
    assert_eq!(eve.post("/login/first", &[("token", "guess")]).await.status, 429, "and so do guesses");
    // Nothing else is limited, and neither is who came in before: they share the address with the flood.
    assert_eq!(eve.get("/login").await.status, 200);
    assert_eq!(known.log_in("bob+finance").await.status, 200);
    // What was refused did not count: the next attempt is earned as soon as ever.
    world.clock.advance(Duration::from_secs(3));
    assert_eq!(eve.post("/login", &[]).await.status, 200);
    let counted = world.metrics.render();
    for (result, least) in [("logged_in", 2), ("too_many_from_address", 5)] {
        let line = format!("portcullis_console_logins_total{{result=\"{result}\"}} ");
        let count = counted.split(&line).nth(1).and_then(|rest| rest.lines().next()?.parse::<u32>().ok());
        assert!(count.is_some_and(|count| count >= least), "{result} in {counted}");
    }
}

#[tokio::test]
async fn a_known_browser_is_one_that_we_sealed_and_lets_nobody_in() {
    let world = World::start().await;
    let bob = world.browser();
    let came = bob.log_in("bob+finance").await;
    let set = came.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let known = set.filter(|cookie| cookie.starts_with("portcullis-known=")).collect::<String>();
    assert!(known.contains("SameSite=Lax"), "the way back from the provider shows it too: {known}");
    let cookie = bob.cookies.lock()["portcullis-known"].clone();
    for (known, session) in [("forged", None), (&cookie[1..], None), (&*cookie, Some(&cookie))] {
        let eve = world.browser();
        eve.cookies.lock().insert("portcullis-known".into(), known.to_owned());
        if let Some(session) = session {
            eve.cookies.lock().insert("portcullis".into(), session.clone());
            assert_eq!(eve.get("/").await.status, 303, "it is no session");
            continue;
        }
        for _ in 0..30 {
            eve.post("/login", &[]).await;
        }
        assert_eq!(eve.post("/login", &[]).await.status, 429, "{known}");
    }
    let mine = world.browser();
    mine.cookies.lock().insert("portcullis-known".into(), cookie);
    assert_eq!(mine.post("/login", &[]).await.status, 200);
    world.clock.advance(Duration::from_secs(91 * 24 * 3_600));
    for _ in 0..20 {
        world.browser().post("/login", &[]).await;
    }
    assert_eq!(mine.post("/login", &[]).await.status, 429, "not for ever");
}

#[tokio::test]
async fn the_one_time_token_is_not_guessed_at_for_long() {
    let world = World::with(Setting { provider: false, ..USUAL }).await;
    let token = std::fs::read_to_string(world.folder.path().join("first-login")).unwrap();
    let eve = world.browser();
    for _ in 0..4 {
        assert_eq!(eve.post("/login/first", &[("token", "guess")]).await.status, 403);
    }
    let right = [("token", token.as_str())];
    assert_eq!(eve.post("/login/first", &right).await.status, 429, "the right one too");
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(world.browser().post("/login/first", &right).await.status, 303);
    let counted = world.metrics.render();
    for line in ["{result=\"refused\"} 4", "{result=\"one_time_token\"} 1"] {
        assert!(counted.contains(line), "{line} in {counted}");
    }
}
