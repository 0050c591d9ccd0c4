//! The gRPC server: both services, health and reflection, on TCP, with TLS or without, or a Unix socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;
use tower::Layer;

use super::counted::CountFailed;
use super::{connection, services};
use crate::engine::{Engine, HandoverUse};
use crate::request::BodySource;
use crate::tls;

/// How the services behave on this listener.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub gateway: bool,
    pub request_body: BodySource,
    pub max_message_timeout: Duration,
    /// Whether responses are masked in FULL_DUPLEX_STREAMED mode, where the filter leaves it to us.
    pub full_duplex: bool,
    pub reflection: bool,
    pub handover: HandoverUse,
    /// The largest message accepted, in bytes: a Check with its body, or a buffered response body.
    pub max_message: usize,
}

/// A bound server that does not serve yet.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    engine: Arc<Engine>,
    config: ServerConfig,
    health: HealthReporter,
}

/// Where the server listens.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    Tls(Box<tls::Listener>),
    Unix(UnixListener, PathBuf),
}

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";
const EXTERNAL_PROCESSOR: &str = "envoy.service.ext_proc.v3.ExternalProcessor";

impl Server {
    pub fn new(socket: Socket, engine: Arc<Engine>, config: ServerConfig) -> Self {
        let (health, _) = tonic_health::server::health_reporter();
        Self { socket, engine, config, health }
    }

    /// Tells `grpc.health.v1` callers whether calls are welcome. Overall health is the empty name.
    pub fn health(&self) -> Health {
        Health(self.health.clone())
    }

    /// Serves until the engine's lifecycle drains; then sends GOAWAY and finishes the streams in flight.
    pub async fn serve(self) {
        let Self { mut socket, engine, config, health } = self;
        let service = services::Services::new(&engine, &config, health);
        let service = CountFailed(engine.metrics().clone()).layer(service);
        let (lifecycle, connections) = (engine.lifecycle().clone(), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                () = lifecycle.draining() => break,
                accepted = socket.accept() => accepted,
            };
            let (service, lifecycle) = (service.clone(), lifecycle.clone());
            let draining = async move { lifecycle.draining().await };
            match accepted {
                Ok(Accepted::Tcp(io)) => drop(connections.spawn(connection::serve(io, service, draining))),
                Ok(Accepted::Tls(io)) => drop(connections.spawn(connection::serve(io, service, draining))),
                Ok(Accepted::Unix(io)) => drop(connections.spawn(connection::serve(io, service, draining))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors, most likely: others must close theirs first.
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        // New connections are refused by the kernel from now on.
        drop(socket);
        connections.close();
        connections.wait().await;
    }
}

impl Socket {
    async fn accept(&mut self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream))
            }
            Self::Tls(listener) => listener.accept().await.map(|(stream, _)| Accepted::Tls(Box::new(stream))),
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            std::fs::remove_file(path).ok();
        }
    }
}

/// A connection that nobody serves yet.
enum Accepted {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// How long to wait after a failed accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// The `grpc.health.v1` state of both services and of the whole.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        for service in ["", AUTHORIZATION, EXTERNAL_PROCESSOR] {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// Binds a Unix socket, taking the place of one that a dead server left behind.
pub fn bind_unix(path: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
            std::fs::remove_file(path)?
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    // Proxies run as another user of the same group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}
