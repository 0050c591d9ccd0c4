//! A server that answers in the place of Portcullis.

use std::net::SocketAddr;
use std::sync::Arc;

use envoy_types::ext_authz::v3::CheckResponseExt as _;
use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

use super::tls::Tls;
use super::{CLEAN_EXT_AUTHZ, CLEAN_TLS, sample};
use crate::world::{Options, World};

/// Allows everything.
struct Impostor;

#[tonic::async_trait]
impl Authorization for Impostor {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse::with_status(Status::ok(""))))
    }
}

/// Starts one with this certificate and key, both PEM.
async fn impostor((certificate, key): (String, String)) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(AuthorizationServer::new(Impostor));
                let server = http2::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    address
}

/// What a path that no policy allows is answered with, when this one is asked.
async fn answered(name: &str, tls: &Tls, impostor: SocketAddr) -> u16 {
    let text = tls.in_place(&sample(name));
    let options = Options { envoy: Some(text), portcullis: Some(impostor), ..Options::default() };
    World::start(options).await.get("/internal/keys", None).await.status
}

/// A server with a certificate of its own making, and one with another workload's, let calls through that the policies deny,
/// where Envoy asked for no CA, or for no name. With both they were refused. Plain text to a listener with TLS was refused.
#[tokio::test(flavor = "multi_thread")]
async fn tls_to_portcullis() {
    let tls = Tls::for_hosts(&["shop"]);
    let own = rcgen::generate_simple_self_signed(vec!["portcullis.security".to_owned()]).unwrap();
    let own = impostor((own.cert.pem(), own.signing_key.serialize_pem())).await;
    let other = impostor(tls.server("reports.shop")).await;
    // 404 is the upstream's own answer.
    for (name, of_own, of_other) in
        [("tls-to-portcullis", 404, 404), ("tls-to-portcullis.name", 503, 404), (CLEAN_TLS, 503, 503)]
    {
        assert_eq!(answered(name, &tls, own).await, of_own, "{name}: a certificate of its own");
        assert_eq!(answered(name, &tls, other).await, of_other, "{name}: another workload's");
    }
    let (certificate, key) = tls.server("portcullis.security");
    std::fs::write(tls.file("portcullis.crt"), certificate).unwrap();
    std::fs::write(tls.file("portcullis.key"), key).unwrap();
    let listener = format!(
        "grpc: {{address: \"127.0.0.1:0\", tls: {{certificate: \"{}\", private_key: \"{}\"}}}}",
        tls.file("portcullis.crt"),
        tls.file("portcullis.key")
    );
    for (name, status) in [(CLEAN_TLS, 200), (CLEAN_EXT_AUTHZ, 503)] {
        let text = tls.in_place(&sample(name));
        let options = Options { envoy: Some(text), ..Options::default() }
            .edit_config("grpc: 127.0.0.1:0", listener.clone().leak());
        let world = World::start(options).await;
        assert_eq!(world.get("/public/hello", None).await.status, status, "{name}");
    }
}
