//! Hears what other servers of the store committed.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::{Use, in_time, limited};
use crate::store::StoreError;
use crate::store::announce::{Announcements, CHANNEL};
use crate::store::config::Postgres;

/// How long silence is taken for granted: then the connection has to show that it lives.
const SILENCE: Duration = Duration::from_secs(1);

/// How long it waits before it connects again.
const RETRY: Duration = Duration::from_millis(300);

/// Tells `told` what others commit, until it is dropped: `listener` first, and others in its place. What may have been
/// missed while there was no connection is announced as that.
pub(in crate::store) async fn listen(listener: PgListener, config: Postgres, told: Announcements) {
    hear(listener, config.patience, &told).await;
    let mut failing = false;
    loop {
        match connect(&config).await {
            Ok(listener) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("changes of other servers are heard again");
                }
                told.missed();
                hear(listener, config.patience, &told).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "changes of other servers can't be heard; they are polled for");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Listens from the moment that it returns.
pub(in crate::store) async fn connect(config: &Postgres) -> Result<PgListener, StoreError> {
    let (options, limit) = (limited(config, Use::Reading)?, config.patience);
    let one = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = in_time(limit, one.acquire_timeout(limit).connect_with(options)).await?;
    let mut listener = in_time(limit, PgListener::connect_with(&pool)).await?;
    listener.eager_reconnect(false);
    in_time(limit, listener.listen(CHANNEL)).await?;
    Ok(listener)
}

/// Returns when the connection is gone.
async fn hear(mut listener: PgListener, limit: Duration, told: &Announcements) {
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => told.heard(notification.payload()),
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => {
                let alive = in_time(limit, sqlx::query("SELECT 1").execute(&mut listener)).await;
                if alive.is_err() {
                    return;
                }
            }
        }
    }
}
