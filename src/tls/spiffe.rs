//! SPIFFE ids, and the list of those that may connect.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Ids that a list lets in: one, or all below a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Exactly(String),
    /// With the `/` at its end.
    Below(String),
}

/// Why a client's certificate names nobody who may connect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the names in the certificate can't be read")]
    Unreadable,
    #[error("the certificate has no URI name")]
    Missing,
    #[error("the certificate has {0} URI names, and a SPIFFE certificate has one")]
    Several(usize),
    #[error("the certificate's URI name {0:?} is not a SPIFFE id: {1}")]
    Invalid(String, &'static str),
    #[error("{0:?} is not in `client_spiffe`")]
    NotListed(String),
}

const SCHEME: &str = "spiffe://";
/// Limits of the SPIFFE standard, in bytes.
const MOST: usize = 2_048;
const MOST_TRUST_DOMAIN: usize = 255;

impl Pattern {
    /// Reads `spiffe://TRUST-DOMAIN/PATH`, or the same with `/*` at its end. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_suffix("/*") {
            Some(above) => trust_domain(above).map(|_| Self::Below(format!("{above}/"))),
            None if text.contains('*') => Err("a `*` stands alone behind the last `/`"),
            None => trust_domain(text).map(|_| Self::Exactly(text.to_owned())),
        }
    }

    fn matches(&self, id: &str) -> bool {
        match self {
            Self::Exactly(listed) => listed == id,
            Self::Below(above) => id.starts_with(above),
        }
    }
}

/// Whether the client with this certificate (DER), whose signatures hold, is in the list.
pub fn admit(certificate: &[u8], listed: &[Pattern]) -> Result<(), Refusal> {
    let uris = uri_names(certificate)?;
    let id = match uris.as_slice() {
        [] => return Err(Refusal::Missing),
        [id] => id,
        several => return Err(Refusal::Several(several.len())),
    };
    trust_domain(id).map_err(|why| Refusal::Invalid(id.clone(), why))?;
    match listed.iter().any(|pattern| pattern.matches(id)) {
        true => Ok(()),
        false => Err(Refusal::NotListed(id.clone())),
    }
}

/// The URI names of a certificate (DER), in their order.
pub fn uri_names(certificate: &[u8]) -> Result<Vec<String>, Refusal> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| Refusal::Unreadable)?;
    let names = certificate.subject_alternative_name().map_err(|_| Refusal::Unreadable)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(Refusal::Unreadable);
    }
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    Ok(names.iter().filter_map(uri).collect())
}

/// The trust domain of an `id` that is written as the SPIFFE-ID standard says. Only one spelling of an id is one: nothing is decoded, folded
/// or cut off, so that no two parties read it differently.
pub fn trust_domain(id: &str) -> Result<&str, &'static str> {
    if id.len() > MOST {
        return Err("it is longer than 2,048 bytes");
    }
    let rest = id.strip_prefix(SCHEME).ok_or("it does not begin with `spiffe://`")?;
    let (trust_domain, path) = match rest.split_once('/') {
        Some((trust_domain, path)) => (trust_domain, Some(path)),
        None => (rest, None),
    };
    if trust_domain.is_empty() || trust_domain.len() > MOST_TRUST_DOMAIN {
        return Err("its trust domain has 1 to 255 characters");
    }
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    if !trust_domain.bytes().all(in_domain) {
        return Err("a trust domain has lower-case letters, digits, `-`, `.` and `_` only");
    }
    for segment in path.into_iter().flat_map(|path| path.split('/')) {
        if matches!(segment, "" | "." | "..") {
            return Err("its path has an empty segment, `.` or `..`");
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err("a path has letters, digits, `-`, `.`, `_` and `/` only");
        }
    }
    Ok(trust_domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::{Authority, uris};

    const LISTED: &str = "spiffe://example.com/ns/edge/sa/*";

    fn admitted(names: &[&str], listed: &str) -> Result<(), Refusal> {
        let certificate = Authority::new("ca").issue(|params| params.subject_alt_names = uris(names)).der;
        admit(&certificate, &[Pattern::parse(listed).unwrap()])
    }

    #[test]
    fn an_id_is_listed_by_itself_or_by_the_path_above_it() {
        for (id, listed) in [
            ("spiffe://example.com/ns/edge/sa/envoy", LISTED),
            ("spiffe://example.com/ns/edge/sa/a/b", LISTED),
            ("spiffe://example.com/ns/edge", "spiffe://example.com/ns/edge"),
            ("spiffe://example.com", "spiffe://example.com"),
            ("spiffe://example.com/a", "spiffe://example.com/*"),
        ] {
            assert_eq!(admitted(&[id], listed), Ok(()), "{id}");
        }
        for (id, listed) in [
            ("spiffe://example.com/ns/edge/sa", LISTED),
            ("spiffe://example.com/ns/edge/sabotage", LISTED),
            ("spiffe://example.org/ns/edge/sa/envoy", LISTED),
            ("spiffe://example.com/ns/Edge/sa/envoy", LISTED),
            ("spiffe://example.com/ns/edge/sa/a", "spiffe://example.com/ns/edge"),
            ("spiffe://examplexcom/a", "spiffe://example.com/*"),
            ("spiffe://example.com.evil/a", "spiffe://example.com/*"),
        ] {
            assert_eq!(admitted(&[id], listed), Err(Refusal::NotListed(id.into())), "{id}");
        }
    }

    #[test]
    fn one_uri_names_the_client_and_no_other_number_of_them() {
        let good = "spiffe://example.com/ns/edge/sa/envoy";
        assert_eq!(admitted(&[], LISTED), Err(Refusal::Missing));
        assert_eq!(admitted(&[good, good], LISTED), Err(Refusal::Several(2)));
        assert_eq!(admitted(&[good, "https://example.com"], LISTED), Err(Refusal::Several(2)));
    }

    #[test]
    fn other_spellings_of_a_listed_id_are_refused() {
        for id in [
            "spiffe://Example.com/ns/edge/sa/envoy",
            "SPIFFE://example.com/ns/edge/sa/envoy",
            "spiffe://example.com/ns/edge/sa/envoy\0",
            "spiffe://example.com\0/ns/edge/sa/envoy",
            "spiffe://example.com/ns/edge/sa/",
            "spiffe://example.com/ns/edge/sa/../../x",
            "spiffe://example.com/ns/edge/sa//x",
            "spiffe://example.com/ns/edge/sa/%65nvoy",
            "spiffe://example.com/ns/edge/sa/envoy?x",
            "spiffe://example.com/ns/edge/sa/envoy#x",
            "spiffe://example.com:443/ns/edge/sa/envoy",
            "spiffe://user@example.com/ns/edge/sa/envoy",
            "spiffe:///ns/edge/sa/envoy",
            "https://example.com/ns/edge/sa/envoy",
        ] {
            let refusal = admitted(&[id], LISTED).unwrap_err();
            assert!(matches!(refusal, Refusal::Invalid(..)), "{id:?}: {refusal}");
        }
    }

    #[test]
    fn patterns_with_a_star_elsewhere_are_refused() {
        for wrong in [
            "*",
            "spiffe://*",
            "spiffe://*/a",
            "spiffe://example.com/a*",
            "spiffe://example.com/*/a",
            "spiffe://example.com/*/*",
            "spiffe://Example.com/*",
            "spiffe://example.com//*",
            "example.com/*",
            "spiffe://example.com/a/",
        ] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
