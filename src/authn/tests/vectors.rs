//! The examples of the RFCs themselves.

use super::*;

/// RFC 7515, appendix A.2.1 and A.3.1, and RFC 8037, appendix A.2.
const KEYS: &str = r#"{"keys":[
    {"kty":"RSA","kid":"rsa","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
    {"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"OKP","kid":"ed","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// `{"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}`, as RFC 7519 section 3.1 has it.
const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// Joe's tokens, while they last.
async fn joe() -> Arc<Authenticator> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, KEYS).unwrap();
    let config = IssuerConfig { issuer: "joe".into(), ..issuer(JwksSource::File(path)) };
    let then = Clock::fixed(Timestamp::from_second(1_300_819_000).unwrap());
    Authenticator::build(Config::of_issuers(vec![config]), then).await.unwrap()
}

/// The examples have no audience, so those whose signature holds are refused for that, and not before.
#[tokio::test]
async fn the_signed_examples_of_rfc_7515_hold_and_any_other_signature_does_not() {
    let joe = joe().await;
    for (what, header, signature) in [
        (
            "A.2, RS256",
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "A.3, ES256",
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let token = format!("{header}.{CLAIMS}.{signature}");
        assert_eq!(joe.verify(&token, metrics()).await, Err(Reason::TokenAudience), "{what}");
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in [0, raw.len() / 2, raw.len() - 1] {
            let mut forged = raw.clone();
            forged[at] ^= 1;
            let token = format!("{header}.{CLAIMS}.{}", base64(forged));
            assert_eq!(joe.verify(&token, metrics()).await, Err(Reason::TokenSignature), "{what} {at}");
        }
        for forged in
            [&raw[1..], &raw[..raw.len() - 1], &[raw.as_slice(), &[0]].concat(), &vec![0; raw.len()]]
        {
            let token = format!("{header}.{CLAIMS}.{}", base64(forged));
            assert_eq!(joe.verify(&token, metrics()).await, Err(Reason::TokenSignature), "{what}");
        }
    }
}

#[tokio::test]
async fn what_the_examples_do_otherwise_is_refused() {
    let joe = joe().await;
    let mac = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    for (what, token, reason) in [
        // RFC 7515 A.1 and RFC 7519 section 3.1.
        ("HS256", format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.{mac}"), Reason::TokenAlgorithm),
        // RFC 7515 A.5 and RFC 7519 section 6.1: without a signature.
        ("none", format!("eyJhbGciOiJub25lIn0.{CLAIMS}."), Reason::TokenMalformed),
        ("none, signed", format!("eyJhbGciOiJub25lIn0.{CLAIMS}.{mac}"), Reason::TokenAlgorithm),
        // RFC 7515 A.4: the payload is no set of claims, and ES512 is not among the algorithms.
        ("ES512", format!("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{mac}"), Reason::TokenAlgorithm),
        // RFC 8037 A.4: signed, and no set of claims.
        (
            "EdDSA",
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".to_owned(),
            Reason::TokenMalformed,
        ),
        // RFC 7515 appendix E: an extension that must be understood, and is not.
        ("crit", format!("eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.{CLAIMS}.{mac}"), Reason::TokenMalformed),
        // RFC 7516 A.1: encrypted, in five parts.
        ("encrypted", "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA".to_owned(), Reason::TokenAlgorithm),
        // RFC 7515 A.6 and A.7: the JSON serializations.
        ("JSON", format!("{{\"payload\":\"{CLAIMS}\",\"protected\":\"eyJhbGciOiJFUzI1NiJ9\",\"signature\":\"{mac}\"}}"), Reason::TokenMalformed),
    ] {
        assert_eq!(joe.verify(&token, metrics()).await, Err(reason), "{what}");
    }
}

/// Every way to write a segment that RFC 7515 section 2 does not allow: with padding, in the other alphabet, with line
/// breaks, with bits left over, or not at all.
#[tokio::test]
async fn segments_are_base64url_as_rfc_7515_has_it() {
    let (signer, authenticator) = simple(|_| ()).await;
    let mut claims = good_claims();
    // Bytes whose encoding has characters that the two alphabets write differently.
    claims["x"] = json!("\u{3ff}\u{3ff}???>>>");
    let token = signer.simple_token(&claims);
    assert!(authenticator.verify(&token, metrics()).await.is_ok());
    let segments: Vec<&str> = token.split('.').collect();
    for at in 0..3 {
        let segment = segments[at];
        let last = segment.chars().last().unwrap();
        let mut ways = vec![
            format!("{segment}="),
            format!("{segment}=="),
            format!("{segment}\n"),
            format!(" {segment}"),
            format!("{}\r\n{}", &segment[..4], &segment[4..]),
            String::new(),
        ];
        if segment.contains(['-', '_']) {
            ways.push(segment.replace('-', "+").replace('_', "/"));
        }
        if !segment.len().is_multiple_of(4) {
            // The last character has bits that no byte takes.
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let next = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
            ways.push(format!("{}{next}", &segment[..segment.len() - 1]));
        }
        for way in ways {
            let mut changed = segments.clone();
            changed[at] = &way;
            let changed = changed.join(".");
            assert_eq!(authenticator.verify(&changed, metrics()).await, Err(Reason::TokenMalformed), "{way}");
        }
    }
}
