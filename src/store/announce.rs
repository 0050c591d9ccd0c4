//! Who is told of what was committed: waiters in this process, and the other servers of the store.

use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::outbox::Outbox;
use crate::approval::{Event, State};

/// The channel of PostgreSQL's NOTIFY.
pub(super) const CHANNEL: &str = "portcullis";

/// What happened to an approval, told after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: String,
    /// The state that it came to.
    pub state: State,
    pub event: Event,
    /// Whether this server made it: of all that hear of it, exactly one did.
    pub here: bool,
}

/// The approvals that change, from now on.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Option<Change>>);

impl Changes {
    /// The next change, after its commit. `Lagged`: some were missed, so whoever waits must read again what it waits
    /// for.
    pub async fn recv(&mut self) -> Result<Change, RecvError> {
        self.0.recv().await?.ok_or(RecvError::Lagged(0))
    }
}

/// What one transaction changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Committed {
    pub(super) approvals: Vec<Change>,
    /// Whether a key or revocation changed.
    pub(super) credentials: bool,
    /// Whether the policies' state changed.
    pub(super) bundles: bool,
    /// Whether somebody is to be told something, by whichever server finds it first.
    pub(super) news: bool,
}

/// Everybody who is told. Clones tell the same ones.
#[derive(Clone)]
pub(super) struct Announcements {
    approvals: broadcast::Sender<Option<Change>>,
    credentials: watch::Sender<()>,
    bundles: watch::Sender<()>,
    pub(super) outbox: Outbox,
    /// Tells what this server said itself from what others did.
    origin: Arc<str>,
}

impl Announcements {
    /// `queue` changes wait for a slow receiver, which then lags.
    pub(super) fn new(queue: usize) -> Self {
        Self {
            approvals: broadcast::Sender::new(queue),
            credentials: watch::Sender::new(()),
            bundles: watch::Sender::new(()),
            outbox: Outbox::default(),
            origin: uuid::Uuid::now_v7().simple().to_string().into(),
        }
    }

    pub(super) fn approvals(&self) -> Changes {
        Changes(self.approvals.subscribe())
    }

    pub(super) fn credentials(&self) -> watch::Receiver<()> {
        self.credentials.subscribe()
    }

    pub(super) fn bundles(&self) -> watch::Receiver<()> {
        self.bundles.subscribe()
    }

    /// Tells this process.
    pub(super) fn announce(&self, committed: Committed) {
        for change in committed.approvals {
            // Without a receiver nobody waits.
            let _ = self.approvals.send(Some(change));
        }
        if committed.credentials {
            self.credentials.send_replace(());
        }
        if committed.bundles {
            self.bundles.send_replace(());
        }
        if committed.news {
            self.outbox.news.send_replace(());
        }
    }

    /// What other servers are told, a message on each line; empty for nothing.
    pub(super) fn lines(&self, committed: &Committed) -> String {
        let origin = &self.origin;
        let approvals = committed.approvals.iter();
        let approvals = approvals.map(|Change { id, state, event, .. }| {
            format!("{origin} approval {} {id} {}", state.as_str(), event.as_str())
        });
        let credentials = committed.credentials.then(|| format!("{origin} credentials"));
        let bundles = committed.bundles.then(|| format!("{origin} bundles"));
        approvals.chain(credentials).chain(bundles).collect::<Vec<_>>().join("\n")
    }

    /// Takes in what another server, perhaps a newer one, was told to say.
    pub(super) fn heard(&self, line: &str) {
        let mut words = line.split(' ');
        if words.next() == Some(&*self.origin) {
            return;
        }
        match (words.next(), words.next(), words.next()) {
            (Some("approval"), Some(state), Some(id)) => {
                let state = State::from_str(state).ok();
                let event = words.next().and_then(Event::from_name);
                let change = state.zip(event);
                let change =
                    change.map(|(state, event)| Change { id: id.to_owned(), state, event, here: false });
                let _ = self.approvals.send(change);
            }
            (Some("credentials"), ..) => self.credentials.send_replace(()),
            (Some("bundles"), ..) => self.bundles.send_replace(()),
            _ => self.missed(),
        }
    }

    /// Something may have happened that nobody told: all is to be read again.
    pub(super) fn missed(&self) {
        let _ = self.approvals.send(None);
        self.credentials.send_replace(());
        self.bundles.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> Committed {
        let change = Change { id: "a1".into(), state: State::Approved, event: Event::Approved, here: true };
        Committed { approvals: vec![change], credentials: true, bundles: true, news: true }
    }

    #[tokio::test]
    async fn others_hear_what_was_committed_and_nobody_hears_themselves() {
        let (here, there) = (Announcements::new(8), Announcements::new(8));
        let (mut told, mut credentials, mut bundles) =
            (there.approvals(), there.credentials(), there.bundles());
        let mut own = here.approvals();
        for line in here.lines(&committed()).lines() {
            there.heard(line);
            here.heard(line);
        }
        let expected =
            Change { id: "a1".into(), state: State::Approved, event: Event::Approved, here: false };
        assert_eq!(told.recv().await.unwrap(), expected);
        assert!(credentials.has_changed().unwrap() && bundles.has_changed().unwrap());
        credentials.mark_unchanged();
        bundles.mark_unchanged();
        here.announce(committed());
        assert!(own.recv().await.unwrap().here, "what it made itself, and nothing before that");
    }

    #[tokio::test]
    async fn what_is_not_understood_or_missed_has_to_be_read_again() {
        let told = Announcements::new(8);
        for line in ["x approval granted a1", "x something new", ""] {
            let mut changes = told.approvals();
            told.heard(line);
            assert!(matches!(changes.recv().await, Err(RecvError::Lagged(_))), "{line}");
        }
        assert_eq!(told.lines(&Committed::default()), "");
    }
}
