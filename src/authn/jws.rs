//! The compact form of a signed token, taken apart strictly and before any cryptography.
//!
//! Knows the header's syntax; trusts nothing in it. `jku`, `x5u`, `jwk` and `x5c` are not read at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::reason::Reason;

use super::algorithm::Algorithm;
use crate::strict_json;

/// The longest token that is looked at.
pub const MAX_TOKEN: usize = 16 << 10;
/// The longest key id that is looked up.
const MAX_KID: usize = 256;

/// A token whose signature nobody has checked yet.
pub struct Unverified<'t> {
    pub algorithm: Algorithm,
    pub kid: Option<String>,
    pub claims: Map<String, Value>,
    /// What is signed: header and claims as sent.
    pub signed: &'t str,
    /// In base64url.
    pub signature: &'t str,
}

impl<'t> Unverified<'t> {
    pub fn parse(token: &'t str) -> Result<Self, Reason> {
        if token.len() > MAX_TOKEN {
            return Err(Reason::TokenTooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::TokenMalformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::TokenMalformed)?;
        // The alphabet has no dot, so a fourth segment ends here too.
        if decode(signature)?.is_empty() {
            return Err(Reason::TokenMalformed);
        }
        let header = object(header)?;
        let (algorithm, kid) = read_header(&header)?;
        Ok(Self { algorithm, kid, claims: object(payload)?, signed, signature })
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Reason::TokenMalformed)
}

fn object(segment: &str) -> Result<Map<String, Value>, Reason> {
    strict_json::object(&decode(segment)?).map_err(|_| Reason::TokenMalformed)
}

/// `crit` names extensions that a reader must understand; this one understands none.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Reason> {
    if header.contains_key("crit") {
        return Err(Reason::TokenMalformed);
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => Algorithm::from_name(name).ok_or(Reason::TokenAlgorithm)?,
        _ => return Err(Reason::TokenMalformed),
    };
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
        Some(Value::String(_)) => return Err(Reason::TokenKeyUnknown),
        Some(_) => return Err(Reason::TokenMalformed),
    };
    Ok((algorithm, kid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(token: &str) -> Option<Reason> {
        Unverified::parse(token).err()
    }

    fn token(header: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"))
    }

    #[test]
    fn only_three_strict_segments_are_a_token() {
        let good = token(r#"{"alg":"ES256"}"#);
        assert_eq!(reason(&good), None);
        let padded = good.replace(".AAAA", ".AAA=");
        let loose_bits = good.replace(".AAAA", ".AAB");
        let no_signature = good.replace("AAAA", "");
        let four = format!("{good}.AAAA");
        for bad in
            ["", ".", "..", "...", "a.b", "a.b.c.d.e", &padded, &loose_bits, &no_signature, &four, "é.é.é"]
        {
            assert_eq!(reason(bad), Some(Reason::TokenMalformed), "{bad}");
        }
        for edit in [
            good.replacen('.', "\n.", 1),
            format!(" {good}"),
            format!("{good} "),
            good.replacen('.', "+.", 1),
        ] {
            assert_eq!(reason(&edit), Some(Reason::TokenMalformed), "{edit}");
        }
    }

    #[test]
    fn headers() {
        for (header, expected) in [
            (r#"{"alg":"none"}"#, Reason::TokenAlgorithm),
            (r#"{"alg":"None"}"#, Reason::TokenAlgorithm),
            (r#"{"alg":"HS256"}"#, Reason::TokenAlgorithm),
            (r#"{"alg":"rs256"}"#, Reason::TokenAlgorithm),
            (r#"{"alg":""}"#, Reason::TokenAlgorithm),
            (r#"{"typ":"JWT"}"#, Reason::TokenMalformed),
            (r#"{"alg":null}"#, Reason::TokenMalformed),
            (r#"{"alg":["RS256"]}"#, Reason::TokenMalformed),
            (r#"{"alg":"RS256","alg":"RS256"}"#, Reason::TokenMalformed),
            (r#"{"alg":"RS256","crit":["exp"]}"#, Reason::TokenMalformed),
            (r#"{"alg":"RS256","crit":[]}"#, Reason::TokenMalformed),
            (r#"{"alg":"RS256","kid":7}"#, Reason::TokenMalformed),
            (r#"{"alg":"RS256","kid":null}"#, Reason::TokenMalformed),
            (r#"["RS256"]"#, Reason::TokenMalformed),
        ] {
            assert_eq!(reason(&token(header)), Some(expected), "{header}");
        }
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(257));
        assert_eq!(reason(&token(&long)), Some(Reason::TokenKeyUnknown));
    }

    #[test]
    fn a_megabyte_of_dots_is_refused_by_its_size() {
        assert_eq!(reason(&".".repeat(1 << 20)), Some(Reason::TokenTooLarge));
        assert_eq!(reason(&".".repeat(MAX_TOKEN)), Some(Reason::TokenMalformed));
    }
}
