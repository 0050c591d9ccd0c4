//! Counts RPCs that end before any handler sees them: a message that can't be decoded, or is too large.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pin_project_lite::pin_project;
use tonic::Code;
use tower::{Layer, Service as TowerService};

use crate::clock;
use crate::metrics::{Metrics, Service};

/// Wraps a gRPC server.
#[derive(Clone, Debug)]
pub(super) struct CountFailed(pub Metrics);

#[derive(Clone, Debug)]
pub(super) struct Counting<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Layer<S> for CountFailed {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counting { inner, metrics: self.0.clone() }
    }
}

impl<S, B, R> TowerService<http::Request<B>> for Counting<S>
where
    S: TowerService<http::Request<B>, Response = http::Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = match request.uri().path() {
            "/envoy.service.auth.v3.Authorization/Check" => Some(Service::ExtAuthz),
            "/envoy.service.ext_proc.v3.ExternalProcessor/Process" => Some(Service::ExtProc),
            _ => None,
        };
        let (started, metrics) = (clock::instant(), self.metrics.clone());
        Answer { inner: self.inner.call(request), service, started, metrics }
    }
}

pin_project! {
    /// A server's answer, looked at once it comes.
    pub(super) struct Answer<F> {
        #[pin]
        inner: F,
        service: Option<Service>,
        started: Instant,
        metrics: Metrics,
    }
}

impl<F, R, E> Future for Answer<F>
where
    F: Future<Output = Result<http::Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(context));
        // A handler's own errors come as trailers after a body; only failures before it are headers.
        let status = answer.as_ref().ok().and_then(|response| response.headers().get("grpc-status"));
        let code = status.map(|code| Code::from_bytes(code.as_bytes()));
        if let (Some(service), Some(code)) = (*this.service, code)
            && code != Code::Ok
        {
            this.metrics.grpc_started(service);
            this.metrics.grpc_handled(service, name(code), this.started.elapsed());
            let (service, code) = (service.as_str(), name(code));
            tracing::warn!(service, code, "an RPC failed before it was handled");
        }
        Poll::Ready(answer)
    }
}

/// A status code as `grpc_server_handled_total` names it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
