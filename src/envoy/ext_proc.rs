//! `envoy.service.ext_proc.v3.ExternalProcessor`: one stream per call, from its headers to its last byte back.
//!
//! The verdict is given at the request headers, or at the complete request body where a rule reads it or can
//! hold. A denial is an ImmediateResponse until response headers are out; after that only an error status keeps
//! the rest of the body from the caller. `order` knows which message may come when, `session` answers them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::ext_proc::v3::ProcessingRequest;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessor;
use futures_util::FutureExt;
use tonic::{Request, Response, Status, Streaming};

use super::answers::{self, AnswerStream};
use crate::clock;
use crate::engine::Engine;
use crate::metrics::Service;

mod encode;
mod order;
mod session;

/// The ext_proc service of one listener.
#[derive(Clone, Debug)]
pub struct ExtProc {
    pub engine: Arc<Engine>,
    pub gateway: bool,
    /// Envoy's `max_message_timeout`: how long a call can be held.
    pub max_message_timeout: Duration,
}

/// The filter's `initial_metadata` that says `closed` when it has `failure_mode_allow: false`. Nothing else tells
/// how Envoy takes an error status once response headers are out: it cuts the response off, or lets the rest of it
/// through as it is.
const FAILURE_MODE: &str = "portcullis-failure-mode";

#[tonic::async_trait]
impl ExternalProcessor for ExtProc {
    type ProcessStream = AnswerStream;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<AnswerStream>, Status> {
        let (answers, stream) = answers::channel();
        let started = clock::instant();
        let metrics = self.engine.metrics().clone();
        metrics.grpc_started(Service::ExtProc);
        let fails_closed = request.metadata().get(FAILURE_MODE).is_some_and(|mode| mode == "closed");
        let mut session =
            session::Session::new(self.clone(), request.into_inner(), answers.clone(), fails_closed);
        self.engine.lifecycle().spawn(async move {
            let result = match AssertUnwindSafe(session.run()).catch_unwind().await {
                Ok(result) => result,
                Err(_panic) => Err(Status::internal("internal error")),
            };
            if result.is_err() {
                session.fail().await;
            }
            let code = result.as_ref().err().map_or(tonic::Code::Ok, Status::code);
            metrics.grpc_handled(Service::ExtProc, super::counted::name(code), started.elapsed());
            answers.end(result).await;
        });
        Ok(Response::new(stream))
    }
}
