//! A TCP listener that gives out connections once their TLS handshake is done.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::failure::{self, Failures};
use super::served::Served;
use super::share::Shares;
use crate::metrics::HandshakeFailure;

/// What strangers may take up before they have shown anything.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a handshake may take.
    pub time: Duration,
    /// How many may be under way; further connections are closed.
    pub under_way: usize,
    /// How many of these may be of one address (of an IPv6 network of 64 bits); further ones of it are closed.
    pub of_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), under_way: 1_024, of_address: 64 }
    }
}

/// A listener with TLS. All its handshakes run in the task that accepts, so that a flood of them takes one processor at
/// most from the calls. Follows the changes of its files while it lives.
pub struct Listener {
    tcp: TcpListener,
    served: Arc<Served>,
    failures: Failures,
    limits: Limits,
    under_way: FuturesUnordered<BoxFuture<'static, (IpAddr, Option<Connection>)>>,
    shares: Shares,
    _following: AbortOnDropHandle<()>,
}

/// A connection whose handshake is done, and where it comes from.
pub type Connection = (TlsStream<TcpStream>, SocketAddr);

impl Listener {
    /// Must run within a tokio runtime.
    pub fn new(tcp: TcpListener, served: Arc<Served>, limits: Limits) -> Self {
        let failures = Failures::new(served.listener(), served.metrics().clone());
        let following = AbortOnDropHandle::new(tokio::spawn(served.clone().follow()));
        let (under_way, shares) = (FuturesUnordered::new(), Shares::new(limits.of_address));
        Self { tcp, served, failures, limits, under_way, shares, _following: following }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection whose handshake is done. May be dropped and called again: no handshake is lost.
    ///
    /// # Errors
    /// Those of accepting a TCP connection; failed handshakes are none.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        loop {
            tokio::select! {
                accepted = self.tcp.accept() => {
                    let (stream, peer) = accepted?;
                    self.begin(stream, peer);
                }
                Some((address, ended)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.shares.give_back(address);
                    if let Some(connection) = ended {
                        return Ok(connection);
                    }
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        let limits = self.limits;
        if self.under_way.len() >= limits.under_way {
            let detail = format_args!("{} handshakes are under way", limits.under_way).to_string();
            return self.failures.tell(HandshakeFailure::TooMany, peer.ip(), &detail);
        }
        let address = peer.ip();
        if !self.shares.take(address) {
            let detail =
                format_args!("{} handshakes of this address are under way", limits.of_address).to_string();
            return self.failures.tell(HandshakeFailure::TooManyOfAddress, address, &detail);
        }
        // The certificate of this moment, to the end of this handshake.
        let acceptor = TlsAcceptor::from(self.served.current().server.clone());
        let failures = self.failures.clone();
        self.under_way.push(Box::pin(async move {
            let nodelay = stream.set_nodelay(true);
            let handshake = async { acceptor.accept(nodelay.map(|()| stream)?).await };
            match tokio::time::timeout(limits.time, handshake).await {
                Ok(Ok(stream)) => return (address, Some((stream, peer))),
                Ok(Err(error)) => failures.tell(failure::reason(&error), peer.ip(), &error),
                Err(_) => failures.tell(
                    HandshakeFailure::Timeout,
                    peer.ip(),
                    &format!("not done after {:?}", limits.time),
                ),
            }
            (address, None)
        }));
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("tls::Listener").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}
