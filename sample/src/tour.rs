//! Plays the tour: calls through Envoy, each printed with what came back and compared with what had to come back.

mod audit;
mod call;
mod report;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::setup::Setup;
use crate::upstream::CARD_NUMBERS;
use call::{Call, Got};
use report::Report;

/// How long a held call and its audit record may take to show up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a call has to hang before it counts as held.
const HANGING: Duration = Duration::from_millis(700);

/// Plays all steps. True when every one did what it says.
pub async fn play(setup: &Setup) -> bool {
    let mut tour = Tour { setup, client: reqwest::Client::new(), report: Report::default() };
    if let Err(error) = tour.steps().await {
        tour.report.broken_off(&error);
    }
    tour.report.finish()
}

struct Tour<'a> {
    setup: &'a Setup,
    client: reqwest::Client,
    report: Report,
}

impl Tour<'_> {
    async fn steps(&mut self) -> Result<()> {
        self.plain_decisions().await?;
        self.masked_responses().await?;
        self.an_approved_refund().await?;
        self.a_rejected_refund().await?;
        self.the_audit_trail().await
    }

    async fn plain_decisions(&mut self) -> Result<()> {
        self.report.step("Everybody may read what is public");
        let got = self.call(&Call::get("/public/hello")).await?;
        self.report.status(&got, 200);

        self.report.step("Orders need a token");
        let got = self.call(&Call::get("/v1/orders")).await?;
        self.report.status(&got, 401);

        self.report.step("Carl is a guest, and guests may not see orders");
        let got = self.call(&Call::get("/v1/orders").by("carl")).await?;
        self.report.status(&got, 403);
        self.report.contains(&got, "guests may not see orders");
        self.report.equals(
            "orders calls that reached the upstream",
            0,
            self.setup.upstream.calls_to("/v1/orders"),
        );
        Ok(())
    }

    async fn masked_responses(&mut self) -> Result<()> {
        self.report.step("Ana is staff: she sees the orders, without their card numbers");
        let got = self.call(&Call::get("/v1/orders/o-1001").by("ana")).await?;
        self.report.status(&got, 200);
        self.report.contains(&got, "****1111");
        self.report.lacks(&got.body, &CARD_NUMBERS);

        self.report.step("Dana is in support: she doesn't see the customers' addresses either");
        let got = self.call(&Call::get("/v1/orders").by("dana")).await?;
        self.report.status(&got, 200);
        self.report.lacks(&got.body, &CARD_NUMBERS);
        self.report.lacks(&got.body, &["@example.com"]);

        self.report.step("A stream of events is masked as it flows");
        let got = self.call(&Call::get("/v1/orders/stream?events=3&interval_ms=50").by("ana")).await?;
        self.report.status(&got, 200);
        self.report.equals("events", 3, got.body.matches("event: order").count());
        self.report.lacks(&got.body, &CARD_NUMBERS);
        Ok(())
    }

    async fn an_approved_refund(&mut self) -> Result<()> {
        self.report.step("A small refund goes through; a large one by ana waits for somebody in finance");
        let got =
            self.call(&Call::post("/v1/refunds", r#"{"order":"o-1001","amount":20}"#).by("ana")).await?;
        self.report.status(&got, 200);
        let body = r#"{"order":"o-1003","amount":700}"#;
        let (held, id) = self.hold(&Call::post("/v1/refunds", body).by("ana")).await?;
        self.report.equals("refunds of 700 so far", 0, self.refunds(body));

        self.report.step("Ana can't approve her own call");
        let (success, _) = self.approvals("ana", &["approve", &id]).await?;
        self.report.equals("accepted", false, success);

        self.report.step("Bob, who is on call in finance, approves: the call goes on where it waited");
        let (success, _) =
            self.approvals("bob", &["approve", &id, "--reason", "checked with the customer"]).await?;
        self.report.equals("accepted", true, success);
        let got = held.await.context("the held call vanished")??;
        self.report.got(&got);
        self.report.status(&got, 200);
        self.report.contains(&got, r#""refunded":700"#);
        self.report.equals("refunds of 700", 1, self.refunds(body));
        Ok(())
    }

    async fn a_rejected_refund(&mut self) -> Result<()> {
        self.report.step("The next one he rejects: it never reaches the upstream");
        let body = r#"{"order":"o-1003","amount":900}"#;
        let (held, id) = self.hold(&Call::post("/v1/refunds", body).by("ana")).await?;
        let (success, _) = self.approvals("bob", &["reject", &id, "--reason", "twice in a day"]).await?;
        self.report.equals("accepted", true, success);
        let got = held.await.context("the held call vanished")??;
        self.report.got(&got);
        self.report.status(&got, 403);
        self.report.equals("refunds of 900", 0, self.refunds(body));
        Ok(())
    }

    async fn the_audit_trail(&mut self) -> Result<()> {
        self.report.step("All of it is in the audit trail, and none of the card numbers");
        // What this tour did.
        let wanted = [
            ("decision", "/outcome", "allow", 6),
            ("decision", "/outcome", "deny", 3),
            ("decision", "/rule", "refunds/large-refunds-wait", 2),
            ("response", "/outcome", "masked", 3),
            ("vote", "/choice", "approve", 1),
            ("vote", "/choice", "reject", 1),
        ];
        let path = self.setup.audit_path();
        let end = Instant::now() + PATIENCE;
        let complete = |records: &[Value]| {
            wanted
                .iter()
                .all(|&(kind, field, value, count)| audit::count(records, kind, field, value) == count)
        };
        let mut records = audit::records(&path);
        while !complete(&records) && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
            records = audit::records(&path);
        }
        records.iter().for_each(|record| self.report.show(&audit::summary(record)));
        for (kind, field, value, count) in wanted {
            let got = audit::count(&records, kind, field, value);
            self.report.equals(&format!("records of kind `{kind}` that say `{value}`"), count, got);
        }
        self.report.lacks(&std::fs::read_to_string(&path)?, &CARD_NUMBERS);
        Ok(())
    }

    async fn call(&mut self, call: &Call) -> Result<Got> {
        self.report.show(&call.to_string());
        let got = call.send(&self.client, self.setup).await?;
        self.report.got(&got);
        Ok(got)
    }

    /// Makes a call that has to hang, and finds the request for approval that it became.
    async fn hold(&mut self, call: &Call) -> Result<(tokio::task::JoinHandle<Result<Got>>, String)> {
        self.report.show(&call.to_string());
        let request = call.request(&self.client, self.setup)?;
        let held = tokio::spawn(async move { Got::of(request.send().await?).await });
        sleep(HANGING).await;
        self.report.equals("the call hangs", true, !held.is_finished());
        let end = Instant::now() + PATIENCE;
        let id = loop {
            let (_, list) = self.approvals_quietly("bob", &["list", "--state", "pending"]).await?;
            let list: Value = serde_json::from_str(&list).unwrap_or_default();
            if let Some(id) = list.pointer("/approvals/0/id").and_then(Value::as_str) {
                break id.to_owned();
            }
            ensure!(!held.is_finished(), "the call did not wait: {:?}", held.await);
            ensure!(Instant::now() < end, "no pending request for approval in `approvals list`: {list}");
            sleep(Duration::from_millis(50)).await;
        };
        self.approvals("bob", &["list", "--state", "pending"]).await?;
        Ok((held, id))
    }

    /// `portcullis approvals`, printed with what it said. Whether it succeeded, and its standard output.
    async fn approvals(&mut self, person: &str, arguments: &[&str]) -> Result<(bool, String)> {
        let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
        let typed: Vec<String> = arguments.iter().map(quoted).collect();
        self.report.show(&format!("{person}$ portcullis approvals {}", typed.join(" ")));
        let (success, said) = self.run_approvals(person, arguments, "human").await?;
        said.lines().for_each(|line| self.report.show(line));
        Ok((success, said))
    }

    async fn approvals_quietly(&self, person: &str, arguments: &[&str]) -> Result<(bool, String)> {
        self.run_approvals(person, arguments, "json").await
    }

    async fn run_approvals(&self, person: &str, arguments: &[&str], format: &str) -> Result<(bool, String)> {
        let done = Command::new(&self.setup.binary)
            .arg("approvals")
            .args(arguments)
            .args(["--format", format, "--server", &format!("http://{}", self.setup.admin), "--token-file"])
            .arg(self.setup.token_path(&format!("{person}-admin")))
            .output()
            .await?;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    fn refunds(&self, body: &str) -> u64 {
        self.setup.upstream.refunds().get(body).copied().unwrap_or_default()
    }
}
