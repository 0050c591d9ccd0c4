//! From Envoy's messages to `Parts`. Strings and bodies are moved, not copied.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, HeaderMap, Metadata};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{self, HttpRequest};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Timestamp, Value};

use crate::request::{Body, BodySource, Connection, Header, Headers, Parts, Peer};

/// The namespace under which ext_proc sends its attributes.
const ATTRIBUTES: &str = "envoy.filters.http.ext_proc";

/// Marks a body that Envoy cut off at `max_request_bytes`.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// What a Check says of its call. Only behind a filter that buffers, as `bodies` tells, does a missing body mean an empty
/// one. The mark of a route that does is ours, and no part of the context that policies read.
pub(super) fn check(request: CheckRequest, bodies: BodySource) -> Parts {
    let attributes = request.attributes.unwrap_or_default();
    let AttributeContext {
        source,
        destination,
        request,
        mut context_extensions,
        metadata_context,
        tls_session,
        ..
    } = attributes;
    let request = request.unwrap_or_default();
    let mut http = request.http.unwrap_or_default();
    let headers = match http.header_map.take() {
        Some(map) => raw_headers(map).1,
        None => joined_headers(std::mem::take(&mut http.headers)),
    };
    let (key, wanted) = BodySource::MARK;
    let marked = context_extensions.remove(key).is_some_and(|value| value == wanted);
    let buffered = match bodies {
        BodySource::Buffered => true,
        BodySource::NotBuffered => false,
        BodySource::ByRoute => marked,
    };
    let body = check_body(&mut http, &headers, buffered);
    let (source, destination) = (source.unwrap_or_default(), destination.unwrap_or_default());
    Parts {
        time: request.time.map(timestamp).unwrap_or_default(),
        body,
        headers,
        connection: Connection {
            mtls: !source.principal.is_empty(),
            requested_server_name: tls_session.map(|tls| tls.sni).unwrap_or_default(),
            certificate: source.certificate.clone(),
        },
        source: peer(source),
        destination: peer(destination),
        context: context_extensions.into_iter().collect(),
        metadata: metadata(metadata_context),
        id: http.id,
        method: http.method,
        scheme: http.scheme,
        host: http.host,
        protocol: http.protocol,
        path: http.path,
    }
}

/// A body is complete when all that the headers promise is here. Without a length they promise nothing, whatever the
/// protocol: Envoy keeps `transfer-encoding` to itself. Then an empty body counts as complete only behind a filter that
/// buffers.
fn check_body(http: &mut HttpRequest, headers: &Headers, buffered: bool) -> Body {
    // Without `pack_as_bytes` Envoy shows each byte that is not UTF-8 as `!`: such a body may be another one.
    if http.body.contains('!') {
        return Body::Partial;
    }
    let bytes = match http.raw_body.is_empty() {
        true => Bytes::from(std::mem::take(&mut http.body).into_bytes()),
        false => Bytes::from(std::mem::take(&mut http.raw_body)),
    };
    if headers.all(PARTIAL_BODY).any(|value| value.eq_ignore_ascii_case(b"true")) {
        return Body::Partial;
    }
    let length = headers.text("content-length").ok().flatten().map(|text| text.parse::<usize>());
    match length {
        Some(Ok(length)) if length == bytes.len() => Body::Complete(bytes),
        Some(_) if bytes.is_empty() => Body::Absent,
        Some(_) => Body::Partial,
        None if !bytes.is_empty() => Body::Complete(bytes),
        None if buffered => Body::Complete(bytes),
        None => Body::Absent,
    }
}

/// What the first message of an ext_proc stream says of its call.
pub(super) fn request_headers(
    map: Option<HeaderMap>,
    end_of_stream: bool,
    mut attributes: HashMap<String, Struct>,
    metadata_context: Option<Metadata>,
) -> Parts {
    let (pseudo, headers) = raw_headers(map.unwrap_or_default());
    let pseudo = |name: &str| pseudo.get(name).cloned().unwrap_or_default();
    let attributes =
        Attributes(attributes.remove(ATTRIBUTES).map(|attributes| attributes.fields).unwrap_or_default());
    let id = headers.text("x-request-id").ok().flatten().unwrap_or_default().to_owned();
    Parts {
        id,
        time: attributes.time("request.time"),
        method: pseudo(":method"),
        scheme: pseudo(":scheme"),
        host: pseudo(":authority"),
        protocol: attributes.text("request.protocol"),
        path: pseudo(":path"),
        headers,
        body: if end_of_stream { Body::Complete(Bytes::new()) } else { Body::Absent },
        source: Peer {
            principal: attributes.text("connection.uri_san_peer_certificate"),
            ..attributes.peer("source.address", "source.port")
        },
        destination: Peer {
            principal: attributes.text("connection.uri_san_local_certificate"),
            ..attributes.peer("destination.address", "destination.port")
        },
        connection: Connection {
            mtls: attributes.truth("connection.mtls"),
            requested_server_name: attributes.text("connection.requested_server_name"),
            // No attribute has it.
            certificate: String::new(),
        },
        context: BTreeMap::new(),
        metadata: metadata(metadata_context),
    }
}

