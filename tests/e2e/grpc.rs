//! The gRPC port besides Envoy's calls: health and reflection, and streams that break the rules.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Message;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Reply;
use envoy_types::pb::envoy::service::ext_proc::v3::{HttpBody, HttpHeaders, HttpTrailers, ProcessingRequest};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServiceResponse};

use crate::world::{Options, World};

async fn channel(world: &World) -> Channel {
    let address = world.server.as_ref().unwrap().addresses.grpc.unwrap();
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection() {
    let world = World::start(Options::default()).await;
    let channel = channel(&world).await;
    for service in ["", "envoy.service.auth.v3.Authorization", "envoy.service.ext_proc.v3.ExternalProcessor"]
    {
        let mut health = HealthClient::new(channel.clone());
        let mut status = ServingStatus::Unknown;
        for _ in 0..100 {
            // Set every second, from `/readyz`.
            if let Ok(answer) = health.check(HealthCheckRequest { service: service.into() }).await {
                status = answer.into_inner().status();
            }
            if status == ServingStatus::Serving {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let mut answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<_> = list.service.into_iter().map(|ServiceResponse { name }| name).collect();
    for expected in [
        "envoy.service.auth.v3.Authorization",
        "envoy.service.ext_proc.v3.ExternalProcessor",
        "grpc.health.v1.Health",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not in {names:?}");
    }
}

fn message(request: Message) -> ProcessingRequest {
    ProcessingRequest { request: Some(request), ..ProcessingRequest::default() }
}

fn headers(pairs: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let header = |(key, value): &(&str, &str)| HeaderValue {
        key: (*key).into(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    let headers = HeaderMap { headers: pairs.iter().map(header).collect() };
    HttpHeaders { headers: Some(headers), end_of_stream, ..HttpHeaders::default() }
}

fn call(path: &str) -> ProcessingRequest {
    let pairs = [(":method", "GET"), (":authority", "a"), (":path", path), (":scheme", "http")];
    message(Message::RequestHeaders(headers(&pairs, true)))
}

/// What a stream of these messages is answered, each sent after the answer to the one before, and how it ends.
async fn converse(world: &World, messages: Vec<ProcessingRequest>) -> (Vec<Reply>, Code) {
    let mut client = ExternalProcessorClient::new(channel(world).await);
    let (sender, outbound) = tokio::sync::mpsc::channel(1);
    let mut messages = messages.into_iter();
    sender.send(messages.next().unwrap()).await.unwrap();
    let mut sender = Some(sender);
    let mut answers = match client.process(ReceiverStream::new(outbound)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (Vec::new(), status.code()),
    };
    let mut replies = Vec::new();
    loop {
        match answers.next().await {
            Some(Ok(answer)) => replies.extend(answer.response),
            Some(Err(status)) => return (replies, status.code()),
            None => return (replies, Code::Ok),
        }
        match messages.next() {
            // The server may have ended the stream already; the next answer tells.
            Some(message) => drop(sender.as_ref().unwrap().send(message).await),
            None => drop(sender.take()),
        }
    }
}

/// A stream that breaks the order is denied, and its status is an error: never an OK that lets the rest through.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_the_rules_end_in_a_denial_and_an_error() {
    let world = World::start(Options::default()).await;
    let body = || message(Message::ResponseBody(HttpBody { body: b"{}".to_vec(), ..HttpBody::default() }));
    let response = || message(Message::ResponseHeaders(headers(&[(":status", "200")], false)));
    let trailers = || message(Message::ResponseTrailers(HttpTrailers::default()));
    let observed = ProcessingRequest { observability_mode: true, ..call("/public/hello") };
    for (name, messages) in [
        ("no headers", vec![body()]),
        ("a response first", vec![response()]),
        ("nothing in it", vec![ProcessingRequest::default()]),
        ("headers twice", vec![call("/public/hello"), call("/public/hello")]),
        ("a body before its headers", vec![call("/public/hello"), body()]),
        ("trailers before headers", vec![call("/public/hello"), trailers()]),
        ("answers ignored", vec![observed]),
    ] {
        let (replies, code) = converse(&world, messages).await;
        assert!(matches!(replies.last(), Some(Reply::ImmediateResponse(_))), "{name}: {replies:?}");
        assert_ne!(code, Code::Ok, "{name}");
    }
    // Left in the middle of a response: an error.
    let (_, code) = converse(&world, vec![call("/public/hello"), response(), body()]).await;
    assert_eq!(code, Code::Cancelled);
    // One answer for each message, of its own type.
    let whole = vec![call("/public/hello"), response(), body(), trailers()];
    let (replies, code) = converse(&world, whole).await;
    assert!(matches!(
        replies.as_slice(),
        [
            Reply::RequestHeaders(_),
            Reply::ResponseHeaders(_),
            Reply::ResponseBody(_),
            Reply::ResponseTrailers(_)
        ]
    ));
    assert_eq!(code, Code::Ok);
}

/// Oddities that Envoy itself refuses, straight to the port: denied, and nothing panics.
#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_denied() {
    let world = World::start(Options::default()).await;
    for pairs in [
        &[][..],
        &[(":method", "GET")],
        &[(":method", "get"), (":authority", "a"), (":path", "/v1/orders")],
        &[(":method", "GET"), (":authority", "a"), (":path", "public/hello")],
        &[(":method", "GET"), (":authority", "a"), (":path", "")],
        &[(":method", "GET"), (":method", "POST"), (":authority", "a"), (":path", "/public/hello")],
        &[(":method", "GET"), (":authority", "a"), (":authority", "b"), (":path", "/public/hello")],
        &[(":method", "GET"), (":authority", "a"), (":path", "/public/hello"), ("x", "a\r\nb: c")],
        &[(":method", "GET"), (":authority", "a\0"), (":path", "/public/hello")],
        &[(":method", "OPTIONS"), (":authority", "a"), (":path", "*")],
        &[(":method", "CONNECT"), (":authority", "a:443")],
    ] {
        let (replies, _) =
            converse(&world, vec![message(Message::RequestHeaders(headers(pairs, true)))]).await;
        assert!(matches!(replies.as_slice(), [Reply::ImmediateResponse(_)]), "{pairs:?}: {replies:?}");
    }
}
