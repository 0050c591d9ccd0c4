//! Who gets a connection, and what the others are told.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::{Authority, Files, Issued, uris};
use crate::clock::Clock;
use crate::metrics::{Metrics, TlsListener};
use crate::tls::{Config, Limits, Listener, Prepared, Served};

const ENVOY: &str = "spiffe://example.com/ns/edge/sa/envoy";
const LISTED: &[&str] = &["spiffe://example.com/ns/edge/sa/*"];

/// A listener that greets every connection, until it is dropped.
pub struct Greeter {
    pub metrics: Metrics,
    pub address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Greeter {
    pub async fn start(config: &Config, limits: Limits, clock: &Clock) -> Self {
        let (prepared, _) = Prepared::read(config, TlsListener::Grpc, clock).unwrap();
        let metrics = Metrics::new().unwrap();
        let served = Served::new(prepared, metrics.clone(), clock.clone());
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listener = Listener::new(tcp, served, limits);
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    stream.write_all(b"hello").await.unwrap();
                    // Until the client goes.
                    stream.read_u8().await.ok();
                });
            }
        });
        Self { metrics, address, task }
    }

    /// Waits until `/metrics` has this line.
    pub async fn counted(&self, line: &str) {
        for _ in 0..1_000 {
            if self.metrics.render().contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {line} in\n{}", self.metrics.render());
    }

    async fn refused_as(&self, reason: &str) {
        let name = "portcullis_tls_handshake_failures_total";
        self.counted(&format!("{name}{{listener=\"grpc\",reason=\"{reason}\"}} 1")).await;
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that trusts `authority`, with a certificate or without.
fn client(authority: &Authority, own: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from(own.der.clone())];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// What the server showed and said, or what this client was told.
pub async fn greeted(greeter: &Greeter, config: ClientConfig) -> Result<Vec<u8>, String> {
    let stream = TcpStream::connect(greeter.address).await.unwrap();
    let name = ServerName::from(greeter.address.ip());
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let mut stream = connected.map_err(|error| error.to_string())?;
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.map_err(|error| error.to_string())?;
    assert_eq!(&said, b"hello");
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

pub async fn greeted_by(greeter: &Greeter, authority: &Authority) -> Result<Vec<u8>, String> {
    greeted(greeter, client(authority, None)).await
}

fn with_uris(authority: &Authority, names: &[&str]) -> Issued {
    authority.issue(|params| params.subject_alt_names = uris(names))
}

#[tokio::test]
async fn only_listed_clients_of_the_authority_get_a_connection() {
    let files = Files::valid();
    let ours = &files.authority;
    let start = async || Greeter::start(&files.config(LISTED), Limits::default(), &Clock::system()).await;
    let greeter = start().await;
    let good = with_uris(ours, &[ENVOY]);
    assert!(greeted(&greeter, client(ours, Some(&good))).await.is_ok());
    let expired = ours.issue(|params| {
        params.subject_alt_names = uris(&[ENVOY]);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    for (own, reason) in [
        (None, "no_certificate"),
        // The same name, by whoever made up an authority of the same name.
        (Some(with_uris(&Authority::new("ca"), &[ENVOY])), "unknown_issuer"),
        (Some(expired), "expired"),
        (Some(with_uris(ours, &[])), "spiffe_missing"),
        (Some(with_uris(ours, &[ENVOY, "spiffe://example.com/ns/edge/sa/other"])), "spiffe_several"),
        (Some(with_uris(ours, &["spiffe://example.com/ns/shop/sa/envoy"])), "spiffe_not_listed"),
        (Some(with_uris(ours, &["spiffe://Example.com/ns/edge/sa/envoy"])), "spiffe_invalid"),
        (Some(with_uris(ours, &["spiffe://example.com/ns/edge/sa/envoy\0"])), "spiffe_invalid"),
    ] {
        let greeter = start().await;
        let told = greeted(&greeter, client(ours, own.as_ref())).await.unwrap_err();
        greeter.refused_as(reason).await;
        // An alert, or the reset that overtook it: nothing of the list, or of why.
        assert!(!told.contains("spiffe") && !told.contains("example"), "{reason}: {told}");
    }
}

#[tokio::test]
async fn without_a_list_any_certificate_of_the_authority_will_do_and_without_an_authority_none_is_asked_for()
{
    let files = Files::valid();
    let ours = &files.authority;
    let demanding = Config { client_spiffe: Vec::new(), ..files.config(LISTED) };
    let greeter = Greeter::start(&demanding, Limits::default(), &Clock::system()).await;
    assert!(greeted(&greeter, client(ours, Some(&with_uris(ours, &[])))).await.is_ok());
    assert!(greeted(&greeter, client(ours, None)).await.is_err());
    let greeter = Greeter::start(&files.config(&[]), Limits::default(), &Clock::system()).await;
    assert!(greeted(&greeter, client(ours, None)).await.is_ok());
}

#[tokio::test]
async fn a_session_is_never_resumed_so_every_connection_shows_its_certificate() {
    let files = Files::valid();
    let ours = &files.authority;
    let greeter = Greeter::start(&files.config(LISTED), Limits::default(), &Clock::system()).await;
    let config = client(ours, Some(&with_uris(ours, &[ENVOY])));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut older = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates({
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(ours.pem().as_bytes()).unwrap()).unwrap();
                roots
            })
            .with_client_cert_resolver(config.client_auth_cert_resolver.clone());
        older.resumption = rustls::client::Resumption::in_memory_sessions(8);
        let config = Arc::new(older);
        for _ in 0..3 {
            let stream = TcpStream::connect(greeter.address).await.unwrap();
            let name = ServerName::from(greeter.address.ip());
            let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
            stream.read_exact(&mut [0; 5]).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full), "{version:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_tls_or_speaks_nothing_of_ours_is_told_apart() {
    let files = Files::valid();
    let greeter = Greeter::start(&files.config(&[]), Limits::default(), &Clock::system()).await;
    let mut plain = TcpStream::connect(greeter.address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    greeter.refused_as("not_tls").await;
    drop(TcpStream::connect(greeter.address).await.unwrap());
    greeter.refused_as("hung_up").await;
    let mut http1 = client(&files.authority, None);
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(greeted(&greeter, http1).await.is_err(), "gRPC is HTTP/2");
    greeter.refused_as("incompatible").await;
    assert!(greeted(&greeter, client(&Authority::new("another"), None)).await.is_err());
    greeter.refused_as("refused_by_client").await;
}

#[tokio::test]
async fn strangers_who_say_nothing_hold_up_nobody_and_are_cut_off() {
    let files = Files::valid();
    let limits = Limits { time: Duration::from_millis(300), under_way: 2, of_address: 2 };
    let greeter = Greeter::start(&files.config(&[]), limits, &Clock::system()).await;
    let silent = [
        TcpStream::connect(greeter.address).await.unwrap(),
        TcpStream::connect(greeter.address).await.unwrap(),
        TcpStream::connect(greeter.address).await.unwrap(),
    ];
    greeter.refused_as("too_many").await;
    greeter.counted("reason=\"timeout\"} 2").await;
    assert!(greeted(&greeter, client(&files.authority, None)).await.is_ok());
    for mut stream in silent {
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "closed");
    }
}

#[tokio::test]
async fn an_address_takes_no_more_than_its_share_of_the_handshakes() {
    let files = Files::valid();
    let limits = Limits { time: Duration::from_secs(3_600), under_way: 4, of_address: 2 };
    let greeter = Greeter::start(&files.config(&[]), limits, &Clock::system()).await;
    let from = async |address: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        socket.connect(greeter.address).await.unwrap()
    };
    let mut silent = [from("127.0.0.2").await, from("127.0.0.2").await, from("127.0.0.2").await];
    greeter.refused_as("too_many_of_address").await;
    assert!(matches!(silent[2].read(&mut [0]).await, Ok(0) | Err(_)), "closed");
    for _ in 0..3 {
        assert!(greeted(&greeter, client(&files.authority, None)).await.is_ok(), "of another address");
    }
    // Who hangs up makes room.
    silent[0].shutdown().await.unwrap();
    greeter.refused_as("hung_up").await;
    let mut next = from("127.0.0.2").await;
    let waits = tokio::time::timeout(Duration::from_millis(200), next.read(&mut [0])).await;
    assert!(waits.is_err(), "{waits:?}");
}

#[tokio::test]
async fn a_silent_stranger_does_not_delay_the_others() {
    let files = Files::valid();
    let limits = Limits { time: Duration::from_secs(3_600), under_way: 2, of_address: 2 };
    let greeter = Greeter::start(&files.config(&[]), limits, &Clock::system()).await;
    let _silent = TcpStream::connect(greeter.address).await.unwrap();
    for _ in 0..3 {
        assert!(greeted(&greeter, client(&files.authority, None)).await.is_ok());
    }
}
