//! Calls that are made to slip past: odd framing, odd bytes, and changes of the rules at the worst moment.

use std::time::Duration;

use portcullis::policy;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - name: large
      when: '"staff" in identity.groups && request.body.amount > 500'
      hold: {approvers: {groups: [finance-oncall]}, wait: 5s}
    - {name: small, when: '"staff" in identity.groups && request.body.amount <= 500', allow: {}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: public}
spec:
  match: [{paths: ["/public/{**}"], methods: [GET]}]
  rules:
    - {name: all, allow: {}}
"#;

// === framing ===

/// Frames of HTTP/2, written by hand: no well-behaved client sends these.
pub struct Frames(Vec<u8>);

const HEADERS: u8 = 1;
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frames {
    pub fn new() -> Self {
        let mut frames = Self(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
        frames.push(4, 0, 0, &[]);
        frames
    }

    pub fn push(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.extend_from_slice(&length[1..]);
        self.0.extend_from_slice(&[kind, flags]);
        self.0.extend_from_slice(&stream.to_be_bytes());
        self.0.extend_from_slice(payload);
    }

    pub fn headers(&mut self, flags: u8, headers: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in headers {
            // A literal without indexing, with a new name.
            block.push(0);
            for text in [name, value] {
                integer(&mut block, text.len());
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.push(HEADERS, flags | END_HEADERS, 1, &block);
    }

    /// Sends all of it, and gives the other side time to do something wrong.
    pub async fn send(&self, world: &World) -> Vec<u8> {
        exchange(world, &self.0).await
    }
}

/// An integer of HPACK with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, mut number: usize) {
    if number < 127 {
        return block.push(u8::try_from(number).unwrap());
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    block.push(u8::try_from(number).unwrap());
}

/// Writes bytes to Envoy as they are, and reads until it is done or quiet.
pub async fn exchange(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(world.envoy.address()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(700), async {
        let count = socket.read(&mut buffer).await?;
        answer.extend_from_slice(&buffer[..count]);
        std::io::Result::Ok(count)
    })
    .await
    {}
    answer
}

async fn no_body_but_trailers(options: Options) {
    let world = World::start(options.policies(POLICIES)).await;
    let token = format!("Bearer {}", world.idp.token("ana", "portcullis").unwrap());
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "shop"),
        (":path", "/v1/refunds"),
        ("content-type", "application/json"),
        ("authorization", token.as_str()),
    ];
    let mut frames = Frames::new();
    frames.headers(0, &head);
    frames.headers(END_STREAM, &[("x-end", "1")]);
    let answer = frames.send(&world).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("{\"error\":\""), "{text}");
    assert_eq!(world.upstream.calls(), 0);
    // The same with an empty frame of data before the trailers.
    let mut frames = Frames::new();
    frames.headers(0, &head);
    frames.push(0, 0, 1, &[]);
    frames.headers(END_STREAM, &[("x-end", "1")]);
    frames.send(&world).await;
    assert_eq!(world.upstream.calls(), 0);
    let mut frames = Frames::new();
    frames.headers(0, &head);
    frames.push(0, 0, 1, br#"{"amount": 1}"#);
    frames.headers(END_STREAM, &[("x-end", "1")]);
    frames.send(&world).await;
    assert_eq!(world.upstream.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_in_place_of_a_body_pass_no_verdict_by_ext_proc() {
    no_body_but_trailers(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_in_place_of_a_body_pass_no_verdict_by_ext_authz() {
    no_body_but_trailers(Options::ext_authz()).await;
}

/// Bytes that break the message to the server must not become an allow where the operator told Envoy to fail open.
async fn odd_bytes(options: Options) {
    let options = options.policies(POLICIES).edit("failure_mode_allow: false", "failure_mode_allow: true");
    let world = World::start(options).await;
    for header in
        ["x-request-id", "x-forwarded-for", "x-forwarded-proto", "user-agent", "x-other", "traceparent"]
    {
        let mut call =
            format!("GET /v1/orders HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{header}: ").into_bytes();
        call.extend_from_slice(b"a\xff\xfe\r\n\r\n");
        let answer = exchange(&world, &call).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(world.upstream.calls(), 0, "{header}: {text}");
    }
    for call in [
        &b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: shop\r\n\r\n"[..],
        b"GET /v1/x HTTP/1.1\r\nhost: sh\xffop\r\n\r\n",
        b"G\xffT /v1/x HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"GET /v1/x HTTP/1.0\r\n\r\n",
        b"GET /v1/x HTTP/1.0\r\nhost: shop\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"CONNECT shop:443 HTTP/1.1\r\nhost: shop:443\r\n\r\n",
        b"HEAD /v1/x HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"GET http://shop/v1/x HTTP/1.1\r\nhost: other\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        b"POST /v1/refunds HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n0\r\nx: 1\r\n\r\n",
        b"POST /v1/refunds HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/refunds HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = exchange(&world, call).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(world.upstream.calls(), 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bytes_are_no_way_in_by_ext_proc() {
    odd_bytes(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bytes_are_no_way_in_by_ext_authz() {
    odd_bytes(Options::ext_authz()).await;
}

// === rules that change while a call is held ===

const MASKED: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: cards}
spec:
  match: [{paths: ["/v1/refunds"]}]
  rules:
    - {name: cards, mask: [{field: "**.card", with: redact}]}
    - {name: now, when: 'request.method == "POST"', allow: {}}
"#;

async fn reload(world: &World, policies: &str) {
    std::fs::write(world.folder.path().join("policies/test.yaml"), policies).unwrap();
    world.reload().await;
    let files = [policy::SourceFile { file: "test.yaml".into(), text: policies.into() }];
    let wanted = policy::compile(&files, &policy::Options { gateway: true }).set.unwrap();
    let snapshot = world.server.as_ref().unwrap().engine.snapshot();
    assert_eq!(snapshot.policies.revision(), wanted.revision());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_comes_while_a_call_is_held_leaks_nothing() {
    for rules in [format!("{POLICIES}---{MASKED}"), MASKED.to_owned()] {
        let world = World::start(Options::default().policies(POLICIES)).await;
        let answer = portcullis_sample::upstream::Answer::json(r#"{"card": "4111111111111111"}"#);
        world.upstream.answer("/v1/refunds", answer);
        let held = world.send(world.post_request("/v1/refunds", Some("ana"), r#"{"amount": 700}"#));
        let [id] = world.pending(1).await.try_into().unwrap();
        reload(&world, &rules).await;
        assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
        let got = held.await.unwrap();
        assert_eq!((got.status, got.error().as_str()), (403, "mask_unavailable"));
        assert!(!got.text().contains("4111111111111111"), "{}", got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_call_is_decided_like_any_other() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    assert_eq!(world.send(world.call(Method::HEAD, "/v1/orders", None)).await.unwrap().status, 401);
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_for_the_proxy_gets_nowhere() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let large = format!(r#"{{"amount": 1, "note": "{}"}}"#, "x".repeat(4 << 20));
    let got = world.post("/v1/refunds", Some("ana"), &large).await;
    assert_eq!(got.status, 413, "{}", got.text());
    assert_eq!(world.upstream.calls(), 0);
}

/// What a caller sends at length is not written down at length.
#[tokio::test(flavor = "multi_thread")]
async fn records_stay_short() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let long = "x".repeat(20_000);
    for call in [
        format!("GET /{long} HTTP/1.1\r\nhost: shop\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nhost: {long}\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nhost: shop\r\nx-request-id: {long}\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nhost: shop\r\ntraceparent: {long}\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {long}\r\n\r\n"),
    ] {
        exchange(&world, call.as_bytes()).await;
    }
    world.recorded(|record| record["reason"] == "path_too_long").await;
    world.recorded(|record| record["reason"] == "host_invalid").await;
    let longest = world.audit_text().lines().map(str::len).max().unwrap();
    assert!(longest < 10_000, "{longest}");
}

// === straight to the port that is meant for Envoy ===

mod direct {
    use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
    use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::BodySendMode;
    use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
    use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Message;
    use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response;
    use envoy_types::pb::envoy::service::ext_proc::v3::{
        HttpBody, HttpHeaders, HttpTrailers, ProcessingRequest, ProtocolConfiguration,
    };
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::{Code, Streaming};

    use super::*;

    type Answer = envoy_types::pb::envoy::service::ext_proc::v3::ProcessingResponse;

    struct Stream {
        send: mpsc::Sender<ProcessingRequest>,
        answers: Streaming<Answer>,
    }

    async fn open(world: &World) -> Stream {
        let address = world.server.as_ref().unwrap().addresses.grpc.unwrap();
        let mut client = ExternalProcessorClient::connect(format!("http://{address}")).await.unwrap();
        let (send, messages) = mpsc::channel(64);
        let answers = client.process(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Stream { send, answers }
    }

    impl Stream {
        async fn say(&mut self, message: Message) {
            let protocol_config = Some(ProtocolConfiguration {
                request_body_mode: BodySendMode::Buffered.into(),
                ..ProtocolConfiguration::default()
            });
            let message =
                ProcessingRequest { request: Some(message), protocol_config, ..ProcessingRequest::default() };
            self.send.send(message).await.ok();
        }

        async fn hear(&mut self) -> Result<Option<Answer>, tonic::Status> {
            tokio::time::timeout(Duration::from_secs(5), self.answers.message()).await.unwrap()
        }
    }

    fn headers(pairs: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
        let header = |(key, value): &(&str, &str)| HeaderValue {
            key: (*key).into(),
            raw_value: (*value).into(),
            ..HeaderValue::default()
        };
        let headers = Some(HeaderMap { headers: pairs.iter().map(header).collect() });
        HttpHeaders { headers, end_of_stream, ..HttpHeaders::default() }
    }

    fn refund(token: &str) -> Message {
        let pairs = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "shop"),
            (":path", "/v1/refunds"),
            ("authorization", token),
        ];
        Message::RequestHeaders(headers(&pairs, false))
    }

    fn body(text: &str, end_of_stream: bool) -> HttpBody {
        HttpBody { body: text.into(), end_of_stream, ..HttpBody::default() }
    }

    fn is_denial(answer: &Answer) -> bool {
        matches!(answer.response, Some(Response::ImmediateResponse(_)))
    }

    /// Whatever stands in the body's place, the call gets no further than its headers.
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_takes_the_place_of_a_body() {
        let world = World::start(Options::default().policies(POLICIES)).await;
        let token = format!("Bearer {}", world.idp.token("ana", "portcullis").unwrap());
        let ok = [(":status", "200"), ("content-type", "application/json")];
        for instead in [
            Message::RequestTrailers(HttpTrailers::default()),
            Message::ResponseHeaders(headers(&ok, false)),
            Message::ResponseHeaders(headers(&ok, true)),
        ] {
            let mut stream = open(&world).await;
            stream.say(refund(&token)).await;
            let mode = stream.hear().await.unwrap().unwrap().mode_override.unwrap();
            assert_eq!(mode.request_trailer_mode, 1, "trailers are asked for");
            stream.say(instead.clone()).await;
            assert!(is_denial(&stream.hear().await.unwrap().unwrap()), "{instead:?}");
            stream.say(Message::RequestBody(body(r#"{"amount": 1}"#, true))).await;
            assert_eq!(stream.hear().await.unwrap_err().code(), Code::FailedPrecondition, "{instead:?}");
        }
        world.recorded(|record| record["reason"] == "body_unavailable").await;
    }

    /// Messages in no order that Envoy knows are refused; streams that say nothing cost nobody anything.
    #[tokio::test(flavor = "multi_thread")]
    async fn silence_and_disorder() {
        let mut world = World::start(Options::default().policies(POLICIES)).await;
        let mut silent = Vec::new();
        for _ in 0..500 {
            silent.push(open(&world).await);
        }
        for first in [
            Message::RequestBody(body("{}", true)),
            Message::RequestTrailers(HttpTrailers::default()),
            Message::ResponseHeaders(headers(&[(":status", "200")], false)),
            Message::ResponseBody(body("{}", true)),
        ] {
            let mut stream = open(&world).await;
            stream.say(first.clone()).await;
            assert!(is_denial(&stream.hear().await.unwrap().unwrap()), "{first:?}");
            assert_eq!(stream.hear().await.unwrap_err().code(), Code::FailedPrecondition, "{first:?}");
        }
        let asked = portcullis::clock::instant();
        assert_eq!(world.get("/public/a", None).await.status, 404);
        assert!(asked.elapsed() < Duration::from_secs(1));
        let asked = portcullis::clock::instant();
        assert!(world.drain().await, "silent streams kept the server from stopping");
        assert!(asked.elapsed() < Duration::from_secs(10));
        for mut stream in silent {
            assert!(!matches!(stream.hear().await, Ok(None)), "ended as if all were well");
        }
    }
}

const CANCELLING: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  match: [{paths: ["/v1/{**}"]}]
  rules: [{name: all, allow: {}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: cancelling}
spec:
  match: [{paths: ["/v1/orders:cancel", '/v1/q"u<o>t|e^']}]
  rules: [{name: nobody, deny: {}}]
"#;

/// Backends decode what a segment may as well have plain: each spelling is the same path to the policies.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_denied_path_gets_past() {
    for options in [Options::ext_authz(), Options::default()] {
        let world = World::start(options.policies(CANCELLING)).await;
        let paths = [
            "orders:cancel",
            "orders%3Acancel",
            "orders%3acancel",
            "%6Frders%3Acancel",
            "q\"u<o>t|e^",
            "q%22u<o%3Et|e^",
        ];
        for path in paths {
            let call = format!(
                "POST /v1/{path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let answer = String::from_utf8_lossy(&exchange(&world, call.as_bytes()).await).into_owned();
            assert!(answer.contains("denied_by_rule"), "{path}: {answer}");
        }
        assert_eq!(world.upstream.calls(), 0);
        assert_eq!(world.post("/v1/orders:keep", None, "").await.status, 404, "the upstream's own answer");
    }
}
