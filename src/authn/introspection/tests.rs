use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::authn::callout::testing::{Behaviour, NOW, Service, callout, clock, logged, nobody};
use crate::authn::config::ClaimNames;
use crate::identity::Method;

mod claims;

const SECRET: &str = "s3cr3t p+%:é";

/// The configuration for a server, with a file of the secret that is gone once it was read.
fn build(url: &str, edit: impl FnOnce(&mut IntrospectionConfig)) -> Introspection {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let mut config = IntrospectionConfig {
        callout: callout(url),
        client_id: "gate way&co".into(),
        client_secret_file: secret,
        audiences: Some(vec!["api".into(), "web".into()]),
        issuer: Some("https://as.example.com".into()),
        claims: ClaimNames {
            person: Some("human".into()),
            tenant: Some("org".into()),
            ..ClaimNames::default()
        },
        leeway: Duration::from_secs(30),
    };
    edit(&mut config);
    Introspection::new(config, clock()).unwrap()
}

async fn start(behaviour: Behaviour) -> (Service, Introspection) {
    let service = Service::start(behaviour).await;
    let introspection = build(&service.url(), |_| ());
    (service, introspection)
}

/// The example of RFC 7662, section 2.2, and what we read besides.
fn good() -> Value {
    json!({"active": true, "client_id": "l238j323ds-23ij4", "username": "jdoe", "scope": "read write dolphin",
        "sub": "Z5O3upPC88QrAjx00dis", "aud": "api", "iss": "https://as.example.com", "exp": NOW + 300,
        "iat": NOW - 10, "nbf": NOW - 10, "jti": "t1", "groups": ["staff"], "email": "ana@example.com",
        "human": "p-17", "org": "shop", "sid": "s1", "token_type": "Bearer", "extension_field": "twenty-seven"})
}

#[tokio::test]
async fn an_active_token_is_an_identity() {
    let (_service, introspection) = start(Behaviour::Json(good())).await;
    let identity = introspection.identify("2YotnFZFEjr1zCsicMWpAA").await.unwrap();
    assert_eq!((identity.method, &*identity.subject), (Method::Introspection, "Z5O3upPC88QrAjx00dis"));
    assert_eq!((&*identity.issuer, &*identity.email), ("https://as.example.com", "ana@example.com"));
    assert_eq!((&identity.groups[..], identity.person.as_deref()), (&["staff".to_owned()][..], Some("p-17")));
    assert_eq!((identity.expires.unwrap().as_second(), &*identity.token_id), (NOW + 300, "t1"));
    assert_eq!(identity.claims["scope"], "read write dolphin");
    assert_eq!(identity.scopes, ["read", "write", "dolphin"]);
    assert_eq!((&*identity.tenant, &*identity.session), ("shop", "s1"));
    assert_eq!(identity.issued.unwrap().as_second(), NOW - 10);
    assert!(!identity.claims.contains_key("active"));
}

#[tokio::test]
async fn the_request_is_that_of_the_rfcs() {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    introspection.identify("a.b-c_d~e+f/g==").await.unwrap();
    let asked = &service.asked()[0];
    assert_eq!(asked.path, "/");
    assert_eq!(asked.body, "token=a.b-c_d%7Ee%2Bf%2Fg%3D%3D&token_type_hint=access_token");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked.headers["accept"], "application/json");
    // RFC 6749, 2.3.1: form-encoded, so that a colon in the id or secret stays apart from the one between them.
    let basic = asked.headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let decoded = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    assert_eq!(decoded, "gate+way%26co:s3cr3t+p%2B%25%3A%C3%A9");
}

#[tokio::test]
async fn an_inactive_token_is_refused() {
    let (_service, introspection) = start(Behaviour::Json(json!({"active": false}))).await;
    assert_eq!(introspection.identify("a").await, Err(Reason::TokenInactive));
    // Whatever else the answer says.
    let mut lie = good();
    lie["active"] = json!(false);
    let (_service, introspection) = start(Behaviour::Json(lie)).await;
    assert_eq!(introspection.identify("a").await, Err(Reason::TokenInactive));
}

