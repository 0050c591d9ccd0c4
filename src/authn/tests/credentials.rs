use super::*;
use crate::identity::Method;
use crate::request::{Header, Headers, Limits, Parts, Peer};

pub fn call(authorization: &[&str], principal: &str) -> Request {
    let headers: Vec<_> = authorization.iter().map(|value| Header::new("Authorization", *value)).collect();
    let source = Peer { principal: principal.into(), ..Peer::default() };
    let parts = Parts {
        method: "GET".into(),
        host: "a".into(),
        path: "/".into(),
        headers: Headers::from(headers),
        source,
        ..Parts::default()
    };
    Request::assemble(parts, &Limits::default())
}

#[tokio::test]
async fn bearer_tokens() {
    let (signer, authenticator) = simple(|_| ()).await;
    let token = signer.simple_token(&good_claims());
    for value in [format!("Bearer {token}"), format!("bEARER  {token}")] {
        let answer = authenticator.authenticate(&call(&[&value], ""), None, metrics()).await;
        assert!(
            matches!(answer, Authentication::Authenticated(who) if who.identity.subject == "ana"),
            "{value}"
        );
    }
    for value in
        ["", " ", "Bearer", "Bearer ", "Basic YTpi", "Bearer\tx.y.z", &token, &format!("Bearer{token}")]
    {
        let answer = authenticator.authenticate(&call(&[value], ""), None, metrics()).await;
        assert_eq!(answer, Authentication::Refused(Reason::TokenMalformed), "{value}");
    }
    let good = format!("Bearer {token}");
    for values in [[&*good, &*good], [&*good, ""], ["", &*good]] {
        let answer = authenticator.authenticate(&call(&values, ""), None, metrics()).await;
        assert_eq!(answer, Authentication::Refused(Reason::HeaderDuplicate));
    }
    assert_eq!(authenticator.authenticate(&call(&[], ""), None, metrics()).await, Authentication::Anonymous);
}

#[tokio::test]
async fn peer_certificates_count_when_configured() {
    let (_, off) = simple(|_| ()).await;
    let (signer, on) = simple(with_certificates).await;
    let web = "spiffe://example.com/ns/shop/sa/web";
    assert_eq!(off.authenticate(&call(&[], web), None, metrics()).await, Authentication::Anonymous);
    for (principal, spiffe) in [(web, web), ("CN=web", "")] {
        let Authentication::Authenticated(identity) =
            on.authenticate(&call(&[], principal), None, metrics()).await
        else {
            panic!("{principal} was not accepted")
        };
        let identity = identity.identity;
        assert_eq!(identity.method, Method::Mtls);
        assert_eq!((&*identity.subject, &*identity.spiffe), (principal, spiffe));
    }
    let token = format!("Bearer {}", signer.simple_token(&good_claims()));
    let Authentication::Authenticated(both) = on.authenticate(&call(&[&token], web), None, metrics()).await
    else {
        panic!("the token was not accepted")
    };
    let both = both.identity;
    assert_eq!((both.method, &*both.subject, &*both.spiffe), (Method::Jwt, "ana", web));
    for unsound in [
        "SPIFFE://example.com/web",
        "spiffe://a//b",
        "spiffe://a\0b",
        "spiffe://a,spiffe://b",
        "CN=a b",
        "a\n",
        "a\u{85}",
        " ",
    ] {
        for tokens in [&[][..], &[&*token]] {
            let answer = on.authenticate(&call(tokens, unsound), None, metrics()).await;
            assert_eq!(answer, Authentication::Refused(Reason::PeerInvalid), "{unsound:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_does_not_fall_through_to_the_certificate() {
    let (_, authenticator) = simple(with_certificates).await;
    let answer =
        authenticator.authenticate(&call(&["Bearer x"], "spiffe://example.com/web"), None, metrics()).await;
    assert_eq!(answer, Authentication::Refused(Reason::TokenMalformed));
}
