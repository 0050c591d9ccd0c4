use super::*;
use crate::request::{Header, Limits, Parts};

fn request(path: &str, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter().map(|(name, value)| Header::new(name, *value)).collect();
    let parts =
        Parts { method: "GET".into(), host: "a".into(), path: path.into(), headers, ..Parts::default() };
    Request::assemble(parts, &Limits::default())
}

async fn reading(places: &[Place]) -> (Signer, Arc<Authenticator>) {
    let places = places.to_vec();
    simple(|config| {
        config.issuers[0].places = places;
        config.issuers[0].forward_token = false;
    })
    .await
}

fn everywhere() -> [Place; 4] {
    [
        Place::Authorization,
        Place::Header("x-id-token".into()),
        Place::Cookie("id".into()),
        Place::Query("access_token".into()),
    ]
}

#[tokio::test]
async fn a_token_is_found_where_it_may_stand_and_taken_out_of_there() {
    let (signer, authenticator) = reading(&everywhere()).await;
    let token = signer.simple_token(&good_claims());
    let bearer = format!("Bearer {token}");
    let cookies = format!("a=1; id={token};b=2");
    let alone = format!("id={token}");
    let parameter = |path: &str| Removal::Query(path.into());
    for (path, headers, removal) in [
        ("/", vec![("authorization", &*bearer)], Removal::Header("authorization".into())),
        ("/", vec![("X-Id-Token", &*token)], Removal::Header("x-id-token".into())),
        ("/", vec![("cookie", &*cookies)], Removal::Cookie("a=1; b=2".into())),
        ("/", vec![("cookie", "c=3"), ("cookie", &*alone)], Removal::Cookie("c=3".into())),
        ("/", vec![("cookie", &*alone)], Removal::Cookie(String::new())),
        (&format!("/a?access_token={token}"), vec![], parameter("/a")),
        (&format!("/a?x=1&access_token={token}&y=%20"), vec![], parameter("/a?x=1&y=%20")),
        // An escaped name is the same name; what is removed is what was written.
        (&format!("/a?%61ccess_token={token}&x"), vec![], parameter("/a?x")),
    ] {
        let found = authenticator.authenticate(&request(path, &headers), None, metrics()).await;
        let Authentication::Authenticated(proven) = found else { panic!("{path} {headers:?}: {found:?}") };
        assert_eq!((&*proven.identity.subject, proven.removal), ("ana", Some(removal)), "{path} {headers:?}");
    }
}

#[tokio::test]
async fn a_place_that_is_not_configured_holds_no_token() {
    let (signer, authenticator) = reading(&[Place::Cookie("id".into())]).await;
    let token = signer.simple_token(&good_claims());
    let bearer = format!("Bearer {token}");
    for (path, headers) in [
        ("/", vec![("authorization", &*bearer)]),
        ("/", vec![("x-id-token", &*token)]),
        ("/", vec![("cookie", &*format!("ID={token}"))]),
        ("/", vec![("cookie", &*format!("xid={token}"))]),
        (&format!("/?access_token={token}"), vec![]),
    ] {
        let found = authenticator.authenticate(&request(path, &headers), None, metrics()).await;
        assert_eq!(found, Authentication::Anonymous, "{path} {headers:?}");
    }
}

