//! The list of what waits, sent anew whenever something changes: server-sent events, each the HTML of the whole list, so
//! that one that got lost doesn't matter.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use axum::extract::{Extension, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::OwnedSemaphorePermit;

use super::Console;
use super::guard::Visitor;
use super::page::Ended;
use super::trouble::Trouble;
use crate::admin::fault::Fault;
use crate::inbound::UnderWay;
use crate::store::Changes;

/// Changes that come this close together are shown at once.
const GATHER: Duration = Duration::from_millis(100);

/// Without a change the list is sent again after so long: ages change, and the session may have ended.
const AGAIN: Duration = Duration::from_secs(15);

/// A stream ends after so many lists; the browser asks for the next one.
const MOST: u32 = 2_000;

struct Watching {
    console: Arc<Console>,
    visitor: Visitor,
    changes: Changes,
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
    let turn = console.live.clone().try_acquire_owned().map_err(|_| Fault::Unavailable)?;
    let changes = console.state.store.changes();
    let watching =
        Watching { console, visitor, changes, sent: 0, ended: false, _turn: turn, _under_way: under_way };
    Ok(Sse::new(watching.lists()).into_response())
}

impl Watching {
    fn lists(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watching| async move {
            if watching.ended || watching.sent >= MOST {
                return None;
            }
            if watching.sent > 0 {
                watching.wait().await;
            }
            watching.sent += 1;
            let html = watching.list().await?;
            Some((Ok(Event::default().data(html)), watching))
        })
    }

    /// Until something changes, or for long enough.
    async fn wait(&mut self) {
        if tokio::time::timeout(AGAIN, self.changes.recv()).await.is_ok() {
            tokio::time::sleep(GATHER).await;
            // Whatever came meanwhile is in the next list.
            self.changes = self.console.state.store.changes();
        }
    }

    /// The list as it is now; `None` where it can't be had, and the browser asks again.
    async fn list(&mut self) -> Option<String> {
        // Who is logged out, or revoked, sees nothing more.
        let Ok(who) = self.console.holds(&self.visitor.session) else {
            self.ended = true;
            return Ended.render().ok();
        };
        self.console.pending_list(&who).await.ok()?.render().ok()
    }
}
