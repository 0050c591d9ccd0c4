//! The text forms of values, as `string()` and `format` give them: those of the specification's reference
//! implementation.

use jiff::{SignedDuration, Timestamp};

/// The shortest decimal that reads back as `double`: with an exponent below 1e-4 and from 1e6 on, as in `1.5e+06`.
pub fn double(double: f64) -> String {
    if !double.is_finite() {
        return match double {
            f64::INFINITY => "+Inf".into(),
            f64::NEG_INFINITY => "-Inf".into(),
            _ => "NaN".into(),
        };
    }
    let scientific = format!("{double:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => with_exponent(mantissa, exponent),
        _ => double.to_string(),
    }
}

/// A mantissa with its exponent as C prints it: a sign and at least two digits.
pub fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// RFC 3339 in UTC, with as many digits of the second as it needs.
pub fn timestamp(at: Timestamp) -> String {
    at.to_string()
}

/// Seconds with as many digits as they need, as in `90s` or `-0.25s`.
pub fn duration(span: SignedDuration) -> String {
    let sign = if span.is_negative() { "-" } else { "" };
    let (seconds, nanoseconds) = (span.as_secs().unsigned_abs(), span.subsec_nanos().unsigned_abs());
    if nanoseconds == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}
