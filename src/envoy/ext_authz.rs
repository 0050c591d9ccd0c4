//! `envoy.service.auth.v3.Authorization`: one Check, one answer.
//!
//! Every Check that decodes is answered with OK or `denied_response`, never with a gRPC error or an
//! `error_response`: those obey Envoy's `failure_mode_allow` and may become an allow.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::google::rpc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::{Codec, EncodeBody, SingleMessageCompressionOverride};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::decode;
use super::grpc_status::for_grpc;
use super::handover;
use super::mutation::{denial_headers_for_ext_authz, for_ext_authz, mutation, status};
use crate::clock;
use crate::engine::{Call, Engine, HandoverUse, Listener, Patience};
use crate::metrics::Service;
use crate::request::{self, BodySource, Handover};
use crate::verdict::{Answer, Verdict};

/// The ext_authz service of one listener.
#[derive(Clone, Debug)]
pub struct ExtAuthz {
    pub engine: Arc<Engine>,
    pub gateway: bool,
    /// Whether the filters that call here show whole bodies.
    pub request_body: BodySource,
    pub handover: HandoverUse,
}

impl ExtAuthz {
    /// Answers one Check, whose message may have so many bytes. What reads the message is over before the call may wait:
    /// many calls may be held, and of each only the call itself is kept.
    pub(super) fn call(&self, request: http::Request<Incoming>, most: usize) -> Answering {
        let received = clock::instant();
        let taking_up = Box::pin(self.clone().take_up(request, most, received));
        let service = self.clone();
        Box::pin(async move {
            let answer = match taking_up.await {
                Ok(taken) => Ok(service.answer(taken, received).await),
                Err(status) => Err(status),
            };
            Ok(written(answer))
        })
    }

    /// Reads and decodes a Check. The engine catches its own panics; these catch those of decoding and encoding.
    async fn take_up(
        self,
        request: http::Request<Incoming>,
        most: usize,
        received: Instant,
    ) -> Result<std::thread::Result<Taken>, Status> {
        let (head, body) = request.into_parts();
        let message = message(body, most).await?;
        let request = Request::from_parts(MetadataMap::from_headers(head.headers), head.extensions, message);
        let metrics = self.engine.metrics();
        metrics.grpc_started(Service::ExtAuthz);
        metrics.grpc_received(Service::ExtAuthz);
        Ok(std::panic::catch_unwind(AssertUnwindSafe(|| self.decode(request, received))))
    }

    async fn answer(&self, taken: std::thread::Result<Taken>, received: Instant) -> CheckResponse {
        let answer = match taken {
            Ok(taken) => AssertUnwindSafe(self.decide(taken)).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        let answer = answer.unwrap_or_else(|_panic| encode(&Verdict::internal_error(), false));
        let metrics = self.engine.metrics();
        metrics.grpc_sent(Service::ExtAuthz);
        metrics.grpc_handled(Service::ExtAuthz, "OK", received.elapsed());
        answer
    }
}

/// The answer to one RPC.
pub(super) type Answering = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

/// The one message of a request.
async fn message(body: Incoming, most: usize) -> Result<CheckRequest, Status> {
    let decoder = ProstCodec::<CheckResponse, CheckRequest>::default().decoder();
    // No compression is offered.
    let mut messages = Streaming::new_request(decoder, body, None, Some(most));
    messages.message().await?.ok_or_else(|| Status::internal("there is no message"))
}

fn written(answer: Result<CheckResponse, Status>) -> http::Response<Body> {
    let message = match answer {
        Ok(message) => message,
        Err(status) => return status.into_http(),
    };
    let encoder = ProstCodec::<CheckResponse, CheckRequest>::default().encoder();
    let messages = futures_util::stream::once(std::future::ready(Ok(message)));
    let body =
        EncodeBody::new_server(encoder, messages, None, SingleMessageCompressionOverride::default(), None);
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
    response
}

/// A Check, decoded.
struct Taken {
    call: Box<Call>,
    /// When the proxy gives up.
    until: Option<Instant>,
    /// Whether the caller speaks gRPC.
    grpc: bool,
}

impl ExtAuthz {
    fn decode(&self, request: Request<CheckRequest>, received: Instant) -> Taken {
        let until = deadline(request.metadata(), received);
        let hands_over = handover::is_marked(self.handover, request.metadata(), Handover::GIVES);
        let parts = decode::check(request.into_inner(), self.request_body);
        let request = request::Request::assemble(parts, self.engine.limits());
        let grpc = request.is_grpc();
        let listener =
            Listener { service: Service::ExtAuthz, gateway: self.gateway, masks: hands_over, hands_over };
        Taken { call: self.engine.receive(request, listener), until, grpc }
    }

    async fn decide(&self, Taken { call, until, grpc }: Taken) -> CheckResponse {
        let checked = self.engine.check(call, Patience { until, announce: None }).await;
        encode(&checked.verdict, grpc)
    }
}

/// When Envoy gives up on this Check: its `grpc-timeout` header, counted from the receipt.
fn deadline(metadata: &tonic::metadata::MetadataMap, received: Instant) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number.checked_mul(3_600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    received.checked_add(timeout)
}

/// `grpc`: the caller speaks gRPC.
fn encode(verdict: &Verdict, grpc: bool) -> CheckResponse {
    let sealed = match &verdict.answer {
        Answer::Allow(permit) => permit.handover.as_deref(),
        Answer::Deny(_) => None,
    };
    let (code, response) = match &verdict.answer {
        Answer::Allow(permit) => {
            let mut request = mutation(&permit.changes.request);
            // `query_parameters_to_remove` would write the whole query anew, in another order.
            if let Some(path) = &permit.path {
                request.set(":path", path);
            }
            let response = mutation(&permit.changes.response);
            let ok = OkHttpResponse {
                headers: for_ext_authz(request.set),
                headers_to_remove: request.remove,
                response_headers_to_add: for_ext_authz(response.set),
                ..OkHttpResponse::default()
            };
            (tonic::Code::Ok, HttpResponse::OkResponse(ok))
        }
        Answer::Deny(denial) => {
            let in_grpc = grpc.then(|| for_grpc(denial, verdict.reason, &verdict.decision_id));
            let denial = in_grpc.as_ref().unwrap_or(denial);
            let denied = DeniedHttpResponse {
                status: Some(status(denial.status)),
                headers: denial_headers_for_ext_authz(&denial.headers),
                body: denial.body.clone(),
            };
            (tonic::Code::PermissionDenied, HttpResponse::DeniedResponse(denied))
        }
    };
    CheckResponse {
        status: Some(rpc::Status { code: code.into(), ..rpc::Status::default() }),
        http_response: Some(response),
        dynamic_metadata: sealed.map(handover::metadata),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts() {
        let now = clock::instant();
        let parse = |text: &str| {
            let mut metadata = tonic::metadata::MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline(&metadata, now).map(|until| until - now)
        };
        assert_eq!(parse("200m"), Some(Duration::from_millis(200)));
        assert_eq!(parse("330S"), Some(Duration::from_secs(330)));
        assert_eq!(parse("1H"), Some(Duration::from_secs(3_600)));
        for bad in ["", "S", "1", "1x", "-1S", "99999999999999999999S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
