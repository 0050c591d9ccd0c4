//! `envoy.service.ext_proc.v3.ExternalProcessor`: one stream per call, from its headers to its last byte back.
//!
//! The verdict is given at the request headers, or at the complete request body where a rule reads it or can
//! hold. A denial is an ImmediateResponse, also after response headers are out: Envoy then resets the caller's
//! stream, where with `failure_mode_allow` an error status would let the rest of the body through as it is.
//! `order` knows which message may come when, `session` answers them.

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

pub(in crate::envoy) mod encode;
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
        let mut session = session::Session::new(self.clone(), request.into_inner(), answers.clone());
        self.engine.lifecycle().spawn(async move {
            let result = match AssertUnwindSafe(session.run()).catch_unwind().await {
                Ok(result) => result,
                Err(_panic) => Err(session.panicked()),
            };
            if result.is_err() {
                // An error status obeys `failure_mode_allow`; a denial does not.
                session.refuse_failed().await;
            }
            let code = result.as_ref().err().map_or(tonic::Code::Ok, Status::code);
            metrics.grpc_handled(Service::ExtProc, super::counted::name(code), started.elapsed());
            answers.end(result).await;
        });
        Ok(Response::new(stream))
    }
}
