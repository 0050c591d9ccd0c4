//! Where the policies stand, and what may take their place without anybody asking for it. No I/O.

use std::sync::Arc;

use jiff::Timestamp;
use semver::Version;

use super::trial::{Began, Tried};
use crate::bundle::content::Key;
use crate::bundle::refusal::Refusal;
use crate::bundle::source::Offer;
use crate::store::{BundleState, KeptBundle, NewestVersion};

/// What the server knows about its policies.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// As the store has it.
    pub kept: BundleState,
    /// What decides now; `None` when nothing does.
    pub running: Option<Key>,
    /// The newest offer that only a pin holds off.
    pub available: Option<(Arc<str>, Offer)>,
    /// The content that the source offered last.
    pub seen: Option<Key>,
    /// What was judged last: looked at again only when it differs.
    pub judged: Option<String>,
    pub refused: Option<LastRefusal>,
    /// The candidate of the configuration.
    pub tried: Option<Tried>,
    /// The candidate that decides, once that is recorded.
    pub began: Option<Began>,
    /// That it begins could not be recorded.
    pub unrecorded: bool,
    /// What was said last about the candidate: its state, revision, share, and why.
    pub said: Option<(&'static str, String, u8, String)>,
}

/// The last refusal of what the source offered; gone when something is taken.
#[derive(Clone, Debug)]
pub struct LastRefusal {
    pub source: Arc<str>,
    pub refusal: Refusal,
    pub findings: Vec<String>,
    pub at: Timestamp,
    pub(super) fingerprint: String,
}

/// How the source is doing.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    pub location: Arc<str>,
    /// When a URL last answered well.
    pub polled: Option<Timestamp>,
    /// Why it did not answer well since.
    pub error: Option<String>,
}

/// What becomes of an offer that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Take,
    /// It decides already.
    Unchanged,
    /// Somebody chose not to run it.
    PassedOver,
    Refuse(Refusal),
}

impl Standing {
    pub fn judge(&self, key: &Key) -> Judgement {
        if self.running.as_ref() == Some(key) {
            return Judgement::Unchanged;
        }
        if self.kept.passed_over.as_deref() == Some(key.to_string().as_str()) {
            return Judgement::PassedOver;
        }
        if let Err(refusal) = self.name(key) {
            return Judgement::Refuse(refusal);
        }
        match self.version(key) {
            Err(refusal) => Judgement::Refuse(refusal),
            Ok(Newness::Seen) if self.running.is_some() => Judgement::Refuse(Refusal::OlderVersion),
            Ok(_) if self.kept.pinned => Judgement::Refuse(Refusal::Pinned),
            Ok(_) => Judgement::Take,
        }
    }

    /// Whether it is the same bundle as the active one. Plain files have no name, and nothing is expected of what
    /// follows them.
    pub fn name(&self, key: &Key) -> Result<(), Refusal> {
        let active = self.kept.active.as_ref().filter(|active| !active.name.is_empty());
        match (&key.bundle, active) {
            (Some((name, _)), Some(active)) if active.name != **name => Err(Refusal::WrongName),
            _ => Ok(()),
        }
    }

    /// How the version stands to the newest that was ever active under its name. Plain files have none.
    pub fn version(&self, key: &Key) -> Result<Newness, Refusal> {
        let Some((name, version)) = &key.bundle else { return Ok(Newness::Newer) };
        let newest = self.kept.newest.iter().find(|newest| newest.name == **name);
        let Some(newest) = newest else { return Ok(Newness::Newer) };
        // What this server wrote it can read; a version that it can't is not known to be older.
        let Ok(highest) = Version::parse(&newest.version) else { return Err(Refusal::OlderVersion) };
        match version.cmp_precedence(&highest) {
            std::cmp::Ordering::Greater => Ok(Newness::Newer),
            std::cmp::Ordering::Less => Err(Refusal::OlderVersion),
            std::cmp::Ordering::Equal if newest.digest == *key.digest => Ok(Newness::Seen),
            std::cmp::Ordering::Equal => Err(Refusal::SameVersion),
        }
    }

    /// The entry that taking `key` adds to the newest versions.
    pub fn newest(&self, key: &Key) -> Option<NewestVersion> {
        let (name, version) = key.bundle.as_ref()?;
        let newer = matches!(self.version(key), Ok(Newness::Newer));
        newer.then(|| NewestVersion {
            name: name.to_string(),
            version: version.to_string(),
            digest: key.digest.to_string(),
        })
    }

    /// What the source may not bring back by itself once somebody chose `chosen`.
    pub fn passed_over_for(&self, chosen: &Key) -> Option<String> {
        let offered = self.seen.as_ref().or(self.running.as_ref());
        // What only the pin holds off is for unpinning to take.
        let held_off = self.available.as_ref().map(|(_, offer)| &offer.key);
        match offered.filter(|offered| *offered != chosen && Some(*offered) != held_off) {
            Some(offered) => Some(offered.to_string()),
            None => self.kept.passed_over.clone(),
        }
    }

