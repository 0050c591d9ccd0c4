use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server whose answers are changed one after the other; each is that about a new token.
struct Server {
    service: Service,
    introspection: Introspection,
    tokens: AtomicUsize,
}

async fn server() -> Server {
    let (service, introspection) = start(Behaviour::Json(good())).await;
    Server { service, introspection, tokens: AtomicUsize::default() }
}

impl Server {
    /// What an answer with this member set otherwise comes to.
    async fn with(&self, name: &str, value: Value) -> Result<Arc<Identity>, Reason> {
        let mut answer = good();
        answer[name] = value;
        self.answers(answer).await
    }

    async fn without(&self, name: &str) -> Result<Arc<Identity>, Reason> {
        let mut answer = good();
        answer.as_object_mut().unwrap().shift_remove(name);
        self.answers(answer).await
    }

    async fn answers(&self, answer: Value) -> Result<Arc<Identity>, Reason> {
        self.service.set(Behaviour::Json(answer));
        let token = self.tokens.fetch_add(1, Ordering::SeqCst).to_string();
        self.introspection.identify(&token).await
    }
}

#[tokio::test]
async fn a_member_of_the_wrong_type_is_never_taken_for_absent() {
    let server = server().await;
    let (null, number, truth) = (json!(null), json!(7), json!(true));
    let (object, list, mixed) = (json!({"a": "b"}), json!([]), json!(["api", 7]));
    let no_text = [null.clone(), number.clone(), truth.clone(), object.clone(), list.clone(), mixed.clone()];
    let no_texts = [null.clone(), number, truth.clone(), object.clone(), mixed.clone(), json!([["api"]])];
    let no_time = [
        null,
        truth,
        object,
        list,
        mixed,
        json!(format!("{}", NOW + 300)),
        json!("never"),
        json!(-1),
        json!(1e300),
        json!(-0.5),
        json!(u64::MAX),
    ];
    let texts = ["sub", "iss", "jti", "email", "human", "token_type", "token_use", "typ", "sid", "org"];
    let rows = texts.iter().map(|name| (*name, &no_text[..]));
    let rows = rows.chain([("aud", &no_texts[..]), ("groups", &no_texts[..]), ("scope", &no_texts[..])]);
    let rows = rows.chain(["exp", "nbf", "iat"].map(|name| (name, &no_time[..])));
    let mut tried = 0;
    for (name, values) in rows {
        for value in values {
            assert_eq!(server.with(name, value.clone()).await, Err(Reason::TokenClaim), "{name}: {value}");
            tried += 1;
        }
    }
    assert_eq!(tried, 10 * 6 + 3 * 6 + 3 * 11);
}

#[tokio::test]
async fn a_subject_is_a_name() {
    let server = server().await;
    assert_eq!(server.without("sub").await, Err(Reason::TokenClaim));
    for bad in ["", "a\nb", "a\u{0}"] {
        assert_eq!(server.with("sub", json!(bad)).await, Err(Reason::TokenClaim), "{bad:?}");
    }
    assert_eq!(server.with("email", json!("a@b@c")).await, Err(Reason::TokenClaim));
}

#[tokio::test]
async fn what_the_rfc_leaves_out_may_be_absent() {
    let server = server().await;
    for name in ["exp", "nbf", "iat", "jti", "email", "human", "groups", "iss", "aud", "token_type", "scope"]
    {
        let identity = server.without(name).await.unwrap();
        assert_eq!(identity.issuer, "https://as.example.com", "{name}");
        assert!(name != "exp" || identity.expires.is_none());
        assert!(name != "human" || identity.person.is_none());
    }
}

#[tokio::test]
async fn times_have_their_leeway_and_no_more() {
    let server = server().await;
    for (name, second, reason) in [
        ("exp", NOW - 29, None),
        ("exp", NOW - 30, Some(Reason::TokenExpired)),
        ("nbf", NOW + 30, None),
        ("nbf", NOW + 31, Some(Reason::TokenNotYetValid)),
        ("iat", NOW + 30, None),
        ("iat", NOW + 31, Some(Reason::TokenNotYetValid)),
    ] {
        assert_eq!(server.with(name, json!(second)).await.err(), reason, "{name} {second}");
    }
}

#[tokio::test]
async fn the_audience_names_us_where_it_names_anybody() {
    let server = server().await;
    for (aud, good) in [
        (json!("api"), true),
        (json!("web"), true),
        (json!(["other", "web"]), true),
        (json!("other"), false),
        (json!("API"), false),
        (json!(""), false),
        (json!([]), false),
        (json!(["other"]), false),
    ] {
        let wanted = if good { None } else { Some(Reason::TokenAudience) };
        assert_eq!(server.with("aud", aud.clone()).await.err(), wanted, "{aud}");
    }
    let mut answer = super::good();
    answer["aud"] = json!("other");
    let service = Service::start(Behaviour::Json(answer)).await;
    let any = build(&service.url(), |config| config.audiences = None);
    assert!(any.identify("a").await.is_ok(), "any audience was asked for");
}

#[tokio::test]
async fn the_issuer_is_ours_to_name() {
    let server = server().await;
    for bad in ["https://as.example.com/", "https://idp.example.com", ""] {
        assert_eq!(server.with("iss", json!(bad)).await, Err(Reason::TokenIssuer), "{bad}");
    }
    // Without a configured one, the answer does not choose: it could name another issuer, and speak for its users.
    let service = Service::start(Behaviour::Json(good())).await;
    let unnamed = build(&format!("{}/introspect?x=y", service.url()), |config| config.issuer = None);
    let identity = unnamed.identify("a").await.unwrap();
    assert_eq!(identity.issuer, service.url());
    assert_eq!(service.asked()[0].path, "/introspect?x=y");
}

#[tokio::test]
async fn only_access_tokens_that_need_no_proof_are_accepted() {
    let server = server().await;
    for (name, value) in [
        ("token_type", "bearer"),
        ("token_type", "access_token"),
        ("token_use", "access_token"),
        ("token_use", "access"),
        ("typ", "Bearer"),
        ("typ", "at+jwt"),
    ] {
        assert!(server.with(name, json!(value)).await.is_ok(), "{name}: {value}");
    }
    for (name, value) in [
        ("token_type", json!("DPoP")),
        ("token_type", json!("mac")),
        ("token_type", json!("N_A")),
        ("token_type", json!("refresh_token")),
        ("token_type", json!("")),
        ("token_use", json!("refresh_token")),
        ("token_use", json!("id")),
        ("typ", json!("Refresh")),
        ("typ", json!("Offline")),
        ("typ", json!("ID")),
        ("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
        ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        ("cnf", json!(null)),
    ] {
        assert_eq!(server.with(name, value.clone()).await, Err(Reason::TokenClaim), "{name}: {value}");
    }
}
