//! Callers who prove themselves by their certificate: the one that the proxy verified, or one that a trusted proxy
//! in front of it did.

use crate::identity::{Identity, Method};
use crate::reason::Reason;
use crate::request::{Request, percent_decode};
use crate::tls::{trust_domain, uri_names};

use super::config::{Forwarded, PeerConfig};
use super::{place, xfcc};

/// A caller as a certificate names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'n>(&'n str);

/// The caller's name; `None` when nobody proved one.
pub fn authenticate(config: &PeerConfig, request: &Request) -> Result<Option<String>, Reason> {
    let principal = request.source.principal.as_str();
    if principal.is_empty() {
        // Whatever `x-forwarded-client-cert` says, nobody vouches for who wrote it. A certificate whose name is not shown
        // (ext_proc shows URI names only) is no anonymous caller's.
        return if request.connection.mtls { Err(Reason::PeerInvalid) } else { Ok(None) };
    }
    let principal = Name::read(principal)?;
    check_certificate(&request.connection.certificate, principal)?;
    match config.trusted(request) {
        // Without the header the proxy's client showed no certificate, and the proxy's own is not its client's.
        Some(forwarded) => {
            forwarded.client(&elements(request)?)?.map(|name| name.checked(config)).transpose()
        }
        None => principal.checked(config).map(Some),
    }
}

/// The proxies between the connection's peer and the caller, as they are named by the ones after them. They vouch for
/// the caller as the peer does.
pub fn proxies(config: &PeerConfig, request: &Request) -> Result<Vec<String>, Reason> {
    match config.trusted(request) {
        Some(forwarded) if forwarded.hop > 1 => {
            let elements = elements(request)?;
            let proxies = elements.iter().rev().take(forwarded.hop - 1);
            proxies.map(|proxy| name_of(proxy).map(|name| name.0.to_owned())).collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// What proxies say of their clients, the oldest first; none without the header.
fn elements(request: &Request) -> Result<Vec<xfcc::Element>, Reason> {
    let header = place::header(request, "x-forwarded-client-cert").map_err(|reason| match reason {
        Reason::TokenMalformed => Reason::PeerInvalid,
        reason => reason,
    })?;
    header.map_or(Ok(Vec::new()), |header| xfcc::parse(header).map_err(|xfcc::Malformed| Reason::PeerInvalid))
}

/// Whether what the header says of certificates is somebody's own word, which must not reach the upstream.
pub fn is_forged(config: &PeerConfig, request: &Request) -> bool {
    config.forwarded.is_some() && config.trusted(request).is_none()
}

/// Envoy names a peer by the first of its URI names. Where it shows the certificate too, there must be no other.
fn check_certificate(shown: &str, principal: Name<'_>) -> Result<(), Reason> {
    if shown.is_empty() {
        return Ok(());
    }
    let pem = percent_decode(shown, false).ok_or(Reason::PeerInvalid)?;
    let certificate = pem::parse(pem).map_err(|_| Reason::PeerInvalid)?;
    let names = uri_names(certificate.contents()).map_err(|_| Reason::PeerInvalid)?;
    match names.as_slice() {
        // The name is of another kind, and of that kind no SPIFFE id is.
        [] if !principal.is_spiffe() => Ok(()),
        [name] if name == principal.0 => Ok(()),
        [] => Err(Reason::PeerInvalid),
        [_] => Err(Reason::PeerInvalid),
        _ => Err(Reason::PeerAmbiguous),
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
        if name.contains(unsound) || (spiffe && trust_domain(name).is_err()) {
            return Err(Reason::PeerInvalid);
        }
        Ok(Self(name))
    }

    fn is_spiffe(self) -> bool {
        self.0.starts_with("spiffe://")
    }

    fn checked(self, config: &PeerConfig) -> Result<String, Reason> {
        let domains = &config.trust_domains;
        let trusted = |domain: &str| domains.iter().any(|trusted| trusted == domain);
        if domains.is_empty() || trust_domain(self.0).is_ok_and(trusted) {
            Ok(self.0.to_owned())
        } else {
            Err(Reason::PeerUntrusted)
        }
    }
}

impl PeerConfig {
    /// What to believe of the header, when the connection's peer is a trusted proxy.
    fn trusted(&self, request: &Request) -> Option<&Forwarded> {
        let principal = Name(&request.source.principal);
        self.forwarded.as_ref().filter(|forwarded| forwarded.trusts(principal))
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
    let kinds = [(&element.uris, true), (&element.dns, false), (&element.subjects, false)];
    let (names, uri) = kinds.into_iter().find(|(names, _)| !names.is_empty()).ok_or(Reason::PeerInvalid)?;
    let [name] = names.as_slice() else { return Err(Reason::PeerAmbiguous) };
    let name = Name::read(name)?;
    // A DNS name or subject that reads like a SPIFFE id is somebody's trick.
    if name.is_spiffe() && !uri { Err(Reason::PeerInvalid) } else { Ok(name) }
}
