//! What the upstream is told of the caller, and the caller of its credential: tokens taken out of where they stood, the
//! identity in headers and in a token of ours, challenges and logins.

use portcullis_sample::idp::IdentityProvider;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Got, Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: echo}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules:
    - {name: known, when: identity.subject != "", allow: {}}
    - {name: open, when: request.url_path.startsWith("/echo/open"), allow: {}}
"#;

const PLACES: &str = "forward_token: false, from: [authorization, {header: x-id-token}, {cookie: id}, {query: access_token}], audiences: [portcullis]";

fn both() -> [Options; 2] {
    [Options::ext_authz(), Options::default()].map(|options| options.policies(POLICIES))
}

async fn echoed(request: reqwest::RequestBuilder) -> Value {
    let got = Got::from(request.send().await.unwrap()).await;
    assert_eq!(got.status, 200, "{}", got.text());
    got.json()
}

fn token(idp: &IdentityProvider) -> String {
    idp.token("ana", "portcullis").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_out_of_where_it_stood() {
    for options in both() {
        let service = format!("{:?}", options.service);
        let world = World::start(options.edit_config("audiences: [portcullis]", PLACES)).await;
        let token = token(&world.idp);
        let get = |path: &str| world.call(Method::GET, path, None);
        let cookies = format!("a=1; id={token}; b=2");
        for (request, path, cookie) in [
            (get("/echo/a?x=1").bearer_auth(&token), "/echo/a?x=1", None),
            (get("/echo/a").header("x-id-token", &token), "/echo/a", None),
            (get("/echo/a").header("cookie", &cookies), "/echo/a", Some("a=1; b=2")),
            (get("/echo/a").header("cookie", format!("id={token}")), "/echo/a", None),
            (get(&format!("/echo/a?x=%20&access_token={token}&y")), "/echo/a?x=%20&y", None),
            (get(&format!("/echo/a?access_token={token}")), "/echo/a", None),
            (get(&format!("/echo/a?%61ccess_token={token}&y=2")), "/echo/a?y=2", None),
        ] {
            let shown = echoed(request).await;
            assert!(!shown.to_string().contains(&token), "{service}: {shown}");
            assert_eq!(shown["path"], path, "{service}");
            assert_eq!(shown["headers"]["cookie"].get(0).and_then(Value::as_str), cookie, "{service}");
        }
        let two = get("/echo/a").bearer_auth(&token).header("x-id-token", &token);
        let got = Got::from(two.send().await.unwrap()).await;
        assert_eq!((got.status, &*got.error()), (400, "token_repeated"), "{service}");
        assert_eq!(got.headers["www-authenticate"], "Bearer error=\"invalid_request\"");
        assert!(!world.audit_text().contains(&token));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_told_who_calls_and_nobody_else_can_tell_it() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forward.pem");
    std::fs::write(&path, key).unwrap();
    let config = format!(
        "forward: {{headers: {{x-user: subject, x-groups: groups, x-tenant: tenant, x-how: method}}, \
         jwt: {{issuer: https://portcullis.example.com, audience: [orders], key_file: {}}}}}, jwt: [",
        path.display()
    );
    for options in both() {
        let service = format!("{:?}", options.service);
        let options = options.edit_config("identity: {jwt: [", format!("identity: {{{config}").leak()).edit(
            "headers_with_underscores_action: REJECT_REQUEST",
            "headers_with_underscores_action: ALLOW",
        );
        let world = World::start(options).await;
        let forged = |request: reqwest::RequestBuilder| {
            ["x-user", "X_User", "x-groups", "x_groups", "x-tenant", "x-how", "x-portcullis-identity"]
                .into_iter()
                .fold(request, |request, name| request.header(name, "forged"))
        };
        let shown = echoed(forged(world.call(Method::GET, "/echo/a", Some("ana")))).await;
        assert!(!shown.to_string().contains("forged"), "{service}: {shown}");
        let headers = &shown["headers"];
        assert_eq!(headers["x-user"], json!(["ana"]), "{service}");
        assert_eq!(headers["x-groups"], json!(["staff"]), "{service}");
        assert_eq!((headers.get("x-tenant"), &headers["x-how"]), (None, &json!(["jwt"])), "{service}");

        let token = headers["x-portcullis-identity"][0].as_str().unwrap();
        let keys: jsonwebtoken::jwk::JwkSet =
            serde_json::from_str(&world.fetch("/.well-known/jwks.json").await).unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        rules.set_audience(&["orders"]);
        rules.set_issuer(&["https://portcullis.example.com"]);
        let verified = jsonwebtoken::decode::<Value>(token, &key.try_into().unwrap(), &rules).unwrap().claims;
        assert_eq!((&verified["sub"], &verified["groups"]), (&json!("ana"), &json!(["staff"])));
        let life = verified["exp"].as_i64().unwrap() - verified["iat"].as_i64().unwrap();
        assert_eq!(life, 60);

        let shown = echoed(forged(world.call(Method::GET, "/echo/open", None))).await;
        assert!(!shown.to_string().contains("forged"), "{service}: {shown}");
        assert_eq!(shown["headers"]["x-how"], json!(["anonymous"]), "{service}");
        for name in ["x-user", "x-groups", "x-portcullis-identity"] {
            assert_eq!(shown["headers"].get(name), None, "{service}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_credential_is_told_how_to_get_one() {
    for options in both() {
        let challenge = "identity: {challenge: {realm: the shop, resource_metadata: 'https://shop.example.com/.well-known/oauth-protected-resource', login: {url: 'https://login.example.com/start', return_parameter: rd}}, jwt:";
        let world = World::start(options.edit_config("identity: {jwt:", challenge)).await;
        let metadata = "resource_metadata=\"https://shop.example.com/.well-known/oauth-protected-resource\"";
        let got = world.get("/echo/a", None).await;
        assert_eq!((got.status, &*got.error()), (401, "unauthenticated"));
        let told = got.headers["www-authenticate"].to_str().unwrap();
        assert_eq!(told, format!("Bearer realm=\"the shop\", {metadata}"));

        let refused =
            world.call(Method::GET, "/echo/a", None).bearer_auth(world.idp.expired_token("ana").unwrap());
        let got = Got::from(refused.send().await.unwrap()).await;
        assert_eq!((got.status, &*got.error()), (401, "credential_refused"));
        let told = got.headers["www-authenticate"].to_str().unwrap();
        assert_eq!(told, format!("Bearer realm=\"the shop\", {metadata}, error=\"invalid_token\""));
        assert!(!got.text().contains("expired"), "{}", got.text());

        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let page = browser.get(format!("{}/echo/a?b=1", world.envoy.url())).header("accept", "text/html");
        let got = Got::from(page.send().await.unwrap()).await;
        assert_eq!(got.status, 302);
        let host = world.envoy.url().replace("http://", "").replace(':', "%3A");
        let expected = format!("https://login.example.com/start?rd=http%3A%2F%2F{host}%2Fecho%2Fa%3Fb%3D1");
        assert_eq!(got.headers["location"], expected);
        assert_eq!(world.upstream.calls(), 0);
    }
}

/// By both services alike: a header that the caller sent is added to, one that nobody sent is made.
#[tokio::test(flavor = "multi_thread")]
async fn policies_append_to_headers() {
    let policies = POLICIES.replace(
        "allow: {}}\n    - {name: open",
        "allow: {}, headers: {request: {append: {x-trail: ours, x-new: ours}}, response: {append: {x-answer: ours}}}}\n    - {name: open",
    );
    for options in [Options::ext_authz(), Options::default()] {
        let service = format!("{:?}", options.service);
        let world = World::start(options.policies(&policies)).await;
        let request = world.call(Method::GET, "/echo/a", Some("ana")).header("x-trail", "theirs");
        let got = Got::from(request.send().await.unwrap()).await;
        assert_eq!(got.status, 200, "{service}: {}", got.text());
        let shown = got.json();
        let trail = shown["headers"]["x-trail"].to_string();
        assert!(trail.contains("theirs") && trail.contains("ours"), "{service}: {trail}");
        assert_eq!(shown["headers"]["x-new"], json!(["ours"]), "{service}");
        assert_eq!(got.headers["x-answer"], "ours", "{service}");
    }
}
