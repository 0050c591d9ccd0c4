//! What a masker holds, counted by the allocator.

use allocation_counter::measure;

use super::*;

/// For one body by the default limits.
const MOST: u64 = 64 << 10;

/// The most bytes that masking held at once, the output aside. The chunks are made beforehand, and as small as they get.
fn held(rules: &[(&str, Method)], body: &str, chunk: usize) -> u64 {
    let plan = plan(rules);
    let mut out = Vec::with_capacity(body.len() * 2 + 64);
    let counted = measure(|| {
        let mut masker = Masker::new(plan.clone(), Format::Json, Limits::default());
        for chunk in body.as_bytes().chunks(chunk) {
            if masker.push(chunk, &mut out).is_err() {
                return;
            }
        }
        let _ = masker.finish(&mut out);
    });
    counted.bytes_max
}

#[test]
fn no_body_makes_a_masker_hold_more_than_64_kib() {
    let list = [
        ("**.x", Method::Remove),
        ("**.h", Method::Hash),
        ("**.p", Method::Partial { first: 32, last: 32 }),
        ("**.b", Method::Bucket(Bucket::Width(10))),
        ("**[?t==1].y", Method::Null),
        ("**.s[json].x", Method::Remove),
    ];
    let long = "v".repeat(1 << 20);
    let escaped = "\\u0061".repeat(100_000);
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let bodies = [
        // Values of any length.
        format!(
            "{{\"x\":\"{long}\",\"h\":\"{long}\",\"p\":\"{escaped}\",\"b\":\"{long}\",\"q\":\"{long}\"}}"
        ),
        format!("[{}]", "{\"t\":1,\"y\":2,\"x\":3},".repeat(20_000) + "0"),
        // Names, white space and objects up to their limits, and beyond.
        format!("[{{\"{}\":1}}]", "n".repeat(7_000)),
        format!("[{{\"{}\":1}}]", "\\u006e".repeat(2_000)),
        format!("[{{\"{}\":1}}]", "n".repeat(9_000)),
        format!("[{{\"a\":1,{}\"a\":2}}]", " ".repeat(15_000)),
        format!("[1,{}{{\"y\":\"{}\"}}]", " ".repeat(15_000), "v".repeat(8_000)),
        format!("[1,{}{{\"y\":{}}}]", " ".repeat(15_000), nested("{\"z\":", "}", 500)),
        format!("[1,{}{{\"y\":{},\"z\":{{\"y\":\"{long}\"}}}}]", " ".repeat(15_000), nested("[", "]", 400)),
        nested("[", "]", 512),
        nested("{\"a\":", "}", 512),
        nested("{\"t\":1,\"a\":", "}", 512),
    ];
    // The same in strings that are read as JSON, and in strings in those.
    let in_string =
        |json: &String| format!("[1,{{\"t\":1,\"s\":{}}}]", serde_json::Value::from(json.as_str()));
    let once: Vec<_> = bodies.iter().map(in_string).collect();
    let twice: Vec<_> = once.iter().map(in_string).collect();
    for (nth, body) in bodies.iter().chain(&once).chain(&twice).enumerate() {
        let small = nth < bodies.len() || body.len() < 200_000;
        for chunk in [1, 1_000, 1 << 20].into_iter().filter(|chunk| small || *chunk > 1) {
            let held = held(&list, body, chunk);
            assert!(held <= MOST, "{held} bytes in chunks of {chunk}: {}", &body[..40.min(body.len())]);
        }
    }
}
