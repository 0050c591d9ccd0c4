//! The console in a real browser, with logins at a real OpenID provider, while calls wait behind a real Envoy.
//!
//! `browser` drives Chromium by the WebDriver protocol, `provider` runs npm's oidc-provider. A machine without them skips
//! these tests and says so; with `PORTCULLIS_BROWSER=required` they fail there instead.

mod browser;
mod provider;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis_sample::{address, repository};

use crate::world::{Got, Options, World};
use browser::Browser;
use provider::Provider;

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - name: large
      when: '"staff" in identity.groups && request.body.amount > 500'
      hold: {approvers: {groups: [finance-oncall]}, wait: 10m, because: Large refunds wait for a second pair of eyes.}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: payouts}
spec:
  match: [{paths: ["/v1/payouts"], methods: [POST]}]
  rules:
    - name: any
      when: '"staff" in identity.groups'
      hold:
        approvers: {all_of: [{groups: [finance-oncall], count: 2}, {groups: [security], people: [eve@example.com]}]}
        wait: 10m
        remind_after: 10m
        escalate: {after: 30m, approvers: {groups: [managers]}}
        grant: {for: 1h, same: [method, host, path]}
        break_glass: {groups: [duty-officers]}
        hours: {days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "24:00", time_zone: Europe/Berlin}
        because: Payouts need two people of finance, and security.
"#;

const REFUND: &str = r#"{"order": "o-1003", "amount": 700, "currency": "EUR", "note": "damaged on arrival", "items": [{"sku": "A-1", "count": 2}]}"#;

/// What these tests need, or why it is not there.
fn missing() -> Option<String> {
    let on_path = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    let module = repository().join(".tools/oidc-provider/node_modules/oidc-provider");
    let needs = [
        ("chromedriver (Debian's chromium-driver)", on_path("chromedriver")),
        ("node", on_path("node")),
        ("oidc-provider in .tools/ (`make tools` with npm)", module.is_dir()),
    ];
    let absent: Vec<_> = needs.iter().filter(|(_, there)| !there).map(|(what, _)| *what).collect();
    (!absent.is_empty()).then(|| format!("needs {}", absent.join(", ")))
}

/// Whether a test is skipped here, said past the harness, which keeps what passing tests print to itself.
fn skipped(test: &str) -> bool {
    let Some(why) = missing() else { return false };
    let required = std::env::var("PORTCULLIS_BROWSER").is_ok_and(|value| value == "required");
    assert!(!required, "{test} {why}");
    use std::io::Write as _;
    // `eprintln!` would be kept from the log, where `scripts/skipped` looks for it.
    #[expect(clippy::explicit_write, reason = "the test harness captures what the macro prints")]
    writeln!(std::io::stderr(), "\ntest console::{test} ... ignored, {why}").unwrap();
    true
}

/// A free address that no socket with any port draws meanwhile: below the range that the kernel draws from.
fn address_of_our_own() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut candidates = std::iter::repeat_with(|| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(7));
        SocketAddr::from(([127, 0, 0, 1], 20_000 + u16::try_from(step % 10_000).unwrap()))
    });
    candidates.by_ref().take(1_000).find(|candidate| !address::is_taken(*candidate)).expect("a free port")
}

/// How long a caller waits for people who are slow, as on a machine that does much else.
const AT_MOST: Duration = Duration::from_secs(600);

/// Sends a call that is held.
fn hold(world: &World, path: &str, body: &str) -> tokio::task::JoinHandle<Got> {
    world.send(world.post_request(path, Some("ana"), body).timeout(AT_MOST))
}

/// A world whose console logs people in at `provider`.
async fn world() -> (World, Provider) {
    let admin = address_of_our_own();
    let console = format!("http://{admin}");
    let provider = Provider::start(&console).await;
    let issuer = provider.issuer();
    let edit = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let jwt = format!(
        "admin: {{viewers: [auditors], admins: [operators], console: {{issuer: \"{issuer}\", client_id: console, \
         client_secret_file: client.secret}}, jwt: [{{issuer: \"{issuer}\", audiences: [api], algorithms: [RS256], \
         jwks: {{discovery: true}}, claims: {{groups: groups, person: person}}}}, "
    );
    let options = Options::default()
        .policies(POLICIES)
        .edit_config("admin: {jwt: [", edit(jwt))
        .edit_config("admin: 127.0.0.1:0", edit(format!("admin: {admin}")))
        .file("client.secret", provider::SECRET);
    (World::start(options).await, provider)
}

