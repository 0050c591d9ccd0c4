use std::net::SocketAddr;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse};
use envoy_types::pb::google::rpc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Request, Response, Status};

use super::*;
use crate::{null, process, traffic};

const SHORT: Window = Window { warm_up: Duration::from_millis(50), length: Duration::from_millis(200) };

async fn wait_for(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn measure_grpc(address: SocketAddr, messages: &[Vec<u8>], streams: usize) -> Result<Sample> {
    wait_for(address).await;
    let tally = Tally::new()?;
    let connections = (0..2).map(|_| grpc::drive(address, messages, streams, &tally));
    measure(SHORT, std::process::id(), &tally, connections).await
}

async fn measure_http(address: SocketAddr) -> Result<Sample> {
    let tally = Tally::new()?;
    let calls = [traffic::get("/p0001/orders", None)];
    measure(SHORT, std::process::id(), &tally, (0..2).map(|_| http::drive(address, &calls, &tally))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn drives_the_null_server() {
    let address = process::free_address().unwrap();
    tokio::spawn(null::serve(address, null::Transport::Tonic, false));
    let messages = [traffic::check("/a", None), traffic::check("/b", Some(&"t".repeat(8_000)))];
    for streams in [1, 32] {
        let sample = measure_grpc(address, &messages, streams).await.unwrap();
        assert!(sample.throughput > 100.0 && sample.cpu > 0.0, "{sample:?}");
        assert!(sample.p50 <= sample.p99 && sample.p99 <= sample.p999, "{sample:?}");
        // Little's law: calls under way are throughput times time.
        let mean_under_way = sample.throughput * sample.p50 / 1e6;
        assert!(mean_under_way < 4.0 * streams as f64, "{sample:?}");
    }
}

/// Refuses as a test wants it.
enum Refusal {
    Denied,
    Code,
    Error,
}

#[tonic::async_trait]
impl Authorization for Refusal {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let denied = HttpResponse::DeniedResponse(DeniedHttpResponse::default());
        let code = rpc::Status { code: 7, ..rpc::Status::default() };
        Ok(Response::new(match self {
            Self::Denied => CheckResponse { http_response: Some(denied), ..CheckResponse::default() },
            Self::Code => CheckResponse { status: Some(code), ..CheckResponse::default() },
            Self::Error => return Err(Status::unavailable("closed")),
        }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_check_is_no_figure() {
    for (refusal, expected) in [
        (Refusal::Denied, "a call was denied: code 0"),
        (Refusal::Code, "a call was denied: code 7"),
        (Refusal::Error, "a call ended with a gRPC error"),
    ] {
        let address = process::free_address().unwrap();
        let server = tonic::transport::Server::builder().add_service(AuthorizationServer::new(refusal));
        tokio::spawn(server.serve(address));
        let error = measure_grpc(address, &[traffic::check("/", None)], 4).await.unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}

/// An HTTP/1.1 server that gives one answer to every request, in two pieces.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut input = [0; 4_096];
                while socket.read(&mut input).await.is_ok_and(|read| read > 0) {
                    let (first, second) = answer.split_at(answer.len() - 3);
                    socket.write_all(first.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                    socket.write_all(second.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn drives_http() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    assert!(measure_http(address).await.unwrap().throughput > 100.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_http_call_is_no_figure() {
    let address = answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let error = measure_http(address).await.unwrap_err();
    assert!(format!("{error:#}").contains("a call was answered with 403"), "{error:#}");
}
