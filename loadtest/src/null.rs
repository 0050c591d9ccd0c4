//! The null server: the least that an authorization server can do. It decodes each call with the same libraries as
//! the real one and says yes. It knows no policy, no identity and no audit: what it costs is what gRPC costs.

use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::{Context, Result};
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{
    BodySendMode, HeaderSendMode,
};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyMutation, BodyResponse, CommonResponse, HeadersResponse, HttpBody, ProcessingRequest,
    ProcessingResponse, StreamedBodyResponse, TrailersResponse, body_mutation, processing_request as asked,
    processing_response as answered,
};
use envoy_types::pb::google::rpc;
use futures_util::{Stream, StreamExt};
use portcullis::envoy::connection::{CONNECTION_WINDOW, STREAM_WINDOW};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, Streaming};

/// How the null server's connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// As tonic does it by itself: a task for each call.
    Tonic,
    /// As Portcullis does it: a task for each connection.
    Portcullis,
}

/// Serves ext_authz and ext_proc on `address` until the process is ended; `echo`: with the bodies of responses.
pub async fn serve(address: SocketAddr, transport: Transport, echo: bool) -> Result<()> {
    if transport == Transport::Portcullis {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let service = AuthorizationServer::new(Yes { echo });
            tokio::spawn(portcullis::envoy::connection::serve(socket, service, std::future::pending()));
        }
    }
    let mut server = tonic::transport::Server::builder();
    if echo {
        // As Portcullis has it: bodies need more than tonic's default of 64 KiB under way.
        server = server
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
    }
    server
        .add_service(AuthorizationServer::new(Yes { echo }))
        .add_service(ExternalProcessorServer::new(Yes { echo }))
        .serve(address)
        .await
        .with_context(|| format!("cannot serve the null server on `{address}`"))
}

/// Answers every question with yes.
struct Yes {
    /// Whether ext_proc is shown the bodies of responses.
    echo: bool,
}

#[tonic::async_trait]
impl Authorization for Yes {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse {
            status: Some(rpc::Status::default()),
            dynamic_metadata: None,
            http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
        }))
    }
}

#[tonic::async_trait]
impl ExternalProcessor for Yes {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let echo = self.echo;
        Ok(Response::new(Box::pin(request.into_inner().map(move |message| match message? {
            ProcessingRequest { request: Some(asked::Request::ResponseBody(body)), .. } if echo => {
                Ok(back(body))
            }
            message => Ok(ProcessingResponse { mode_override: mode(&message, echo), ..proceed(&message)? }),
        }))))
    }
}

/// What the answer to the request's headers asks for.
fn mode(message: &ProcessingRequest, echo: bool) -> Option<ProcessingMode> {
    let begins = matches!(message.request, Some(asked::Request::RequestHeaders(_)));
    (echo && begins).then(|| ProcessingMode {
        response_header_mode: HeaderSendMode::Send.into(),
        response_body_mode: BodySendMode::FullDuplexStreamed.into(),
        response_trailer_mode: HeaderSendMode::Send.into(),
        ..ProcessingMode::default()
    })
}

/// A chunk, sent back as it came.
fn back(chunk: HttpBody) -> ProcessingResponse {
    let HttpBody { body, end_of_stream, .. } = chunk;
    let piece = StreamedBodyResponse { body, end_of_stream, ..StreamedBodyResponse::default() };
    let mutation = BodyMutation { mutation: Some(body_mutation::Mutation::StreamedResponse(piece)) };
    let common = CommonResponse { body_mutation: Some(mutation), ..CommonResponse::default() };
    let response = answered::Response::ResponseBody(BodyResponse { response: Some(common) });
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

/// `CONTINUE`, in the form that belongs to the message; `CONTINUE` is the default of a common response.
fn proceed(message: &ProcessingRequest) -> Result<ProcessingResponse, Status> {
    let headers = || HeadersResponse { response: Some(CommonResponse::default()) };
    let body = || BodyResponse { response: Some(CommonResponse::default()) };
    let response = match message.request {
        Some(asked::Request::RequestHeaders(_)) => answered::Response::RequestHeaders(headers()),
        Some(asked::Request::ResponseHeaders(_)) => answered::Response::ResponseHeaders(headers()),
        Some(asked::Request::RequestBody(_)) => answered::Response::RequestBody(body()),
        Some(asked::Request::ResponseBody(_)) => answered::Response::ResponseBody(body()),
        Some(asked::Request::RequestTrailers(_)) => {
            answered::Response::RequestTrailers(TrailersResponse::default())
        }
        Some(asked::Request::ResponseTrailers(_)) => {
            answered::Response::ResponseTrailers(TrailersResponse::default())
        }
        None => return Err(Status::invalid_argument("a message without a request")),
    };
    Ok(ProcessingResponse { response: Some(response), ..ProcessingResponse::default() })
}
