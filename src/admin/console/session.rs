//! Who is logged in: a sealed cookie that any replica opens, and the cookies of a login that is under way.

use std::sync::Arc;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seal::{Keys, Purpose, random_text};
use crate::identity::{Identity, Method};

/// Browsers keep 4,096 bytes of a cookie, its name and attributes counted.
const MAX_COOKIE: usize = 3_900;

/// What a person's browser shows with every request. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Random: forms and log-outs name the session by it.
    pub id: String,
    issuer: String,
    pub subject: String,
    person: Option<String>,
    email: String,
    groups: Vec<String>,
    /// The provider's session (`sid`), and the id token's own id (`jti`), for revocation.
    sid: String,
    token: String,
    issued: Option<i64>,
    /// When the person last proved who they are (`auth_time`); `None` where the provider does not say.
    pub proven: Option<i64>,
    pub started: i64,
    /// When the person last asked for a page.
    pub seen: i64,
    /// Made by the one-time token of an empty store.
    first: bool,
}

impl Session {
    /// The session of whom an id token stands for. `None` when the system gives no random bytes.
    pub fn of(who: &Identity, proven: Option<i64>, now: Timestamp) -> Option<Self> {
        let now = now.as_second();
        Some(Self {
            id: random_text()?,
            issuer: who.issuer.clone(),
            subject: who.subject.clone(),
            person: who.person.clone(),
            email: who.email.clone(),
            groups: who.groups.clone(),
            sid: who.session.clone(),
            token: who.token_id.clone(),
            issued: who.issued.map(Timestamp::as_second),
            proven,
            started: now,
            seen: now,
            first: who.method == Method::OneTimeToken,
        })
    }

    /// Whom the session stands for.
    pub fn identity(&self) -> Arc<Identity> {
        let issued = self.issued.and_then(|at| Timestamp::from_second(at).ok());
        Arc::new(Identity {
            method: if self.first { Method::OneTimeToken } else { Method::Jwt },
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            person: self.person.clone(),
            email: self.email.clone(),
            groups: self.groups.clone(),
            session: self.sid.clone(),
            token_id: self.token.clone(),
            issued,
            ..Identity::clone(&Identity::anonymous())
        })
    }

    /// Whether the one-time token of an empty store made it.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// The person, as people call them.
    pub fn name(&self) -> &str {
        self.person.as_deref().unwrap_or(&self.subject)
    }
}

/// The cookies of the console. With TLS their names begin with `__Host-`, so that no other host can set them.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    pub secure: bool,
}

impl Cookies {
    pub fn name(self, purpose: Purpose) -> &'static str {
        match (purpose, self.secure) {
            (Purpose::Session, true) => "__Host-portcullis",
            (Purpose::Session, false) => "portcullis",
            (Purpose::Flow, true) => "__Host-portcullis-login",
            (Purpose::Flow, false) => "portcullis-login",
            (Purpose::Draft, true) => "__Host-portcullis-draft",
            (Purpose::Draft, false) => "portcullis-draft",
            (Purpose::Known, true) => "__Host-portcullis-known",
            (Purpose::Known, false) => "portcullis-known",
        }
    }

    /// The header that sets a cookie for so many seconds. `None` for a value that no browser would keep whole.
    pub fn set(
        self,
        keys: &Keys,
        purpose: Purpose,
        value: &impl Serialize,
        seconds: u64,
    ) -> Option<HeaderValue> {
        let sealed = keys.seal(purpose, value)?;
        if sealed.len() > MAX_COOKIE { None } else { self.header(purpose, &sealed, seconds) }
    }

    /// The header that removes a cookie.
    pub fn remove(self, purpose: Purpose) -> Option<HeaderValue> {
        self.header(purpose, "", 0)
    }

    fn header(self, purpose: Purpose, value: &str, seconds: u64) -> Option<HeaderValue> {
        // The provider sends the browser back from another site, where a strict cookie would stay at home.
        let comes_along = matches!(purpose, Purpose::Flow | Purpose::Known);
        let same_site = if comes_along { "Lax" } else { "Strict" };
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name(purpose);
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// What the browser shows of this purpose. Two cookies of one name are none: one of them was planted.
    pub fn read<T: serde::de::DeserializeOwned>(
        self,
        keys: &Keys,
        purpose: Purpose,
        headers: &HeaderMap,
    ) -> Option<T> {
        let name = self.name(purpose);
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = pairs
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        let value = values.next()?;
        if values.next().is_some() { None } else { keys.open(purpose, value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn cookies_are_for_this_host_alone_and_scripts_do_not_see_them() {
        let keys = Keys::of(&[1; 32]).unwrap();
        let header = |secure, purpose| {
            let value = Cookies { secure }.set(&keys, purpose, &1, 60).unwrap();
            let text = value.to_str().unwrap().to_owned();
            let (name, rest) = text.split_once('=').unwrap();
            (name.to_owned(), rest.split_once(';').unwrap().1.to_owned())
        };
        let strict = " Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(header(true, Purpose::Session), ("__Host-portcullis".into(), format!("{strict}; Secure")));
        assert_eq!(header(false, Purpose::Session), ("portcullis".into(), strict.into()));
        assert_eq!(
            header(true, Purpose::Flow),
            ("__Host-portcullis-login".into(), " Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure".into())
        );
        assert!(Cookies { secure: true }.set(&keys, Purpose::Session, &"x".repeat(4_000), 60).is_none());
    }

    #[test]
    fn a_planted_second_cookie_makes_both_worthless() {
        let (keys, cookies) = (Keys::of(&[1; 32]).unwrap(), Cookies { secure: false });
        let (mine, planted) =
            (keys.seal(Purpose::Session, &1).unwrap(), keys.seal(Purpose::Session, &2).unwrap());
        let read = |lines: &[&str]| cookies.read::<i32>(&keys, Purpose::Session, &headers(lines));
        assert_eq!(read(&[&format!("a=b; portcullis={mine}; c")]), Some(1));
        assert_eq!(read(&[&format!("portcullis={mine}; portcullis={planted}")]), None);
        assert_eq!(read(&[&format!("portcullis={mine}"), &format!("portcullis={planted}")]), None);
        assert_eq!(read(&[&format!("__Host-portcullis={mine}")]), None);
        assert_eq!(read(&[]), None);
    }
}
