use super::*;
use crate::identity::Method;

/// What becomes of a token with one claim set, or removed.
async fn with(name: &str, value: Option<Value>) -> Result<Arc<Identity>, Reason> {
    let (signer, authenticator) = simple(|_| ()).await;
    let mut claims = good_claims();
    match value {
        Some(value) => claims[name] = value,
        None => drop(claims.as_object_mut().unwrap().remove(name)),
    }
    authenticator.verify(&signer.simple_token(&claims), metrics()).await
}

#[tokio::test]
async fn a_good_token_becomes_an_identity() {
    let (signer, authenticator) = simple(|_| ()).await;
    let identity = authenticator.verify(&signer.simple_token(&good_claims()), metrics()).await.unwrap();
    let expected = Identity {
        method: Method::Jwt,
        subject: "ana".into(),
        issuer: ISSUER.into(),
        groups: vec!["staff".into()],
        email: "ana@example.com".into(),
        scopes: vec![],
        tenant: String::new(),
        person: Some("p-17".into()),
        claims: good_claims().as_object().unwrap().clone(),
        spiffe: String::new(),
        issued: Some(Timestamp::from_second(NOW).unwrap()),
        expires: Some(Timestamp::from_second(NOW + 300).unwrap()),
        token_id: "t1".into(),
        session: String::new(),
    };
    assert_eq!(*identity, expected);
}

#[tokio::test]
async fn claims_of_the_wrong_type_are_never_taken_for_absent() {
    let wrong = [json!(null), json!(true), json!([1]), json!({}), json!([null]), json!({"a": 1})];
    for name in ["exp", "nbf", "iat", "sub", "aud", "iss", "jti", "email", "human", "groups"] {
        for value in &wrong {
            let refused = with(name, Some(value.clone())).await;
            assert_eq!(refused, Err(Reason::TokenClaim), "{name} = {value}");
        }
    }
    for name in ["exp", "nbf", "iat"] {
        for value in [json!("1800000300"), json!(""), json!(1e300), json!(u64::MAX), json!(-1), json!(3e11)] {
            assert_eq!(with(name, Some(value.clone())).await, Err(Reason::TokenClaim), "{name} = {value}");
        }
    }
    for (name, value) in
        [("sub", ""), ("sub", "a\nb"), ("sub", "a\0"), ("email", "a@b@c"), ("email", "a\r\n@b")]
    {
        assert_eq!(with(name, Some(value.into())).await, Err(Reason::TokenClaim), "{name} = {value:?}");
    }
}

#[tokio::test]
async fn some_claims_may_be_absent_and_some_not() {
    for (name, expected) in [
        ("exp", Err(Reason::TokenClaim)),
        ("sub", Err(Reason::TokenClaim)),
        ("aud", Err(Reason::TokenAudience)),
        ("iss", Err(Reason::TokenIssuer)),
        ("iat", Ok(())),
        ("jti", Ok(())),
        ("email", Ok(())),
        ("groups", Ok(())),
        ("human", Ok(())),
    ] {
        assert_eq!(with(name, None).await.map(drop), expected, "{name}");
    }
}

#[tokio::test]
async fn a_person_without_a_name_is_nobody() {
    for blank in ["", " ", "\u{a0}", "\t", "\u{200b}", "\u{3000}\u{2060}"] {
        let identity = with("human", Some(json!(blank))).await.unwrap();
        assert_eq!(identity.person, None, "{blank:?}");
    }
    assert_eq!(with("human", Some(json!(" p-17"))).await.unwrap().person.as_deref(), Some(" p-17"));
}

#[tokio::test]
async fn times_are_judged_with_the_leeway() {
    for (name, offset, expected) in [
        ("exp", -29.0, None),
        ("exp", -29.5, None),
        ("exp", -30.0, Some(Reason::TokenExpired)),
        ("exp", -3_000.0, Some(Reason::TokenExpired)),
        ("nbf", 30.0, None),
        ("nbf", 30.5, Some(Reason::TokenNotYetValid)),
        ("nbf", 31.0, Some(Reason::TokenNotYetValid)),
        ("iat", 30.0, None),
        ("iat", 31.0, Some(Reason::TokenNotYetValid)),
    ] {
        let judged = with(name, Some(json!(NOW as f64 + offset))).await;
        assert_eq!(judged.err(), expected, "{name} {offset:+}");
    }
}

#[tokio::test]
async fn no_leeway_is_longer_than_a_minute() {
    let (signer, authenticator) = simple(|c| c.issuers[0].leeway = Duration::from_secs(86_400)).await;
    let mut claims = good_claims();
    claims["exp"] = json!(NOW - 61);
    let token = signer.simple_token(&claims);
    assert_eq!(authenticator.verify(&token, metrics()).await, Err(Reason::TokenExpired));
}

