use super::*;
use crate::authn::config::Forwarded;
use crate::identity::Method;
use crate::request::{Header, Limits, Parts, Peer};

const GATEWAY: &str = "spiffe://example.com/ns/edge/sa/gateway";
const PROXY: &str = "spiffe://example.com/ns/edge/sa/proxy";
const WEB: &str = "spiffe://example.com/ns/shop/sa/web";

fn call(principal: &str, xfcc: &[&str]) -> Request {
    let headers = xfcc.iter().map(|value| Header::new("X-Forwarded-Client-Cert", *value)).collect();
    let source = Peer { principal: principal.into(), ..Peer::default() };
    let parts = Parts {
        method: "GET".into(),
        host: "a".into(),
        path: "/".into(),
        headers,
        source,
        ..Parts::default()
    };
    Request::assemble(parts, &Limits::default())
}

fn forwarded(hop: usize) -> PeerConfig {
    let trusted_proxies = vec![GATEWAY.to_owned(), PROXY.to_owned()];
    PeerConfig {
        trust_domains: vec!["example.com".into()],
        forwarded: Some(Forwarded { trusted_proxies, hop }),
    }
}

fn found(config: &PeerConfig, call: &Request) -> Result<Option<String>, Reason> {
    super::super::peer::authenticate(config, call)
}

fn element(uri: &str) -> String {
    format!("By={GATEWAY};Hash=46;Subject=\"CN=x,O=y\";URI={uri}")
}

#[test]
fn a_trusted_proxy_speaks_for_its_client() {
    assert_eq!(found(&forwarded(1), &call(GATEWAY, &[&element(WEB)])), Ok(Some(WEB.to_owned())));
    // What the client sent stands left of what the proxy saw.
    let forged = format!("{},{}", element("spiffe://example.com/admin"), element(WEB));
    assert_eq!(found(&forwarded(1), &call(GATEWAY, &[&forged])), Ok(Some(WEB.to_owned())));
}

#[test]
fn nobody_else_does() {
    let admin = element("spiffe://example.com/admin");
    for (principal, expected) in [("", None), (WEB, Some(WEB.to_owned()))] {
        assert_eq!(found(&forwarded(1), &call(principal, &[&admin])), Ok(expected), "{principal}");
    }
    let off = PeerConfig::default();
    assert_eq!(found(&off, &call(GATEWAY, &[&admin])), Ok(Some(GATEWAY.to_owned())));
    let longer = format!("{GATEWAY}-2");
    assert_eq!(found(&forwarded(1), &call(&longer, &[&admin])), Ok(Some(longer.clone())));
}

#[test]
fn a_proxy_without_a_client_certificate_lends_nobody_its_own() {
    assert_eq!(found(&forwarded(1), &call(GATEWAY, &[])), Ok(None));
    assert_eq!(found(&forwarded(2), &call(GATEWAY, &[&element(PROXY)])), Ok(None));
}

#[test]
fn the_configured_hop_counts_from_the_right_and_all_before_it_are_trusted() {
    let way = format!("{},{},{}", element("spiffe://example.com/admin"), element(WEB), element(PROXY));
    assert_eq!(found(&forwarded(2), &call(GATEWAY, &[&way])), Ok(Some(WEB.to_owned())));
    let strange = format!("{},{}", element(WEB), element("spiffe://example.com/ns/shop/sa/job"));
    assert_eq!(found(&forwarded(2), &call(GATEWAY, &[&strange])), Err(Reason::PeerUntrusted));
    assert_eq!(found(&forwarded(3), &call(GATEWAY, &[&strange])), Err(Reason::PeerUntrusted));
}

