//! The places that connections take up. Whoever showed a credential keeps its own; of the others, who are strangers, the
//! network with the most gives way to the next that comes. So nobody waits for a place, and a flood shuts out itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock;
use crate::metrics::{InboundListener, Metrics};

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// That showed no credential, one at least: with one more, one of them is closed.
    pub strangers: usize,
    /// Places beside for those that showed one. Without a free one they stay strangers.
    pub known: usize,
    /// Of these, places of one person.
    pub of_person: usize,
}

/// Who is told of connections that gave way.
#[derive(Clone, Debug)]
pub struct Report {
    pub metrics: Metrics,
    pub listener: InboundListener,
}

/// A flood is one line in the log, and one more each time that this has passed.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// All places of a listener. Clones share them.
#[derive(Clone)]
pub(super) struct Places {
    most: Most,
    report: Option<Report>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    /// The number of the next that comes.
    next: u64,
    /// In the order in which they came.
    connections: BTreeMap<u64, Connection>,
    told: Option<Instant>,
}

struct Connection {
    network: IpAddr,
    /// How many of its requests are under way.
    requests: watch::Sender<usize>,
    gives_way: Arc<Notify>,
    /// Whose credential it showed.
    person: Option<Arc<str>>,
}

/// The place of one connection, until it is dropped.
pub(super) struct Place {
    places: Places,
    number: u64,
    gives_way: Arc<Notify>,
}

/// The place of one connection, by those who serve it.
#[derive(Clone)]
pub(super) struct Handle {
    places: Places,
    number: u64,
}

impl Places {
    pub fn new(most: Most, report: Option<Report>) -> Self {
        Self { most, report, taken: Arc::default() }
    }

    /// A place for a connection from `peer` that has as many requests under way as `requests` says. Where all are taken,
    /// another stranger gives way.
    pub fn admit(&self, peer: IpAddr, requests: watch::Sender<usize>) -> Place {
        let (network, gives_way) = (network(peer), Arc::<Notify>::default());
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        if taken.strangers().count() >= self.most.strangers
            && let Some(crowd) = taken.give_way(network)
        {
            self.tell(&mut taken, crowd);
        }
        let connection = Connection { network, requests, gives_way: gives_way.clone(), person: None };
        taken.connections.insert(number, connection);
        Place { places: self.clone(), number, gives_way }
    }

    /// `crowd` is the network whose connection gave way.
    fn tell(&self, taken: &mut Taken, crowd: IpAddr) {
        let Some(report) = &self.report else { return };
        report.metrics.connection_gave_way(report.listener);
        let now = clock::instant();
        if taken.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY) {
            taken.told = Some(now);
            tracing::warn!(
                listener = report.listener.as_str(), address = %crowd, most = self.most.strangers,
                "more clients without a credential connect than there are places; connections of the address with the \
                 most are closed (said once a minute; the metric counts them)"
            );
        }
    }
}

impl Taken {
    fn strangers(&self) -> impl Iterator<Item = (&u64, &Connection)> {
        self.connections.iter().filter(|(_, connection)| connection.person.is_none())
    }

    /// Closes the stranger to whom `newcomer` comes one too many, and says of which network it was: that with the most,
    /// and of it first what has no request under way, and first the oldest.
    fn give_way(&mut self, newcomer: IpAddr) -> Option<IpAddr> {
        let mut of_network = HashMap::from([(newcomer, 1_usize)]);
        for (_, stranger) in self.strangers() {
            *of_network.entry(stranger.network).or_default() += 1;
        }
        let crowd = |stranger: &Connection| of_network.get(&stranger.network).copied().unwrap_or_default();
        let first = self
            .strangers()
            .min_by_key(|(number, stranger)| (Reverse(crowd(stranger)), !stranger.is_quiet(), **number));
        let number = *first?.0;
        let gone = self.connections.remove(&number)?;
        gone.gives_way.notify_one();
        Some(gone.network)
    }

    /// Notes whose credential a connection showed, if there is a place for it among the known.
    fn know(&mut self, number: u64, person: &str, most: Most) {
        if self.connections.get(&number).is_none_or(|connection| connection.person.is_some()) {
            return;
        }
        let mut of_person: HashMap<Arc<str>, usize> = HashMap::new();
        for known in self.connections.values().filter_map(|connection| connection.person.as_ref()) {
            *of_person.entry(known.clone()).or_default() += 1;
        }
        let own = of_person.get(person).copied().unwrap_or_default();
        let all: usize = of_person.values().sum();
        let crowd = if own >= most.of_person {
            Some(Arc::from(person))
        } else if all >= most.known {
            of_person.into_iter().max_by_key(|(_, count)| *count).map(|(person, _)| person)
        } else {
            None
        };
        let full = own >= most.of_person || all >= most.known;
        if full && !crowd.is_some_and(|crowd| self.forget_one_of(&crowd)) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.person = Some(Arc::from(person));
        }
    }

    /// Makes the oldest connection of this person that has no request under way a stranger; `false` where all have one.
    fn forget_one_of(&mut self, person: &str) -> bool {
        let quiet = |connection: &&mut Connection| {
            connection.person.as_deref() == Some(person) && connection.is_quiet()
        };
        let oldest = self.connections.values_mut().find(quiet);
        oldest.map(|connection| connection.person = None).is_some()
    }
}

