//! Timestamps and durations. Times of day are UTC: a policy must mean the same on every machine.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::expression::Function;
use super::value::Value;

/// What a getter says of a timestamp. Months, days of the month and of the year count from 0, and the week begins
/// with Sunday, as CEL has it; `getDate` counts from 1.
pub fn of_timestamp<'a>(function: Function, at: Timestamp) -> Option<Value<'a>> {
    let time = at.to_zoned(TimeZone::UTC);
    let value: i64 = match function {
        Function::FullYear => time.year().into(),
        Function::Month => i64::from(time.month()) - 1,
        Function::Date => time.day().into(),
        Function::DayOfMonth => i64::from(time.day()) - 1,
        Function::DayOfWeek => time.weekday().to_sunday_zero_offset().into(),
        Function::DayOfYear => i64::from(time.day_of_year()) - 1,
        Function::Hours => time.hour().into(),
        Function::Minutes => time.minute().into(),
        Function::Seconds => time.second().into(),
        Function::Milliseconds => time.millisecond().into(),
        _ => return None,
    };
    Some(Value::Int(value))
}

/// The whole of a duration in the unit asked for; milliseconds are those of the second, as CEL has it.
pub fn of_duration<'a>(function: Function, span: SignedDuration) -> Option<Value<'a>> {
    let value = match function {
        Function::Hours => span.as_secs() / 3_600,
        Function::Minutes => span.as_secs() / 60,
        Function::Seconds => span.as_secs(),
        Function::Milliseconds => i64::from(span.subsec_millis()),
        _ => return None,
    };
    Some(Value::Int(value))
}

/// CEL's durations: `1h30m`, `1.5s`, `-250ms`; units `h`, `m`, `s`, `ms`, `us`, `ns`.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut nanoseconds: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?)?;
        let (unit, after) = after
            .split_at_checked(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()))?;
        nanoseconds = nanoseconds.checked_add(scaled(number, unit_nanoseconds(unit)?)?)?;
        rest = after;
    }
    let signed = if negative { -nanoseconds } else { nanoseconds };
    let seconds = i64::try_from(signed / 1_000_000_000).ok()?;
    let fraction = i32::try_from(signed % 1_000_000_000).ok()?;
    // CEL's durations end at about 10,000 years, as protobuf's do.
    (seconds.unsigned_abs() <= 315_576_000_000).then(|| SignedDuration::new(seconds, fraction))
}

fn unit_nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// `number` (digits with at most one point) times `unit`, exact to the nanosecond.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in fraction.chars() {
        scale /= 10;
        total = total.checked_add(i128::from(digit.to_digit(10)?).checked_mul(scale)?)?;
    }
    Some(total)
}
