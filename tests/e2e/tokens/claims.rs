//! Honest signatures over claims that mean nothing, or not what they seem to.

use serde_json::{Value, json};

use super::issuer::{Issuer, NAME};
use super::{Attack, both_refuse};

const CLAIM: &str = "token_claim_invalid";
const AUDIENCE: &str = "token_audience_mismatch";

fn with(issuer: &Issuer, name: &str, value: Value, reason: &'static str) -> Attack {
    let mut claims = issuer.claims();
    claims[name] = value.clone();
    let token = issuer.token(&claims.to_string());
    Attack::new(format!("{name}: {value}"), token, reason)
}

fn without(issuer: &Issuer, name: &str, reason: &'static str) -> Attack {
    let mut claims = issuer.claims();
    claims.as_object_mut().unwrap().remove(name);
    Attack::new(format!("no {name}"), issuer.token(&claims.to_string()), reason)
}

/// Times of another type are not taken for absent, nor are audiences.
#[tokio::test(flavor = "multi_thread")]
async fn times_and_audiences_of_the_wrong_type_are_refused() {
    let issuer = Issuer::start().await;
    let issuer = &issuer;
    let later = issuer.claims()["exp"].clone();
    let mut attacks =
        vec![without(issuer, "exp", CLAIM), without(issuer, "aud", AUDIENCE), without(issuer, "sub", CLAIM)];
    for name in ["exp", "nbf", "iat"] {
        let odd = [
            json!(null),
            json!(""),
            json!(later.to_string()),
            json!([later]),
            json!([]),
            json!({}),
            json!({"exp": later}),
            json!(true),
            json!(-1),
            json!(1e300),
            json!(u64::MAX),
        ];
        attacks.extend(odd.into_iter().map(|value| with(issuer, name, value, CLAIM)));
    }
    attacks.push(with(issuer, "exp", json!(0), "token_expired"));
    for name in ["nbf", "iat"] {
        attacks.push(with(issuer, name, later.clone(), "token_not_yet_valid"));
    }
    for odd in [json!(null), json!(7), json!(true), json!({}), json!([7]), json!(["portcullis", null])] {
        attacks.push(with(issuer, "aud", odd, CLAIM));
    }
    for others in [
        json!([]),
        json!(""),
        json!("Portcullis"),
        json!("portcullis "),
        json!(["portcullis-admin"]),
        json!("portcullis,other"),
    ] {
        attacks.push(with(issuer, "aud", others, AUDIENCE));
    }
    both_refuse(issuer, &attacks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_names_are_refused() {
    let issuer = Issuer::start().await;
    let issuer = &issuer;
    let mut attacks = Vec::new();
    for (name, odd) in [
        (
            "sub",
            vec![
                json!(""),
                json!(null),
                json!(7),
                json!(["ana"]),
                json!({}),
                json!("ana\u{0}"),
                json!("ana\n"),
            ],
        ),
        (
            "email",
            vec![
                json!("root@example.com@evil.com"),
                json!("root@example.com,ana@evil.com"),
                json!("@@"),
                json!(["ana@example.com"]),
                json!(null),
                json!(7),
                json!("ana@example.com\r\n"),
            ],
        ),
        ("groups", vec![json!(null), json!(7), json!({}), json!(["staff", 7]), json!([["staff"]])]),
        ("scope", vec![json!(null), json!(7), json!({}), json!([7])]),
        ("person", vec![json!(null), json!(7), json!([])]),
        ("org", vec![json!("shop"), json!(null), json!({"id": 7}), json!({"id": null})]),
        ("jti", vec![json!(null), json!(7)]),
        ("sid", vec![json!(null), json!([])]),
        ("iss", vec![json!(null), json!(7), json!([NAME]), json!({})]),
    ] {
        attacks.extend(odd.into_iter().map(|value| with(issuer, name, value, CLAIM)));
    }
    for others in
        [json!(""), json!("https://evil.example.com"), json!(format!("{NAME}/")), json!(NAME.to_uppercase())]
    {
        attacks.push(with(issuer, "iss", others, "token_issuer_unknown"));
    }
    attacks.push(without(issuer, "iss", "token_issuer_unknown"));
    // A token for somebody who shows a key, and one that tells of a logout.
    attacks.push(with(issuer, "cnf", json!({"jkt": "x"}), CLAIM));
    attacks.push(with(issuer, "events", json!({}), CLAIM));
    both_refuse(issuer, &attacks).await;
}

/// Readers that take the first of two, and readers that take the last, see different claims.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_readers_read_differently_are_refused() {
    let issuer = Issuer::start().await;
    let good = issuer.claims().to_string();
    let body = good.strip_suffix('}').unwrap();
    let mut attacks = Vec::new();
    for more in [
        r#","sub":"root"}"#,
        r#","SUB":"root"}"#,
        r#","\u0073ub":"root"}"#,
        r#","org":{"id":"a"}}"#,
        r#","x":{"a":1,"a":2}}"#,
        r#","x":"\ud800"}"#,
        r#","x":1e400}"#,
        r#"}{}"#,
        r#",}"#,
    ] {
        let token = issuer.token(&format!("{body}{more}"));
        attacks.push(Attack::new(more, token, "token_malformed"));
    }
    for text in ["", "null", "[]", "7", "\"ana\""] {
        attacks.push(Attack::new(format!("claims {text:?}"), issuer.token(text), "token_malformed"));
    }
    both_refuse(&issuer, &attacks).await;
}
