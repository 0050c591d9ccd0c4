//! What time does to requests for approval: hours, reminders, escalation. The server's clock is the test's.

use std::time::Duration;

use jiff::Timestamp;
use portcullis::clock::Clock;
use portcullis_sample::idp::Algorithm;
use serde_json::json;

use crate::world::{Got, Options, REFUNDS_WAIT, World};

const MINUTE: Duration = Duration::from_secs(60);
const BODY: &str = r#"{"order": "o-1", "amount": 700}"#;

/// A world whose time stands still until it is moved.
async fn world(policies: &str) -> (World, Clock) {
    let clock = Clock::fixed(Timestamp::from_second(now()).unwrap());
    let options = Options { clock: clock.clone(), ..Options::default().policies(policies) };
    (World::start(options).await, clock)
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

impl World {
    /// A token of the day: it outlives the test's time.
    fn lasting(&self, person: &str, audience: &str) -> String {
        let mut claims = self.idp.claims(person, audience).unwrap();
        claims["exp"] = json!(now() + 24 * 3_600);
        self.idp.sign(Algorithm::Rs256, &claims).unwrap()
    }

    async fn ticket(&self) -> Got {
        let request = self.client.post(format!("{}/v1/refunds", self.envoy.url())).body(BODY);
        let request = request.header("content-type", "application/json").header("prefer", "respond-async");
        Got::from(request.bearer_auth(self.lasting("ana", "portcullis")).send().await.unwrap()).await
    }

    /// What the API answers about a request once that is `status`, or after a while.
    async fn shown_later(&self, id: &str, status: u16) -> u16 {
        let url = format!("http://{}/api/v1/approvals/{id}", self.addresses.admin);
        let token = self.lasting("bob", "portcullis-admin");
        let mut got = 0;
        // The store forgets in a task of its own.
        for _ in 0..100 {
            got = self.client.get(&url).bearer_auth(&token).send().await.unwrap().status().as_u16();
            if got == status {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        got
    }

    async fn decides(&self, person: &str, id: &str) -> Got {
        let url = format!("http://{}/api/v1/approvals/{id}:approve", self.addresses.admin);
        let request = self.client.post(url).bearer_auth(self.lasting(person, "portcullis-admin"));
        Got::from(request.json(&json!({"reason": "seen"})).send().await.unwrap()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_request_is_forgotten_when_the_configuration_says() {
    let short = "store: {path: portcullis.db, retention: 2h}";
    let options =
        Options::default().policies(REFUNDS_WAIT).edit_config("store: {path: portcullis.db}", short);
    let mut world = World::start(options).await;
    let id = world.ticket().await.json()["approval"]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.decide(&id, "bob", "reject").await.status, 200);
    for (hours, status) in [(1, 200), (3, 404)] {
        world.drain().await;
        let later = now() + hours * 3_600;
        world.restart_at(Clock::fixed(Timestamp::from_second(later).unwrap())).await;
        assert_eq!(world.shown_later(&id, status).await, status, "{hours} h later");
    }
}

/// The time of day in UTC, so many minutes from now.
fn time_of_day(from_now: i64) -> String {
    let at = Timestamp::from_second(now() + from_now * 60).unwrap();
    at.strftime("%H:%M").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_given_and_used_in_its_hours_only() {
    let policies = format!(
        r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {{name: refunds}}
spec:
  match: [{{paths: ["/v1/refunds"], methods: [POST]}}]
  rules:
    - name: office
      hold:
        approvers: {{groups: [finance-oncall]}}
        wait: 1s
        expires: 20h
        grant: {{for: 10h}}
        hours: {{days: [mon, tue, wed, thu, fri, sat, sun], from: "{}", to: "{}", time_zone: UTC}}
"#,
        time_of_day(10),
        time_of_day(30),
    );
    let (world, clock) = world(&policies).await;
    let id = world.ticket().await.json()["approval"]["id"].as_str().unwrap().to_owned();
    let early = world.decides("bob", &id).await;
    assert!(early.status == 409 || early.status == 403, "{}", early.status);
    assert!(early.text().contains("hours"), "{}", early.text());
    assert_eq!(world.ticket().await.status, 202);
    assert_eq!(world.upstream.calls(), 0);

    clock.advance(15 * MINUTE);
    assert_eq!(world.decides("bob", &id).await.json()["state"], "approved");
    assert_eq!(world.ticket().await.status, 200, "in its hours");
    assert_eq!(world.upstream.calls(), 1);

    // What is approved is not used at night.
    clock.advance(20 * MINUTE);
    let late = world.ticket().await;
    assert!(late.status >= 202 && world.upstream.calls() == 1, "{} {}", late.status, late.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_reminded_once_and_then_others_may_decide() {
    let policies = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - name: slow
      hold:
        approvers: {groups: [finance-oncall]}
        wait: 1s
        expires: 20h
        remind_after: 10m
        escalate: {after: 30m, approvers: {groups: [support]}}
"#;
    let (world, clock) = world(policies).await;
    let id = world.ticket().await.json()["approval"]["id"].as_str().unwrap().to_owned();
    let changes = |change: &str| {
        world
            .audit()
            .iter()
            .filter(|record| record["change"] == change && record["approval"] == id.as_str())
            .count()
    };
    assert_eq!(world.decides("dana", &id).await.status, 403, "she is nobody's approver yet");
    clock.advance(11 * MINUTE);
    world.recorded(|record| record["change"] == "reminder_due").await;
    world.counted("portcullis_approvals_total{result=\"reminded\"} 1").await;
    assert_eq!((changes("reminder_due"), changes("escalated")), (1, 0));
    assert_eq!(world.decides("dana", &id).await.status, 403);
    clock.advance(20 * MINUTE);
    world.recorded(|record| record["change"] == "escalated").await;
    assert_eq!(world.ticket().await.status, 202, "nobody has decided");
    assert_eq!(world.decides("dana", &id).await.json()["state"], "approved");
    assert_eq!(world.ticket().await.status, 200);
    assert_eq!((changes("reminder_due"), changes("escalated")), (1, 1));
    assert_eq!(world.upstream.calls(), 1);
}
