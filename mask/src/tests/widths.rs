//! Tokens whose lengths lie around those that are read at a time, and plans of many words.

use super::*;

#[test]
fn tokens_of_every_length_are_masked_however_they_are_cut() {
    let list = [("**.x", Method::redact()), ("**.r", Method::Remove), ("**.p", Method::Last4)];
    for length in [0, 1, 7, 8, 9, 14, 15, 16, 17, 18, 31, 32, 33, 63, 64, 65, 66] {
        let (text, digits, space) = ("é".repeat(length), "7".repeat(length + 1), " ".repeat(length));
        let shown = (length / 3).min(4);
        let ends = format!("{}{}", "*".repeat(length - shown), "v".repeat(shown));
        let long = "v".repeat(length);
        let body = |x: &str, r: &str, p: &str| {
            format!(
                "{{\"{text}\":\"{text}\",{space}\"n\":{digits}{r},\"x\":{x},\"l\":[\"{text}\",-{digits}.5,{{\"x\":{x}}},{space}[],true],{space}\"p\":\"{p}\"{space}}}"
            )
        };
        let removed = format!(",{space}\"r\"{space}:\"{long}\"");
        let masked = body("\"[redacted]\"", "", &ends);
        check(&list, &body(&format!("\"{long}\""), &removed, &long), &masked);
        check(&list, &body(&digits, &removed, &long), &masked);
    }
}

#[test]
fn plans_of_any_number_of_rules_mask_alike() {
    for count in [1, 12, 40, 90, 130] {
        let fields: Vec<String> = (0..count).map(|i| format!("**.r{i}.*.x{i}")).collect();
        let methods = [Method::redact(), Method::Remove, Method::Null];
        let rules: Vec<_> = fields
            .iter()
            .zip(methods.iter().cycle())
            .map(|(field, method)| (field.as_str(), method.clone()))
            .collect();
        let members = |value: &dyn Fn(usize) -> String| {
            let member = |i: usize| {
                let next = i + 1;
                format!("{{\"r{i}\":{{\"q\":[{{\"a\":1{},\"x{next}\":2}}]}},\"x{i}\":3}}", value(i))
            };
            let members: Vec<_> = [0, count / 2, count - 1].map(member).into();
            format!("[{}]", members.join(","))
        };
        let body = members(&|i| format!(",\"x{i}\":\"secret\""));
        let masked = members(&|i| match i % 3 {
            0 => format!(",\"x{i}\":\"[redacted]\""),
            1 => String::new(),
            _ => format!(",\"x{i}\":null"),
        });
        check(&rules, &body, &masked);
    }
}
