//! What the people who look may take up at once: streams, each of which keeps a connection, and reads of many rows.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::Extensions;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::Fault;
use crate::effect::person_key;
use crate::identity::Identity;
use crate::inbound::{Most, UnderWay};

/// Streams of one kind that one login may have open.
const MOST_OF_ONE: usize = 5;

/// Connections of the admin port: for those who showed a credential more than all streams together, so that who decides
/// finds one.
pub const CONNECTIONS: Most = Most { strangers: 256, known: 256, of_person: 32 };

/// Streams of the API at once.
const WATCHERS: usize = 200;

/// Readers of many rows at once, each for another person; others wait for their turn.
const SCANS: usize = 2;

/// How many readings of many rows one person may have waiting, with the one under way.
const SCANS_OF_ONE: usize = 16;

/// Clones share what is left.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams of the API.
    pub(super) watchers: Turns,
    /// Lists that read more than they show.
    scans: Scans,
}

impl Default for Limits {
    fn default() -> Self {
        Self { watchers: Turns::new(WATCHERS), scans: Scans::default() }
    }
}

impl Limits {
    /// Waits for a turn to read many rows for `whose`, or for all who watch, which is over when what this returns is
    /// dropped. However much one person asks for, it is one turn at a time: who else waits has theirs after it.
    pub(super) async fn scan(&self, whose: Option<&Identity>) -> Result<Scan, Fault> {
        self.scans.take(whose.map(name).unwrap_or_default()).await
    }
}

/// Tells the connection of a request who showed a credential there.
pub(super) fn known(of_request: &Extensions, who: &Identity) {
    if let Some(under_way) = of_request.get::<UnderWay>() {
        under_way.known(&name(who));
    }
}

/// The same for all logins of one person.
fn name(who: &Identity) -> String {
    let login = || format!("{} {}", who.issuer, who.subject);
    who.person.as_deref().map_or_else(login, person_key)
}

/// Turns to read many rows. Clones share them.
#[derive(Clone, Debug)]
struct Scans {
    /// First come, first served.
    all: Arc<Semaphore>,
    /// By name: the turns of one person come one after the other.
    each: Arc<Mutex<HashMap<String, OwnScans>>>,
}

#[derive(Debug)]
struct OwnScans {
    turn: Arc<Semaphore>,
    /// With the one under way.
    waiting: usize,
}

/// A turn to read many rows.
#[derive(Debug)]
pub(super) struct Scan {
    // Given back first: who waits for it comes last among all.
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _waits: Waits,
}

/// One who waits for a turn, or has it.
#[derive(Debug)]
struct Waits {
    each: Arc<Mutex<HashMap<String, OwnScans>>>,
    whose: String,
}

impl Default for Scans {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(SCANS)), each: Arc::default() }
    }
}

impl Scans {
    async fn take(&self, whose: String) -> Result<Scan, Fault> {
        let (own, waits) = self.wait(whose)?;
        let own = own.acquire_owned().await.map_err(|_| Fault::Unavailable)?;
        let all = self.all.clone().acquire_owned().await.map_err(|_| Fault::Unavailable)?;
        Ok(Scan { _all: all, _own: own, _waits: waits })
    }

    fn wait(&self, whose: String) -> Result<(Arc<Semaphore>, Waits), Fault> {
        let mut each = self.each.lock();
        let own = each
            .entry(whose.clone())
            .or_insert_with(|| OwnScans { turn: Arc::new(Semaphore::new(1)), waiting: 0 });
        if own.waiting >= SCANS_OF_ONE {
            return Err(Fault::TooManyLists);
        }
        own.waiting += 1;
        Ok((own.turn.clone(), Waits { each: self.each.clone(), whose }))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut each = self.each.lock();
        let Some(own) = each.get_mut(&self.whose) else { return };
        own.waiting = own.waiting.saturating_sub(1);
        if own.waiting == 0 {
            each.remove(&self.whose);
        }
    }
}

/// Streams of one kind: so many in all, and a few of each person. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    /// By issuer and subject.
    each: Arc<Mutex<HashMap<(String, String), usize>>>,
}

impl Turns {
    pub fn new(most: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), each: Arc::default() }
    }

    /// A place for one stream of this person, until it is dropped.
    pub fn take(&self, who: &Identity) -> Result<Turn, Fault> {
        let all = self.all.clone().try_acquire_owned().map_err(|_| Fault::TooManyWatchers)?;
        let of = (who.issuer.clone(), who.subject.clone());
        let mut each = self.each.lock();
        let open = each.entry(of.clone()).or_default();
        if *open >= MOST_OF_ONE {
            return Err(Fault::TooManyWatchers);
        }
        *open += 1;
        Ok(Turn { each: self.each.clone(), of, _all: all })
    }
}

/// The place of one stream.
#[derive(Debug)]
pub(super) struct Turn {
    each: Arc<Mutex<HashMap<(String, String), usize>>>,
    of: (String, String),
    _all: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut each = self.each.lock();
        let Some(open) = each.get_mut(&self.of) else { return };
        *open = open.saturating_sub(1);
        if *open == 0 {
            each.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::admin::tests::person;

    #[tokio::test]
    async fn however_many_lists_one_person_asks_for_the_next_turn_is_somebody_elses() {
        let scans = Scans::default();
        let nobody = scans.take("nobody".into()).await.unwrap();
        let mut more: Vec<_> = (1..SCANS_OF_ONE).map(|_| Box::pin(scans.take("nobody".into()))).collect();
        assert!(more.iter_mut().all(|next| next.now_or_never().is_none()), "one at a time");
        let refused = scans.take("nobody".into()).now_or_never().unwrap();
        assert_eq!(refused.unwrap_err(), Fault::TooManyLists);
        let bob = scans.take("bob".into()).now_or_never().expect("a turn at once").unwrap();
        let mut carl = Box::pin(scans.take("carl".into()));
        assert!(carl.as_mut().now_or_never().is_none(), "in all");
        drop(nobody);
        assert!(more.iter_mut().all(|next| next.now_or_never().is_none()), "carl came first");
        let carl = carl.now_or_never().unwrap().unwrap();
        drop(bob);
        assert!(more.iter_mut().any(|next| next.now_or_never().is_some()));
        drop((more, carl));
        assert!(scans.each.lock().is_empty(), "nobody who left is remembered");
    }

    #[test]
    fn all_logins_of_one_person_are_one() {
        let of_person = |subject: &str, named: Option<&str>| {
            let mut who = person(subject);
            who.person = named.map(str::to_owned);
            name(&who)
        };
        assert_eq!(of_person("a", Some("Ana@x")), of_person("b", Some("ana@x")));
        assert_ne!(of_person("a", None), of_person("b", None));
    }

    #[test]
    fn one_person_takes_a_few_places_and_leaves_the_others_theirs() {
        let turns = Turns::new(MOST_OF_ONE + 1);
        let mut bobs: Vec<_> = (0..MOST_OF_ONE).map(|_| turns.take(&person("bob")).unwrap()).collect();
        assert_eq!(turns.take(&person("bob")).unwrap_err(), Fault::TooManyWatchers);
        let carl = turns.take(&person("carl")).unwrap();
        assert_eq!(turns.take(&person("dora")).unwrap_err(), Fault::TooManyWatchers, "in all");
        drop(carl);
        bobs.pop();
        turns.take(&person("bob")).unwrap();
        drop(bobs);
        assert!(turns.each.lock().is_empty(), "nobody who left is remembered");
    }
}
