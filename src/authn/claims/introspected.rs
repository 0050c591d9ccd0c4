//! From the answer to an introspection request (RFC 7662) to an identity, as strictly as from the claims of a token.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::identity::{Identity, Method};
use crate::reason::Reason;

use super::super::config::{IntrospectionConfig, MAX_LEEWAY};
use super::{groups, in_time, is_name, lookup, scopes, strings, text, time};

const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What Keycloak calls the tokens that are no access tokens.
const NO_ACCESS: [&str; 4] = ["refresh", "offline", "id", "logout"];

/// Judges an answer whose `active` is true, at `now`. `issuer` becomes that of the identity: the answer does not choose
/// it, or its server could speak for the users of another one.
pub fn identify(
    mut answer: Map<String, Value>,
    config: &IntrospectionConfig,
    issuer: &str,
    now: Timestamp,
) -> Result<Identity, Reason> {
    check_kind(&answer)?;
    let expires = check_times(&answer, config, now)?;
    check_issuer(&answer, config)?;
    check_audience(&answer, config)?;
    let names = &config.claims;
    let subject = text(lookup(&answer, &names.subject)?)?;
    let subject = subject.filter(|subject| is_name(subject)).ok_or(Reason::TokenClaim)?.to_owned();
    let [token_id, session] =
        ["jti", "sid"].map(|name| text(answer.get(name)).map(Option::unwrap_or_default));
    let (token_id, session) = (token_id?.to_owned(), session?.to_owned());
    let issued = time(&answer, "iat")?;
    let scopes = scopes(lookup(&answer, &names.scopes)?)?;
    let tenant = match &names.tenant {
        Some(name) => text(lookup(&answer, name)?)?.unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let groups = groups(lookup(&answer, &names.groups)?)?;
    let email = text(lookup(&answer, &names.email)?)?.unwrap_or_default().to_owned();
    if email.matches('@').count() > 1 || email.chars().any(char::is_control) {
        return Err(Reason::TokenClaim);
    }
    let person = match &names.person {
        Some(name) => text(lookup(&answer, name)?)?.filter(|person| !person.is_empty()).map(str::to_owned),
        None => None,
    };
    answer.shift_remove("active");
    Ok(Identity {
        method: Method::Introspection,
        subject,
        issuer: issuer.to_owned(),
        groups,
        email,
        scopes,
        tenant,
        person,
        claims: answer,
        issued,
        expires,
        token_id,
        session,
        ..Identity::clone(&Identity::anonymous())
    })
}

/// Servers call refresh tokens and ID tokens active too, and neither is a key to a service. A token that is bound to a
/// key or a certificate (`cnf`) needs a proof that nobody here asks for.
fn check_kind(answer: &Map<String, Value>) -> Result<(), Reason> {
    let kind = |name: &str| Ok::<_, Reason>(text(answer.get(name))?.map(str::to_ascii_lowercase));
    let is_one_of = |kind: Option<String>, words: &[&str]| kind.is_none_or(|kind| words.contains(&&*kind));
    let access = is_one_of(kind("token_type")?, &["bearer", "access_token", ACCESS_TOKEN_TYPE])
        && is_one_of(kind("token_use")?, &["access", "access_token"])
        && !kind("typ")?.is_some_and(|kind| NO_ACCESS.contains(&&*kind));
    if access && !answer.contains_key("cnf") { Ok(()) } else { Err(Reason::TokenClaim) }
}

fn check_times(
    answer: &Map<String, Value>,
    config: &IntrospectionConfig,
    now: Timestamp,
) -> Result<Option<Timestamp>, Reason> {
    let expires = time(answer, "exp")?;
    let starts = [time(answer, "nbf")?, time(answer, "iat")?];
    if expires.is_some_and(|end| !in_time(end, config.leeway, now)) {
        return Err(Reason::TokenExpired);
    }
    let latest = now.checked_add(config.leeway.min(MAX_LEEWAY)).unwrap_or(Timestamp::MAX);
    if starts.into_iter().flatten().any(|start| start > latest) {
        return Err(Reason::TokenNotYetValid);
    }
    Ok(expires)
}

/// RFC 7662 leaves it to the server whether an answer has an `iss`.
fn check_issuer(answer: &Map<String, Value>, config: &IntrospectionConfig) -> Result<(), Reason> {
    match (text(answer.get("iss"))?, &config.issuer) {
        (Some(said), Some(wanted)) if said != wanted => Err(Reason::TokenIssuer),
        _ => Ok(()),
    }
}

fn check_audience(answer: &Map<String, Value>, config: &IntrospectionConfig) -> Result<(), Reason> {
    let meant = answer.get("aud").map(strings).transpose()?;
    match (meant, &config.audiences) {
        (Some(meant), Some(accepted)) if !meant.iter().any(|audience| accepted.contains(audience)) => {
            Err(Reason::TokenAudience)
        }
        _ => Ok(()),
    }
}
