//! The gRPC services of the port, found by the path that is asked for.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessorServer;
use futures_util::future::{BoxFuture, FutureExt};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::Service;

use super::ext_authz::ExtAuthz;
use super::ext_proc::ExtProc;
use super::server::ServerConfig;
use crate::engine::Engine;

/// Both services of Envoy, asked for directly, and the others behind a router.
#[derive(Clone, Debug)]
pub(super) struct Services {
    authorization: ExtAuthz,
    /// The most bytes of a message.
    max_message: usize,
    processor: ExternalProcessorServer<ExtProc>,
    others: Routes,
}

impl Services {
    pub fn new(engine: &Arc<Engine>, config: &ServerConfig, health: HealthReporter) -> Self {
        let authorization = ExtAuthz {
            engine: engine.clone(),
            gateway: config.gateway,
            request_body: config.request_body,
            handover: config.handover,
        };
        let processor = ExtProc {
            engine: engine.clone(),
            gateway: config.gateway,
            handover: config.handover,
            max_message_timeout: config.max_message_timeout,
            full_duplex: config.full_duplex,
        };
        let mut others = Routes::new(HealthServer::new(HealthService::from_health_reporter(health)));
        if let Some(reflection) = config.reflection.then(reflection).flatten() {
            others = others.add_service(reflection);
        }
        Self {
            authorization,
            max_message: config.max_message,
            processor: ExternalProcessorServer::new(processor).max_decoding_message_size(config.max_message),
            others: others.prepare(),
        }
    }
}

impl Service<http::Request<Incoming>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // None of these services ever makes a caller wait.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        if path == "/envoy.service.auth.v3.Authorization/Check" {
            self.authorization.call(request, self.max_message)
        } else if path.starts_with("/envoy.service.ext_proc.v3.ExternalProcessor/") {
            self.processor.call(request)
        } else {
            self.others.call(request).boxed()
        }
    }
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
