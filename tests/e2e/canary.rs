//! Fifty secrets go in by every door that there is, and come out by none: not in logs, metrics, the audit trail, answers,
//! or what `Debug` shows.

use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use portcullis_sample::idp::Algorithm;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::world::{Got, Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: echo}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules:
    - {name: known, when: identity.subject != "", allow: {}}
    - {name: fails, when: "identity.claims.secret == request.body.password && request.headers['x-secret'] == 'x'", deny: {}}
    - {name: waits, when: request.method == "DELETE", hold: {approvers: {groups: [finance-oncall]}, wait: 100ms}}
"#;

/// Secrets, each with the door that it went in by.
#[derive(Default)]
struct Canaries(Vec<(String, String)>);

impl Canaries {
    /// A secret that looks like nothing else, for this door.
    fn make(&mut self, door: &str) -> String {
        let secret = format!("c4nary{:02}x{}", self.0.len(), uuid::Uuid::now_v7().simple());
        self.keep(door, &secret);
        secret
    }

    fn keep(&mut self, door: &str, secret: &str) {
        self.0.push((door.to_owned(), secret.to_owned()));
    }

    /// None of them, nor what base64 makes of it, is in `text`.
    fn absent_from(&self, place: &str, text: &str) {
        for (door, secret) in &self.0 {
            let hidden = [secret.clone(), STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
            for form in hidden {
                let found = text.find(form.trim_end_matches('='));
                let about = found.map(|at| {
                    let from = text.floor_char_boundary(at.saturating_sub(200));
                    &text[from..text.ceil_char_boundary((at + 300).min(text.len()))]
                });
                assert_eq!(about, None, "the secret of `{door}` is in {place}");
            }
        }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A configuration whose every secret is a canary.
fn identity(canaries: &mut Canaries) -> String {
    let folder = tempfile::tempdir().unwrap().keep();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let password = canaries.make("the password in a line of the users");
    let line = portcullis::authn::user_line("legacy", &password, "staff", "").unwrap();
    canaries.keep("the hash of a password", line.split(':').nth(1).unwrap());
    let users = file("users", &line);
    let secret = file("secret", &canaries.make("the client secret"));
    let own = file("own", &canaries.make("our token for the cluster"));
    let hash = file("hash", &canaries.make("the key of the API keys' hashes"));
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    canaries.keep("the signing key", pem.lines().nth(1).unwrap());
    let signing = file("signing.pem", &pem);
    let in_url = canaries.make("a secret in the URL of the introspection");
    format!(
        "identity: {{introspection: {{url: 'http://127.0.0.1:1/introspect?key={in_url}', client_id: p, client_secret_file: {secret}, audiences: [portcullis]}}, \
         kubernetes: {{url: 'http://127.0.0.1:1', audiences: [portcullis], token_file: {own}}}, basic: {{file: {users}}}, \
         api_keys: {{hash_key: {hash}}}, forward: {{jwt: {{issuer: p, audience: [u], key_file: {signing}}}}}, \
         order: [jwt, introspection, kubernetes, api_keys, basic], jwt:"
    )
}

/// Every way to send one, good and bad.
fn requests(world: &World, canaries: &mut Canaries, key: &str) -> Vec<RequestBuilder> {
    let idp = &world.idp;
    let get = |path: &str| world.call(Method::GET, path, None);
    let mut requests = Vec::new();
    let mut claims = idp.claims("ana", "portcullis").unwrap();
    claims["secret"] = json!(canaries.make("a claim"));
    let mut wrong = claims.clone();
    wrong["aud"] = json!(canaries.make("a wrong audience"));
    let mut unknown = claims.clone();
    unknown["iss"] = json!(format!("https://{}", canaries.make("an unknown issuer")));
    let mut expired = claims.clone();
    expired["exp"] = json!(1);
    let header = json!({"alg": "RS256", "kid": canaries.make("a key id")});
    let mut tokens = vec![
        idp.sign_raw(Algorithm::Rs256, &header, claims.to_string().as_bytes()).unwrap(),
        canaries.make("a token that is none"),
    ];
    for claims in [&claims, &wrong, &unknown, &expired] {
        tokens.push(idp.sign(Algorithm::Rs256, claims).unwrap());
    }
    let forged = format!("{}{}", &tokens[2][..tokens[2].len() - 30], &canaries.make("a signature")[..30]);
    tokens.push(forged);
    for token in &tokens {
        canaries.keep("a token", token);
        canaries.keep("the end of a token", &token[token.len() - 30..]);
        requests.push(get("/echo/a").bearer_auth(token));
        requests.push(get("/echo/a").header("x-id-token", token));
        requests.push(get("/echo/a").header("cookie", format!("id={token}; other=1")));
        requests.push(get(&format!("/echo/a?access_token={token}")));
        requests.push(get("/echo/a").bearer_auth(token).header("x-id-token", token));
    }
    for (door, scheme) in
        [("Digest", "Digest"), ("Basic without base64", "Basic"), ("AWS4", "AWS4-HMAC-SHA256")]
    {
        requests.push(get("/echo/a").header("authorization", format!("{scheme} {}", canaries.make(door))));
    }
    for user in ["legacy", "nobody"] {
        let credentials = STANDARD.encode(format!("{user}:{}", canaries.make("a wrong password")));
        canaries.keep("Basic credentials", &credentials);
        requests.push(get("/echo/a").header("authorization", format!("Basic {credentials}")));
    }
    requests.push(get("/echo/a").header("x-api-key", key));
    let wrong =
        format!("pck_{}_{}", canaries.make("the id of no key"), canaries.make("the secret of no key"));
    requests.push(get("/echo/a").header("x-api-key", wrong));
    requests
        .push(get("/echo/a").header("x-api-key", format!("{}{}", &key[..50], canaries.make("half a key"))));
    for name in
        ["x-secret", "x-forwarded-client-cert", "x-portcullis-identity", "proxy-authorization", "dpop"]
    {
        requests.push(get("/echo/a").header(name, canaries.make(name)).bearer_auth(&tokens[2]));
    }
    for path in ["/echo/a?password=", "/elsewhere?dsn=postgres://u:", "/echo/a%2f..?x="] {
        requests.push(get(&format!("{path}{}", canaries.make("the query"))));
    }
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        let body = json!({"password": canaries.make("a body"), "dsn": format!("postgres://u:{}@db/x", canaries.make("a DSN"))});
        let request = world.call(method, "/echo/a", None).bearer_auth(&tokens[2]);
        requests.push(request.header("content-type", "application/json").body(body.to_string()));
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_secrets_come_out_nowhere() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_env_filter(EnvFilter::new("info,portcullis=trace"))
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for options in [Options::ext_authz(), Options::default()] {
        let mut canaries = Canaries::default();
        let service = format!("{:?}", options.service);
        let places = "forward_token: false, from: [authorization, {header: x-id-token}, {cookie: id}, {query: access_token}], audiences: [portcullis]";
        let options = options
            .policies(POLICIES)
            .edit_config("audiences: [portcullis]", places)
            .edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
            .edit_config("identity: {jwt:", identity(&mut canaries).leak());
        let world = World::start(options).await;
        let create = ["keys", "create", "--owner", "export", "--expires", "1h", "--format", "json"];
        let (made, said) = world.cli("bob", &create).await;
        assert!(made, "{said}");
        let key = serde_json::from_str::<Value>(&said).unwrap()["secret"].as_str().unwrap().to_owned();
        canaries.keep("an API key", &key);
        let admin = world.idp.token("bob", "portcullis-admin").unwrap();
        canaries.keep("an admin token", &admin);

        let requests = requests(&world, &mut canaries, &key);
        assert!(canaries.0.len() >= 50, "{}", canaries.0.len());
        let mut outcomes = std::collections::BTreeMap::<u16, usize>::new();
        for request in requests {
            let got = Got::from(request.send().await.unwrap()).await;
            *outcomes.entry(got.status).or_default() += 1;
            // What goes on comes back from the upstream, secrets and all.
            if got.status != 200 {
                canaries.absent_from("an answer", &format!("{:?} {}", got.headers, got.text()));
            }
        }
        assert!([200, 401, 400, 403].iter().all(|status| outcomes.contains_key(status)), "{outcomes:?}");
        world.counted("portcullis_decisions_total").await;
        let engine = world.server.as_ref().unwrap().engine.clone();
        canaries.absent_from("the metrics", &world.metrics().await);
        canaries.absent_from("the audit trail", &world.audit_text());
        canaries.absent_from("the key set", &world.fetch("/.well-known/jwks.json").await);
        canaries
            .absent_from("what Debug shows of the engine", &format!("{engine:#?} {:#?}", engine.snapshot()));
        let logged = String::from_utf8_lossy(&log.0.lock()).into_owned();
        assert!(logged.contains("portcullis"), "nothing was logged");
        canaries.absent_from(&format!("the log ({service})"), &logged);
    }
}
