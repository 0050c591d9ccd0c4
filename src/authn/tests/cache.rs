use super::*;

fn hits(metrics: &Metrics) -> u64 {
    let text = metrics.render();
    let line = text.lines().find(|line| line.starts_with("portcullis_cache_hits_total{cache=\"token\"}"));
    line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_token_is_judged_once() {
    let (signer, authenticator) = simple(|_| ()).await;
    let counted = Metrics::new().unwrap();
    let good = signer.simple_token(&good_claims());
    let mut claims = good_claims();
    claims["aud"] = json!("elsewhere");
    let refused = signer.simple_token(&claims);
    let forged = Signer::new(KeyType::P256).simple_token(&good_claims());
    for expected in [0, 0, 3] {
        assert_eq!(hits(&counted), expected);
        assert_eq!(authenticator.verify(&good, &counted).await.unwrap().subject, "ana");
        assert_eq!(authenticator.verify(&refused, &counted).await, Err(Reason::TokenAudience));
        assert_eq!(authenticator.verify(&forged, &counted).await, Err(Reason::TokenSignature));
    }
}

#[tokio::test]
async fn any_changed_byte_is_another_token() {
    let (signer, authenticator) = simple(|_| ()).await;
    let good = signer.simple_token(&good_claims());
    assert!(authenticator.verify(&good, metrics()).await.is_ok());
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(authenticator.verify(&changed, metrics()).await.is_err(), "byte {at}");
    }
}

/// What time alone changes is asked again.
#[tokio::test]
async fn a_token_that_is_not_yet_valid_becomes_valid() {
    let (signer, authenticator, clock) = simple_with_clock().await;
    let mut claims = good_claims();
    claims["nbf"] = json!(NOW + 60);
    let token = signer.simple_token(&claims);
    assert_eq!(authenticator.verify(&token, metrics()).await, Err(Reason::TokenNotYetValid));
    clock.advance(Duration::from_secs(60));
    assert!(authenticator.verify(&token, metrics()).await.is_ok());
}

#[tokio::test]
async fn one_token_by_two_peers_is_two_identities() {
    let (signer, authenticator) = simple(with_certificates).await;
    let bearer = format!("Bearer {}", signer.simple_token(&good_claims()));
    for _ in 0..2 {
        for peer in ["spiffe://a/web", "spiffe://a/job", ""] {
            let call = super::credentials::call(&[&bearer], peer);
            let Authentication::Authenticated(proven) =
                authenticator.authenticate(&call, None, metrics()).await
            else {
                panic!("the token was not accepted")
            };
            assert_eq!(proven.identity.spiffe, peer);
        }
    }
}

#[tokio::test]
async fn garbage_evicts_no_good_token() {
    let (signer, authenticator) = simple(|config| config.cache_bytes = 8 << 10).await;
    let counted = Metrics::new().unwrap();
    let good = signer.simple_token(&good_claims());
    assert!(authenticator.verify(&good, &counted).await.is_ok());
    let (head, _) = good.rsplit_once('.').unwrap();
    for n in 0..5_000_u32 {
        let forged = format!("{head}.{}", base64([n.to_be_bytes(); 16].concat()));
        assert_eq!(authenticator.verify(&forged, &counted).await, Err(Reason::TokenSignature));
    }
    authenticator.jwt.tokens.settle();
    let before = hits(&counted);
    assert!(authenticator.verify(&good, &counted).await.is_ok());
    assert_eq!(hits(&counted), before + 1);
}

#[tokio::test]
async fn without_a_cache_every_token_is_judged() {
    let (signer, authenticator) = simple(|config| config.cache_bytes = 0).await;
    let counted = Metrics::new().unwrap();
    let good = signer.simple_token(&good_claims());
    for _ in 0..3 {
        assert!(authenticator.verify(&good, &counted).await.is_ok());
    }
    assert_eq!(hits(&counted), 0);
}