/// Pseudo-headers by name, and the others in order. A repeated pseudo-header (which Envoy refuses) is joined by
/// a comma, which no method, path or host survives.
pub(super) fn raw_headers(map: HeaderMap) -> (BTreeMap<String, String>, Headers) {
    let mut pseudo: BTreeMap<String, String> = BTreeMap::new();
    let mut headers = Vec::with_capacity(map.headers.len());
    for header in map.headers {
        let value = if header.raw_value.is_empty() { header.value.into_bytes() } else { header.raw_value };
        if header.key.starts_with(':') {
            let text = String::from_utf8_lossy(&value).into_owned();
            pseudo
                .entry(header.key)
                .and_modify(|joined| {
                    joined.push(',');
                    joined.push_str(&text);
                })
                .or_insert(text);
        } else {
            let mut name = header.key;
            name.make_ascii_lowercase();
            headers.push(Header { name, value });
        }
    }
    (pseudo, headers.into())
}

/// Headers as Envoy shows them without `encode_raw_headers`: repeated ones joined.
fn joined_headers(map: HashMap<String, String>) -> Headers {
    map.into_iter()
        .filter(|(name, _)| !name.starts_with(':'))
        .map(|(mut name, value)| {
            name.make_ascii_lowercase();
            Header { name, value: value.into_bytes() }
        })
        .collect()
}

fn peer(peer: attribute_context::Peer) -> Peer {
    let (address, port) = peer.address.map(socket).unwrap_or_default();
    Peer { address, port, principal: peer.principal }
}

fn socket(address: Address) -> (String, u16) {
    match address.address {
        Some(AddressKind::SocketAddress(socket)) => {
            let port = match socket.port_specifier {
                Some(PortSpecifier::PortValue(port)) => u16::try_from(port).unwrap_or(0),
                _ => 0,
            };
            (socket.address, port)
        }
        _ => Default::default(),
    }
}

fn timestamp(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::new(time.seconds, time.nanos).unwrap_or_default()
}

fn metadata(metadata: Option<Metadata>) -> serde_json::Map<String, serde_json::Value> {
    let namespaces = metadata.map(|metadata| metadata.filter_metadata).unwrap_or_default();
    namespaces.into_iter().map(|(name, fields)| (name, object(fields))).collect()
}

fn object(fields: Struct) -> serde_json::Value {
    serde_json::Value::Object(fields.fields.into_iter().map(|(key, value)| (key, json(value))).collect())
}

fn json(value: Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(truth)) => truth.into(),
        Some(Kind::StructValue(fields)) => object(fields),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
    }
}

/// The attributes that the filter's `request_attributes` asks Envoy to send.
struct Attributes(HashMap<String, Value>);

