use super::*;

const TYPES: [KeyType; 4] = [KeyType::Rsa, KeyType::P256, KeyType::P384, KeyType::Ed25519];

#[tokio::test]
async fn every_algorithm_works_with_its_key_type_only() {
    let signers = TYPES.map(Signer::new);
    let keys: Vec<_> = TYPES.iter().zip(&signers).map(|(t, s)| s.jwk(&format!("{t:?}"))).collect();
    let authenticator = over_file(&key_set(&keys), |_| ()).await.unwrap();
    for algorithm in Algorithm::ALL {
        for (key_type, signer) in TYPES.iter().zip(&signers) {
            let header = json!({"alg": algorithm.as_str(), "kid": format!("{key_type:?}")}).to_string();
            let token = signer.token(algorithm, &header, &good_claims().to_string());
            let verified = authenticator.verify(&token, metrics()).await;
            let label = format!("{} with {key_type:?}", algorithm.as_str());
            if algorithm.key_type() == *key_type {
                assert_eq!(verified.unwrap().subject, "ana", "{label}");
                let (signed, signature) = token.rsplit_once('.').unwrap();
                let mut forged = URL_SAFE_NO_PAD.decode(signature).unwrap();
                forged[7] ^= 1;
                let forged = format!("{signed}.{}", base64(forged));
                assert_eq!(
                    authenticator.verify(&forged, metrics()).await,
                    Err(Reason::TokenSignature),
                    "{label}"
                );
            } else {
                assert_eq!(verified, Err(Reason::TokenAlgorithm), "{label}");
            }
        }
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_configured_or_not_the_keys_own_is_refused() {
    let signer = Signer::new(KeyType::Rsa);
    let mut jwk = signer.jwk("k");
    jwk["alg"] = "PS256".into();
    let token = |algorithm: Algorithm| {
        let header = json!({"alg": algorithm.as_str(), "kid": "k"}).to_string();
        signer.token(algorithm, &header, &good_claims().to_string())
    };
    let bound = over_file(&key_set(&[jwk]), |_| ()).await.unwrap();
    assert!(bound.verify(&token(Algorithm::Ps256), metrics()).await.is_ok());
    assert_eq!(bound.verify(&token(Algorithm::Rs256), metrics()).await, Err(Reason::TokenAlgorithm));
    let narrow = |config: &mut Config| config.issuers[0].algorithms = vec![Algorithm::Rs256];
    let narrow = over_file(&key_set(&[signer.jwk("k")]), narrow).await.unwrap();
    assert!(narrow.verify(&token(Algorithm::Rs256), metrics()).await.is_ok());
    assert_eq!(narrow.verify(&token(Algorithm::Ps256), metrics()).await, Err(Reason::TokenAlgorithm));
}

#[tokio::test]
async fn public_keys_are_no_secrets() {
    let signer = Signer::new(KeyType::Rsa);
    let authenticator = over_file(&key_set(&[signer.jwk("k")]), |_| ()).await.unwrap();
    let Signer::Rsa(pair) = &signer else { unreachable!() };
    let der = pair.public_key().as_ref().to_vec();
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&der)
    );
    for secret in [der, pem.into_bytes(), signer.jwk("k").to_string().into_bytes()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        for alg in ["HS256", "RS256", "none"] {
            let header = json!({"alg": alg, "kid": "k"}).to_string();
            let signed = format!("{}.{}", base64(header), base64(good_claims().to_string()));
            let token = format!("{signed}.{}", base64(aws_lc_rs::hmac::sign(&key, signed.as_bytes())));
            let expected = if alg == "RS256" { Reason::TokenSignature } else { Reason::TokenAlgorithm };
            assert_eq!(authenticator.verify(&token, metrics()).await, Err(expected), "{alg}");
        }
    }
}

