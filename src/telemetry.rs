//! Logs: JSON lines on standard error, filtered by `PORTCULLIS_LOG` (default `info`).

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
        .with_writer(std::io::stderr)
        .try_init()
        .ok();
    Ok(())
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
    use super::*;

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
