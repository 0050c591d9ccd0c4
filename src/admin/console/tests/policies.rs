//! Changing what decides.

use super::*;
use crate::admin::tests::bundles::archive;
use crate::bundle::Bundle;

/// The parts of a form with a file, as browsers send them.
fn multipart(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        let file = if *name == "archive" { "; filename=\"b.tgz\"" } else { "" };
        let head = format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    body
}

impl Browser<'_> {
    async fn upload(&self, parts: &[(&str, &[u8])]) -> Got {
        let request = self.client.post(format!("{}/policies/upload", self.world.url));
        let request = request.header("content-type", "multipart/form-data; boundary=edge");
        self.send(request.header("origin", ORIGIN).body(multipart(parts))).await
    }

    /// Fills in the form.
    async fn upload_bundle(&self, archive: &[u8]) -> Got {
        let token = self.get("/policies").await.form_token();
        self.upload(&[("csrf", token.as_bytes()), ("reason", b"release 2"), ("archive", archive)]).await
    }
}

/// A bundle whose policy has a mistake.
fn broken() -> Vec<u8> {
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n    - name: r\n      when: request.nothing == 1\n      allow: {}\n";
    let files = vec![crate::policy::SourceFile { file: "pay.yaml".into(), text: text.into() }];
    let label = crate::bundle::Label {
        name: "shop".into(),
        version: "3.0.0".parse().unwrap(),
        created: jiff::Timestamp::UNIX_EPOCH,
        parent: None,
        minimum_server: None,
    };
    Bundle::of_files(files, vec![]).pack(&label).unwrap()
}

#[tokio::test]
async fn an_uploaded_bundle_decides_and_a_broken_one_changes_nothing_and_says_where() {
    let world = World::start().await;
    let olga = world.logged_in("olga+operators").await;
    let done = olga.upload_bundle(&archive("1.0.0", "one")).await;
    assert_eq!((done.status, done.location()), (303, "/policies?done=changed"), "{}", done.text);
    assert_eq!(olga.upload_bundle(&archive("2.0.0", "two")).await.status, 303);
    let page = olga.get("/policies?done=changed").await.text;
    for text in ["shop 2.0.0", "release 2", "Roll back to", "Done.", "by olga@example.com"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let listing = world.admin.state.bundles(&person("vera+auditors")).await.unwrap();
    let before = listing.bundles.iter().find(|bundle| bundle.active).unwrap().clone();
    let refused = olga.upload_bundle(&broken()).await;
    assert_eq!(refused.status, 409);
    for text in ["The policies were not changed", "pay.yaml:7:", "What was active still is"] {
        assert!(refused.text.contains(text), "{text} in {}", refused.text);
    }
    let garbage = olga.upload_bundle(b"no bundle").await;
    assert!(
        garbage.status == 409 && garbage.text.contains("The policies were not changed"),
        "{}",
        garbage.text
    );
    let listing = world.admin.state.bundles(&person("vera+auditors")).await.unwrap();
    assert_eq!(listing.bundles.iter().find(|bundle| bundle.active), Some(&before));

    // And back: to the one before, and to a chosen one.
    let token = olga.get("/policies").await.form_token();
    let form = [("csrf", token.as_str()), ("reason", "too early")];
    assert_eq!(olga.post("/policies/rollback", &form).await.status, 303);
    let page = olga.get("/policies").await.text;
    assert!(page.contains("rolled back") && page.contains("too early"), "{page}");
    let chosen = [form[0], form[1], ("revision", before.revision.as_str())];
    assert_eq!(olga.post("/policies/activate", &chosen).await.status, 303);
    let listing = world.admin.state.bundles(&person("vera+auditors")).await.unwrap();
    assert_eq!(listing.bundles.iter().find(|bundle| bundle.active).unwrap().revision, before.revision);
}

#[tokio::test]
async fn an_upload_is_from_an_admin_with_a_fresh_login_and_a_form_of_ours() {
    let world = World::start().await;
    let good = archive("1.0.0", "one");
    let active = async || world.admin.state.bundles(&person("vera+auditors")).await.unwrap().bundles.len();
    for name in ["vera+auditors", "bob+finance"] {
        let browser = world.logged_in(name).await;
        let token = browser.get("/").await.form_token();
        let got = browser.upload(&[("csrf", token.as_bytes()), ("archive", &good)]).await;
        assert_eq!((got.status, active().await), (403, 0), "{name}");
        assert!(!browser.get("/policies").await.text.contains("Upload a bundle"), "{name}");
    }
    let olga = world.logged_in("olga+operators").await;
    let token = olga.get("/policies").await.form_token();
    let csrf = ("csrf", token.as_bytes());
    let huge = vec![0; 200_000];
    for (parts, status) in [
        (vec![("archive", good.as_slice())], 403),
        (vec![("archive", good.as_slice()), csrf], 403),
        (vec![("csrf", &b"00"[..]), ("archive", good.as_slice())], 403),
        (vec![csrf, ("archive", &b""[..])], 400),
        (vec![csrf], 400),
        (vec![csrf, ("archive", huge.as_slice())], 413),
    ] {
        let got = olga.upload(&parts).await;
        assert_eq!((got.status, active().await), (status, 0), "{}", got.text);
    }
    let elsewhere = olga.client.post(format!("{}/policies/upload", world.url));
    let elsewhere = elsewhere.header("content-type", "multipart/form-data; boundary=edge");
    let body = multipart(&[csrf, ("archive", &good)]);
    let got = olga.send(elsewhere.header("origin", "https://evil.example").body(body)).await;
    assert_eq!((got.status, active().await), (403, 0));

    world.clock.advance(Duration::from_secs(301));
    let page = olga.get("/policies").await.text;
    assert!(page.contains("/policies/login") && !page.contains("type=\"file\""), "{page}");
    let stale = olga.upload(&[csrf, ("archive", &good)]).await;
    assert_eq!((stale.status, active().await), (200, 0), "off to the provider");
    let asked = olga.post("/policies/login", &[("csrf", &token)]).await;
    let url: Url = asked.refresh().parse().unwrap();
    let back = olga.come_back(&olga.answer(&url, "olga+operators", |_| {})).await;
    assert_eq!(back.refresh(), "/policies");
    assert_eq!(olga.upload_bundle(&good).await.status, 303);
    assert_eq!(active().await, 1);
}