/// RFC 6750 section 2. Whoever reads the other one would see another caller.
#[tokio::test]
async fn two_tokens_are_refused_wherever_they_stand() {
    let (signer, authenticator) = reading(&everywhere()).await;
    let token = signer.simple_token(&good_claims());
    let bearer = format!("Bearer {token}");
    let cookie = format!("id={token}");
    let twice = format!("{cookie}; id=x");
    for (path, headers, reason) in [
        ("/", vec![("authorization", &*bearer), ("x-id-token", &*token)], Reason::TokenRepeated),
        ("/", vec![("authorization", &*bearer), ("cookie", &*cookie)], Reason::TokenRepeated),
        ("/?access_token=x", vec![("authorization", &*bearer)], Reason::TokenRepeated),
        ("/?access_token=", vec![("authorization", &*bearer)], Reason::TokenRepeated),
        ("/", vec![("cookie", &*twice)], Reason::TokenRepeated),
        ("/", vec![("cookie", &*cookie), ("cookie", "id=")], Reason::TokenRepeated),
        (&format!("/?access_token={token}&access%5Ftoken=x"), vec![], Reason::TokenRepeated),
        ("/", vec![("x-id-token", &*token), ("x-id-token", &*token)], Reason::HeaderDuplicate),
    ] {
        let found = authenticator.authenticate(&request(path, &headers), None, metrics()).await;
        assert_eq!(found, Authentication::Refused(reason), "{path} {headers:?}");
    }
}

#[tokio::test]
async fn an_empty_or_broken_token_is_a_token_that_was_presented() {
    let (_, authenticator) = reading(&everywhere()).await;
    for (path, headers) in [
        ("/", vec![("x-id-token", "")]),
        ("/", vec![("cookie", "id=")]),
        ("/?access_token", vec![]),
        ("/?access_token=%ff", vec![]),
        ("/", vec![("authorization", "Digest x")]),
    ] {
        let found = authenticator.authenticate(&request(path, &headers), None, metrics()).await;
        assert_eq!(found, Authentication::Refused(Reason::TokenMalformed), "{path} {headers:?}");
    }
}

#[tokio::test]
async fn an_issuer_accepts_its_tokens_in_its_own_places_only() {
    let (signer, authenticator) = simple(|config| {
        let mut other = config.issuers[0].clone();
        other.issuer = "https://other.example.com".into();
        other.places = vec![Place::Cookie("id".into())];
        config.issuers.push(other);
    })
    .await;
    let token = signer.simple_token(&good_claims());
    let (cookie, bearer) = (format!("id={token}"), format!("Bearer {token}"));
    let in_cookie = request("/", &[("cookie", &cookie)]);
    let found = authenticator.authenticate(&in_cookie, None, metrics()).await;
    assert_eq!(found, Authentication::Refused(Reason::TokenIssuer));
    let in_header = request("/", &[("authorization", &bearer)]);
    let found = authenticator.authenticate(&in_header, None, metrics()).await;
    assert!(matches!(found, Authentication::Authenticated(Proven { removal: None, .. })));
}

/// Whoever reads cookies byte by byte would find the token that we did not.
#[tokio::test]
async fn a_cookie_header_that_is_no_text_is_refused_where_tokens_are_cookies() {
    let (signer, authenticator) = reading(&[Place::Cookie("id".into())]).await;
    let token = signer.simple_token(&good_claims());
    for (first, second) in [(format!("id={token}; z="), "\u{0}"), (String::new(), "z=")] {
        let mut request = request("/", &[]);
        request.headers.push(Header::new("cookie", [first.as_bytes(), second.as_bytes(), b"\xff"].concat()));
        request.headers.push(Header::new("cookie", format!("id={token}")));
        let found = authenticator.authenticate(&request, None, metrics()).await;
        assert_eq!(found, Authentication::Refused(Reason::TokenMalformed));
    }
}

#[tokio::test]
async fn the_way_back_from_a_login_has_no_token_in_it() {
    let (_, authenticator) = simple(|config| {
        config.issuers[0].places = everywhere().to_vec();
        let url = "https://login.example.com/".to_owned();
        let login = crate::challenge::Login { url, return_parameter: Some("rd".into()) };
        config.challenge.login = Some(login);
    })
    .await;
    let request = request("/a?x=1&%61ccess_token=secret&y=2", &[("accept", "text/html")]);
    let login = authenticator.login(&request).unwrap();
    assert!(login.ends_with("%2Fa%3Fx%3D1%26y%3D2"), "{login}");
}
