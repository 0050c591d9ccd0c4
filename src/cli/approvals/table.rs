//! The table of requests, as wide as the terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};
use jiff::Timestamp;
use serde_json::Value;

use super::human::{at, caller, strings};
use crate::admin::ago::{ago, span};
use crate::clock::Clock;

/// What is shown of an id: its end, which commands take for the whole.
const ID_END: usize = 8;

/// Who looks, from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub now: Timestamp,
    /// The columns of the terminal; `None` where the output goes elsewhere, and lines may be of any length.
    pub width: Option<u16>,
}

impl View {
    /// The terminal as it is now.
    pub(super) fn now() -> Self {
        let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0);
        Self { now: Clock::system().now(), width }
    }

    /// A time of the server, as `5 min ago`.
    pub(super) fn ago(&self, value: &Value, pointer: &str) -> String {
        let at = at(value, pointer);
        at.parse().map_or(at, |at| ago(at, self.now))
    }
}

/// The end of a request's id.
pub(super) fn id_end(approval: &Value) -> String {
    let id = at(approval, "/id");
    let cut = id.chars().count().saturating_sub(ID_END);
    id.chars().skip(cut).collect()
}

/// A time of the server to the second.
pub(super) fn second(value: &Value, pointer: &str) -> String {
    let at = at(value, pointer);
    at.parse::<Timestamp>().map_or(at, |at| format!("{at:.0}"))
}

/// A row for each request, each line no longer than the terminal is wide.
pub(super) fn table(approvals: &[Value], view: &View) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = view.width {
        table.set_width(width);
    }
    table.set_header(["id", "state", "age", "left", "caller", "call", "rules"]);
    for approval in approvals {
        table.add_row(row(approval, view));
    }
    for column in table.column_iter_mut().take(4) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

fn row(approval: &Value, view: &View) -> Row {
    let call = format!(
        "{} {}{}",
        at(approval, "/call/method"),
        at(approval, "/call/host"),
        at(approval, "/call/path")
    );
    let seconds = |pointer: &str, later: bool| {
        let at = at(approval, pointer).parse::<Timestamp>().ok()?;
        let passed = view.now.as_second().saturating_sub(at.as_second());
        let seconds = if later { passed.saturating_neg() } else { passed };
        Some(span(u64::try_from(seconds).unwrap_or(0)))
    };
    let state = at(approval, "/state");
    let open = ["pending", "approved"].contains(&state.as_str());
    let left = seconds("/expires", true).filter(|_| open).unwrap_or_default();
    let age = seconds("/created", false).unwrap_or_default();
    Row::from([id_end(approval), state, age, left, caller(approval), call, strings(approval, "/rules")])
}
