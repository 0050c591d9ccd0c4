//! Policies that change while the server runs: by files, by a bundle behind a URL, and by people. Calls go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis::bundle::{Bundle, Label, SigningKey, sign};
use portcullis::policy::SourceFile;
use reqwest::Method;
use serde_json::Value;

use crate::world::{Options, World};

mod bad;
mod control;
mod forge;
mod poll;
mod server;

/// Lets every call through, and says so in a header of the response.
fn policy(mark: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  rules:\n    \
         - {{name: all, allow: {{}}, headers: {{response: {{set: {{x-policy: \"{mark}\"}}}}}}}}\n"
    )
}

/// A case that holds for every `policy`, or for none.
fn cases(outcome: &str) -> String {
    format!("cases:\n  - {{name: everybody, request: {{path: /}}, expect: {{outcome: {outcome}}}}}\n")
}

/// Version `version` of the bundle `shop`, which marks responses with its version; signed by `key`.
fn bundle(version: &str, key: &SigningKey) -> Vec<u8> {
    sign(&unsigned(version, &cases("allow")), key).unwrap()
}

fn unsigned(version: &str, cases: &str) -> Vec<u8> {
    let file = |name: &str, text: &str| SourceFile { file: name.into(), text: text.into() };
    let label = Label {
        name: "shop".into(),
        version: version.parse().unwrap(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        parent: None,
        minimum_server: None,
    };
    let policies = vec![file("p.yaml", &policy(version))];
    Bundle::of_files(policies, vec![file("p.cases.yaml", cases)]).pack(&label).unwrap()
}

/// Who may change policies: bob.
fn options() -> Options {
    Options::default().edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
}

impl World {
    fn policies(&self) -> PathBuf {
        self.folder.path().join("policies")
    }

    /// Which policy marked the response to a call.
    async fn mark(&self) -> String {
        let got = self.get("/public/hello", None).await;
        let mark = got.headers.get("x-policy").map(|mark| mark.to_str().unwrap().to_owned());
        mark.unwrap_or_else(|| format!("{} {}", got.status, got.text()))
    }

    /// Waits until this policy marks responses.
    async fn marked(&self, wanted: &str) {
        for _ in 0..400 {
            if self.mark().await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never marked {wanted}: {}", self.mark().await);
    }

    /// What the admin API says about bundles, to bob.
    async fn bundles(&self, path: &str) -> Value {
        let got = self.admin(Method::GET, &format!("/api/v1/bundles{path}"), "bob").await;
        assert_eq!(got.status, 200, "{}", got.text());
        got.json()
    }

    /// Calls without a pause from now on, until the guard ends: how many there were, each of which went through.
    fn calls(&self) -> Calls {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..4).map(|_| {
            let (stop, client) = (stop.clone(), self.client.clone());
            let url = format!("{}/public/hello", self.envoy.url());
            tokio::spawn(async move {
                let mut marks = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let got = client.get(&url).send().await.unwrap();
                    assert_eq!(got.status().as_u16(), 200);
                    marks.push(got.headers()["x-policy"].to_str().unwrap().to_owned());
                    got.bytes().await.unwrap();
                }
                marks
            })
        });
        Calls { tasks: tasks.collect(), stop }
    }
}

struct Calls {
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Calls {
    /// The marks of all responses.
    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut marks = Vec::new();
        for task in self.tasks {
            marks.extend(task.await.unwrap());
        }
        assert!(!marks.is_empty());
        marks
    }
}

fn replace(folder: &Path, name: &str, text: &str) {
    let beside = folder.join(format!(".{name}.new"));
    fs::write(&beside, text).unwrap();
    fs::rename(beside, folder.join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_files_take_effect_and_every_call_is_decided_by_one_of_them() {
    let first: &'static str = policy("one").leak();
    let world = World::start(options().policies(first)).await;
    assert_eq!(world.mark().await, "one");
    let calls = world.calls();
    fs::write(world.policies().join("test.yaml"), policy("two")).unwrap();
    world.marked("two").await;
    replace(&world.policies(), "test.yaml", &policy("three"));
    world.marked("three").await;
    // A folder that is made later.
    fs::create_dir(world.policies().join("more")).unwrap();
    fs::remove_file(world.policies().join("test.yaml")).unwrap();
    fs::write(world.policies().join("more/all.yaml"), policy("four")).unwrap();
    world.marked("four").await;
    let marks = calls.end().await;
    assert!(marks.iter().all(|mark| ["one", "two", "three", "four"].contains(&mark.as_str())));
    let list = world.bundles("").await;
    assert_eq!(list["bundles"].as_array().unwrap().len(), 4, "{list:#}");
    let record = world.recorded(|record| record["kind"] == "policies").await;
    assert!(record["change"] == "activated" && record["identity"].is_null(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_swapped_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let fill = |version: &str, mark: &str| {
        let version = mount.join(version);
        fs::create_dir(&version).unwrap();
        fs::write(version.join("p.yaml"), policy(mark)).unwrap();
    };
    fill("..2026_1", "one");
    std::os::unix::fs::symlink("..2026_1", mount.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/p.yaml", mount.join("p.yaml")).unwrap();
    let source = Some(format!("[\"{}\"]", mount.display()));
    let world = World::start(Options { source, ..options() }).await;
    assert_eq!(world.mark().await, "one");
    fill("..2026_2", "two");
    std::os::unix::fs::symlink("..2026_2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    fs::remove_dir_all(mount.join("..2026_1")).unwrap();
    world.marked("two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_change_is_refused_and_reported_while_calls_go_on() {
    let first: &'static str = policy("good").leak();
    let world = World::start(options().policies(first)).await;
    let calls = world.calls();
    let write = |name: &str, text: &str| fs::write(world.policies().join(name), text).unwrap();
    let refused =
        |reason: &str| format!("portcullis_reloads_total{{result=\"refused\",reason=\"{reason}\"}} 1");
    write("test.yaml", "apiVersion: portcullis.dev/v1alpha1\nkind: Polic");
    world.counted(&refused("invalid_policy")).await;
    let list = world.bundles("").await;
    assert_eq!(list["refused"]["reason"], "invalid_policy");
    assert!(list["refused"]["findings"][0].as_str().unwrap().contains("test.yaml:1:1"), "{list:#}");
    // The rest of the file arrives.
    write("test.yaml", &policy("better"));
    world.marked("better").await;
    // Cases beside policies are tests of each change.
    write("test.cases.yaml", &cases("deny"));
    world.counted(&refused("failing_case")).await;
    write("test.yaml", &policy("never"));
    let twice = refused("failing_case").replace("} 1", "} 2");
    world.counted(&twice).await;
    write("test.cases.yaml", &cases("allow"));
    world.marked("never").await;
    fs::rename(world.policies(), world.folder.path().join("away")).unwrap();
    world.counted(&refused("unreadable")).await;
    assert_eq!(world.mark().await, "never");
    calls.end().await;
    let events = world.bundles("/history").await;
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    let expected = ["refused", "activated", "refused", "refused", "activated", "refused", "activated"];
    assert_eq!(kinds, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_survives_a_reload_and_is_decided_again_by_the_new_policies() {
    let holds = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n    \
                 - {name: wait, hold: {approvers: {groups: [finance-oncall]}, wait: 30s}}\n";
    let denies = |when: &str| {
        format!("{holds}    - {{name: never, when: '{when}', deny: {{because: not any more}}}}\n")
    };
    let world = World::start(options().policies(holds)).await;
    let denied = world.send(world.call(Method::GET, "/v1/orders", Some("ana")));
    let passed = world.send(world.call(Method::GET, "/v1/orders/o-1001", Some("ana")));
    let ids = world.pending(2).await;
    let text = denies("request.url_path == \"/v1/orders\"");
    fs::write(world.policies().join("test.yaml"), text).unwrap();
    world.counted("portcullis_reloads_total{result=\"accepted\",reason=\"none\"} 1").await;
    assert!(!denied.is_finished() && !passed.is_finished());
    for id in ids {
        world.decide(&id, "bob", "approve").await;
    }
    let denied = denied.await.unwrap();
    assert_eq!((denied.status, denied.error().as_str()), (403, "denied_by_rule"));
    assert_eq!(passed.await.unwrap().status, 200);
}
