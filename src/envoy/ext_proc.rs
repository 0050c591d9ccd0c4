//! `envoy.service.ext_proc.v3.ExternalProcessor`: one stream per call, from its headers to its last byte back.
//!
//! The verdict is given at the request headers, or at the complete request body where a rule reads it or can
//! hold. A denial is an ImmediateResponse, also after response headers are out: Envoy then resets the caller's
//! stream, where with `failure_mode_allow` an error status would let the rest of the body through as it is.
//! `order` knows which message may come when, `session` answers them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::ext_proc::v3::ProcessingRequest;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessor;
use futures_util::FutureExt;
use tonic::{Code, Request, Response, Status, Streaming};

use super::answers::{AnswerStream, Answers};
use crate::clock;
use crate::engine::{Engine, HandoverUse};
use crate::metrics::{Metrics, Service};
use crate::request::Handover;

pub(in crate::envoy) mod encode;
mod order;
mod session;

/// The ext_proc service of one listener.
#[derive(Clone, Debug)]
pub struct ExtProc {
    pub engine: Arc<Engine>,
    pub gateway: bool,
    pub handover: HandoverUse,
    /// Envoy's `max_message_timeout`: how long a call can be held.
    pub max_message_timeout: Duration,
    /// Whether responses are masked in FULL_DUPLEX_STREAMED mode, where the filter leaves it to us.
    pub full_duplex: bool,
}

#[tonic::async_trait]
impl ExternalProcessor for ExtProc {
    type ProcessStream = AnswerStream;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<AnswerStream>, Status> {
        let answers = Answers::default();
        let handled = Handled::start(self.engine.metrics().clone());
        let expected = super::handover::is_marked(self.handover, request.metadata(), Handover::EXPECTS);
        let session = session::Session::new(self.clone(), request.into_inner(), answers.clone(), expected);
        let stream =
            AnswerStream::new(answers, Box::pin(run(session, handled)), self.engine.lifecycle().call());
        Ok(Response::new(stream))
    }
}

/// Runs a session to its end. Whatever goes wrong, the call is refused before the stream ends with an error.
async fn run(mut session: session::Session, mut handled: Handled) -> Result<(), Status> {
    let result = match AssertUnwindSafe(session.run()).catch_unwind().await {
        Ok(result) => result,
        Err(_panic) => Err(session.panicked()),
    };
    if result.is_err() {
        // An error status obeys `failure_mode_allow`; a denial does not.
        session.refuse_failed();
    }
    handled.code = result.as_ref().err().map_or(Code::Ok, Status::code);
    result
}

/// Counts an RPC when it ends: also one that is dropped, because the proxy reset it.
struct Handled {
    metrics: Metrics,
    started: Instant,
    code: Code,
}

impl Handled {
    fn start(metrics: Metrics) -> Self {
        metrics.grpc_started(Service::ExtProc);
        Self { metrics, started: clock::instant(), code: Code::Cancelled }
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        let code = super::counted::name(self.code);
        self.metrics.grpc_handled(Service::ExtProc, code, self.started.elapsed());
    }
}
