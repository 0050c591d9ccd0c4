//! Against a receiver that answers, lies, hangs and says no; and the words themselves.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::approval::{CallSummary, Caller, State};
use crate::audit;
use crate::effect::{Approvers, Grant};
use crate::identity::{Identity, Method};
use crate::notice::{Event, Notice};
use crate::outbound::Reach;
use crate::secret::Secret;
use crate::store::{NewApproval, Opened, PendingLimits};

mod delivery;
mod messages;
mod receiver;

use receiver::{Behaviour, Receiver};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct World {
    ports: Ports,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), KEY).unwrap();
        let clock = Clock::fixed("2026-11-21T20:00:00Z".parse().unwrap());
        let metrics = Metrics::new().unwrap();
        let config = audit::Config { path: folder.path().join("audit.jsonl"), mode: audit::Mode::BestEffort };
        let audit = Audit::open(&config, metrics.clone()).unwrap();
        let store = Store::open(&folder.path().join("store.db"), clock.clone()).await.unwrap();
        Self { ports: Ports { store, audit, metrics, clock }, folder }
    }

    /// A target on this machine that hears of everything.
    fn target(&self, name: &str, url: &str) -> TargetConfig {
        TargetConfig {
            name: name.into(),
            kind: Kind::Webhook(vec![self.folder.path().join("key")]),
            url: UrlSource::Given(Secret::new(url.to_owned())),
            subscription: Subscription { target: name.into(), ..Subscription::default() },
            ca_file: None,
            allow_insecure: false,
            reach: Reach { private: true, allowed: vec![] },
            limits: Limits { timeout: std::time::Duration::from_secs(5), ..Limits::default() },
        }
    }

    fn start(&self, targets: Vec<TargetConfig>) -> Notifier {
        let targets = load(targets).unwrap();
        self.ports.store.subscribe(targets.subscriptions());
        targets.start(self.ports.clone())
    }

    /// Holds a call; the id of its request.
    async fn hold(&self, digest: &str) -> String {
        match self.ports.store.open_approval(new(digest), PendingLimits::default()).await.unwrap() {
            Opened::Created(approval) => approval.id,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until `/metrics` has this line.
    async fn counted(&self, line: &str) {
        for _ in 0..600 {
            if self.ports.metrics.render().contains(line) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("never {line} in\n{}", self.ports.metrics.render());
    }

    /// Waits until nothing is left to send to `target`.
    async fn settled(&self, target: &str) {
        for _ in 0..600 {
            if !self.ports.store.outbox().await.unwrap().iter().any(|one| one.target == target) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{target} was never told everything");
    }

    /// When the next try is due, once the attempt under way was settled as failed.
    async fn due(&self, target: &str) -> Timestamp {
        self.counted(&format!("portcullis_notifications_total{{target=\"{target}\",result=\"failed\"}}"))
            .await;
        // The attempt is counted before it is settled: until then its lease stands.
        let lease = self.ports.clock.now() + jiff::SignedDuration::from_secs(15);
        for _ in 0..400 {
            let standing = self.ports.store.outbox().await.unwrap();
            let one = standing.iter().find(|one| one.target == target).unwrap();
            if one.due != lease {
                return one.due;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("never settled");
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default()
    }
}

fn load(targets: Vec<TargetConfig>) -> Result<Targets, Vec<Diagnostic>> {
    Targets::load(&Config { page: "https://portcullis.example.com/".parse().unwrap(), targets })
}

fn new(digest: &str) -> NewApproval {
    let mut who = (*Identity::anonymous()).clone();
    who.method = Method::Jwt;
    who.issuer = "https://idp.example".into();
    who.subject = "ana".into();
    who.person = Some("ana@example.com".into());
    NewApproval {
        id: uuid::Uuid::now_v7().to_string(),
        digest: digest.into(),
        exact: None,
        idempotency_key: String::new(),
        caller: Caller::of(&who, "10.0.0.7"),
        call: CallSummary {
            method: "POST".into(),
            host: "api.example.com".into(),
            path: "/v1/refunds?token=QUERYSECRET".into(),
            destination: "- 8443".into(),
            headers: vec![("authorization".into(), "HEADERSECRET".into())],
            body: "Qk9EWVNFQ1JFVA==".into(),
            ..CallSummary::default()
        },
        rules: vec!["refunds/large".into()],
        revision: "r7".into(),
        requires: vec![crate::approval::Requirement::of(
            "refunds/large",
            vec![Approvers { groups: vec!["finance".into()], people: vec![], count: 2 }],
        )],
        grant: Grant::Once,
        same: None,
        remind_after: None,
        auto_approved: vec![],
        retry_window: std::time::Duration::ZERO,
        expires_in: std::time::Duration::from_secs(600),
    }
}
