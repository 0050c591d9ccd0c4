use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};

use super::*;
use crate::address;

async fn provider() -> IdentityProvider {
    IdentityProvider::start(address::ANY).await.unwrap()
}

async fn keys(idp: &IdentityProvider) -> JwkSet {
    reqwest::get(idp.jwks_url()).await.unwrap().json().await.unwrap()
}

/// The claims, as an independent implementation verifies them.
fn verify(keys: &JwkSet, token: &str) -> Result<Value, ErrorKind> {
    let header = decode_header(token).unwrap();
    let key = keys.find(&header.kid.unwrap()).ok_or(ErrorKind::InvalidKeyFormat)?;
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[AUDIENCE]);
    validation.leeway = 0;
    let verified = decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation);
    verified.map(|token| token.claims).map_err(|error| error.into_kind())
}

#[tokio::test]
async fn tokens_of_both_algorithms_verify_with_the_published_keys() {
    let idp = provider().await;
    let keys = keys(&idp).await;
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let token = idp.sign(algorithm, &idp.claims("bob", AUDIENCE).unwrap()).unwrap();
        let claims = verify(&keys, &token).unwrap();
        assert_eq!(claims["iss"], idp.issuer());
        assert_eq!(claims["groups"], json!(["finance-oncall", "staff"]));
        assert_eq!(claims["person"], "bob@example.com");
    }
}

#[tokio::test]
async fn a_token_can_be_fetched() {
    let idp = provider().await;
    let url = format!("{}/token?person=ana&ttl=60", idp.issuer());
    let token = reqwest::get(url).await.unwrap().text().await.unwrap();
    let claims = verify(&keys(&idp).await, &token).unwrap();
    assert_eq!(claims["sub"], "ana");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);

    let nobody = reqwest::get(format!("{}/token?person=eve", idp.issuer())).await.unwrap();
    assert_eq!(
        (nobody.status().as_u16(), nobody.text().await.unwrap().as_str()),
        (400, "nobody here is called `eve`\n")
    );
}

#[tokio::test]
async fn wrong_tokens_are_wrong() {
    let idp = provider().await;
    let keys = keys(&idp).await;
    assert_eq!(verify(&keys, &idp.expired_token("ana").unwrap()), Err(ErrorKind::ExpiredSignature));
    assert_eq!(verify(&keys, &idp.token("ana", ADMIN_AUDIENCE).unwrap()), Err(ErrorKind::InvalidAudience));
    let header = json!({"alg": "RS256", "kid": idp.key_id(Algorithm::Es256)});
    let confused = idp.sign_raw(Algorithm::Rs256, &header, b"{}").unwrap();
    assert!(verify(&keys, &confused).is_err());
}

#[tokio::test]
async fn rotation_keeps_or_forgets_the_old_keys() {
    let idp = provider().await;
    let old = idp.token("ana", AUDIENCE).unwrap();
    idp.rotate_keys(true).unwrap();
    let new = idp.token("ana", AUDIENCE).unwrap();
    let both = keys(&idp).await;
    assert!(verify(&both, &old).is_ok() && verify(&both, &new).is_ok());
    idp.rotate_keys(false).unwrap();
    let newest = keys(&idp).await;
    assert!(verify(&newest, &old).is_err() && verify(&newest, &new).is_err());
    assert_eq!(idp.jwks_fetches(), 2);
}

#[tokio::test]
async fn faults_come_and_go() {
    let idp = provider().await;
    idp.set_fault(Fault::Unavailable);
    assert_eq!(reqwest::get(idp.jwks_url()).await.unwrap().status(), 503);
    idp.set_fault(Fault::Garbage("<html>".to_owned()));
    assert_eq!(reqwest::get(idp.jwks_url()).await.unwrap().text().await.unwrap(), "<html>");
    idp.set_fault(Fault::None);
    assert_eq!(keys(&idp).await.keys.len(), 2);
}

#[tokio::test]
async fn the_public_key_is_also_to_be_had_as_pem() {
    let idp = provider().await;
    let pem = idp.public_pem(Algorithm::Rs256).unwrap();
    let key = DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[AUDIENCE]);
    assert!(decode::<Value>(&idp.token("ana", AUDIENCE).unwrap(), &key, &validation).is_ok());
}

#[tokio::test]
async fn a_browser_logs_in_by_a_button_and_its_code_is_good_once() {
    use base64::Engine as _;
    let idp = provider().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"verifier");
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(challenge);
    let ask = |redirect: &'static str, person: &'static str| {
        let query = format!(
            "client_id={CONSOLE}&redirect_uri={redirect}&state=s&nonce=n&code_challenge={challenge}&code_challenge_method=S256{person}"
        );
        client.get(format!("{}/authorize?{query}", idp.issuer())).send()
    };
    assert_eq!(ask("https://evil.example/", "").await.unwrap().status(), 400);
    let page = ask("http://127.0.0.1:1/back", "").await.unwrap().text().await.unwrap();
    assert!(page.contains("value=bob"), "{page}");
    for (verifier, status) in [("other", 400), ("verifier", 200)] {
        let back = ask("http://127.0.0.1:1/back", "&person=bob").await.unwrap();
        let back: reqwest::Url = back.headers()["location"].to_str().unwrap().parse().unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let redeem = || {
            let form = format!(
                "code={code}&code_verifier={verifier}&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fback"
            );
            let request = client.post(format!("{}/token", idp.issuer())).body(form);
            request.header("content-type", "application/x-www-form-urlencoded").send()
        };
        let answer = redeem().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(redeem().await.unwrap().status(), 400, "once");
    }
}
