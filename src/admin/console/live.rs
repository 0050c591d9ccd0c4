//! What changes while somebody looks, sent anew whenever it does: server-sent events, each the HTML of the whole, so that
//! one that got lost doesn't matter. Two have a name and no HTML: `away`, when nothing can be told for a while, and `ended`,
//! after which the browser asks no more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template as _;
use axum::extract::{Extension, Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::{Mutex, watch};

use super::Console;
use super::decisions::{DecisionsQuery, SHARED};
use super::guard::Visitor;
use super::page::{Ended, PendingList};
use super::trouble::Trouble;
use crate::admin::fault::Fault;
use crate::admin::limits::Turn;
use crate::approval::Approval;
use crate::clock;
use crate::identity::Identity;
use crate::inbound::UnderWay;
use crate::reason::Reason;
use crate::store::Changes;

/// Changes that come this close together are shown at once.
const GATHER: Duration = Duration::from_secs(1);

/// Without a change it is sent again after so long: ages change, and the session may have ended.
const AGAIN: Duration = Duration::from_secs(15);

/// When what is watched could not be read, it is tried again after so long.
const RETRY: Duration = Duration::from_secs(2);

/// A stream ends after so many times; the browser asks for the next one.
const MOST: u32 = 2_000;

/// What is watched.
enum What {
    /// The calls that wait.
    Pending(Changes),
    /// The decisions with this outcome.
    Decisions(watch::Receiver<()>, String),
}

/// What waits, read once for all who watch, and when that began.
#[derive(Debug, Default)]
pub struct PendingFeed(Mutex<Option<(Instant, Waiting)>>);

/// The requests, and whether there are more.
type Waiting = Arc<(Vec<Approval>, bool)>;

/// What is sent next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// The whole, at once.
    First,
    /// The whole, once it changed.
    Changed,
    /// The whole, if it can be read by now.
    Again,
    /// That the session has ended.
    Ended,
    /// Nothing.
    Over,
}

struct Watching {
    console: Arc<Console>,
    visitor: Visitor,
    what: What,
    sent: u32,
    next: Next,
    /// The last change that is known.
    since: Instant,
    _turn: Turn,
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
        let turns = if matches!(what, What::Pending(_)) { &console.live } else { &console.live_decisions };
        let turn = turns.take(&visitor.who)?;
        let (next, since) = (Next::First, clock::instant());
        let watching =
            Self { console, visitor, what, sent: 0, next, since, _turn: turn, _under_way: under_way };
        Ok(Sse::new(watching.events()).into_response())
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watching| async move {
            match watching.next {
                _ if watching.sent >= MOST => return None,
                Next::Over => return None,
                Next::Ended => {
                    watching.next = Next::Over;
                    return Some((Ok(Event::default().event("ended").data("")), watching));
                }
                Next::First => {}
                Next::Changed => watching.wait().await,
                Next::Again => tokio::time::sleep(RETRY).await,
            }
            watching.sent += 1;
            let event = watching.event().await;
            Some((Ok(event), watching))
        })
    }

    /// What is watched, as it is now.
    async fn event(&mut self) -> Event {
        let who = match self.console.holds(&self.visitor.session) {
            Ok(who) => who,
            // Nobody knows; they see nothing more until somebody does.
            Err(Reason::RevocationsStale) => return self.away(),
            // Who is logged out, or revoked, sees nothing more.
            Err(_) => {
                self.next = Next::Ended;
                return Event::default().data(Ended.render().unwrap_or_default());
            }
        };
        match self.html(&who).await {
            Some(html) => {
                self.next = Next::Changed;
                Event::default().data(html)
            }
            None => self.away(),
        }
    }

    fn away(&mut self) -> Event {
        self.next = Next::Again;
        Event::default().event("away").data("")
    }

    /// Until something changes, or for long enough.
    async fn wait(&mut self) {
        match &mut self.what {
            What::Pending(changes) => {
                if tokio::time::timeout(AGAIN, changes.recv()).await.is_ok() {
                    // Whatever came until now is in the next list; what comes while others gather wakes us again.
                    *changes = self.console.state.store.changes();
                    self.since = clock::instant();
                    tokio::time::sleep(GATHER).await;
                } else if let Some(lately) = clock::instant().checked_sub(AGAIN) {
                    self.since = self.since.max(lately);
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

    /// What is watched, for this person; `None` where it can't be had now.
    async fn html(&self, who: &Identity) -> Option<String> {
        match &self.what {
            What::Pending(_) => self.console.watched_pending(who, self.since).await.ok()?.render().ok(),
            What::Decisions(_, outcome) => {
                let records = self.console.watched_records().await.ok()?;
                self.console.decision_list(&records, outcome).render().ok()
            }
        }
    }
}

impl Console {
    /// What waits and `who` may see, read no earlier than `since`: by one of those who watch, for all of them.
    async fn watched_pending(&self, who: &Identity, since: Instant) -> Result<PendingList, Fault> {
        let mut last = self.pending_feed.0.lock().await;
        let read = match &*last {
            Some((began, read)) if *began >= since => read.clone(),
            _ => {
                let began = clock::instant();
                let read = Arc::new(self.state.pending().await?);
                *last = Some((began, read.clone()));
                read
            }
        };
        drop(last);
        Ok(self.list_of(&read.0, read.1, who))
    }
}
