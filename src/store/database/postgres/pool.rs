//! The connections that read.
//!
//! Not sqlx's pool: that one asks a connection whether it is well before it takes it back, without a limit, and so a
//! database that stands still would keep all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Link, Use};
use crate::clock;
use crate::store::StoreError;
use crate::store::config::Postgres;

/// A connection that was unused for longer may have been ended on the way, by a firewall for example.
const KEPT: Duration = Duration::from_secs(60);

/// One writes and one listens.
const OTHERS: u32 = 2;

/// At most so many connections; those that are not in use wait for the next statement. Clones share them.
#[derive(Clone)]
pub(in crate::store) struct Pool(Arc<Shared>);

struct Shared {
    config: Postgres,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<(Link, Instant)>>,
}

/// A connection in use. Unless it is given back it is closed: whoever gave up waiting leaves it in the middle of
/// something.
pub(in crate::store) struct Lease {
    link: Link,
    pool: Pool,
    _turn: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(config: Postgres) -> Self {
        let most = config.max_connections.saturating_sub(OTHERS).max(1);
        let turns = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1)));
        Self(Arc::new(Shared { config, turns, idle: Mutex::default() }))
    }

    /// Waits for its turn, and connects where no connection is left.
    pub(in crate::store) async fn lease(&self) -> Result<Lease, StoreError> {
        let leased = async {
            let turn = self.0.turns.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
            let link = match self.idle() {
                Some(link) => link,
                None => super::link(&self.0.config, Use::Reading).await?,
            };
            Ok(Lease { link, pool: self.clone(), _turn: turn })
        };
        tokio::time::timeout(self.0.config.patience, leased).await.unwrap_or(Err(StoreError::Slow))
    }

    /// Closes what is not in use.
    pub(in crate::store) fn renew(&self) {
        self.0.idle.lock().clear();
    }

    pub(in crate::store) fn close(&self) {
        self.0.turns.close();
        self.renew();
    }

    /// The one used last, if that is not long ago.
    fn idle(&self) -> Option<Link> {
        let mut idle = self.0.idle.lock();
        let (link, since) = idle.pop()?;
        if since.elapsed() < KEPT {
            return Some(link);
        }
        idle.clear();
        None
    }
}

impl Lease {
    pub(in crate::store) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub(in crate::store) fn give_back(self) {
        if !self.pool.0.turns.is_closed() {
            self.pool.0.idle.lock().push((self.link, clock::instant()));
        }
    }
}
