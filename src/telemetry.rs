//! Logs: JSON lines on standard error, filtered by `PORTCULLIS_LOG` (default `info`).

use std::borrow::Cow;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::visible::visible_json;

/// The variable that says what is logged.
const VARIABLE: &str = "PORTCULLIS_LOG";

/// `PORTCULLIS_LOG` can't be read as a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}: `{0}` is neither a level (error, warn, info, debug, trace, off) nor `module=level`")]
pub struct UnknownFilter(String);

/// Starts logging for this process. A second call changes nothing.
pub fn init() -> Result<(), UnknownFilter> {
    let filter = filter(&std::env::var(VARIABLE).unwrap_or_default())?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_env_filter(filter)
        .with_writer(|| OneLine(std::io::stderr()))
        .try_init()
        .ok();
    Ok(())
}

/// Writes events so that each is one line to every reader, and none a command to a terminal.
struct OneLine<W>(W);

impl<W: io::Write> io::Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(event).map(visible_json) {
            Ok(Cow::Owned(escaped)) => self.0.write_all(escaped.as_bytes())?,
            _ => self.0.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A word that is no level would be taken for a module, and silence everything else.
fn filter(text: &str) -> Result<EnvFilter, UnknownFilter> {
    let text = if text.trim().is_empty() { "info" } else { text };
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit('=').next().unwrap_or(part);
        if level.parse::<LevelFilter>().is_err() {
            return Err(UnknownFilter(part.to_owned()));
        }
    }
    EnvFilter::try_new(text).map_err(|_| UnknownFilter(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::visible::{is_deceptive, naughty};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_event_is_one_line_whatever_is_in_it() {
        let log = Log::default();
        let own = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || OneLine(own.clone()))
            .finish();
        let texts = naughty::strings();
        tracing::subscriber::with_default(subscriber, || {
            for text in &texts {
                tracing::warn!(text, "{text}");
            }
        });
        let log = String::from_utf8(log.0.lock().clone()).unwrap();
        assert!(!log.chars().any(|c| is_deceptive(c) && c != '\n'));
        assert_eq!(log.lines().count(), texts.len());
        for (line, text) in log.lines().zip(&texts) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&event["text"], &event["message"]), (&text.as_str().into(), &text.as_str().into()));
        }
    }

    #[test]
    fn a_mistyped_level_is_refused() {
        for good in ["", "info", "warn,portcullis::engine=debug", "off"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["debugg", "info,nonsense", "portcullis=lots", "nonsense==x"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
