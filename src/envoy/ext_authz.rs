//! `envoy.service.auth.v3.Authorization`: one Check, one answer.
//!
//! Every Check that decodes is answered with OK or `denied_response`, never with a gRPC error or an
//! `error_response`: those obey Envoy's `failure_mode_allow` and may become an allow.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::google::rpc;
use futures_util::FutureExt;
use tonic::{Request, Response, Status};

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

impl Authorization for ExtAuthz {
    /// Decodes before it returns the future: a call that is held keeps no protobuf.
    fn check<'s, 'f>(&'s self, request: Request<CheckRequest>) -> Answering<'f>
    where
        's: 'f,
        Self: 'f,
    {
        let received = clock::instant();
        let metrics = self.engine.metrics();
        metrics.grpc_started(Service::ExtAuthz);
        metrics.grpc_received(Service::ExtAuthz);
        // The engine catches its own panics; these catch those of decoding and encoding.
        let taken = std::panic::catch_unwind(AssertUnwindSafe(|| self.take_up(request, received)));
        Box::pin(async move {
            let answer = match taken {
                Ok(taken) => AssertUnwindSafe(self.answer(taken)).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let answer = answer.unwrap_or_else(|_panic| encode(&Verdict::internal_error(), false));
            let metrics = self.engine.metrics();
            metrics.grpc_sent(Service::ExtAuthz);
            metrics.grpc_handled(Service::ExtAuthz, "OK", received.elapsed());
            Ok(Response::new(answer))
        })
    }
}

/// What `tonic::async_trait` makes of an `async fn check`.
type Answering<'f> = Pin<Box<dyn Future<Output = Result<Response<CheckResponse>, Status>> + Send + 'f>>;

/// A Check, decoded.
struct Taken {
    call: Box<Call>,
    /// When the proxy gives up.
    until: Option<Instant>,
    /// Whether the caller speaks gRPC.
    grpc: bool,
}

impl ExtAuthz {
    fn take_up(&self, request: Request<CheckRequest>, received: Instant) -> Taken {
        let until = deadline(request.metadata(), received);
        let hands_over = handover::is_marked(self.handover, request.metadata(), Handover::GIVES);
        let parts = decode::check(request.into_inner(), self.request_body);
        let request = request::Request::assemble(parts, self.engine.limits());
        let grpc = request.is_grpc();
        let listener =
            Listener { service: Service::ExtAuthz, gateway: self.gateway, masks: hands_over, hands_over };
        Taken { call: self.engine.receive(request, listener), until, grpc }
    }

    async fn answer(&self, Taken { call, until, grpc }: Taken) -> CheckResponse {
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
