//! What changes while somebody looks, sent anew whenever it does: server-sent events, each the HTML of the whole, so that
//! one that got lost doesn't matter.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use axum::extract::{Extension, Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Console;
use super::decisions::{DecisionsQuery, SHARED};
use super::guard::Visitor;
use super::page::Ended;
use super::trouble::Trouble;
use crate::admin::fault::Fault;
use crate::identity::Identity;
use crate::inbound::UnderWay;
use crate::store::Changes;

/// Changes that come this close together are shown at once.
const GATHER: Duration = Duration::from_millis(100);

/// Without a change it is sent again after so long: ages change, and the session may have ended.
const AGAIN: Duration = Duration::from_secs(15);

/// A stream ends after so many times; the browser asks for the next one.
const MOST: u32 = 2_000;

/// What is watched.
enum What {
    /// The calls that wait.
    Pending(Changes),
    /// The decisions with this outcome.
    Decisions(watch::Receiver<()>, String),
}

struct Watching {
    console: Arc<Console>,
    visitor: Visitor,
    what: What,
    sent: u32,
    ended: bool,
    _turn: OwnedSemaphorePermit,
    _under_way: Option<Extension<UnderWay>>,
}

/// `GET /live`
pub async fn pending(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    under_way: Option<Extension<UnderWay>>,
) -> Result<Response, Trouble> {
    let what = What::Pending(console.state.store.changes());
    Watching::start(console, visitor, what, under_way)
}

/// `GET /live/decisions`
pub async fn decisions(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(query): Query<DecisionsQuery>,
    under_way: Option<Extension<UnderWay>>,
) -> Result<Response, Trouble> {
    console.state.may_look(&visitor.who)?;
    let what = What::Decisions(console.parts.insight.records_changed(), query.outcome);
    Watching::start(console, visitor, what, under_way)
}

impl Watching {
    fn start(
        console: Arc<Console>,
        visitor: Visitor,
        what: What,
        under_way: Option<Extension<UnderWay>>,
    ) -> Result<Response, Trouble> {
        let turn = console.live.clone().try_acquire_owned().map_err(|_| Fault::Unavailable)?;
        let watching =
            Self { console, visitor, what, sent: 0, ended: false, _turn: turn, _under_way: under_way };
        Ok(Sse::new(watching.events()).into_response())
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watching| async move {
            if watching.ended || watching.sent >= MOST {
                return None;
            }
            if watching.sent > 0 {
                watching.wait().await;
            }
            watching.sent += 1;
            let html = watching.html().await?;
            Some((Ok(Event::default().data(html)), watching))
        })
    }

    /// Until something changes, or for long enough.
    async fn wait(&mut self) {
        match &mut self.what {
            What::Pending(changes) => {
                if tokio::time::timeout(AGAIN, changes.recv()).await.is_ok() {
                    tokio::time::sleep(GATHER).await;
                    // Whatever came meanwhile is in the next list.
                    *changes = self.console.state.store.changes();
                }
            }
            What::Decisions(written, _) => {
                match tokio::time::timeout(AGAIN, written.changed()).await {
                    Ok(Ok(())) => {
                        // What others read before this change is not shared any more then.
                        tokio::time::sleep(SHARED).await;
                        written.mark_unchanged();
                    }
                    // Nothing is written any more: the server ends.
                    Ok(Err(_)) => tokio::time::sleep(AGAIN).await,
                    Err(_) => {}
                }
            }
        }
    }

    /// What is watched, as it is now; `None` where it can't be had, and the browser asks again.
    async fn html(&mut self) -> Option<String> {
        // Who is logged out, or revoked, sees nothing more.
        let Ok(who) = self.console.holds(&self.visitor.session) else {
            self.ended = true;
            return Ended.render().ok();
        };
        self.of(&who).await
    }

    async fn of(&self, who: &Identity) -> Option<String> {
        match &self.what {
            What::Pending(_) => self.console.pending_list(who).await.ok()?.render().ok(),
            What::Decisions(_, outcome) => {
                let records = self.console.watched_records().await.ok()?;
                self.console.decision_list(&records, outcome).render().ok()
            }
        }
    }
}
