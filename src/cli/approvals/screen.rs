//! `approvals watch` in a terminal: a table that is drawn again with each change, and a bell when something new is to be
//! decided.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

use serde_json::{Value, json};

use super::client::Failure;
use super::human;
use super::table::View;
use super::watch::Watcher;

/// Rows of the table; more don't fit on a screen.
const ROWS: usize = 15;

/// Lines below it.
const NEWS: usize = 8;

/// Home, and nothing on the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
const BELL: &str = "\u{7}";

/// One line for each change: for files, pipes and programs.
pub(super) struct Lines<F>(pub F);

impl<F: FnMut(&Value) -> Result<(), Failure>> Watcher for Lines<F> {
    fn tell(&mut self, approval: &Value, _live: bool) -> Result<(), Failure> {
        (self.0)(approval)
    }

    fn settled(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A screen.
pub(super) struct Screen<W> {
    out: W,
    /// By id, so by age.
    pending: BTreeMap<String, Value>,
    news: VecDeque<String>,
    ring: bool,
    /// Asked each time: terminals change their size.
    view: fn() -> View,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, view: fn() -> View) -> Self {
        Self { out, pending: BTreeMap::new(), news: VecDeque::new(), ring: false, view }
    }
}

impl<W: Write> Watcher for Screen<W> {
    fn tell(&mut self, approval: &Value, live: bool) -> Result<(), Failure> {
        let text = |name: &str| approval.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("id").to_owned();
        if text("state") == "pending" {
            let mine = approval.get("mayDecide").and_then(Value::as_bool).unwrap_or(false);
            self.ring |= self.pending.insert(id, approval.clone()).is_none() && live && mine;
        } else {
            self.pending.remove(&id);
        }
        if live {
            self.news.push_front(human::news(approval));
            self.news.truncate(NEWS);
        }
        Ok(())
    }

    fn settled(&mut self) -> Result<(), Failure> {
        let newest: Vec<_> = self.pending.values().rev().take(ROWS).collect();
        let table = human::list(&json!({"approvals": newest}), &(self.view)());
        let bell = if std::mem::take(&mut self.ring) { BELL } else { "" };
        let more = self.pending.len().saturating_sub(ROWS);
        let more = if more == 0 { String::new() } else { format!("and {more} older ones\n") };
        let news: String = self.news.iter().map(String::as_str).collect();
        write!(
            self.out,
            "{CLEAR}{bell}{} pending; press Ctrl-C to end\n\n{table}{more}\n{news}",
            self.pending.len()
        )?;
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, state: &str, mine: bool) -> Value {
        json!({"id": id, "state": state, "mayDecide": mine, "call": {"method": "GET\u{1b}[2J", "host": "h", "path": "/"}})
    }

    fn drawn(screen: &mut Screen<Vec<u8>>) -> String {
        screen.out.clear();
        screen.settled().unwrap();
        String::from_utf8(screen.out.clone()).unwrap()
    }

    #[test]
    fn the_table_has_what_is_pending_and_rings_for_what_is_mine_and_new() {
        let mut screen = Screen::new(Vec::new(), View::now);
        screen.tell(&request("old", "pending", true), false).unwrap();
        let first = drawn(&mut screen);
        assert!(first.starts_with(CLEAR) && first.contains("1 pending") && first.contains("old"), "{first}");
        assert!(!first.contains(BELL), "it was there before");
        screen.tell(&request("theirs", "pending", false), true).unwrap();
        assert!(!drawn(&mut screen).contains(BELL));
        screen.tell(&request("mine", "pending", true), true).unwrap();
        assert!(drawn(&mut screen).contains(BELL));
        assert!(!drawn(&mut screen).contains(BELL), "once");
        screen.tell(&request("old", "approved", false), true).unwrap();
        let last = drawn(&mut screen);
        assert!(last.contains("2 pending") && last.contains("old approved"), "{last}");
        assert_eq!(last.matches('\u{1b}').count(), 2, "nobody else's escapes: {last:?}");
    }

    #[test]
    fn a_long_table_says_how_much_is_missing() {
        let mut screen = Screen::new(Vec::new(), View::now);
        for n in 0..ROWS + 7 {
            screen.tell(&request(&format!("{n:04}"), "pending", false), false).unwrap();
        }
        let drawn = drawn(&mut screen);
        assert!(drawn.contains("and 7 older ones") && drawn.contains("22 pending"), "{drawn}");
        assert!(drawn.contains("0021") && !drawn.contains("0006"), "the newest: {drawn}");
    }
}
