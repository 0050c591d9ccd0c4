//! From the claims of a token whose signature holds to an identity: every claim is of its type, or the token is
//! refused. A claim of the wrong type is never treated as absent.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::effect::named_person;
use crate::identity::{Identity, Method};
use crate::reason::Reason;

use super::config::{ClaimNames, IssuerConfig, MAX_LEEWAY};

pub mod introspected;

/// Judges `claims` by what `issuer` is configured to say, at `now`.
pub fn identify(
    claims: Map<String, Value>,
    issuer: &IssuerConfig,
    now: Timestamp,
) -> Result<Identity, Reason> {
    // Bound to a key that nobody asks the caller to show (RFC 7800), or telling of an event (RFC 8417): no bearer token.
    if claims.contains_key("cnf") || claims.contains_key("events") {
        return Err(Reason::TokenClaim);
    }
    if !claims.contains_key("exp") {
        return Err(Reason::TokenClaim);
    }
    let expires = check_times(&claims, issuer.leeway, now)?;
    check_audience(&claims, &issuer.audiences)?;
    let named = named(&claims, &issuer.claims)?;
    Ok(Identity { method: Method::Jwt, issuer: issuer.issuer.clone(), expires, claims, ..named })
}

/// What claims say of a caller, under these names; how the caller was found out is left to be told.
fn named(claims: &Map<String, Value>, names: &ClaimNames) -> Result<Identity, Reason> {
    let claim = |name: &str| text(lookup(claims, name)?).map(Option::unwrap_or_default);
    let optional = |name: &Option<String>| name.as_deref().map_or(Ok(""), claim);
    let subject = claim(&names.subject)?;
    if subject.is_empty() || subject.chars().any(char::is_control) {
        return Err(Reason::TokenClaim);
    }
    let email = claim(&names.email)?;
    if email.matches('@').count() > 1 || email.chars().any(char::is_control) {
        return Err(Reason::TokenClaim);
    }
    let registered = |name: &str| text(claims.get(name)).map(|text| text.unwrap_or_default().to_owned());
    Ok(Identity {
        subject: subject.to_owned(),
        groups: groups(lookup(claims, &names.groups)?)?,
        email: email.to_owned(),
        scopes: scopes(lookup(claims, &names.scopes)?)?,
        tenant: optional(&names.tenant)?.to_owned(),
        person: named_person(optional(&names.person)?.to_owned()),
        issued: time(claims, "iat")?,
        token_id: registered("jti")?,
        session: registered("sid")?,
        ..Identity::clone(&Identity::anonymous())
    })
}

/// Whether a credential that ends at `expires` still counts at `now`.
pub fn in_time(expires: Timestamp, leeway: Duration, now: Timestamp) -> bool {
    let leeway = leeway.min(MAX_LEEWAY);
    expires.checked_add(leeway).map_or(true, |end| now < end)
}

/// When the credential ends, if it says so. It must have begun, and not have ended.
fn check_times(
    claims: &Map<String, Value>,
    leeway: Duration,
    now: Timestamp,
) -> Result<Option<Timestamp>, Reason> {
    let expires = time(claims, "exp")?;
    let starts = [time(claims, "nbf")?, time(claims, "iat")?];
    if expires.is_some_and(|end| !in_time(end, leeway, now)) {
        return Err(Reason::TokenExpired);
    }
    let latest = now.checked_add(leeway.min(MAX_LEEWAY)).unwrap_or(Timestamp::MAX);
    if starts.into_iter().flatten().any(|start| start > latest) {
        return Err(Reason::TokenNotYetValid);
    }
    Ok(expires)
}

/// A NumericDate of RFC 7519: seconds since 1970, fractions allowed.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(Reason::TokenClaim)?;
    // Past the year 9999 the multiplication below would saturate; no issuer means that.
    if !(0.0..=253_402_207_200.0).contains(&seconds) {
        return Err(Reason::TokenClaim);
    }
    Timestamp::from_millisecond((seconds * 1_000.0) as i64).map(Some).map_err(|_| Reason::TokenClaim)
}

fn check_audience(claims: &Map<String, Value>, accepted: &[String]) -> Result<(), Reason> {
    let meant = match claims.get("aud") {
        None => return Err(Reason::TokenAudience),
        Some(value) => strings(value)?,
    };
    if meant.iter().any(|audience| accepted.contains(audience)) { Ok(()) } else { Err(Reason::TokenAudience) }
}

fn groups(value: Option<&Value>) -> Result<Vec<String>, Reason> {
    value.map_or(Ok(Vec::new()), strings)
}

/// RFC 8693 section 4.2: words in one string. Some issuers write a list.
fn scopes(value: Option<&Value>) -> Result<Vec<String>, Reason> {
    match value {
        Some(Value::String(words)) => {
            Ok(words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect())
        }
        value => groups(value),
    }
}

/// One string, or a list of nothing but strings.
fn strings(value: &Value) -> Result<Vec<String>, Reason> {
    match value {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(Reason::TokenClaim)).collect()
        }
        _ => Err(Reason::TokenClaim),
    }
}

fn text(value: Option<&Value>) -> Result<Option<&str>, Reason> {
    value.map(|value| value.as_str().ok_or(Reason::TokenClaim)).transpose()
}

/// A claim by its name, which may hold dots (`https://example.com/groups`), else by the path that the dots make.
fn lookup<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c Value>, Reason> {
    if let Some(value) = claims.get(name) {
        return Ok(Some(value));
    }
    let mut map = claims;
    let mut path = name;
    while let Some((step, rest)) = path.split_once('.') {
        map = match map.get(step) {
            None => return Ok(None),
            Some(value) => value.as_object().ok_or(Reason::TokenClaim)?,
        };
        path = rest;
    }
    Ok(map.get(path))
}
