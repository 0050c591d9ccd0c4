//! Logs: JSON lines on standard error, filtered by `PORTCULLIS_LOG` (default `info`).

use tracing_subscriber::EnvFilter;

/// Starts logging for this process. A second call changes nothing.
pub fn init() {
    let filter = EnvFilter::try_from_env("PORTCULLIS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .ok();
}
