//! Ranges that numbers and dates are rounded to.
//!
//! Numbers are read exactly, from their decimal digits: no rounding moves one into another range. What isn't a number or
//! date in the form described here has no range, and is redacted instead.

use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;

/// The ranges that values are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Numbers from a multiple of this up to the next one, which lies outside: `1200-1300`. At least 1.
    Width(u64),
    /// Numbers below the first edge (`<18`), from one edge up to the next (`18-65`), and from the last on (`>=65`).
    /// The edges ascend.
    Edges(Vec<i64>),
    /// Dates and times in the same year, quarter, month or on the same day, by the offset they are written in.
    Date(DateUnit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateUnit {
    /// `2026`
    Year,
    /// `2026-Q4`
    Quarter,
    /// `2026-11`
    Month,
    /// `2026-11-21`
    Day,
}

impl Bucket {
    /// Longer texts have no range; every date and any number worth a range is shorter.
    pub(super) const MAX_BYTES: usize = 64;

    /// Whether booleans, objects and arrays aside, a JSON number can have a range.
    pub(super) fn takes_numbers(&self) -> bool {
        !matches!(self, Self::Date(_))
    }

    /// The range of a value: a number as JSON writes it (no exponent), or an RFC 3339 date or time.
    pub(super) fn range(&self, value: &str) -> Option<String> {
        match self {
            Self::Width(width) => {
                let width = i128::from(*width).max(1);
                let from = floor(value)?.div_euclid(width).checked_mul(width)?;
                Some(format!("{from}-{}", from.checked_add(width)?))
            }
            Self::Edges(edges) => {
                let number = floor(value)?;
                let above = edges.partition_point(|edge| i128::from(*edge) <= number);
                let below = above.checked_sub(1).and_then(|at| edges.get(at));
                match (below, edges.get(above)) {
                    (Some(from), Some(to)) => Some(format!("{from}-{to}")),
                    (Some(from), None) => Some(format!(">={from}")),
                    (None, Some(to)) => Some(format!("<{to}")),
                    (None, None) => None,
                }
            }
            Self::Date(unit) => Some(unit.of(Pieces::parse(value).ok()?.date())),
        }
    }

    /// The greater, the more it tells.
    pub(super) fn fineness(&self) -> u64 {
        match self {
            Self::Width(width) => u64::MAX - width,
            Self::Edges(edges) => edges.len() as u64,
            Self::Date(DateUnit::Year) => 1,
            Self::Date(DateUnit::Quarter) => 4,
            Self::Date(DateUnit::Month) => 12,
            Self::Date(DateUnit::Day) => 366,
        }
    }
}

impl DateUnit {
    fn of(self, date: Date) -> String {
        let (year, month) = (date.year(), date.month());
        match self {
            Self::Year => format!("{year:04}"),
            Self::Quarter => format!("{year:04}-Q{}", (month - 1) / 3 + 1),
            Self::Month => format!("{year:04}-{month:02}"),
            Self::Day => format!("{year:04}-{month:02}-{:02}", date.day()),
        }
    }
}

/// The greatest integer that is not above the number; `None` for what is no JSON number, or has an exponent.
fn floor(number: &str) -> Option<i128> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let canonical = whole == "0" || !whole.starts_with('0');
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !canonical || !all_digits {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let below = i128::from(negative && fraction.bytes().any(|byte| byte != b'0'));
    Some(if negative { whole.checked_neg()?.checked_sub(below)? } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_down_exactly() {
        let width = |value: &str| Bucket::Width(100).range(value);
        let table = [
            ("0", "0-100"),
            ("99.999999999999999999999999", "0-100"),
            ("100", "100-200"),
            ("1234.5", "1200-1300"),
            ("-0", "0-100"),
            ("-0.0", "0-100"),
            ("-0.1", "-100-0"),
            ("-100", "-100-0"),
            ("-100.01", "-200--100"),
            ("9007199254740993", "9007199254740900-9007199254741000"),
        ];
        for (value, range) in table {
            assert_eq!(width(value).as_deref(), Some(range), "{value}");
        }
        for no_number in ["", "-", "1e3", "01", "1.", ".5", "+1", " 1", "1,000", "NaN", "٣", &"9".repeat(50)]
        {
            assert_eq!(width(no_number), None, "{no_number}");
        }
    }

    #[test]
    fn edges_have_a_range_below_and_above() {
        let edges = Bucket::Edges(vec![18, 65]);
        for (value, range) in [
            ("-5", "<18"),
            ("17.99", "<18"),
            ("18", "18-65"),
            ("64.99", "18-65"),
            ("65", ">=65"),
            ("1000", ">=65"),
        ] {
            assert_eq!(edges.range(value).as_deref(), Some(range), "{value}");
        }
    }

    #[test]
    fn dates_and_times_are_cut() {
        let cut = |unit, value: &str| Bucket::Date(unit).range(value);
        for value in [
            "2026-11-21",
            "2026-11-21T10:00:00Z",
            "2026-11-21T23:59:59.999999999+14:00",
            "2026-11-21t10:00:00-08:00",
        ] {
            assert_eq!(cut(DateUnit::Year, value).as_deref(), Some("2026"), "{value}");
            assert_eq!(cut(DateUnit::Quarter, value).as_deref(), Some("2026-Q4"), "{value}");
            assert_eq!(cut(DateUnit::Month, value).as_deref(), Some("2026-11"), "{value}");
            assert_eq!(cut(DateUnit::Day, value).as_deref(), Some("2026-11-21"), "{value}");
        }
        for no_date in [
            "",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "21.11.2026",
            "yesterday",
            "1700000000",
            "2026-11-21T25:00",
        ] {
            assert_eq!(cut(DateUnit::Month, no_date), None, "{no_date}");
        }
        assert_eq!(cut(DateUnit::Quarter, "2024-02-29").as_deref(), Some("2024-Q1"));
    }
}
