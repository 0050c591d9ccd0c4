//! The gRPC server: both services, health and reflection, on TCP or a Unix socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessorServer;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::counted::CountFailed;
use super::ext_authz::ExtAuthz;
use super::ext_proc::ExtProc;
use crate::engine::Engine;

/// How the services behave on this listener.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub gateway: bool,
    pub body_buffered: bool,
    pub max_message_timeout: Duration,
    pub reflection: bool,
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
    pub async fn serve(self) -> Result<(), tonic::transport::Error> {
        let Self { socket, engine, config, health } = self;
        let health_service = HealthServer::new(HealthService::from_health_reporter(health));
        let authorization = AuthorizationServer::new(ExtAuthz {
            engine: engine.clone(),
            gateway: config.gateway,
            body_buffered: config.body_buffered,
        })
        .max_decoding_message_size(config.max_message);
        let processor = ExternalProcessorServer::new(ExtProc {
            engine: engine.clone(),
            gateway: config.gateway,
            max_message_timeout: config.max_message_timeout,
        })
        .max_decoding_message_size(config.max_message);
        let router = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .layer(CountFailed(engine.metrics().clone()))
            .add_service(health_service)
            .add_optional_service(config.reflection.then(reflection).flatten())
            .add_service(authorization)
            .add_service(processor);
        let lifecycle = engine.lifecycle().clone();
        let drained = async move { lifecycle.draining().await };
        match socket {
            Socket::Tcp(listener) => {
                // Accepted sockets bypass the builder's own setting.
                let accepted = TcpListenerStream::new(listener);
                router.serve_with_incoming_shutdown(no_delay(accepted), drained).await
            }
            Socket::Unix(listener, path) => {
                let result =
                    router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), drained).await;
                std::fs::remove_file(path).ok();
                result
            }
        }
    }
}

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

fn no_delay(
    accepted: TcpListenerStream,
) -> impl tokio_stream::Stream<Item = io::Result<tokio::net::TcpStream>> {
    tokio_stream::StreamExt::map(accepted, |socket| {
        let socket = socket?;
        socket.set_nodelay(true)?;
        Ok(socket)
    })
}

/// Reflection of the services that are served. `proto/README.md` says how the descriptors were made.
fn reflection() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(include_bytes!("../../proto/envoy.binpb"))
        .build_v1()
        .ok()
}
