//! What the people who look may take up at once: streams, each of which keeps a connection, and reads of many rows.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::Fault;
use crate::identity::Identity;

/// Streams of one kind that one login may have open.
const MOST_OF_ONE: usize = 5;

/// Connections of the admin port: more than all streams together, so that who decides finds one.
pub const CONNECTIONS: usize = 512;

/// Streams of the API at once.
const WATCHERS: usize = 200;

/// Readers of many rows at once; others wait for their turn.
const SCANS: usize = 2;

/// Clones share what is left.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams of the API.
    pub(super) watchers: Turns,
    /// Lists that read more than they show.
    scans: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { watchers: Turns::new(WATCHERS), scans: Arc::new(Semaphore::new(SCANS)) }
    }
}

impl Limits {
    /// Waits for a turn to read many rows, which is over when what this returns is dropped.
    pub(super) async fn scan(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.scans.clone().acquire_owned().await.map_err(|_| Fault::Unavailable)
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
    use super::*;
    use crate::admin::tests::person;

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
