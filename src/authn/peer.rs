//! Callers who prove themselves by their certificate: the one that the proxy verified, or one that a trusted proxy
//! in front of it did.

use crate::identity::{Identity, Method};
use crate::reason::Reason;
use crate::request::Request;

use super::config::{Forwarded, PeerConfig};
use super::{place, xfcc};

/// The longest SPIFFE id (SPIFFE-ID section 2.3).
const MAX_SPIFFE: usize = 2_048;

/// A caller as a certificate names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'n>(&'n str);

/// The caller's name; `None` when nobody proved one.
pub fn authenticate(config: &PeerConfig, request: &Request) -> Result<Option<String>, Reason> {
    let principal = request.source.principal.as_str();
    if principal.is_empty() {
        // Whatever `x-forwarded-client-cert` says, nobody vouches for who wrote it.
        return Ok(None);
    }
    let principal = Name::read(principal)?;
    match &config.forwarded {
        Some(forwarded) if forwarded.trusts(principal) => {
            let Some(header) = place::header(request, "x-forwarded-client-cert").map_err(|reason| {
                if reason == Reason::TokenMalformed { Reason::PeerInvalid } else { reason }
            })?
            else {
                // The proxy's client showed no certificate, and the proxy's own is not its client's.
                return Ok(None);
            };
            let elements = xfcc::parse(header).map_err(|xfcc::Malformed| Reason::PeerInvalid)?;
            forwarded.client(&elements)?.map(|name| name.checked(config)).transpose()
        }
        _ => principal.checked(config).map(Some),
    }
}

/// An identity that consists of a certificate.
pub fn identity(principal: String) -> Identity {
    let spiffe = spiffe_of(&principal).to_owned();
    Identity { method: Method::Mtls, spiffe, subject: principal, ..Identity::clone(&Identity::anonymous()) }
}

/// The SPIFFE id that a checked name is; empty when it is another kind of name.
pub fn spiffe_of(principal: &str) -> &str {
    if principal.starts_with("spiffe://") { principal } else { "" }
}

impl<'n> Name<'n> {
    /// A comma would be two names to whoever splits lists; the rest is what parsers disagree about. What looks like a
    /// SPIFFE id must be one.
    fn read(name: &'n str) -> Result<Self, Reason> {
        let unsound = |c: char| c == ',' || c.is_whitespace() || c.is_control();
        let spiffe = name.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
        if name.contains(unsound) || (spiffe && trust_domain(name).is_none()) {
            return Err(Reason::PeerInvalid);
        }
        Ok(Self(name))
    }

    fn checked(self, config: &PeerConfig) -> Result<String, Reason> {
        let domains = &config.trust_domains;
        let trusted = |domain: &str| domains.iter().any(|trusted| trusted == domain);
        if domains.is_empty() || trust_domain(self.0).is_some_and(trusted) {
            Ok(self.0.to_owned())
        } else {
            Err(Reason::PeerUntrusted)
        }
    }
}

impl Forwarded {
    fn trusts(&self, name: Name<'_>) -> bool {
        self.trusted_proxies.iter().any(|trusted| trusted == name.0)
    }

    /// The client as the configured hop saw it. Everybody between there and here must be a trusted proxy; when the
    /// header does not reach back so far, the client showed no certificate.
    fn client<'e>(&self, elements: &'e [xfcc::Element]) -> Result<Option<Name<'e>>, Reason> {
        let mut from_the_right = elements.iter().rev();
        for proxy in from_the_right.by_ref().take(self.hop - 1) {
            if !self.trusts(name_of(proxy)?) {
                return Err(Reason::PeerUntrusted);
            }
        }
        from_the_right.next().map(name_of).transpose()
    }
}

/// As Envoy names a peer: by its URI SAN, else by its DNS SAN, else by its subject. Of several nobody knows which counts.
fn name_of(element: &xfcc::Element) -> Result<Name<'_>, Reason> {
    let kinds = [&element.uris, &element.dns, &element.subjects];
    match kinds.into_iter().find(|names| !names.is_empty()).map(Vec::as_slice) {
        None => Err(Reason::PeerInvalid),
        Some([name]) => Name::read(name),
        Some(_) => Err(Reason::PeerAmbiguous),
    }
}

/// The trust domain of a SPIFFE id that obeys SPIFFE-ID section 2: lower case, nothing but plain segments.
pub fn trust_domain(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("spiffe://").filter(|_| name.len() <= MAX_SPIFFE)?;
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let in_domain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(in_segment);
    let sound = !domain.is_empty()
        && domain.len() <= 255
        && domain.bytes().all(in_domain)
        && path.is_none_or(|path| path.split('/').all(segment));
    sound.then_some(domain)
}