fn screenshots() -> PathBuf {
    let folder = repository().join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_a_call_in_a_browser_and_it_goes_on() {
    if skipped("a_person_approves_a_call_in_a_browser_and_it_goes_on") {
        return;
    }
    let (world, _provider) = world().await;
    let browser = Browser::start().await;
    let console = format!("http://{}", world.addresses.admin);
    browser.open(&console).await;
    browser.see("Go on to your identity provider").await;
    browser.shoot(&screenshots(), "login").await;
    browser.click("button.approve").await;
    log_in(&browser, "bob+finance-oncall+operators+auditors").await;
    browser.see("Nothing waits.").await;
    browser.see("live").await;

    // It arrives by itself.
    let held = hold(&world, "/v1/refunds", REFUND);
    browser.see("/v1/refunds").await;
    let other = hold(&world, "/v1/refunds", &REFUND.replace("700", "9000"));
    browser.count(".call", 2).await;
    browser.shoot(&screenshots(), "pending").await;
    assert!(!held.is_finished());
    // The older one, by the keyboard.
    browser.press_until("j", ".call:last-child a").await;
    browser.press("\u{e007}").await;
    browser.see("Who asks").await;
    for text in ["ana@example.com", "\"amount\": 700", "Large refunds wait", "refunds/large"] {
        browser.see(text).await;
    }
    browser.write("#reason", "checked with the customer").await;
    browser.shoot(&screenshots(), "approval").await;
    browser.click("button.approve").await;
    browser.see("Approved. Your decision is recorded.").await;
    let got = held.await.unwrap();
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);

    browser.click(".call a").await;
    browser.see("9000").await;
    browser.write("#reason", "too much").await;
    browser.click("button.reject").await;
    browser.see("Rejected. Your decision is recorded.").await;
    let refused = other.await.unwrap();
    assert_eq!((refused.status, refused.error().as_str()), (403, "approval_rejected"));
    assert_eq!(refused.json()["message"], "too much");
    for (path, text) in [
        ("history", "rejected"),
        ("decisions", "approval_rejected"),
        ("policies", "Upload a bundle"),
        ("health", "Keys of"),
    ] {
        browser.open(&format!("{console}/{path}")).await;
        browser.see(text).await;
        browser.shoot(&screenshots(), path).await;
    }
    // Decisions arrive by themselves too.
    browser.open(&format!("{console}/decisions?outcome=deny")).await;
    browser.see("live").await;
    world.send(world.post_request("/v1/arrived-by-itself", Some("ana"), "{}")).await.unwrap();
    browser.see("/v1/arrived-by-itself").await;
    browser.complained_of_nothing(&console).await;
    browser.click(".who button").await;
    browser.see("Go on to your identity provider").await;
    browser.open(&console).await;
    browser.see("Log in").await;
    let record = world.recorded(|record| record["change"] == "logged_out").await;
    assert_eq!(record["identity"]["person"], "bob@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_writes_runs_in_no_browser_and_a_stale_login_is_renewed() {
    if skipped("what_a_caller_writes_runs_in_no_browser_and_a_stale_login_is_renewed") {
        return;
    }
    let (mut world, _provider) = world().await;
    let path = world.folder.path().join("portcullis.yaml");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("client_id: console,", "client_id: console, fresh: 20s,");
    std::fs::write(&path, text).unwrap();
    world.drain().await;
    world.restart().await;
    let browser = Browser::start().await;
    let console = format!("http://{}", world.addresses.admin);
    browser.open(&console).await;
    browser.click("button.approve").await;
    log_in(&browser, "bob+finance-oncall").await;
    browser.see("live").await;
    let hostile = "<img src=x onerror='document.title=1'></pre><script>document.title=1</script>\u{202e}evom";
    let body = serde_json::json!({"amount": 700, "note": hostile}).to_string();
    let held = hold(&world, "/v1/refunds?q=%3Cscript%3E", &body);
    browser.see("/v1/refunds").await;
    tokio::time::sleep(Duration::from_secs(21)).await;
    browser.click(".call a").await;
    browser.see("</pre><script>document.title=1</script>").await;
    browser.see("\\u{202e}").await;
    browser.shoot(&screenshots(), "hostile").await;
    browser.write("#reason", "a reason that survives").await;
    browser.click("button.approve").await;
    // At the provider, once more.
    log_in(&browser, "bob+finance-oncall").await;
    browser.see("Who asks").await;
    assert!(!held.is_finished(), "coming back decides nothing");
    assert_eq!(browser.value("#reason").await, "a reason that survives");
    browser.click("button.approve").await;
    browser.see("Approved. Your decision is recorded.").await;
    assert_eq!(held.await.unwrap().status, 200);
    browser.complained_of_nothing(&console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_approve_what_needs_three_and_one_breaks_the_glass() {
    if skipped("two_approve_what_needs_three_and_one_breaks_the_glass") {
        return;
    }
    let (world, _provider) = world().await;
    let console = format!("http://{}", world.addresses.admin);
    let held = hold(&world, "/v1/payouts", REFUND);
    let bob = Browser::start().await;
    bob.open(&console).await;
    bob.click("button.approve").await;
    log_in(&bob, "bob+finance-oncall").await;
    bob.see("0 of 2").await;
    bob.click(".call a").await;
    bob.see("every call by ana@example.com with the same method, host and path").await;
    bob.click("button.approve").await;
    bob.see("1 of 2 finance-oncall (bob@example.com)").await;

    let dora = Browser::start().await;
    dora.open(&console).await;
    dora.click("button.approve").await;
    log_in(&dora, "dora+finance-oncall+duty-officers").await;
    dora.see("1 of 2").await;
    dora.shoot(&screenshots(), "quorum").await;
    dora.click(".call a").await;
    for text in
        ["approved: bob@example.com", "open now", "The approvers are reminded", "managers may decide too"]
    {
        dora.see(text).await;
    }
    dora.shoot(&screenshots(), "approval-quorum").await;
    dora.click("a.alarm").await;
    dora.see("alone and at once").await;
    dora.shoot(&screenshots(), "break-glass").await;
    // The browser itself asks for a reason and the tick.
    dora.click("button.alarm").await;
    dora.see("Break the glass?").await;
    assert!(!held.is_finished());
    dora.write("#reason", "payday, and nobody of security is awake").await;
    dora.click("input[name=confirm]").await;
    dora.click("button.alarm").await;
    dora.see("You broke the glass").await;
    held.await.unwrap();
    assert_eq!(world.upstream.calls_to("/v1/payouts"), 1);
    let record = world.recorded(|record| record["kind"] == "broken_glass").await;
    assert_eq!(record["identity"]["person"], "dora@example.com");
    dora.complained_of_nothing(&console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_essentials_work_in_a_browser_that_runs_no_script() {
    if skipped("the_essentials_work_in_a_browser_that_runs_no_script") {
        return;
    }
    let (world, _provider) = world().await;
    let console = format!("http://{}", world.addresses.admin);
    let browser = Browser::without_scripts().await;
    browser.open(&console).await;
    browser.click("button.approve").await;
    log_in(&browser, "bob+finance-oncall+auditors").await;
    browser.see("Nothing waits.").await;
    browser.see("reload to see more").await;
    let approved = hold(&world, "/v1/refunds", REFUND);
    until_listed(&browser, &console).await;
    browser.click(".call a").await;
    browser.see("Large refunds wait").await;
    browser.write("#reason", "by hand").await;
    browser.click("button.approve").await;
    browser.see("Approved. Your decision is recorded.").await;
    assert_eq!(approved.await.unwrap().status, 200);
    let rejected = hold(&world, "/v1/refunds", &REFUND.replace("700", "9000"));
    until_listed(&browser, &console).await;
    browser.click(".call a").await;
    browser.write("#reason", "too much").await;
    browser.click("button.reject").await;
    browser.see("Rejected. Your decision is recorded.").await;
    assert_eq!(rejected.await.unwrap().error(), "approval_rejected");
    browser.open(&format!("{console}/decisions")).await;
    browser.see("approval_rejected").await;
    browser.see("Refresh").await;
    browser.see("reload to see more").await;
}

/// Reloads the list until something waits: without scripts nothing comes by itself.
async fn until_listed(browser: &Browser, console: &str) {
    for _ in 0..100 {
        browser.open(console).await;
        if browser.has(".call").await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing waits");
}

/// The provider's own pages: a name, any password, and consent where it asks for it.
async fn log_in(browser: &Browser, name: &str) {
    browser.write("input[name=login]", name).await;
    browser.write("input[name=password]", "any").await;
    browser.click("button.login-submit").await;
    browser.consent().await;
}
