//! The calls of a run: the same request once as the Check that Envoy makes of it, once as plain HTTP for Envoy.

use envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, HeaderMap, HeaderValue, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use envoy_types::pb::google::protobuf::Timestamp;
use prost::Message;

use crate::clock;
use crate::load::http;

const HOST: &str = "api.example.com";

/// What a common client sends along.
const HEADERS: [(&str, &str); 6] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json"),
    ("accept-language", "en-US,en;q=0.9"),
    ("accept-encoding", "gzip, deflate, br"),
    ("x-request-id", "5ad1f4c2-6e0b-4d55-9b0e-2f8d1c3a7e90"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
];

/// A Check of GET `path`, encoded; with a bearer token when there is one.
pub fn check(path: &str, token: Option<&str>) -> Vec<u8> {
    check_with(path, token, &[])
}

/// A Check of GET `path` with more headers.
pub fn check_with(path: &str, token: Option<&str>, more: &[(&str, &str)]) -> Vec<u8> {
    let authorization = token.map(|token| ("authorization", format!("Bearer {token}")));
    let pseudo = [(":authority", HOST), (":path", path), (":method", "GET"), (":scheme", "http")];
    let headers = pseudo
        .into_iter()
        .chain(HEADERS)
        .chain(more.iter().copied())
        .chain(authorization.iter().map(|(name, value)| (*name, value.as_str())))
        .map(|(name, value)| HeaderValue {
            key: name.into(),
            raw_value: value.into(),
            ..HeaderValue::default()
        })
        .collect();
    let http = HttpRequest {
        id: "13359530607844510314".into(),
        method: "GET".into(),
        header_map: Some(HeaderMap { headers }),
        path: path.into(),
        host: HOST.into(),
        scheme: "http".into(),
        protocol: "HTTP/1.1".into(),
        ..HttpRequest::default()
    };
    let seconds = i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX);
    let request = Request { time: Some(Timestamp { seconds, nanos: 0 }), http: Some(http) };
    let attributes = AttributeContext {
        source: Some(peer("127.0.0.1", 52_114)),
        destination: Some(peer("127.0.0.1", 10_000)),
        request: Some(request),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

/// GET `path` as a client sends it, encoded; with a bearer token when there is one.
pub fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let authorization = bearer.as_deref().map(|bearer| ("authorization", bearer));
    let headers: Vec<_> = [("host", HOST)].into_iter().chain(HEADERS).chain(authorization).collect();
    http::get(path, &headers)
}

fn peer(address: &str, port: u32) -> Peer {
    let socket = SocketAddress {
        address: address.into(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    Peer { address: Some(Address { address: Some(Kind::SocketAddress(socket)) }), ..Peer::default() }
}
