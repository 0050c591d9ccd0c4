//! Envelopes that are not this call's: forged, cut, another call's, another caller's.

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, Metadata};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Message;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Reply;
use envoy_types::pb::envoy::service::ext_proc::v3::{HttpHeaders, ProcessingRequest};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use super::{both, counted};
use crate::world::World;

/// One call, as both filters show it.
#[derive(Clone)]
struct Call {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    id: &'static str,
    token: String,
}

impl Call {
    fn headers(&self, pseudo: bool) -> HeaderMap {
        let bearer = format!("Bearer {}", self.token);
        let pairs = [
            (":method", self.method),
            (":authority", self.host),
            (":path", self.path),
            ("x-request-id", self.id),
            ("content-length", "0"),
            ("authorization", bearer.as_str()),
        ];
        let shown = pairs.into_iter().filter(|(name, _)| pseudo || !name.starts_with(':'));
        let header = |(key, value): (&str, &str)| HeaderValue {
            key: key.into(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        };
        HeaderMap { headers: shown.map(header).collect() }
    }
}

fn marked<T>(message: T, word: &'static str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("x-portcullis-handover", word.parse().unwrap());
    request
}

/// What ext_authz has Envoy keep.
async fn check(channel: &Channel, call: &Call) -> Struct {
    let http = HttpRequest {
        method: call.method.into(),
        host: call.host.into(),
        path: call.path.into(),
        header_map: Some(call.headers(false)),
        ..HttpRequest::default()
    };
    let request = Request { http: Some(http), ..Request::default() };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    let message = marked(CheckRequest { attributes: Some(attributes) }, "gives");
    let answer = AuthorizationClient::new(channel.clone()).check(message).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
    answer.dynamic_metadata.unwrap()
}

/// What ext_proc answers to the request's headers: nothing, or the code of its denial.
async fn process(channel: &Channel, call: &Call, said: Option<Struct>, word: &'static str) -> Option<String> {
    let headers =
        HttpHeaders { headers: Some(call.headers(true)), end_of_stream: true, ..HttpHeaders::default() };
    let filter_metadata =
        said.map(|said| ("envoy.filters.http.ext_authz".to_owned(), said)).into_iter().collect();
    let message = ProcessingRequest {
        request: Some(Message::RequestHeaders(headers)),
        metadata_context: Some(Metadata { filter_metadata, ..Metadata::default() }),
        ..ProcessingRequest::default()
    };
    let stream = marked(tokio_stream::once(message).chain(tokio_stream::pending()), word);
    let mut answers =
        ExternalProcessorClient::new(channel.clone()).process(stream).await.unwrap().into_inner();
    match answers.next().await.unwrap().unwrap().response.unwrap() {
        Reply::ImmediateResponse(denial) => {
            let body: serde_json::Value = serde_json::from_slice(&denial.body).unwrap();
            Some(body["error"].as_str().unwrap().to_owned())
        }
        Reply::RequestHeaders(_) => None,
        other => panic!("{other:?}"),
    }
}

fn text(said: &Struct) -> String {
    match said.fields["portcullis_handover"].kind.clone() {
        Some(Kind::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn of(kind: Kind) -> Struct {
    let value = Value { kind: Some(kind) };
    Struct { fields: [("portcullis_handover".to_owned(), value)].into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_very_call_that_was_decided_is_taken_over() {
    let world = World::start(both()).await;
    let address = world.addresses.grpc.unwrap();
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let token = |person: &str| world.idp.token(person, "portcullis").unwrap();
    let call = Call { method: "GET", host: "api", path: "/cards/1", id: "q-1", token: token("ana") };
    let said = check(&channel, &call).await;
    assert_eq!(process(&channel, &call, Some(said.clone()), "expects").await, None);
    let others = [
        Call { method: "HEAD", ..call.clone() },
        Call { host: "other", ..call.clone() },
        Call { path: "/cards/2", ..call.clone() },
        Call { path: "/cards/1?x", ..call.clone() },
        Call { id: "q-2", ..call.clone() },
        // The same call of somebody else, who may not make it.
        Call { token: token("carl"), ..call.clone() },
    ];
    for other in &others {
        let answer = process(&channel, other, Some(said.clone()), "expects").await;
        assert_eq!(answer.as_deref(), Some("handover_mismatch"), "{} {}", other.path, other.id);
    }
    let sealed = text(&said);
    let flipped = sealed.replacen(&sealed[40..41], if &sealed[40..41] == "A" { "B" } else { "A" }, 1);
    for forged in [
        Kind::StringValue(flipped),
        Kind::StringValue(sealed[..sealed.len() - 1].to_owned()),
        Kind::StringValue(String::new()),
        Kind::NumberValue(1.0),
    ] {
        let answer = process(&channel, &call, Some(of(forged.clone())), "expects").await;
        assert_eq!(answer.as_deref(), Some("handover_invalid"), "{forged:?}");
    }
    assert_eq!(process(&channel, &call, None, "expects").await.as_deref(), Some("handover_missing"));
    // Without the mark all of these are decided by what they are: carl is denied, ana is not.
    let decided = |person: &str| Call { token: token(person), ..call.clone() };
    assert_eq!(
        process(&channel, &decided("carl"), Some(said.clone()), "").await.as_deref(),
        Some("no_rule_allows")
    );
    assert_eq!(process(&channel, &decided("ana"), Some(of(Kind::BoolValue(true))), "").await, None);
    assert_eq!(counted(&world, "portcullis_handover_total{result=\"taken\"}").await, 1);
    assert_eq!(counted(&world, "portcullis_handover_total{result=\"mismatch\"}").await, 7);
}