impl Attributes {
    fn text(&self, name: &str) -> String {
        match self.0.get(name).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StringValue(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn truth(&self, name: &str) -> bool {
        matches!(self.0.get(name).and_then(|value| value.kind.as_ref()), Some(Kind::BoolValue(true)))
    }

    /// `source.address` is `10.0.0.1:4711`; the port stands in `source.port` too.
    fn peer(&self, address: &str, port: &str) -> Peer {
        let socket: Option<std::net::SocketAddr> = self.text(address).parse().ok();
        let number = match self.0.get(port).and_then(|value| value.kind.as_ref()) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a port"
            )]
            Some(Kind::NumberValue(number)) if (0.0..=65_535.0).contains(number) => Some(*number as u16),
            _ => None,
        };
        Peer {
            address: socket.map(|socket| socket.ip().to_string()).unwrap_or_default(),
            port: number.or(socket.map(|socket| socket.port())).unwrap_or(0),
            principal: String::new(),
        }
    }

    /// RFC 3339 text, as Envoy writes timestamps; else the start of time.
    fn time(&self, name: &str) -> jiff::Timestamp {
        self.text(name).parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(headers: &[(&str, &str)], body: &str, protocol: &str, buffered: bool) -> Body {
        let headers: Headers = headers.iter().map(|(name, value)| Header::new(name, *value)).collect();
        let mut http = HttpRequest {
            raw_body: body.as_bytes().to_vec(),
            protocol: protocol.into(),
            ..HttpRequest::default()
        };
        check_body(&mut http, &headers, buffered)
    }

    #[test]
    fn only_a_body_that_is_all_there_is_complete() {
        let complete = |text: &'static str| Body::Complete(Bytes::from_static(text.as_bytes()));
        let length = |n: &'static str| vec![("content-length", n)];
        for (headers, body, protocol, buffered, expected) in [
            (length("2"), "{}", "HTTP/1.1", true, complete("{}")),
            (length("3"), "{}", "HTTP/1.1", true, Body::Partial),
            (length("2"), "", "HTTP/1.1", false, Body::Absent),
            (length("x"), "", "HTTP/1.1", true, Body::Absent),
            (length("0"), "", "HTTP/1.1", false, complete("")),
            (vec![], "", "HTTP/1.1", false, Body::Absent),
            (vec![], "", "HTTP/1.1", true, complete("")),
            (vec![("transfer-encoding", "chunked")], "", "HTTP/1.1", false, Body::Absent),
            (vec![("transfer-encoding", "chunked")], "{}", "HTTP/1.1", true, complete("{}")),
            (vec![], "", "HTTP/2", false, Body::Absent),
            (vec![], "", "HTTP/2", true, complete("")),
            (vec![(PARTIAL_BODY, "true")], "{}", "HTTP/2", true, Body::Partial),
            (vec![(PARTIAL_BODY, "false"), (PARTIAL_BODY, "true")], "{}", "HTTP/1.1", true, Body::Partial),
            // A client can claim completeness, but not make an unread body look read.
            (vec![(PARTIAL_BODY, "false")], "", "HTTP/2", false, Body::Absent),
        ] {
            assert_eq!(
                body_of(&headers, body, protocol, buffered),
                expected,
                "{headers:?} {body} {protocol} {buffered}"
            );
        }
    }

    #[test]
    fn only_a_marked_route_shows_whole_bodies_and_policies_do_not_see_the_mark() {
        let check = |mark: Option<&str>, bodies: BodySource| {
            let http = HttpRequest { protocol: "HTTP/1.1".into(), ..HttpRequest::default() };
            let mark = mark.map(|mark| (BodySource::MARK.0.to_owned(), mark.to_owned()));
            let other = ("team".to_owned(), "shop".to_owned());
            let attributes = AttributeContext {
                request: Some(attribute_context::Request { http: Some(http), ..Default::default() }),
                context_extensions: mark.into_iter().chain([other]).collect(),
                ..AttributeContext::default()
            };
            let parts = super::check(CheckRequest { attributes: Some(attributes) }, bodies);
            assert_eq!(parts.context.into_keys().collect::<Vec<_>>(), ["team"]);
            parts.body
        };
        let empty = Body::Complete(Bytes::new());
        assert_eq!(check(Some("buffered"), BodySource::ByRoute), empty);
        for other in [None, Some("Buffered"), Some("")] {
            assert_eq!(check(other, BodySource::ByRoute), Body::Absent, "{other:?}");
        }
        assert_eq!(check(None, BodySource::Buffered), empty);
        assert_eq!(check(Some("buffered"), BodySource::NotBuffered), Body::Absent);
    }

    #[test]
    fn a_body_that_may_be_another_is_not_complete() {
        let text = |body: &str| {
            let mut http =
                HttpRequest { body: body.into(), protocol: "HTTP/1.1".into(), ..HttpRequest::default() };
            check_body(&mut http, &Headers::default(), true)
        };
        assert_eq!(text("{}"), Body::Complete(Bytes::from_static(b"{}")));
        assert_eq!(text("{\"a\":\"!\"}"), Body::Partial);
        assert_eq!(
            body_of(&[], "{\"a\":\"!\"}", "HTTP/1.1", true),
            Body::Complete(Bytes::from_static(b"{\"a\":\"!\"}"))
        );
    }

    #[test]
    fn a_repeated_pseudo_header_survives_no_check() {
        use envoy_types::pb::envoy::config::core::v3::HeaderValue;
        let header = |key: &str, value: &str| HeaderValue {
            key: key.into(),
            raw_value: value.into(),
            ..HeaderValue::default()
        };
        let headers = vec![
            header(":method", "GET"),
            header(":authority", "a"),
            header(":authority", "b"),
            header(":path", "/"),
        ];
        let parts = request_headers(Some(HeaderMap { headers }), true, HashMap::new(), None);
        let request = crate::request::Request::assemble(parts, &crate::request::Limits::default());
        assert_eq!(request.defect, Some(crate::reason::Reason::HostInvalid));
    }
}