    /// Whether going to `chosen` undoes the rollback: it is what was rolled back from.
    pub fn goes_forward(&self, chosen: &Key) -> bool {
        self.kept.passed_over.as_deref() == Some(chosen.to_string().as_str())
    }

    /// The kept revision that a person turned away from, where it does not decide again.
    pub fn turned_away<'k>(&self, kept: &'k [KeptBundle]) -> Option<&'k KeptBundle> {
        let passed_over = self.kept.passed_over.as_deref()?;
        let active = self.kept.active.as_ref().map(|active| &active.id);
        kept.iter().find(|kept| word(kept) == passed_over && Some(&kept.id) != active)
    }
}

/// A kept revision's content in one word, as `Key` has it.
fn word(kept: &KeptBundle) -> String {
    match kept.name.is_empty() {
        true => format!("files:{}", kept.digest),
        false => format!("{}@{}:{}", kept.name, kept.version, kept.digest),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newness {
    Newer,
    /// It is the newest that was ever active.
    Seen,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str, digest: &str) -> Key {
        Key { bundle: Some((name.into(), version.parse().unwrap())), digest: digest.into() }
    }

    fn files(digest: &str) -> Key {
        Key { bundle: None, digest: digest.into() }
    }

    /// `key` decides, and is the newest of its name.
    fn standing(key: &Key) -> Standing {
        let active = KeptBundle {
            id: "1".into(),
            revision: "r".into(),
            name: key.name().into(),
            version: key.version(),
            digest: key.digest.to_string(),
            signer: String::new(),
            source: "here".into(),
            kept: Timestamp::UNIX_EPOCH,
            activated: Timestamp::UNIX_EPOCH,
            previous: None,
        };
        let mut standing = Standing::default();
        standing.kept.newest.extend(standing.newest(key));
        standing.kept.active = Some(active);
        standing.running = Some(key.clone());
        standing
    }

    #[test]
    fn only_newer_versions_of_the_same_bundle_are_taken_unasked() {
        let standing = standing(&key("shop", "2.0.0", "b"));
        for (offered, expected) in [
            (key("shop", "2.0.1", "c"), Judgement::Take),
            (key("shop", "2.0.0", "b"), Judgement::Unchanged),
            (key("shop", "2.0.0", "x"), Judgement::Refuse(Refusal::SameVersion)),
            (key("shop", "2.0.0+build", "x"), Judgement::Refuse(Refusal::SameVersion)),
            (key("shop", "2.0.0-rc.1", "b"), Judgement::Refuse(Refusal::OlderVersion)),
            (key("shop", "1.9.9", "b"), Judgement::Refuse(Refusal::OlderVersion)),
            (key("other", "3.0.0", "c"), Judgement::Refuse(Refusal::WrongName)),
            (files("c"), Judgement::Take),
        ] {
            assert_eq!(standing.judge(&offered), expected, "{offered}");
        }
    }

    #[test]
    fn the_highest_version_counts_also_after_a_rollback() {
        let mut standing = standing(&key("shop", "3.0.0", "c"));
        standing.running = Some(key("shop", "2.0.0", "b"));
        assert_eq!(standing.judge(&key("shop", "2.5.0", "x")), Judgement::Refuse(Refusal::OlderVersion));
        assert_eq!(standing.judge(&key("shop", "3.0.0", "c")), Judgement::Refuse(Refusal::OlderVersion));
        assert_eq!(standing.judge(&key("shop", "3.0.1", "d")), Judgement::Take);
    }

    #[test]
    fn what_could_not_be_restored_may_come_again() {
        let mut standing = standing(&key("shop", "3.0.0", "c"));
        standing.running = None;
        assert_eq!(standing.judge(&key("shop", "3.0.0", "c")), Judgement::Take);
        assert_eq!(standing.judge(&key("shop", "3.0.0", "x")), Judgement::Refuse(Refusal::SameVersion));
        assert_eq!(standing.judge(&key("shop", "2.0.0", "b")), Judgement::Refuse(Refusal::OlderVersion));
    }

    #[test]
    fn a_pin_holds_off_what_would_be_taken_and_hides_no_other_reason() {
        let mut standing = standing(&key("shop", "2.0.0", "b"));
        standing.kept.pinned = true;
        assert_eq!(standing.judge(&key("shop", "3.0.0", "c")), Judgement::Refuse(Refusal::Pinned));
        assert_eq!(standing.judge(&key("shop", "1.0.0", "a")), Judgement::Refuse(Refusal::OlderVersion));
        assert_eq!(standing.judge(&key("shop", "2.0.0", "b")), Judgement::Unchanged);
    }

    #[test]
    fn what_somebody_turned_away_from_is_passed_over_until_it_differs() {
        let mut standing = standing(&files("new"));
        standing.seen = Some(files("new"));
        let old = files("old");
        standing.kept.passed_over = standing.passed_over_for(&old);
        standing.running = Some(old.clone());
        assert_eq!(standing.judge(&files("new")), Judgement::PassedOver);
        assert_eq!(standing.judge(&files("newer")), Judgement::Take);
        assert_eq!(standing.passed_over_for(&old), Some("files:new".into()), "a second choice keeps it so");
    }
}
