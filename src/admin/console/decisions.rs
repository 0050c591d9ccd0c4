//! The newest decisions of the audit trail of this server: as a page, and read once for all who watch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::Console;
use super::guard::Visitor;
use super::page::{self, DecisionList, Decisions, Frame};
use super::pages::Page;
use super::view::Decision;
use crate::admin::fault::Fault;
use crate::clock;

/// How many a page shows, of how many records at most.
const SHOWN: usize = 200;
const READ: usize = SHOWN * 4;

/// For how long those who watch share what was read.
pub const SHARED: Duration = Duration::from_millis(500);

/// What those who watch share.
#[derive(Debug, Default)]
pub struct Feed(Mutex<Option<(Instant, Arc<Vec<Value>>)>>);

#[derive(Deserialize)]
pub struct DecisionsQuery {
    /// Only those with this outcome; empty for all.
    #[serde(default)]
    pub outcome: String,
}

/// `GET /decisions`
pub async fn page(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(query): Query<DecisionsQuery>,
) -> Page {
    console.state.may_look(&visitor.who)?;
    let records = console.read_records().await?;
    let mut asked = String::new();
    if !query.outcome.is_empty() {
        let encoded = form_urlencoded::Serializer::new(asked).append_pair("outcome", &query.outcome).finish();
        asked = format!("?{encoded}");
    }
    let page = Decisions {
        frame: Frame::new(&console, &visitor, "/decisions", "Decisions"),
        list: console.decision_list(&records, &query.outcome),
        outcome: query.outcome,
        query: asked,
        shown: SHOWN,
    };
    Ok(page::html(&page))
}

impl Console {
    /// The newest records, read by one of those who watch, and at most twice a second.
    pub async fn watched_records(&self) -> Result<Arc<Vec<Value>>, Fault> {
        let mut last = self.feed.0.lock().await;
        if let Some((read, records)) = &*last
            && read.elapsed() < SHARED
        {
            return Ok(records.clone());
        }
        let began = clock::instant();
        let records = Arc::new(self.read_records().await?);
        *last = Some((began, records.clone()));
        Ok(records)
    }

    async fn read_records(&self) -> Result<Vec<Value>, Fault> {
        self.parts.insight.records(READ).await.map_err(|error| {
            tracing::error!(%error, "the audit trail can't be read");
            Fault::Unavailable
        })
    }

    /// Those of the decisions that have this outcome.
    pub fn decision_list(&self, records: &[Value], outcome: &str) -> DecisionList {
        let now = self.now();
        let all = records.iter().filter_map(|record| Decision::of(record, now));
        let fitting = all.filter(|one| outcome.is_empty() || one.outcome == outcome);
        DecisionList { decisions: fitting.take(SHOWN).collect() }
    }
}