#[tokio::test]
async fn what_is_no_answer_accepts_nobody() {
    let with = |active: Value| {
        let mut answer = good();
        answer["active"] = active;
        Behaviour::Json(answer)
    };
    let status = |code| Behaviour::Status(code, None, good().to_string());
    let without = json!({"sub": "ana", "aud": "api"});
    for (behaviour, result) in [
        (with(json!("true")), "invalid"),
        (with(json!(1)), "invalid"),
        (with(json!(null)), "invalid"),
        (with(json!([true])), "invalid"),
        (with(json!({"active": true})), "invalid"),
        (Behaviour::Json(without), "invalid"),
        (Behaviour::Json(json!([good()])), "invalid"),
        (Behaviour::Json(json!(true)), "invalid"),
        (Behaviour::Text(String::new()), "invalid"),
        (Behaviour::Text("<html>active: true</html>".into()), "invalid"),
        (Behaviour::Text(format!("{} x", good())), "invalid"),
        (Behaviour::Text(format!("{}{}", good(), good())), "invalid"),
        (Behaviour::Text(good().to_string().replacen('{', "{\"active\":false,", 1)), "invalid"),
        (Behaviour::Text(good().to_string().replacen('{', "{\"Active\":false,", 1)), "invalid"),
        (Behaviour::Text(good().to_string()[..40].into()), "invalid"),
        (status(201), "status"),
        (status(204), "status"),
        (status(401), "status"),
        (status(403), "status"),
        (status(404), "status"),
        (status(429), "status"),
        (status(500), "status"),
        (status(503), "status"),
        (Behaviour::Redirect, "status"),
        (Behaviour::Endless, "too_large"),
        (Behaviour::Text(format!("{}{}", good(), " ".repeat(64 << 10))), "too_large"),
    ] {
        let (service, introspection) = start(behaviour).await;
        let metrics = Metrics::new().unwrap();
        introspection.count_in(&metrics);
        assert_eq!(introspection.identify("a").await, Err(Reason::IntrospectionUnavailable));
        assert_eq!(service.count(), 1, "no redirect is followed, and nothing is tried again");
        let line = format!("portcullis_callouts_total{{callout=\"introspection\",result=\"{result}\"}} 1");
        assert!(metrics.render().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn a_slow_server_and_one_that_is_down_accept_nobody() {
    let service = Service::start(Behaviour::Silent).await;
    let metrics = Metrics::new().unwrap();
    for (url, result) in [(service.url(), "timeout"), (nobody().await, "unreachable")] {
        let introspection = build(&url, |config| config.callout.timeout = Duration::from_millis(100));
        introspection.count_in(&metrics);
        assert_eq!(introspection.identify("a").await, Err(Reason::IntrospectionUnavailable));
        let line = format!("portcullis_callouts_total{{callout=\"introspection\",result=\"{result}\"}} 1");
        assert!(metrics.render().contains(&line), "{line} in\n{}", metrics.render());
    }
    assert!(
        metrics.render().contains("portcullis_callout_duration_seconds_count{callout=\"introspection\"} 2")
    );
}

#[tokio::test]
async fn what_is_no_token_by_its_form_is_not_asked_about() {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    for (token, reason) in [
        ("", Reason::TokenMalformed),
        ("=", Reason::TokenMalformed),
        ("a b", Reason::TokenMalformed),
        ("a\r\nb", Reason::TokenMalformed),
        ("a=b", Reason::TokenMalformed),
        ("é", Reason::TokenMalformed),
        ("a,b", Reason::TokenMalformed),
        (&*"a".repeat((16 << 10) + 1), Reason::TokenTooLarge),
    ] {
        assert_eq!(introspection.identify(token).await, Err(reason), "{token:.20}");
    }
    assert_eq!(service.count(), 0);
    assert!(introspection.identify(&"a".repeat(16 << 10)).await.is_ok());
}

#[tokio::test]
async fn answers_are_remembered_until_the_token_or_their_time_ends() {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    for (seconds, requests) in [(0, 1), (59, 1), (60, 2), (119, 2), (120, 3)] {
        let clock = &introspection.clock;
        let gone = clock.now().as_second() - NOW;
        clock.advance(Duration::from_secs(u64::try_from(seconds - gone).unwrap()));
        assert!(introspection.identify("a").await.is_ok());
        assert_eq!(service.count(), requests, "after {seconds} s");
    }
    // Another token is another question.
    assert!(introspection.identify("b").await.is_ok());
    assert_eq!(service.count(), 4);
    let mut short = good();
    short["exp"] = json!(NOW + 125);
    service.set(Behaviour::Json(short));
    assert!(introspection.identify("c").await.is_ok());
    introspection.clock.advance(Duration::from_secs(5));
    service.set(Behaviour::Json(json!({"active": false})));
    assert_eq!(introspection.identify("c").await, Err(Reason::TokenInactive), "the token ended");
}

#[tokio::test]
async fn garbage_pushes_out_no_good_token() {
    let answer = |body: &str| if body.contains("good") { good() } else { json!({"active": false}) };
    let service = Service::start(Behaviour::Each(Arc::new(answer))).await;
    let introspection = build(&service.url(), |config| config.callout.cache.entries = 20);
    for n in 0..20 {
        assert!(introspection.identify(&format!("good{n}")).await.is_ok());
    }
    for n in 0..400 {
        assert_eq!(introspection.identify(&format!("bad{n}")).await, Err(Reason::TokenInactive));
    }
    let before = service.count();
    for n in 0..20 {
        assert!(introspection.identify(&format!("good{n}")).await.is_ok());
    }
    assert_eq!(service.count(), before, "a good token was asked about again");
}

#[tokio::test]
async fn a_hundred_calls_with_one_token_make_one_request() {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    let found = join_all((0..100).map(|_| introspection.identify("a"))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_spoils_nothing() {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    let introspection = Arc::new(introspection);
    let call = || {
        let introspection = introspection.clone();
        tokio::spawn(async move { introspection.identify("a").await })
    };
    service.open(false);
    let first = call();
    service.was_asked(1).await;
    let second = call();
    tokio::task::yield_now().await;
    first.abort();
    service.was_asked(2).await;
    second.abort();
    assert!(second.await.is_err());
    service.open(true);
    assert!(introspection.identify("a").await.is_ok());
    assert_eq!(service.count(), 3);
}

#[tokio::test]
async fn requests_under_way_are_limited_and_whoever_waits_too_long_is_refused() {
    let service = Service::start(Behaviour::Silent).await;
    let introspection = Arc::new(build(&service.url(), |config| {
        (config.callout.concurrency, config.callout.timeout) = (2, Duration::from_millis(400));
    }));
    let metrics = Metrics::new().unwrap();
    introspection.count_in(&metrics);
    // Two are asked at once; two more when those are given up. By then the others have waited too long.
    let calls = (0..10).map(|n| {
        let introspection = introspection.clone();
        tokio::spawn(async move { introspection.identify(&format!("t{n}")).await })
    });
    let found = join_all(calls).await;
    let count = |reason| found.iter().filter(|found| *found.as_ref().unwrap() == Err(reason)).count();
    let refused = count(Reason::TooManyCallouts);
    assert!(refused >= 6, "{refused} of ten");
    assert_eq!(count(Reason::IntrospectionUnavailable) + refused, 10);
    assert!(service.most_at_a_time() <= 2, "{}", service.most_at_a_time());
    let overload = "portcullis_callouts_total{callout=\"introspection\",result=\"overload\"}";
    assert!(metrics.render().contains(&format!("{overload} {refused}")), "{}", metrics.render());
}

#[tokio::test]
async fn remembered_tokens_are_served_while_all_requests_hang() {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    assert!(introspection.identify("good").await.is_ok());
    service.set(Behaviour::Silent);
    let introspection = Arc::new(introspection);
    let hanging: Vec<_> = (0..70)
        .map(|n| {
            let introspection = introspection.clone();
            tokio::spawn(async move { introspection.identify(&format!("t{n}")).await })
        })
        .collect();
    service.was_asked(65).await;
    assert!(introspection.identify("good").await.is_ok());
    assert!(hanging.iter().all(|call| !call.is_finished()), "it was answered before they were");
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it_within_bounds() {
    for (retry_after, seconds) in [("7", 7), ("3600", 10), ("99999999999", 10), ("0", 0)] {
        for code in [429, 503] {
            let (service, introspection) =
                start(Behaviour::Status(code, Some(retry_after), String::new())).await;
            assert_eq!(introspection.identify("a").await, Err(Reason::IntrospectionUnavailable));
            service.set(Behaviour::Json(good()));
            if seconds > 0 {
                introspection.clock.advance(Duration::from_millis(seconds * 1_000 - 1));
                assert_eq!(introspection.identify("a").await, Err(Reason::IntrospectionUnavailable));
                assert_eq!(service.count(), 1, "{retry_after}");
                introspection.clock.advance(Duration::from_millis(1));
            }
            assert!(introspection.identify("a").await.is_ok(), "{retry_after}");
        }
    }
    // A date, or any other status, asks for nothing.
    for (code, retry_after) in [(429, "Fri, 31 Dec 2027 23:59:59 GMT"), (429, "-1"), (500, "9")] {
        let (service, introspection) = start(Behaviour::Status(code, Some(retry_after), String::new())).await;
        assert!(introspection.identify("a").await.is_err());
        service.set(Behaviour::Json(good()));
        assert!(introspection.identify("a").await.is_ok(), "{code} {retry_after}");
    }
}

#[tokio::test]
async fn trouble_is_logged_once_in_ten_seconds() {
    let (_service, introspection) = start(Behaviour::Status(401, None, String::new())).await;
    let (text, _guard) = logged();
    let warnings = || String::from_utf8_lossy(&text.lock()).matches("can't find out about a token").count();
    for _ in 0..5 {
        assert!(introspection.identify("a").await.is_err());
    }
    assert_eq!(warnings(), 1);
    introspection.clock.advance(Duration::from_secs(10));
    assert!(introspection.identify("a").await.is_err());
    assert_eq!(warnings(), 2);
    let text = String::from_utf8_lossy(&text.lock()).into_owned();
    assert!(text.contains("does not accept our own credential") && text.contains("not_logged=4"), "{text}");
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let token = "T0kenCanary.abc";
    let answers = [
        Behaviour::Json(good()),
        Behaviour::Json(json!({"active": false, "token": token})),
        Behaviour::Text(format!("<html>{token}</html>")),
        Behaviour::Status(401, None, format!("{token} {SECRET}")),
        Behaviour::Redirect,
        Behaviour::Endless,
    ];
    let (logs, _guard) = logged();
    let metrics = Metrics::new().unwrap();
    let mut seen = String::new();
    for behaviour in answers {
        let (service, introspection) = start(behaviour).await;
        introspection.count_in(&metrics);
        let found = introspection.identify(token).await;
        seen += &format!("{introspection:?} {introspection:#?} {found:?} {:?}", introspection.config);
        seen += &format!("{:?} {:?}", introspection.callout, introspection.credential);
        drop(service);
    }
    seen += &metrics.render();
    let logs = String::from_utf8_lossy(&logs.lock()).into_owned();
    assert!(logs.contains("can't find out about a token"), "logging is seen: {logs}");
    seen += &logs;
    let encoded = STANDARD.encode("gate+way%26co:s3cr3t+p%2B%25%3A%C3%A9");
    for secret in ["T0kenCanary", "s3cr3t", &encoded] {
        assert!(!seen.contains(secret), "{secret} in\n{seen}");
    }
}

#[test]
fn without_its_secret_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str| IntrospectionConfig {
        client_secret_file: folder.path().join(name),
        ..build("https://as.example.com", |_| ()).config
    };
    std::fs::write(folder.path().join("empty"), "\r\n").unwrap();
    for (name, expected) in [("none", "can't read the client secret"), ("empty", "is empty")] {
        let findings = Introspection::new(config(name), clock()).unwrap_err();
        let text = findings[0].to_string();
        assert!(text.contains("error[client-secret]") && text.contains(expected), "{text}");
        assert!(text.contains(name), "{text}");
    }
    let mut both = config("none");
    both.callout.ca_file = Some(folder.path().join("ca.pem"));
    assert_eq!(Introspection::new(both, clock()).unwrap_err().len(), 2, "every mistake is named");
}
