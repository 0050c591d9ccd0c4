//! Which addresses a client may connect to, so that a URL, or the name in it, can't turn the server on its own network.
//!
//! The check is made where the connection is: names are resolved here, and the client connects to the addresses that
//! passed and to no others. A name that means something else a moment later (rebinding) gains nothing.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};

/// The addresses that are good. By default those of the public Internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Private networks too, and this machine. Never what only a network named in `allowed` lets in: link-local
    /// addresses, at which clouds hand out credentials, and what no host has.
    pub private: bool,
    /// Networks that are good whatever they are.
    pub allowed: Vec<IpNet>,
}

/// Why an address is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is at {address}, {kind}; if that is meant, name its network in `allow_addresses`{also}",
    also = if *.kind == Kind::Private { ", or set `allow_private: true`" } else { "" })]
pub struct Unreachable {
    name: String,
    address: IpAddr,
    kind: Kind,
}

/// Why an address is connected to by nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is at {address}, a link-local address or a cloud's metadata service, where nothing is fetched from"
)]
struct Metadata {
    name: String,
    address: IpAddr,
}

/// What an address is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    /// Of a private network, shared by a provider's customers, or this machine.
    Private,
    /// Link-local, or where a cloud answers its machines.
    Metadata,
    /// Multicast, unspecified, reserved, documentation.
    NoHost,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Private => "a private address or this machine",
            Self::Metadata => "a link-local address or a cloud's metadata service",
            Self::NoHost => "an address that no host has",
        })
    }
}

impl Reach {
    /// Whether `address`, which `name` stands for, may be connected to.
    pub fn check(&self, name: &str, address: IpAddr) -> Result<(), Unreachable> {
        // An IPv4 address in the clothes of IPv6 is judged as what it is, and a network may name it either way.
        let plain = embedded(address).map_or(address, IpAddr::V4);
        let named = |net: &IpNet| net.contains(&address) || net.contains(&plain);
        if self.allowed.iter().any(named) {
            return Ok(());
        }
        match kind(plain) {
            Kind::Public => Ok(()),
            Kind::Private if self.private => Ok(()),
            kind => Err(Unreachable { name: name.to_owned(), address, kind }),
        }
    }

    /// As `check`, for a URL with an address in place of a name: no resolver is asked for it.
    pub fn check_url(&self, url: &Url) -> Result<(), Unreachable> {
        let host = url.host_str().unwrap_or_default();
        literal(url).map_or(Ok(()), |address| self.check(host, address))
    }
}

/// The address that stands in a URL in place of a name.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether clouds answer their machines there.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    kind(embedded(address).map_or(address, IpAddr::V4)) == Kind::Metadata
}

/// Turns a name into addresses.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A resolver that leaves out what may not be reached.
#[derive(Clone)]
pub(super) struct Resolver {
    /// `None`: anywhere but where clouds hand out credentials.
    reach: Option<Reach>,
    /// A name that may stand for any address.
    trusted: Option<String>,
    lookup: Lookup,
}

/// How long a look ahead may take.
const LOOK_AHEAD: Duration = Duration::from_secs(2);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("reach", &self.reach).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Asks the system.
    pub(super) fn system(reach: Reach) -> Self {
        Self::with(reach, |name| {
            async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed()
        })
    }

    /// Asks the system, and goes anywhere but where clouds hand out credentials.
    pub(super) fn anywhere() -> Self {
        Self { reach: None, ..Self::system(Reach::default()) }
    }

    /// The same, for which `host` may stand for any address: a proxy's.
    pub(super) fn trusting(self, host: String) -> Self {
        Self { trusted: Some(host), ..self }
    }

    fn check(&self, name: &str, address: IpAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
        match &self.reach {
            _ if self.trusted.as_deref().is_some_and(|trusted| trusted.eq_ignore_ascii_case(name)) => Ok(()),
            Some(reach) => Ok(reach.check(name, address)?),
            None if is_metadata(address) => Err(Box::new(Metadata { name: name.to_owned(), address })),
            None => Ok(()),
        }
    }

    /// Whether the name in `url` means nothing that may not be reached. What means nothing here may mean something to a
    /// proxy.
    async fn look_ahead(&self, url: &Url) -> Result<(), Unreachable> {
        let (Some(reach), Some(name)) = (&self.reach, url.host_str()) else { return Ok(()) };
        let found = tokio::time::timeout(LOOK_AHEAD, (self.lookup)(name.to_owned())).await;
        let found = found.ok().and_then(Result::ok).unwrap_or_default();
        found.into_iter().try_for_each(|address| reach.check(name, address.ip()))
    }

    pub(super) fn with(
        reach: Reach,
        lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self { reach: Some(reach), trusted: None, lookup: Arc::new(lookup) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found = (resolver.lookup)(name.clone()).await?;
            let mut refused = None;
            let mut good = Vec::with_capacity(found.len());
            for address in found {
                match resolver.check(&name, address.ip()) {
                    Ok(()) => good.push(address),
                    Err(unreachable) => refused = Some(unreachable),
                }
            }
            match refused {
                Some(unreachable) if good.is_empty() => Err(unreachable),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

/// A client whose connections all passed `Reach::check`.
#[derive(Clone, Debug)]
pub struct GuardedClient {
    pub(super) client: Client,
    pub(super) reach: Reach,
    /// Where a proxy may connect for us: looks names up before it is asked to.
    pub(super) look_ahead: Option<Resolver>,
}

impl GuardedClient {
    /// A POST to `url`, unless it names an address that may not be reached.
    pub async fn post(&self, url: &Url) -> Result<reqwest::RequestBuilder, Unreachable> {
        self.reach.check_url(url)?;
        if let Some(resolver) = &self.look_ahead {
            resolver.look_ahead(url).await?;
        }
        Ok(self.client.post(url.clone()))
    }
}

/// The IPv4 address that an IPv6 address carries: mapped, compatible, NAT64, 6to4 or ISATAP.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if !(g == 0 && h <= 1) => Some(v4(g, h)),
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(v4(g, h)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // Anybody can write these 32 bits behind a private prefix: that one counts then.
        [.., 0 | 0x200, 0x5efe] if kind_v6(address) == Kind::Public => Some(v4(g, h)),
        _ => None,
    }
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        // Azure answers its machines at a public address, Oracle at one of 192.0.0.0/24.
        [169, 254, ..] | [168, 63, 129, 16] | [192, 0, 0, 192] | [100, 100, 100, 200] => Kind::Metadata,
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Kind::Private,
        [0 | 224..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Kind::NoHost,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private,
        // AWS and Google answer their machines at private addresses.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Kind::Metadata,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::Metadata,
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, 0 | 2 | 0x10..=0x2f | 0xdb8, ..] | [0x3fff, ..] => Kind::NoHost,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::NoHost,
    }
}

#[cfg(test)]
mod tests;
