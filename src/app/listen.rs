//! The sockets that the configuration names, bound; those with TLS with their certificates.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::Addresses;
use crate::clock::Clock;
use crate::config::{GrpcAddress, Listen};
use crate::diagnostic::Diagnostic;
use crate::envoy::{Socket, bind_unix};
use crate::metrics::{Metrics, TlsListener};
use crate::tls;

/// The TLS of each listener that has one, its files read.
#[derive(Debug)]
pub struct Tls {
    grpc: Option<tls::Prepared>,
    admin: Option<tls::Prepared>,
}

/// Every socket, bound.
pub struct Sockets {
    pub grpc: Socket,
    pub admin: AdminListener,
    pub metrics: TcpListener,
    pub addresses: Addresses,
}

impl Tls {
    /// Reads the files; `None`, with findings, when some can't be used.
    pub async fn read(listen: &Listen, clock: &Clock, findings: &mut Vec<Diagnostic>) -> Option<Self> {
        let grpc = read(listen.grpc_tls.as_ref(), TlsListener::Grpc, clock, findings).await;
        let admin = read(listen.admin_tls.as_ref(), TlsListener::Admin, clock, findings).await;
        Some(Self { grpc: grpc?, admin: admin? })
    }

    /// Must run within a tokio runtime.
    pub fn bind(self, listen: &Listen, metrics: &Metrics, clock: &Clock) -> anyhow::Result<Sockets> {
        let with_tls = |tcp, prepared| {
            let served = tls::Served::new(prepared, metrics.clone(), clock.clone());
            tls::Listener::new(tcp, served, tls::Limits::default())
        };
        let (grpc, grpc_address) = match (&listen.grpc, self.grpc) {
            (GrpcAddress::Tcp(address), tls) => {
                let listener = bind("grpc", *address)?;
                let address = listener.local_addr()?;
                let socket = match tls {
                    Some(prepared) => Socket::Tls(Box::new(with_tls(listener, prepared))),
                    None => Socket::Tcp(listener),
                };
                (socket, Some(address))
            }
            (GrpcAddress::Unix(path), None) => {
                let bound = bind_unix(path);
                let listener = bound
                    .map_err(|error| anyhow::anyhow!("can't listen on {} (grpc): {error}", path.display()))?;
                (Socket::Unix(listener, path.clone()), None)
            }
            // The configuration's reader refuses it; this keeps it from ever meaning no TLS.
            (GrpcAddress::Unix(_), Some(_)) => {
                anyhow::bail!("`listen.grpc` is a Unix socket, which has no TLS")
            }
        };
        let admin = bind("admin", listen.admin)?;
        let metrics = bind("metrics", listen.metrics)?;
        let addresses =
            Addresses { grpc: grpc_address, admin: admin.local_addr()?, metrics: metrics.local_addr()? };
        let admin = match self.admin {
            Some(prepared) => AdminListener::Tls(Box::new(with_tls(admin, prepared))),
            None => AdminListener::Plain(admin),
        };
        Ok(Sockets { grpc, admin, metrics, addresses })
    }
}

/// The files of one listener; `Some(None)` when it has no TLS.
async fn read(
    config: Option<&tls::Config>,
    listener: TlsListener,
    clock: &Clock,
    findings: &mut Vec<Diagnostic>,
) -> Option<Option<tls::Prepared>> {
    let Some(config) = config.cloned() else { return Some(None) };
    let clock = clock.clone();
    let read = tokio::task::spawn_blocking(move || tls::Prepared::read(&config, listener, &clock)).await;
    let what = format!("`listen.{}.tls`", listener.as_str());
    match read {
        Ok(Ok((prepared, unfit))) => {
            if let Some(unfit) = unfit {
                let message = format!("{what}: {unfit}; until then no client connects");
                findings.push(Diagnostic::warning("certificate-not-valid", message));
            }
            Some(Some(prepared))
        }
        Ok(Err(broken)) => {
            findings.push(Diagnostic::error("invalid-tls-file", format!("{what}: {broken}")));
            None
        }
        Err(panicked) => {
            findings.push(Diagnostic::error("invalid-tls-file", format!("{what}: {panicked}")));
            None
        }
    }
}

/// The connections that wait to be accepted, at most; the kernel may allow fewer (`net.core.somaxconn`). After a restart
/// all proxies connect at once, each with a connection for every worker thread.
const BACKLOG: u32 = 4_096;

fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Else a port of a server that has just ended could not be taken.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| anyhow::anyhow!("can't listen on {address} ({what}): {error}"))
}

/// Where the admin API is served.
#[derive(Debug)]
pub enum AdminListener {
    Plain(TcpListener),
    Tls(Box<tls::Listener>),
}

/// How long to wait after a failed accept: out of file descriptors, most likely, and others must close theirs first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

impl axum::serve::Listener for AdminListener {
    type Io = Either<TcpStream, TlsStream<TcpStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let accepted = match self {
                Self::Plain(listener) => {
                    TcpListener::accept(listener).await.map(|(stream, peer)| (Either::Left(stream), peer))
                }
                Self::Tls(listener) => {
                    listener.accept().await.map(|(stream, peer)| (Either::Right(stream), peer))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin API could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Plain(listener) => listener.local_addr(),
            Self::Tls(listener) => listener.local_addr(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hundreds_may_connect_before_the_first_is_accepted() {
        let listener = bind("grpc", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect(address);
        let all = futures_util::future::try_join_all((0..500).map(|_| connect()));
        let connected = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert_eq!(connected.expect("the backlog is too short").unwrap().len(), 500);
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let listener = bind("grpc", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let error = bind("admin", address).unwrap_err().to_string();
        assert!(error.contains(&format!("can't listen on {address} (admin)")), "{error}");
    }
}
