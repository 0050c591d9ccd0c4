//! Timestamps and durations. Times of day are UTC unless a zone is named, and the zones' rules are compiled in: a
//! policy must mean the same on every machine.

use std::sync::LazyLock;

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::expression::Function;
use super::value::Value;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The first second of the year 1, where CEL's timestamps begin. They end with the year 9999; the library's end a day
/// before, so that every one of them can be shown in every time zone.
const FIRST_SECOND: i64 = -62_135_596_800;
/// CEL's durations end at about 10,000 years, as protobuf's do.
const MAX_SECONDS: u64 = 315_576_000_000;

/// The timestamp, when CEL can have it.
pub fn in_range(at: Timestamp) -> Option<Timestamp> {
    (seconds_floor(at) >= FIRST_SECOND).then_some(at)
}

/// The second that the timestamp falls into: before 1970 the seconds of a timestamp are rounded up.
fn seconds_floor(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

/// The duration, when CEL can have it.
pub fn span_in_range(span: SignedDuration) -> Option<SignedDuration> {
    (span.as_secs().unsigned_abs() <= MAX_SECONDS).then_some(span)
}

/// The time between two timestamps. CEL counts it in nanoseconds, so it ends at about 292 years.
pub fn between(after: Timestamp, before: Timestamp) -> Option<SignedDuration> {
    let span = after.duration_since(before);
    i64::try_from(span.as_nanos()).is_ok().then_some(span)
}

/// RFC 3339, as in `2026-11-21T07:30:15.25Z`.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    is_rfc3339(text).then(|| text.parse().ok().and_then(in_range))?
}

/// The shape of RFC 3339: the parser knows more forms of ISO 8601 than CEL does.
fn is_rfc3339(text: &str) -> bool {
    let mut rest = text;
    for piece in "dddd-dd-ddTdd:dd:dd".bytes() {
        let Some((first, after)) = rest.split_at_checked(1) else { return false };
        let fits = match piece {
            b'd' => first.bytes().all(|b| b.is_ascii_digit()),
            b'T' => matches!(first, "T" | "t"),
            other => first.as_bytes() == [other],
        };
        if !fits {
            return false;
        }
        rest = after;
    }
    rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'Z' | b'z' | b'+' | b'-' | b':'))
}

/// A zone by its name in the IANA database, or by its offset from UTC, as in `+02:00`, `-09:30` or `02:00`.
pub fn parse_zone(text: &str) -> Option<TimeZone> {
    if let Some((hours, minutes)) = text.split_once(':') {
        let (sign, hours) = match hours.strip_prefix('-') {
            Some(hours) => (-1, hours),
            None => (1, hours.strip_prefix('+').unwrap_or(hours)),
        };
        let part = |digits: &str| {
            (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))
                .then(|| digits.parse::<i32>().ok())?
        };
        let minutes = part(minutes).filter(|minutes| *minutes < 60)?;
        let seconds = sign * (part(hours)? * 3_600 + minutes * 60);
        return Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    }
    ZONES.get(text).ok()
}

/// What a getter says of a timestamp. Months, days of the month and of the year count from 0, and the week begins
/// with Sunday, as CEL has it; `getDate` counts from 1.
pub fn of_timestamp<'a>(function: Function, at: Timestamp) -> Option<Value<'a>> {
    in_zone(function, at, TimeZone::UTC)
}

/// The same of the time of day that a clock in `zone` shows.
pub fn in_zone<'a>(function: Function, at: Timestamp, zone: TimeZone) -> Option<Value<'a>> {
    let time = at.to_zoned(zone);
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
    span_in_range(SignedDuration::new(seconds, fraction))
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
