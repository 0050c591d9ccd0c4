use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;

use super::*;
use crate::authn::config::Remote;

/// An issuer at `/tenant`, whose configuration `edit` changes.
async fn issuer_at(edit: impl FnOnce(&mut Value, SocketAddr)) -> (Signer, Arc<Authenticator>) {
    let signer = Signer::new(KeyType::P256);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let name = format!("http://{address}/tenant");
    let mut configuration = json!({"issuer": name, "jwks_uri": format!("http://{address}/keys")});
    edit(&mut configuration, address);
    let (configuration, keys) = (configuration.to_string(), key_set(&[signer.jwk("k")]));
    let router = Router::new()
        .route("/tenant/.well-known/openid-configuration", get(|| async { configuration }))
        .route("/keys", get(|| async { keys }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let remote = Remote {
        url: format!("{name}/.well-known/openid-configuration"),
        discovery_of: Some(name.clone()),
        allow_insecure: false,
        ca_file: None,
    };
    let config = IssuerConfig { issuer: name, ..issuer(JwksSource::Remote(remote)) };
    (signer, Authenticator::build(Config::of_issuers(vec![config]), clock()).await.unwrap())
}

#[tokio::test]
async fn the_issuer_names_its_keys() {
    let mut name = String::new();
    let (signer, authenticator) =
        issuer_at(|configuration, _| configuration["issuer"].as_str().unwrap().clone_into(&mut name)).await;
    let mut claims = good_claims();
    claims["iss"] = json!(name);
    assert!(authenticator.verify(&signer.simple_token(&claims), metrics()).await.is_ok());
}

#[tokio::test]
async fn a_configuration_that_lies_brings_no_keys() {
    for (what, change) in [
        ("another issuer", json!({"issuer": "https://evil.example.com"})),
        ("no issuer", json!({"issuer": null})),
        ("no keys", json!({"jwks_uri": null})),
        ("keys that anybody could replace", json!({"jwks_uri": "http://evil.example.com/keys"})),
        ("keys in a file", json!({"jwks_uri": "file:///etc/passwd"})),
        ("a list", json!({"jwks_uri": ["http://127.0.0.1/keys"]})),
    ] {
        let (_, authenticator) = issuer_at(|configuration, _| {
            let change = change.as_object().unwrap().clone();
            configuration.as_object_mut().unwrap().extend(change);
        })
        .await;
        assert!(!authenticator.ready(), "{what}");
    }
}
