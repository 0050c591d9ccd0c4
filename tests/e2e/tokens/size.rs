//! Tokens that are made to cost: long ones, deep ones, and those that ask for work before anything is verified.

use serde_json::{Value, json};

use super::issuer::{Issuer, base64};
use super::{Attack, PLACES, Place, both_refuse, passes, reasons, request, worlds};
use crate::world::Got;

const MALFORMED: &str = "token_malformed";

/// An encrypted token (RFC 7516) of five parts.
fn encrypted(header: &Value) -> String {
    format!("{}.{}.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA", base64(header.to_string()), "A".repeat(54))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_ask_for_work_get_none_done() {
    let issuer = Issuer::start().await;
    let claims = issuer.claims().to_string();
    let body = claims.strip_suffix('}').unwrap();
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let password = json!({"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2s": "AAAA", "p2c": 2_147_483_647,
        "kid": "rsa"});
    let bomb = json!({"alg": "dir", "enc": "A128GCM", "zip": "DEF", "kid": "oct"});
    let arrays = format!(r#"{{"alg":"RS256","kid":"rsa","x":{}}}"#, nested("[", "]", 2_000));
    let objects = format!("{body},\"x\":{}1{}}}", r#"{"a":"#.repeat(600), "}".repeat(600));
    let digits = format!("{body},\"x\":{}}}", "1".repeat(4_000));
    let audiences = json!(vec!["a"; 1_000]).to_string();
    let audiences = claims.replace(r#""portcullis""#, &audiences);
    let algorithm = "token_algorithm_not_allowed";
    let attacks = [
        Attack::new("dots", ".".repeat(7_000), MALFORMED),
        Attack::new(
            "dots behind a header",
            format!("{}{}", base64(r#"{"alg":"RS256"}"#), ".".repeat(7_000)),
            MALFORMED,
        ),
        Attack::new("two billion rounds of PBES2", encrypted(&password), algorithm),
        Attack::new("PBES2 in three parts", issuer.sign("RS256", &password.to_string(), &claims), algorithm),
        Attack::new("compressed", encrypted(&bomb), algorithm),
        Attack::new("a deep header", issuer.sign("RS256", &arrays, &claims), MALFORMED),
        Attack::new("deep claims", issuer.token(&objects), MALFORMED),
        Attack::new("a deep list for claims", issuer.token(&nested("[", "]", 2_000)), MALFORMED),
        Attack::new("a number of 4,000 digits", issuer.token(&digits), MALFORMED),
        Attack::new("a thousand audiences", issuer.token(&audiences), "token_audience_mismatch"),
    ];
    both_refuse(&issuer, &attacks).await;
}

/// Envoy lets 60 KiB of headers through, Portcullis 32 KiB in one header, 16 KiB in a token and 8 KiB in a path.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_too_long_are_not_read() {
    let issuer = Issuer::start().await;
    let (good, mut claims) = (issuer.good_tokens(), issuer.claims());
    // Of an honest issuer: nothing but its length is wrong.
    claims["x"] = json!("x".repeat(13_000));
    let honest = issuer.token(&claims.to_string());
    let dots = |count: usize| ".".repeat(count);
    for (service, world) in worlds(&issuer).await {
        passes(&world, &good).await;
        let calls = world.upstream.calls();
        let mut wanted = Vec::new();
        for (number, (token, in_header)) in [
            (honest.clone(), (401, "token_too_large")),
            (dots((16 << 10) + 1), (401, "token_too_large")),
            (dots(30_000), (401, "token_too_large")),
            (dots(40_000), (431, "header_too_large")),
        ]
        .into_iter()
        .enumerate()
        {
            for place in PLACES {
                let (status, reason) = if place == Place::Query { (414, "path_too_long") } else { in_header };
                let path = format!("/echo/{number}/{place:?}");
                let got = Got::from(request(&world, place, &path, &token).send().await.unwrap()).await;
                assert_eq!(got.status, status, "{service}, {path}: {}", got.text());
                wanted.push((path, reason));
            }
        }
        // Envoy answers, or hangs up while it is still being sent.
        for place in PLACES {
            if let Ok(got) = request(&world, place, "/echo/megabyte", &dots(1 << 20)).send().await {
                assert!(
                    (400..500).contains(&got.status().as_u16()),
                    "{service}, {place:?}: {}",
                    got.status()
                );
            }
        }
        assert_eq!(world.upstream.calls(), calls, "{service}");
        let found = reasons(&world, wanted.len()).await;
        for (path, reason) in wanted {
            assert_eq!(found.get(&path).map(String::as_str), Some(reason), "{service}, {path}");
        }
        passes(&world, &good).await;
    }
}
