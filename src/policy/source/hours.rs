//! Reads `hours`.

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::PolicyReader;
use crate::document::Node;
use crate::effect::{Day, Hours};

const HELP: &str = "write it as `\"08:00\"`, in quotes; the end of a day is `\"24:00\"`";

impl PolicyReader<'_> {
    pub(super) fn hours(&mut self, node: &Node) -> Option<Hours> {
        let mut fields = self.reader.fields(node, "`hours`")?;
        let days = fields.optional("days").map_or(Some(Day::ALL.to_vec()), |node| self.days(node));
        let from =
            fields.optional("from").map_or(Some(Some(Time::midnight())), |node| self.time(node, "`from`"));
        let to = fields.optional("to").map_or(Some(None), |node| self.time(node, "`to`"));
        let time_zone = fields.required("time_zone", self.reader).and_then(|node| self.time_zone(node));
        fields.close(self.reader);
        let (from, to) = (from?, to?);
        let Some(from) = from.filter(|from| Some(*from) != to) else {
            let message = "`hours` end where they begin";
            self.reader.error_with_help(node.span, "invalid-time", message, "leave out `to` for whole days");
            return None;
        };
        Some(Hours { days: days?, from, to, time_zone: time_zone? })
    }

    fn days(&mut self, node: &Node) -> Option<Vec<Day>> {
        let words = Day::ALL.map(|day| (day.as_str(), day));
        let items = self.reader.list(node, "`days`")?;
        let read: Vec<_> = items.iter().map(|item| self.reader.word(item, "day", &words)).collect();
        let mut days: Vec<Day> = read.into_iter().collect::<Option<_>>()?;
        days.sort();
        days.dedup();
        if days.is_empty() {
            self.reader.error_with_help(
                node.span,
                "invalid-time",
                "`days` is empty",
                "leave it out for every day",
            );
            return None;
        }
        Some(days)
    }

    /// A time of day; `Some(None)` for the end of the day.
    fn time(&mut self, node: &Node, what: &str) -> Option<Option<Time>> {
        let text = self.reader.string(node, what)?;
        if text == "24:00" {
            return Some(None);
        }
        let digits = text.split_once(':').and_then(|(hour, minute)| {
            let number = |part: &str| (part.len() == 2).then(|| part.parse::<i8>().ok()).flatten();
            Time::new(number(hour)?, number(minute)?, 0, 0).ok()
        });
        if digits.is_none() {
            let message = format!("{what} is not a time of day: `{text}`");
            self.reader.error_with_help(node.span, "invalid-time", message, HELP);
        }
        digits.map(Some)
    }

    fn time_zone(&mut self, node: &Node) -> Option<String> {
        let name = self.reader.string(node, "`time_zone`")?;
        if TimeZone::get(name).is_err() {
            let message = format!("there is no time zone `{name}`");
            let help = "write a name of the IANA database, as `Europe/Berlin` or `UTC`";
            self.reader.error_with_help(node.span, "invalid-time", message, help);
            return None;
        }
        Some(name.to_owned())
    }
}
