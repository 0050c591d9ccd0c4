//! TLS to the database, by a relay in front of it: the PostgreSQL of the tests has none.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_sample::postgres::Postgres as Server;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::clock::Clock;
use crate::store::testing::Place;
use crate::store::{DEFAULT_RETENTION, Store, UrlSource};

/// What asks for TLS before anything else: its length, 8, and a code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Speaks TLS as the host of this certificate, and hands on what is in it.
async fn relay(target: SocketAddr, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> SocketAddr {
    let key = certificate.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut request = [0; 8];
                near.read_exact(&mut request).await.unwrap();
                assert_eq!(request, SSL_REQUEST, "in the clear");
                near.write_all(b"S").await.unwrap();
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = TcpStream::connect(target).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn the_database_has_to_prove_who_it_is() {
    let Some(place) = Place::postgres() else { return };
    let Config::Postgres(plain) = &place.config else { panic!() };
    let UrlSource::Given(url) = &plain.url else { panic!() };
    let server = Server::shared().unwrap().address();
    let folder = tempfile::tempdir().unwrap();
    let [right, other] =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let authority = |name: &str, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let path = folder.path().join(name);
        std::fs::write(&path, certificate.cert.pem()).unwrap();
        Some(path)
    };
    let relay = relay(server, &right).await;
    let open = async |host: &str, port: u16, ca_file: Option<std::path::PathBuf>| {
        let to = format!("{host}:{port}");
        let url = UrlSource::Given(url.replace(&server.to_string(), &to));
        let config = Config::Postgres(config::Postgres { url, ca_file, ..plain.clone() });
        Store::connect(&config, DEFAULT_RETENTION, Clock::system()).await.map_err(|error| error.to_string())
    };
    let (right, other) = (authority("right.pem", &right), authority("other.pem", &other));
    open("localhost", relay.port(), right.clone()).await.unwrap().ping().await.unwrap();
    for (host, port, ca_file, why) in [
        ("localhost", relay.port(), other, "another authority"),
        ("127.0.0.1", relay.port(), right.clone(), "another name"),
        ("localhost", server.port(), right, "no TLS at all"),
    ] {
        let refused = open(host, port, ca_file).await.err();
        assert!(refused.as_ref().is_some_and(|said| said.contains("can't open")), "{why}: {refused:?}");
    }
}

#[test]
fn types_are_translated_and_nothing_else() {
    let sql = "CREATE TABLE t (id TEXT NOT NULL, content BLOB, at INTEGER, TEXTUAL BIGINT);";
    let expected =
        "CREATE TABLE t (id TEXT COLLATE \"C\" NOT NULL, content BYTEA, at BIGINT, TEXTUAL BIGINT);";
    assert_eq!(in_postgres(sql), expected);
}