impl Connection {
    fn is_quiet(&self) -> bool {
        *self.requests.borrow() == 0
    }
}

impl Place {
    pub fn handle(&self) -> Handle {
        Handle { places: self.places.clone(), number: self.number }
    }

    /// Completes when the connection has to be closed.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Handle {
    pub fn know(&self, person: &str) {
        self.places.taken.lock().know(self.number, person, self.places.most);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().connections.remove(&self.number);
    }
}

/// Whoever has one address of an IPv6 network of 64 bits has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn places(strangers: usize, known: usize, of_person: usize) -> Places {
        Places::new(Most { strangers, known, of_person }, None)
    }

    fn from(places: &Places, address: &str) -> Place {
        busy(places, address, 0)
    }

    fn busy(places: &Places, address: &str, requests: usize) -> Place {
        places.admit(address.parse().unwrap(), watch::Sender::new(requests))
    }

    /// Which of them have to close, asked once.
    fn gone(all: &[&Place]) -> Vec<bool> {
        all.iter().map(|place| place.gives_way().now_or_never().is_some()).collect()
    }

    #[test]
    fn a_crowd_from_one_address_closes_its_own_oldest_and_nobody_elses() {
        let places = places(3, 0, 0);
        let bob = from(&places, "192.0.2.1");
        let (first, second) = (from(&places, "198.51.100.7"), from(&places, "198.51.100.7"));
        let third = from(&places, "198.51.100.7");
        assert_eq!(gone(&[&bob, &first, &second, &third]), [false, true, false, false]);
        let carl = from(&places, "192.0.2.2");
        assert_eq!(gone(&[&bob, &second, &third, &carl]), [false, true, false, false]);
    }

    #[test]
    fn who_has_an_ipv6_network_has_one_address() {
        let places = places(2, 0, 0);
        let bob = from(&places, "192.0.2.1");
        let first = from(&places, "2001:db8::1");
        let second = from(&places, "2001:db8::2");
        assert_eq!(gone(&[&bob, &first, &second]), [false, true, false]);
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), network("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn where_all_have_one_address_what_is_quiet_goes_first_and_then_the_oldest() {
        let places = places(2, 0, 0);
        let asking = busy(&places, "127.0.0.1", 1);
        let quiet = from(&places, "127.0.0.1");
        let next = busy(&places, "127.0.0.1", 1);
        assert_eq!(gone(&[&asking, &quiet, &next]), [false, true, false]);
        let last = from(&places, "127.0.0.1");
        assert_eq!(gone(&[&asking, &next, &last]), [true, false, false]);
    }

    #[test]
    fn who_showed_a_credential_gives_way_to_no_stranger() {
        let places = places(1, 2, 2);
        let bob = from(&places, "127.0.0.1");
        bob.handle().know("bob");
        let strangers: Vec<Place> = (0..5).map(|_| from(&places, "127.0.0.1")).collect();
        assert_eq!(gone(&[&bob]), [false]);
        assert_eq!(gone(&strangers.iter().collect::<Vec<_>>()), [true, true, true, true, false]);
    }

    #[test]
    fn one_person_takes_no_more_of_the_known_places_than_theirs() {
        let places = places(1, 3, 1);
        let first = from(&places, "127.0.0.1");
        first.handle().know("bob");
        let second = from(&places, "127.0.0.1");
        second.handle().know("bob");
        let third = from(&places, "127.0.0.1");
        assert_eq!(gone(&[&first, &second, &third]), [true, false, false], "the newest is the known one");
    }

    #[test]
    fn where_the_known_places_are_taken_who_has_the_most_gives_one_back_unless_all_are_busy() {
        for (requests, stays) in [(0, true), (1, false)] {
            let places = places(1, 2, 2);
            let ana: Vec<Place> = (0..2).map(|_| from_known(&places, "ana", requests)).collect();
            let bob = from(&places, "127.0.0.1");
            bob.handle().know("bob");
            drop(from(&places, "127.0.0.1"));
            assert_eq!(gone(&[&bob]), [!stays], "{requests}");
            drop(ana);
        }
    }

    fn from_known(places: &Places, person: &str, requests: usize) -> Place {
        let place = busy(places, "127.0.0.1", requests);
        place.handle().know(person);
        place
    }

    #[test]
    fn a_place_is_free_when_its_connection_ends() {
        let places = places(1, 0, 0);
        drop(from(&places, "127.0.0.1"));
        let (next, held) = (from(&places, "127.0.0.1"), places.taken.lock().connections.len());
        assert_eq!((gone(&[&next]), held), (vec![false], 1));
    }
}