#[test]
fn who_vouches_is_everybody_between_the_peer_and_the_caller() {
    let vouching = |hop, principal: &str, xfcc: &[&str]| {
        super::super::peer::proxies(&forwarded(hop), &call(principal, xfcc)).unwrap()
    };
    let way = [element("spiffe://example.com/admin"), element(WEB), element(PROXY)].join(",");
    assert_eq!(vouching(2, GATEWAY, &[&way]), [PROXY]);
    assert_eq!(vouching(3, GATEWAY, &[&way]), [PROXY, WEB]);
    // A caller without a certificate was brought by them too.
    assert_eq!(vouching(2, GATEWAY, &[&element(PROXY)]), [PROXY]);
    for nobody in [vouching(1, GATEWAY, &[&way]), vouching(2, WEB, &[&way]), vouching(2, GATEWAY, &[])] {
        assert!(nobody.is_empty(), "{nobody:?}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let one = forwarded(1);
    for (xfcc, reason) in [
        (vec!["URI=spiffe://example.com/a;URI=spiffe://example.com/b"], Reason::PeerAmbiguous),
        (vec!["DNS=a.example.com;DNS=b.example.com"], Reason::PeerAmbiguous),
        (vec!["Hash=46"], Reason::PeerInvalid),
        (vec!["URI="], Reason::PeerInvalid),
        (vec![""], Reason::PeerInvalid),
        (vec!["URI=spiffe://example.com/a\0"], Reason::PeerInvalid),
        (vec!["URI=\"spiffe://example.com/a,URI=b\""], Reason::PeerInvalid),
        (vec!["URI=SPIFFE://example.com/a"], Reason::PeerInvalid),
        (vec!["URI=spiffe://Example.com/a"], Reason::PeerInvalid),
        (vec!["URI=spiffe://example.com/../a"], Reason::PeerInvalid),
        (vec!["URI=spiffe://example.com:443/a"], Reason::PeerInvalid),
        (vec!["URI=spiffe://u@example.com/a"], Reason::PeerInvalid),
        (vec!["URI=spiffe://example.com/a?b"], Reason::PeerInvalid),
        (vec!["URI=spiffe://example.com/a/"], Reason::PeerInvalid),
        (vec!["URI=spiffe://exampleXcom/a"], Reason::PeerInvalid),
        (vec!["URI=spiffe://examplexcom/a"], Reason::PeerUntrusted),
        (vec!["URI=spiffe://sub.example.com/a"], Reason::PeerUntrusted),
        (vec!["URI=https://example.com/a"], Reason::PeerUntrusted),
        (vec!["DNS=spiffe://example.com/a"], Reason::PeerInvalid),
        (vec!["Subject=\"spiffe://example.com/a\""], Reason::PeerInvalid),
        (vec!["DNS=example.com"], Reason::PeerUntrusted),
        (vec!["URI=spiffe://example.com/a", "URI=spiffe://example.com/a"], Reason::HeaderDuplicate),
    ] {
        assert_eq!(found(&one, &call(GATEWAY, &xfcc)), Err(reason), "{xfcc:?}");
    }
    let not_text = Header::new("x-forwarded-client-cert", b"URI=\xff".to_vec());
    let mut call = call(GATEWAY, &[]);
    call.headers.push(not_text);
    assert_eq!(found(&one, &call), Err(Reason::PeerInvalid));
}

#[test]
fn direct_callers_are_of_the_trust_domains() {
    let config = PeerConfig { trust_domains: vec!["example.com".into()], forwarded: None };
    assert_eq!(found(&config, &call(WEB, &[])), Ok(Some(WEB.to_owned())));
    for stranger in ["spiffe://evil.com/web", "spiffe://example.com.evil.com/web", "CN=web", "example.com"] {
        assert_eq!(found(&config, &call(stranger, &[])), Err(Reason::PeerUntrusted), "{stranger}");
    }
}

#[tokio::test]
async fn the_forwarded_name_is_the_identity() {
    let (signer, authenticator) = simple(|config| {
        config.order = vec![Scheme::Jwt, Scheme::Mtls];
        config.mtls = Some(forwarded(1));
    })
    .await;
    let mut call = call(GATEWAY, &[&element(WEB)]);
    let Authentication::Authenticated(proven) = authenticator.authenticate(&call, None, metrics()).await
    else {
        panic!("the certificate was not accepted")
    };
    assert_eq!((proven.identity.method, &*proven.identity.spiffe), (Method::Mtls, WEB));
    let bearer = format!("Bearer {}", signer.simple_token(&good_claims()));
    call.headers.push(Header::new("authorization", bearer));
    let Authentication::Authenticated(proven) = authenticator.authenticate(&call, None, metrics()).await
    else {
        panic!("the token was not accepted")
    };
    assert_eq!((proven.identity.method, &*proven.identity.spiffe), (Method::Jwt, WEB));
}

/// As Envoy shows a certificate with these URI names.
fn shown(uris: &[&str]) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names =
        uris.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap())).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    pem.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_certificate_that_is_shown_has_no_other_name() {
    let any = PeerConfig::default();
    for (certificate, expected) in [
        (String::new(), Ok(Some(WEB.to_owned()))),
        (shown(&[WEB]), Ok(Some(WEB.to_owned()))),
        // Another kind of name reads like a SPIFFE id.
        (shown(&[]), Err(Reason::PeerInvalid)),
        (shown(&[WEB, GATEWAY]), Err(Reason::PeerAmbiguous)),
        (shown(&[WEB, WEB]), Err(Reason::PeerAmbiguous)),
        (shown(&[GATEWAY]), Err(Reason::PeerInvalid)),
        ("%2D%2D".to_owned(), Err(Reason::PeerInvalid)),
        ("%zz".to_owned(), Err(Reason::PeerInvalid)),
    ] {
        let mut call = call(WEB, &[]);
        call.connection.certificate = certificate;
        assert_eq!(found(&any, &call), expected);
    }
}

#[test]
fn a_verified_certificate_whose_name_is_not_shown_is_nobody_in_particular_and_not_anonymous() {
    let mut call = call("", &[]);
    assert_eq!(found(&PeerConfig::default(), &call), Ok(None));
    call.connection.mtls = true;
    assert_eq!(found(&PeerConfig::default(), &call), Err(Reason::PeerInvalid));
}

#[tokio::test]
async fn what_others_than_trusted_proxies_say_of_certificates_reaches_no_upstream() {
    let (_, authenticator) = simple(|config| {
        config.order = vec![Scheme::Jwt, Scheme::Mtls];
        config.mtls = Some(forwarded(1));
    })
    .await;
    for (principal, expected) in
        [(WEB, &["x-forwarded-client-cert"][..]), ("", &["x-forwarded-client-cert"]), (GATEWAY, &[])]
    {
        assert_eq!(authenticator.withheld(&call(principal, &[&element(WEB)])), expected, "{principal}");
    }
}
