//! Hours of the week, in a time zone.

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// When something is possible: from one time of day to another, on some days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The days on which it begins; at least one.
    pub days: Vec<Day>,
    pub from: Time,
    /// Not included; `None` for the end of the day. Before `from`: on the next day.
    pub to: Option<Time>,
    /// A name of the IANA database.
    pub time_zone: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

impl Hours {
    /// Whether `at` is within these hours. A time zone that is not known any more has none.
    pub fn include(&self, at: Timestamp) -> bool {
        let Ok(zone) = TimeZone::get(&self.time_zone) else { return false };
        let there = at.to_zoned(zone);
        let (time, day) = (there.time(), there.weekday());
        let begins_on = |day: Weekday| self.days.contains(&Day::of(day));
        match self.to {
            None => begins_on(day) && time >= self.from,
            Some(to) if self.from < to => begins_on(day) && time >= self.from && time < to,
            Some(to) => {
                (begins_on(day) && time >= self.from) || (begins_on(day.wrapping_sub(1)) && time < to)
            }
        }
    }

    /// When they begin after `at`; `None` while they last, and for a time zone that is not known any more.
    pub fn begin_after(&self, at: Timestamp) -> Option<Timestamp> {
        if self.include(at) {
            return None;
        }
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let today = at.to_zoned(zone.clone()).date();
        // The same day of next week at the latest; an hour that a day skips begins a little later.
        (0..=8).find_map(|days| {
            let day = today.checked_add(Span::new().days(days)).ok()?;
            let begins = day.to_datetime(self.from).to_zoned(zone.clone()).ok()?.timestamp();
            (self.days.contains(&Day::of(day.weekday())) && begins > at).then_some(begins)
        })
    }

    /// How much of a week they are.
    pub fn length(&self) -> SignedDuration {
        let day = SignedDuration::from_hours(24);
        let begin = self.from.duration_since(Time::midnight());
        let end = self.to.map_or(day, |to| to.duration_since(Time::midnight()));
        let each = if end > begin { end - begin } else { day - begin + end };
        each * i32::try_from(self.days.len()).unwrap_or(7)
    }
}

impl fmt::Display for Hours {
    /// As `mon tue 08:00 to 18:00 Europe/Berlin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> = self.days.iter().map(|day| day.as_str()).collect();
        let time = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        let to = self.to.map_or_else(|| "24:00".to_owned(), time);
        write!(f, "{} {} to {to} {}", days.join(" "), time(self.from), self.time_zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(days: &[Day], from: &str, to: Option<&str>, zone: &str) -> Hours {
        let time = |text: &str| text.parse::<Time>().unwrap();
        Hours { days: days.to_vec(), from: time(from), to: to.map(time), time_zone: zone.into() }
    }

    fn includes(hours: &Hours, at: &str) -> bool {
        hours.include(at.parse().unwrap())
    }

    #[test]
    fn office_hours_follow_the_clock_of_their_place_through_summer_and_winter() {
        let office = hours(&Day::ALL[..5], "08:00", Some("18:00"), "Europe/Berlin");
        for (at, within) in [
            ("2026-01-07T07:00:00Z", true),
            ("2026-01-07T06:59:59Z", false),
            ("2026-01-07T17:00:00Z", false),
            ("2026-07-08T06:00:00Z", true),
            ("2026-07-08T16:00:00Z", false),
            ("2026-01-10T10:00:00Z", false),
        ] {
            assert_eq!(includes(&office, at), within, "{at}");
        }
    }

    #[test]
    fn hours_that_are_over_say_when_they_begin_again() {
        let office = hours(&Day::ALL[..5], "08:00", Some("18:00"), "Europe/Berlin");
        let night = hours(&[Day::Fri], "22:00", Some("06:00"), "UTC");
        let nowhere = hours(&Day::ALL, "00:00", Some("00:01"), "Nowhere/Else");
        for (hours, at, begin) in [
            (&office, "2026-01-07T06:59:59Z", Some("2026-01-07T07:00:00Z")),
            (&office, "2026-01-07T12:00:00Z", None),
            (&office, "2026-01-09T17:00:00Z", Some("2026-01-12T07:00:00Z")),
            // The clocks change on the Sunday between.
            (&office, "2026-03-27T17:30:00Z", Some("2026-03-30T06:00:00Z")),
            (&night, "2026-01-10T06:00:00Z", Some("2026-01-16T22:00:00Z")),
            (&nowhere, "2026-01-10T06:00:00Z", None),
        ] {
            let begins = hours.begin_after(at.parse().unwrap());
            assert_eq!(begins, begin.map(|begin| begin.parse().unwrap()), "{hours} {at}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = hours(&[Day::Fri], "22:00", Some("06:00"), "UTC");
        for (at, within) in [
            ("2026-01-09T21:59:59Z", false),
            ("2026-01-09T22:00:00Z", true),
            ("2026-01-10T05:59:59Z", true),
            ("2026-01-10T06:00:00Z", false),
            ("2026-01-10T22:00:00Z", false),
            ("2026-01-09T01:00:00Z", false),
        ] {
            assert_eq!(includes(&night, at), within, "{at}");
        }
        assert_eq!(night.length(), SignedDuration::from_hours(8));
    }

    #[test]
    fn a_day_without_an_end_lasts_until_midnight_and_an_unknown_zone_never_begins() {
        let day = hours(&[Day::Sun], "00:00", None, "UTC");
        assert!(includes(&day, "2026-01-11T23:59:59.999Z") && !includes(&day, "2026-01-12T00:00:00Z"));
        assert_eq!(day.length(), SignedDuration::from_hours(24));
        assert!(!includes(&hours(&Day::ALL, "00:00", None, "Nowhere/Else"), "2026-01-11T12:00:00Z"));
    }
}
