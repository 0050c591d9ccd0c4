//! What commands that speak to a running server share: where it is, who asks, and how the answer is shown.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::Table;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Failure, Server, Tls};
use crate::admin::visible::{visible, visible_json};
use crate::clock::Clock;
use crate::document::parse_duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Human,
    Json,
}

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The server's admin address
    #[arg(long, env = "PORTCULLIS_SERVER", default_value = "http://127.0.0.1:9190")]
    server: String,
    /// A file that holds the bearer token; otherwise PORTCULLIS_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
    /// For people or for scripts
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

impl Connection {
    pub fn open(&self) -> Result<Server, Failure> {
        Server::new(&self.server, self.token_file.as_deref(), &self.tls)
    }

    pub fn print(&self, answer: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => format!("{}\n", visible_json(&format!("{answer:#}"))),
            Format::Human => human(answer),
        };
        Ok(anstream::stdout().write_all(text.as_bytes())?)
    }
}

/// Runs a command to its end: exit code 0, or 1 with the reason on standard error.
pub fn on_server(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    super::on_one_thread(async {
        match command.await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let lines: Vec<_> = failure.to_string().lines().map(visible).collect();
                anstream::eprintln!("error: {}", lines.join("\n  "));
                ExitCode::FAILURE
            }
        }
    })
}

/// A field's text, made safe to look at.
pub fn text(value: &Value, field: &str) -> String {
    visible(value.get(field).and_then(Value::as_str).unwrap_or_default())
}

/// The items of a listing.
pub fn items<'v>(listing: &'v Value, field: &str) -> &'v [Value] {
    listing.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An id as one segment of a path: letters, digits and hyphens, or it is none.
pub fn segment(id: &str) -> Result<&str, Failure> {
    let sound = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if sound { Ok(id) } else { Err(Failure::Refused(format!("`{id}` is not an id; `list` shows them"))) }
}

/// A table of a listing, and whether there is more than it shows.
pub fn listed(table: &Table, listing: &Value) -> String {
    let more = if text(listing, "nextPageToken").is_empty() { "" } else { "there are more: see `--limit`\n" };
    format!("{table}\n{more}")
}

/// A time to come, for options: `2026-12-01T00:00Z`, or how long from now, as `90d` or `1h30m`.
pub fn later(text: &str) -> Result<Timestamp, String> {
    time(text, |now, away| now.checked_add(away).ok())
}

/// A time that was: `2026-12-01T00:00Z`, or how long ago, as `15m`.
pub fn earlier(text: &str) -> Result<Timestamp, String> {
    time(text, |now, away| now.checked_sub(away).ok())
}

fn time(
    text: &str,
    away: impl FnOnce(Timestamp, std::time::Duration) -> Option<Timestamp>,
) -> Result<Timestamp, String> {
    let parsed = match parse_duration(text) {
        Some(duration) => away(Clock::system().now(), duration),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| "write a time as 2026-12-01T00:00Z, or a duration as 90d or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_of_a_path() {
        assert!(segment("a/b").is_err() && segment("").is_err() && segment("019b-1c").is_ok());
    }

    #[test]
    fn times_are_written_out_or_as_durations() {
        let at: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        for text in ["2026-12-01T00:00Z", "2026-12-01T00:00:00Z", "2026-12-01T01:00+01:00"] {
            assert_eq!(later(text), Ok(at), "{text}");
            assert_eq!(earlier(text), Ok(at), "{text}");
        }
        let now = Clock::system().now();
        assert!(later("1h").unwrap() > now && earlier("1h").unwrap() < now);
        for text in ["", "tomorrow", "2026-12-01", "90", "2026-12-01T00:00"] {
            assert!(later(text).unwrap_err().contains("write a time as"), "{text}");
        }
    }
}
