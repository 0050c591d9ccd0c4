//! An issuer's keys over time: loaded from a file once, or fetched from a URL again and again.
//!
//! One task per URL does every fetch, so there is never more than one in flight. Readers take the last published
//! set without waiting; whoever meets an unknown key id may ask for one fetch in ten seconds, and waits for it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::clock::Clock;
use crate::reason::Reason;

use super::fetch::Fetcher;
use super::key_set::{KeySet, Unusable};

/// Unknown key ids cause one fetch in this time at most, however many of them arrive.
const DEMAND_EVERY: Duration = Duration::from_secs(10);
/// How long a caller waits for the fetch that its key id caused.
const DEMAND_WAIT: Duration = Duration::from_secs(2);
/// The first pause after a failed fetch; doubled up to the regular pace.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Where the keys of one issuer come from.
pub enum KeySource {
    File(Arc<KeySet>),
    Url(Remote),
}

/// When to fetch, and for how long to trust what was fetched.
#[derive(Clone, Copy)]
pub struct Pace {
    pub refresh: Duration,
    pub max_stale: Duration,
}

/// Keys behind a URL.
pub struct Remote {
    published: watch::Receiver<Published>,
    wanted: Arc<Notify>,
    demand: Mutex<Option<Demand>>,
    clock: Clock,
    max_stale: Duration,
    /// Ends with its owner.
    _refresher: AbortOnDropHandle<()>,
}

/// What the last fetches brought.
#[derive(Clone, Default)]
struct Published {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    /// How many fetches have ended, well or badly.
    fetches: u64,
}

/// The last fetch that an unknown key id asked for.
#[derive(Clone, Copy)]
struct Demand {
    at: Timestamp,
    /// It is met when this many fetches have ended.
    met_by: u64,
}

/// Why a key file can't be used: one line for each mistake.
pub fn load(path: &Path) -> Result<KeySource, Vec<String>> {
    let text = std::fs::read(path).map_err(|error| vec![format!("it can't be read: {error}")])?;
    match KeySet::parse(&text) {
        Ok((keys, problems)) if problems.is_empty() => Ok(KeySource::File(Arc::new(keys))),
        Ok((_, problems)) => Err(problems),
        Err(Unusable::Empty(problems)) if !problems.is_empty() => Err(problems),
        Err(unusable) => Err(vec![unusable.to_string()]),
    }
}

impl KeySource {
    /// Fetches once, and goes on fetching in the background whether that worked or not.
    pub async fn follow(fetcher: Fetcher, pace: Pace, clock: Clock) -> Self {
        let (publisher, published) = watch::channel(Published::default());
        let wanted = Arc::new(Notify::new());
        let refresher = Refresher { fetcher, pace, clock: clock.clone(), publisher, wanted: wanted.clone() };
        let worked = refresher.fetch().await;
        let task = tokio::spawn(refresher.run(worked));
        Self::Url(Remote {
            published,
            wanted,
            demand: Mutex::new(None),
            clock,
            max_stale: pace.max_stale,
            _refresher: AbortOnDropHandle::new(task),
        })
    }

    /// The keys of this moment.
    pub fn keys(&self) -> Result<Arc<KeySet>, Reason> {
        match self {
            Self::File(keys) => Ok(keys.clone()),
            Self::Url(remote) => remote.keys(),
        }
    }

    /// The keys after a fetch, if one may be made or is under way; `None` when there is nothing to wait for.
    pub async fn newer_keys(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(_) => None,
            Self::Url(remote) => remote.demand().await,
        }
    }

    /// Seconds since the keys were fetched; infinite when they never were, `None` for files.
    pub fn age(&self) -> Option<f64> {
        match self {
            Self::File(_) => None,
            Self::Url(remote) => Some(remote.age().map_or(f64::INFINITY, |age| age.as_secs_f64())),
        }
    }
}

impl Remote {
    fn keys(&self) -> Result<Arc<KeySet>, Reason> {
        let (keys, _) = self.published.borrow().keys.clone().ok_or(Reason::KeysUnavailable)?;
        match self.age() {
            Some(age) if age <= self.max_stale => Ok(keys),
            _ => Err(Reason::KeysUnavailable),
        }
    }

    fn age(&self) -> Option<Duration> {
        let fetched = self.published.borrow().keys.as_ref().map(|(_, at)| *at)?;
        Some(elapsed(fetched, self.clock.now()).unwrap_or(Duration::ZERO))
    }

    async fn demand(&self) -> Option<Arc<KeySet>> {
        let mut published = self.published.clone();
        let met_by = self.ask(published.borrow().fetches);
        if published.borrow().fetches >= met_by {
            return None;
        }
        let met = published.wait_for(|published| published.fetches >= met_by);
        timeout(DEMAND_WAIT, met).await.ok()?.ok()?;
        self.keys().ok()
    }

    /// Joins the demand of the last ten seconds, or makes one. A clock that was set back makes a new one.
    fn ask(&self, fetches: u64) -> u64 {
        let now = self.clock.now();
        let mut demand = self.demand.lock();
        match *demand {
            Some(last) if elapsed(last.at, now).is_some_and(|since| since < DEMAND_EVERY) => last.met_by,
            _ => {
                let met_by = fetches.saturating_add(1);
                *demand = Some(Demand { at: now, met_by });
                self.wanted.notify_one();
                met_by
            }
        }
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}

/// The background task of one URL.
struct Refresher {
    fetcher: Fetcher,
    pace: Pace,
    clock: Clock,
    publisher: watch::Sender<Published>,
    wanted: Arc<Notify>,
}

impl Refresher {
    async fn run(self, mut worked: bool) {
        let mut retry = FIRST_RETRY;
        loop {
            let pause = if worked { self.pace.refresh } else { retry.min(self.pace.refresh) };
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                () = self.wanted.notified() => {}
            }
            worked = self.fetch().await;
            retry = if worked { FIRST_RETRY } else { retry.saturating_mul(2) };
        }
    }

    /// A fetch that fails leaves the keys as they are, to age.
    async fn fetch(&self) -> bool {
        let fetched = match self.fetcher.fetch().await {
            Ok((keys, problems)) => {
                for problem in problems {
                    warn!(url = self.fetcher.url(), problem, "skipped a key of a key set");
                }
                Some((Arc::new(keys), self.clock.now()))
            }
            Err(error) => {
                warn!(url = self.fetcher.url(), %error, "can't fetch a key set");
                None
            }
        };
        let worked = fetched.is_some();
        self.publisher.send_modify(|published| {
            published.keys = fetched.or(published.keys.take());
            published.fetches = published.fetches.saturating_add(1);
        });
        worked
    }
}

/// Up to a tenth less, so that replicas that started together do not fetch together.
fn jittered(pause: Duration) -> Duration {
    let permille = RandomState::new().hash_one(0u8) % 100;
    pause.mul_f64(1.0 - permille as f64 / 1_000.0)
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "KeySource::File",
            Self::Url(_) => "KeySource::Url",
        })
    }
}
