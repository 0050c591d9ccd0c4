//! The first login, where there is no identity provider yet: a one-time token in a file that only the server's own user
//! can read, made when the store is empty.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::seal::random_text;
use crate::approval::later;
use crate::clock::Clock;
use crate::identity::{Identity, Method};
use crate::secret::Secret;

/// How long the token is good for.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The one-time token, as long as it can be used.
#[derive(Debug, Default)]
pub struct FirstLogin(Mutex<Option<Offer>>);

#[derive(Debug)]
struct Offer {
    token: Secret<String>,
    ends: Timestamp,
    path: PathBuf,
}

impl FirstLogin {
    /// Nobody comes in this way. A file that an earlier start left behind is removed: its token is worth nothing.
    pub fn none(path: &Path) -> Self {
        remove(path);
        Self::default()
    }

    /// Writes a token to `path`, for its owner alone.
    pub fn offered(path: &Path, clock: &Clock) -> io::Result<Self> {
        remove(path);
        let token = random_text().ok_or_else(|| io::Error::other("the system gave no random bytes"))?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(token.as_bytes())?;
        file.sync_all()?;
        let ends = later(clock.now(), LIFETIME);
        Ok(Self(Mutex::new(Some(Offer { token: Secret::new(token), ends, path: path.to_owned() }))))
    }

    /// Whether a token can be used now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let mut offer = self.0.lock();
        if offer.as_ref().is_some_and(|offer| now >= offer.ends)
            && let Some(ended) = offer.take()
        {
            remove(&ended.path);
        }
        offer.is_some()
    }

    /// Whether this is the token; for one caller at most, and never again after that.
    pub fn redeem(&self, token: &str, now: Timestamp) -> bool {
        if !self.is_open(now) {
            return false;
        }
        let mut offer = self.0.lock();
        let fits = offer.as_ref().is_some_and(|offer| {
            verify_slices_are_equal(offer.token.expose().as_bytes(), token.trim().as_bytes()).is_ok()
        });
        if fits && let Some(used) = offer.take() {
            remove(&used.path);
        }
        fits
    }
}

/// Who logs in by the token: a member of the viewer and admin groups, and nobody in person, so that they approve nothing.
pub fn operator(groups: Vec<String>, now: Timestamp) -> Identity {
    Identity {
        method: Method::OneTimeToken,
        issuer: "portcullis".into(),
        subject: "first-login".into(),
        groups,
        issued: Some(now),
        ..Identity::clone(&Identity::anonymous())
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "a one-time token could not be removed; it is worth nothing")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_token_is_in_a_file_of_its_owner_and_good_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first-login");
        std::fs::write(&path, "left behind").unwrap();
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        let first = FirstLogin::offered(&path, &clock).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let token = std::fs::read_to_string(&path).unwrap();
        assert!(!first.redeem("", clock.now()) && !first.redeem(&token[1..], clock.now()));
        assert!(first.redeem(&format!("{token}\n"), clock.now()));
        assert!(!path.exists());
        assert!(!first.redeem(&token, clock.now()));
    }

    #[test]
    fn the_token_ends_and_its_file_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first-login");
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        let first = FirstLogin::offered(&path, &clock).unwrap();
        let token = std::fs::read_to_string(&path).unwrap();
        clock.advance(LIFETIME);
        assert!(!first.redeem(&token, clock.now()));
        assert!(!path.exists());
        std::fs::write(&path, &token).unwrap();
        assert!(!FirstLogin::none(&path).redeem(&token, Timestamp::UNIX_EPOCH));
        assert!(!path.exists());
    }

    #[test]
    fn whoever_logs_in_by_it_can_approve_nothing() {
        assert_eq!(operator(vec!["ops".into()], Timestamp::UNIX_EPOCH).person, None);
    }
}