#[tokio::test]
async fn keys_are_chosen_by_id_or_by_being_the_only_one() {
    let (one, two, rsa) = (Signer::new(KeyType::P256), Signer::new(KeyType::P256), Signer::new(KeyType::Rsa));
    let token = |header: Value| one.token(Algorithm::Es256, &header.to_string(), &good_claims().to_string());
    let without_kid = token(json!({"alg": "ES256"}));
    let only = over_file(&key_set(&[one.jwk("k"), rsa.jwk("r")]), |_| ()).await.unwrap();
    assert!(only.verify(&without_kid, metrics()).await.is_ok());
    let both = over_file(&key_set(&[one.jwk("k"), two.jwk("l")]), |_| ()).await.unwrap();
    assert_eq!(both.verify(&without_kid, metrics()).await, Err(Reason::TokenKeyUnknown));
    assert!(both.verify(&token(json!({"alg": "ES256", "kid": "k"})), metrics()).await.is_ok());
    assert_eq!(
        both.verify(&token(json!({"alg": "ES256", "kid": "l"})), metrics()).await,
        Err(Reason::TokenSignature)
    );
    let same = over_file(&key_set(&[one.jwk("k"), two.jwk("k")]), |_| ()).await.unwrap();
    assert_eq!(
        same.verify(&token(json!({"alg": "ES256", "kid": "k"})), metrics()).await,
        Err(Reason::TokenKeyUnknown)
    );
    for kid in ["", "K", "k\0", "../../etc/passwd", "k' OR '1'='1", "k/../k"] {
        let refused = only.verify(&token(json!({"alg": "ES256", "kid": kid})), metrics()).await;
        assert_eq!(refused, Err(Reason::TokenKeyUnknown), "{kid:?}");
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_ignored() {
    let attacker = Signer::new(KeyType::P256);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let (_, authenticator) = simple(|_| ()).await;
    for kid in [json!({"kid": "k"}), json!({})] {
        let mut header =
            json!({"alg": "ES256", "jku": url, "x5u": url, "jwk": attacker.jwk("k"), "x5c": ["AA=="]});
        header.as_object_mut().unwrap().extend(kid.as_object().unwrap().clone());
        let token = attacker.token(Algorithm::Es256, &header.to_string(), &good_claims().to_string());
        assert_eq!(authenticator.verify(&token, metrics()).await, Err(Reason::TokenSignature));
    }
    let connection = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(connection.is_err(), "a token caused a connection");
}

#[tokio::test]
async fn key_files_with_unusable_keys_stop_the_start_and_name_each() {
    let good = Signer::new(KeyType::P256).jwk("k");
    let edited = |field: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[field] = value;
        jwk
    };
    let mut rsa = Signer::new(KeyType::Rsa).jwk("r");
    rsa["e"] = "AQ".into();
    let bad = [
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "symmetric"),
        (json!({"kty": "RSA", "n": base64([255; 128]), "e": "AQAB"}), "shorter than 2048 bits"),
        (rsa, "exponent"),
        (edited("alg", "ES384".into()), "does not fit"),
        (edited("alg", "HS256".into()), "not a supported"),
        (edited("d", "AAAA".into()), "private key"),
        (edited("crv", "P-384".into()), "length"),
        (edited("x", base64([1; 32]).into()), "not on its curve"),
        (edited("kid", 7.into()), "`kid`"),
        (edited("kty", "EC2".into()), "`kty`"),
        (json!("key"), "not an object"),
    ];
    let keys: Vec<_> = bad.iter().map(|(key, _)| key.clone()).collect();
    let findings = over_file(&key_set(&keys), |_| ()).await.unwrap_err();
    assert_eq!(findings.len(), bad.len());
    for (finding, (_, expected)) in findings.iter().zip(&bad) {
        assert!(finding.message.contains(expected), "{finding} lacks {expected}");
    }
    for text in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(over_file(text, |_| ()).await.unwrap_err().len(), 1, "{text}");
    }
    let encryption = edited("use", "enc".into());
    assert!(over_file(&key_set(std::slice::from_ref(&encryption)), |_| ()).await.is_err());
    assert!(over_file(&key_set(&[encryption, good.clone()]), |_| ()).await.is_ok());
    assert!(over_file(&key_set(&vec![good; 101]), |_| ()).await.is_err());
    let missing = |config: &mut Config| config.issuers[0].jwks = JwksSource::File("/nonexistent".into());
    assert!(over_file("", missing).await.is_err());
}
