//! From the answer to an introspection request (RFC 7662) to an identity, as strictly as from the claims of a token.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::identity::{Identity, Method};
use crate::reason::Reason;

use super::super::config::IntrospectionConfig;
use super::{check_times, named, strings, text};

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
    let expires = check_times(&answer, config.leeway, now)?;
    check_issuer(&answer, config)?;
    check_audience(&answer, config)?;
    let named = named(&answer, &config.claims)?;
    answer.shift_remove("active");
    let method = Method::Introspection;
    Ok(Identity { method, issuer: issuer.to_owned(), expires, claims: answer, ..named })
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