#[tokio::test]
async fn audiences_and_issuers_match_exactly() {
    for (value, fits) in [
        (json!("api"), true),
        (json!(["x", "web"]), true),
        (json!("API"), false),
        (json!("api "), false),
        (json!("api,web"), false),
        (json!(""), false),
        (json!([]), false),
    ] {
        let expected = if fits { None } else { Some(Reason::TokenAudience) };
        assert_eq!(with("aud", Some(value.clone())).await.err(), expected, "{value}");
    }
    for other in ["", "https://idp.example.com/", "https://IDP.example.com", "https://idp.example.com\0"] {
        assert_eq!(with("iss", Some(other.into())).await, Err(Reason::TokenIssuer), "{other:?}");
    }
    let (signer, authenticator) = simple(|config| config.issuers[0].audiences.clear()).await;
    let refused = authenticator.verify(&signer.simple_token(&good_claims()), metrics()).await;
    assert_eq!(refused, Err(Reason::TokenAudience));
}

#[tokio::test]
async fn groups_come_from_names_or_paths() {
    for (path, extra, expected) in [
        ("realm_access.roles", json!({}), Ok(vec!["r"])),
        ("https://example.com/groups", json!({"https://example.com/groups": "a b,c"}), Ok(vec!["a b,c"])),
        ("realm_access.none", json!({}), Ok(vec![])),
        ("none.roles", json!({}), Ok(vec![])),
        ("realm_access.roles", json!({"realm_access": "admin"}), Err(Reason::TokenClaim)),
        ("realm_access", json!({}), Err(Reason::TokenClaim)),
    ] {
        let (signer, authenticator) = simple(|config| config.issuers[0].claims.groups = path.into()).await;
        let mut claims = good_claims();
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let groups = authenticator
            .verify(&signer.simple_token(&claims), metrics())
            .await
            .map(|identity| identity.groups.clone());
        assert_eq!(groups, expected.map(|g| g.into_iter().map(str::to_owned).collect()), "{path}");
    }
}

#[tokio::test]
async fn duplicate_claims_are_refused() {
    let (signer, authenticator) = simple(|_| ()).await;
    let claims = good_claims().to_string();
    let twice = claims.replacen('{', r#"{"sub":"root","#, 1);
    let token = signer.token(Algorithm::Es256, HEADER, &twice);
    assert_eq!(authenticator.verify(&token, metrics()).await, Err(Reason::TokenMalformed));
}

#[tokio::test]
async fn the_signature_is_judged_before_the_claims() {
    let (_, authenticator) = simple(|_| ()).await;
    let mut claims = good_claims();
    claims["exp"] = json!(1);
    let token = Signer::new(KeyType::P256).simple_token(&claims);
    assert_eq!(authenticator.verify(&token, metrics()).await, Err(Reason::TokenSignature));
}

#[tokio::test]
async fn identities_end_with_their_credential() {
    let (signer, authenticator, clock) = simple_with_clock().await;
    let token = signer.simple_token(&good_claims());
    for _ in 0..2 {
        assert!(authenticator.verify(&token, metrics()).await.is_ok());
        clock.advance(Duration::from_secs(164));
    }
    clock.advance(Duration::from_secs(1));
    assert!(authenticator.verify(&token, metrics()).await.is_ok());
    clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        assert_eq!(authenticator.verify(&token, metrics()).await, Err(Reason::TokenExpired));
    }
}

#[tokio::test]
async fn claims_have_the_names_that_are_configured() {
    let named = ClaimNames {
        subject: "oid".into(),
        scopes: "scp".into(),
        tenant: Some("org.id".into()),
        ..ClaimNames::default()
    };
    let (signer, authenticator) = simple(|config| config.issuers[0].claims = named).await;
    let mut claims = good_claims();
    claims["oid"] = json!("o-1");
    claims["scp"] = json!(["read", "write"]);
    claims["scope"] = json!(7);
    claims["org"] = json!({"id": "acme"});
    claims["sid"] = json!("s-9");
    let identity = authenticator.verify(&signer.simple_token(&claims), metrics()).await.unwrap();
    assert_eq!((&*identity.subject, &*identity.tenant, &*identity.session), ("o-1", "acme", "s-9"));
    assert_eq!(identity.scopes, ["read", "write"]);
    assert_eq!(identity.issued, Some(Timestamp::from_second(NOW).unwrap()));
    claims.as_object_mut().unwrap().remove("oid");
    assert_eq!(
        authenticator.verify(&signer.simple_token(&claims), metrics()).await,
        Err(Reason::TokenClaim),
        "another claim is no substitute"
    );
}

#[tokio::test]
async fn scopes_are_words_or_a_list() {
    for (value, expected) in [
        (json!("openid  profile "), &["openid", "profile"][..]),
        (json!(""), &[]),
        (json!(["a b", "c"]), &["a b", "c"]),
        (json!([]), &[]),
    ] {
        assert_eq!(with("scope", Some(value)).await.unwrap().scopes, expected);
    }
    for wrong in [json!(1), json!(null), json!({}), json!(["a", 1])] {
        assert_eq!(with("scope", Some(wrong)).await, Err(Reason::TokenClaim));
    }
    for (name, wrong) in [("sid", json!(1)), ("sid", json!(null)), ("jti", json!([]))] {
        assert_eq!(with(name, Some(wrong)).await, Err(Reason::TokenClaim), "{name}");
    }
}

#[tokio::test]
async fn tokens_that_are_bound_to_a_key_or_tell_of_events_are_no_bearer_tokens() {
    for (name, value) in [
        ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        ("cnf", json!(null)),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
    ] {
        assert_eq!(with(name, Some(value)).await, Err(Reason::TokenClaim), "{name}");
    }
}
