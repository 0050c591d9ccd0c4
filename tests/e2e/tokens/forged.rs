//! Signatures that are none, or that are by something else than a key of the issuer for that algorithm.

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use serde_json::{Value, json};

use super::issuer::{Issuer, base64, hmac_token};
use super::{Attack, both_refuse};

const ALGORITHM: &str = "token_algorithm_not_allowed";
const MALFORMED: &str = "token_malformed";
const SIGNATURE: &str = "token_signature_invalid";

/// A header and claims, with anything for a signature.
fn with_signature(header: &Value, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", base64(header.to_string()), base64(claims))
}

/// No algorithm, or one that does not exist.
fn nameless(claims: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for alg in
        ["none", "None", "NONE", "nOnE", "none ", "", "rs256", "RS1", "ES256K", "dir", "HS256", "RS256,none"]
    {
        for mut header in [json!({}), json!({"kid": "rsa"})] {
            header["alg"] = json!(alg);
            let token = with_signature(&header, claims, "AAAA");
            attacks.push(Attack::new(header.to_string(), token, ALGORITHM));
            let bare = with_signature(&header, claims, "");
            attacks.push(Attack::new(format!("{header} without a signature"), bare, MALFORMED));
        }
    }
    attacks
}

/// Headers that readers read differently, and signatures that are left out, cut, or of something else.
fn unsigned(issuer: &Issuer) -> Vec<Attack> {
    let claims = issuer.claims().to_string();
    let good = issuer.token(&claims);
    let mut attacks = nameless(&claims);
    for header in [
        json!({}),
        json!({"alg": null, "kid": "rsa"}),
        json!({"alg": ["RS256"], "kid": "rsa"}),
        json!({"alg": "RS256", "kid": "rsa", "crit": ["exp"], "exp": 1}),
        json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false}),
    ] {
        let token = issuer.sign("RS256", &header.to_string(), &claims);
        attacks.push(Attack::new(header.to_string(), token, MALFORMED));
    }
    for header in
        [r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#, r#"{"alg":"RS256","ALG":"none","kid":"rsa"}"#]
    {
        attacks.push(Attack::new(header, issuer.sign("RS256", header, &claims), MALFORMED));
    }
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for (what, token) in [
        ("the signature is missing", signed.to_owned()),
        ("the signature is empty", format!("{signed}.")),
        ("a fourth part", format!("{good}.AAAA")),
        ("padding", format!("{good}==")),
    ] {
        attacks.push(Attack::new(what, token, MALFORMED));
    }
    let mut other = issuer.claims();
    other["sub"] = json!("root");
    for (what, token) in [
        ("half a signature", format!("{signed}.{}", &signature[..signature.len() / 8 * 4])),
        (
            "a signature of other claims",
            format!("{}.{}.{signature}", good.split('.').next().unwrap(), base64(other.to_string())),
        ),
    ] {
        attacks.push(Attack::new(what, token, SIGNATURE));
    }
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_signature_is_refused() {
    let issuer = Issuer::start().await;
    both_refuse(&issuer, &unsigned(&issuer)).await;
}

/// What is public is no secret, in whatever form, and a published secret is no key.
fn confused(issuer: &Issuer) -> Vec<Attack> {
    let claims = issuer.claims().to_string();
    let mut attacks = Vec::new();
    for (kid, form, secret) in issuer.public_bytes() {
        for header in [json!({"alg": "HS256", "kid": kid}), json!({"alg": "HS256"})] {
            let token = hmac_token(HMAC_SHA256, &secret, &header.to_string(), &claims);
            attacks.push(Attack::new(format!("{header} with {kid} as {form}"), token, ALGORITHM));
        }
        let (alg, reason) = match kid {
            "rsa" => ("RS256", SIGNATURE),
            "ec" => ("ES256", SIGNATURE),
            "ed" => ("EdDSA", SIGNATURE),
            // It is no key at all.
            _ => ("RS256", "token_key_unknown"),
        };
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let token = hmac_token(HMAC_SHA256, &secret, &header, &claims);
        attacks.push(Attack::new(format!("{alg} that is an HMAC with {kid} as {form}"), token, reason));
    }
    for (name, algorithm) in [("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
        for (kid, form, secret) in issuer.public_bytes().into_iter().filter(|(_, form, _)| *form == "PEM") {
            let header = json!({"alg": name, "kid": kid}).to_string();
            let token = hmac_token(algorithm, &secret, &header, &claims);
            attacks.push(Attack::new(format!("{name} with {kid} as {form}"), token, ALGORITHM));
        }
    }
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_signs_nothing() {
    let issuer = Issuer::start().await;
    both_refuse(&issuer, &confused(&issuer)).await;
}

/// The issuer's own keys, each for another algorithm than it has, or in another encoding.
fn crossed(issuer: &Issuer) -> Vec<Attack> {
    let claims = issuer.claims().to_string();
    let mut attacks = Vec::new();
    let own = [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")];
    for (says, _) in own {
        for (signs, kid) in own {
            let header = json!({"alg": says, "kid": kid}).to_string();
            let fits = own.contains(&(says, kid));
            if says != signs {
                let reason = if fits { SIGNATURE } else { ALGORITHM };
                let token = issuer.sign(signs, &header, &claims);
                attacks.push(Attack::new(format!("{header} by {signs}"), token, reason));
            }
        }
    }
    let header = json!({"alg": "ES256", "kid": "ec"});
    let der = issuer.sign("ES256 in DER", &header.to_string(), &claims);
    attacks.push(Attack::new("ES256 in DER", der, SIGNATURE));
    for (what, bytes) in [("zeros", [0_u8; 64]), ("ones", [255; 64])] {
        let token = with_signature(&header, &claims, &base64(bytes));
        attacks.push(Attack::new(format!("ES256 of {what}"), token, SIGNATURE));
    }
    for alg in ["RS384", "RS512", "PS384", "PS512", "ES384"] {
        let header = json!({"alg": alg, "kid": "rsa"}).to_string();
        let token = issuer.sign("RS256", &header, &claims);
        attacks.push(Attack::new(format!("{alg}, which is not configured"), token, ALGORITHM));
    }
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_signs_by_its_own_algorithm_only() {
    let issuer = Issuer::start().await;
    both_refuse(&issuer, &crossed(&issuer)).await;
}
