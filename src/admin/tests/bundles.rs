//! Policies by the admin API.

use base64::engine::general_purpose::STANDARD;
use v1::bundles_client::BundlesClient;

use super::*;
use crate::bundle::{Bundle, Label};
use crate::policy::SourceFile;

pub(in crate::admin) fn archive(version: &str, rule: &str) -> Vec<u8> {
    let head = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n";
    let text = format!("{head}  rules: [{{name: {rule}, allow: {{}}}}]\n");
    let files = vec![SourceFile { file: "p.yaml".into(), text: text.into() }];
    let label = Label {
        name: "shop".into(),
        version: version.parse().unwrap(),
        created: jiff::Timestamp::UNIX_EPOCH,
        parent: None,
        minimum_server: None,
    };
    Bundle::of_files(files, vec![]).pack(&label).unwrap()
}

impl Fixture {
    async fn bundles(&self, verb: &str, token: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/api/v1/bundles:{verb}", self.url);
        let answer = self.client.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn upload(&self, version: &str, rule: &str) -> (u16, Value) {
        let archive = STANDARD.encode(archive(version, rule));
        self.bundles("activate", "olga+operators", json!({"archive": archive, "reason": "release"})).await
    }

    async fn see(&self, path: &str, token: &str) -> (u16, Value) {
        let url = format!("{}/api/v1/bundles{path}", self.url);
        let answer = self.client.get(url).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn admins_change_viewers_look_and_others_do_neither() {
    let fixture = fixture().await;
    assert_eq!(fixture.upload("1.0.0", "one").await.0, 200);
    for (token, looks, changes) in [
        ("olga+operators", 200, 409),
        ("vera+auditors", 200, 403),
        ("bob+finance", 403, 403),
        ("nobody", 401, 401),
        ("bad", 401, 401),
    ] {
        assert_eq!(fixture.see("", token).await.0, looks, "{token}");
        assert_eq!(fixture.see("/history", token).await.0, looks, "{token}");
        for (verb, body) in [
            ("activate", json!({"archive": STANDARD.encode(archive("1.0.0", "one"))})),
            ("rollback", json!({})),
            ("unpin", json!({})),
        ] {
            assert_eq!(fixture.bundles(verb, token, body).await.0, changes, "{verb} by {token}");
        }
    }
    let (status, answer) = fixture.bundles("pin", "vera+auditors", json!({})).await;
    assert_eq!((status, answer["code"].as_str()), (403, Some("not_an_admin")));
    assert_eq!(fixture.see("", "vera+auditors").await.1["bundles"][0]["pinned"], Value::Null);
}

#[tokio::test]
async fn a_release_and_its_way_back() {
    let fixture = fixture().await;
    fixture.upload("1.0.0", "one").await;
    let (status, active) = fixture.upload("2.0.0", "two").await;
    assert_eq!(
        (status, active["version"].as_str(), active["active"].as_bool()),
        (200, Some("2.0.0"), Some(true))
    );
    let olga = "olga+operators";
    let (status, answer) = fixture.upload("1.5.0", "x").await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("older_version")));
    let (_, back) = fixture.bundles("rollback", olga, json!({"reason": "errors"})).await;
    assert_eq!(back["version"], "1.0.0");
    let (_, pinned) = fixture.bundles("pin", olga, json!({})).await;
    assert_eq!(pinned["pinned"], true);
    let (status, answer) = fixture.bundles("rollback", olga, json!({"to": "2.0.0"})).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("pinned")));
    assert_eq!(fixture.bundles("unpin", olga, json!({})).await.1["version"], "1.0.0");
    let (status, answer) = fixture.bundles("rollback", olga, json!({"to": "9.9.9"})).await;
    assert_eq!((status, answer["code"].as_str()), (404, Some("unknown_revision")));
    let list = fixture.see("", "vera+auditors").await.1;
    let active: Vec<_> =
        list["bundles"].as_array().unwrap().iter().filter(|one| one["active"] == true).collect();
    assert_eq!(active.len(), 1);
    assert_eq!(active[0]["version"], "1.0.0");
    assert_eq!(list["source"]["location"], "here");
    let history = fixture.see("/history?limit=4", "vera+auditors").await.1;
    let kinds: Vec<_> = history["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["unpinned", "pinned", "rolled_back", "refused"]);
    assert_eq!(history["events"][2]["actor"]["subject"], "olga");
    assert_eq!(history["events"][2]["comment"], "errors");
    assert_eq!(history["events"][3]["reason"], "older_version");
    let rest = format!("/history?pageToken={}", history["nextPageToken"].as_str().unwrap());
    let rest = fixture.see(&rest, "vera+auditors").await.1;
    assert_eq!(rest["events"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn uploads_are_bounded_and_what_they_hold_is_checked() {
    let fixture = fixture().await;
    let olga = "olga+operators";
    let (status, answer) = fixture.bundles("activate", olga, json!({"archive": "A".repeat(400_000)})).await;
    assert_eq!((status, answer["code"].as_str()), (413, Some("too_large")));
    let (status, answer) = fixture.bundles("activate", olga, json!({"archive": "A".repeat(150_000)})).await;
    assert_eq!((status, answer["code"].as_str()), (413, Some("too_large")), "below the encoding's limit");
    let (status, answer) = fixture.bundles("activate", olga, json!({"archive": "AAAA"})).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("truncated")));
    for body in [json!({"archive": "*"}), json!({}), json!({"archive": "", "force": true})] {
        assert_eq!(fixture.bundles("activate", olga, body).await.0, 400);
    }
    let long = json!({"reason": "x".repeat(3_000)});
    assert_eq!(fixture.bundles("unpin", olga, long).await.0, 400);
    assert_eq!(fixture.bundles("unpin", olga, json!({"reason": "a\u{202e}b"})).await.0, 400);
    let url = format!("{}/api/v1/bundles:activate", fixture.url);
    let got = fixture.client.get(url).bearer_auth(olga).send().await.unwrap();
    assert_eq!(got.status().as_u16(), 405);
}

#[tokio::test]
async fn grpc_says_the_same() {
    let fixture = fixture().await;
    let mut client = BundlesClient::connect(fixture.url.clone()).await.unwrap();
    let request = v1::ActivateBundleRequest { archive: archive("1.0.0", "one"), reason: String::new() };
    let denied = client.activate_bundle(with(request.clone(), "bob+finance")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let active = client.activate_bundle(with(request.clone(), "olga+operators")).await.unwrap().into_inner();
    assert!(active.active && active.version == "1.0.0");
    let again = client.activate_bundle(with(request, "olga+operators")).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    let list = client.list_bundles(with(v1::ListBundlesRequest {}, "vera+auditors")).await.unwrap();
    assert_eq!(list.into_inner().bundles.len(), 1);
}

#[tokio::test]
async fn an_upload_by_grpc_is_refused_before_its_body_is_read() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let fixture = fixture().await;
    let address = fixture.url.trim_start_matches("http://");
    for (token, status) in [("bad", 16), ("bob+finance", 7), ("vera+auditors", 7)] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // The body is announced, and never comes.
        let head = format!(
            "POST /portcullis.admin.v1.Bundles/ActivateBundle HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\
             authorization: Bearer {token}\r\ncontent-length: 100000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.contains(&format!("grpc-status: {status}\r\n")), "{token}: {answer}");
    }
}
