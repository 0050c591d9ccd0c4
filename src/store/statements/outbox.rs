//! The statements of the outbox.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::many::{parts, places};
use super::{Reader, Transaction, to_json, unreadable};
use crate::store::StoreError;
use crate::store::database::{self, Row};
use crate::store::outbox::{NewNotice, Outgoing, Settled, Standing};

/// What was given up is on record elsewhere; so many rows of it are kept.
const MOST_DEAD: i64 = 10_000;

impl Reader {
    pub(in crate::store) async fn outbox(&self) -> Result<Vec<Standing>, StoreError> {
        let query = database::query(
            "SELECT target, count(*) AS waiting, min(due_at) AS due_at FROM outbox WHERE state = 'waiting' \
             GROUP BY target ORDER BY target",
        );
        let rows = self.0.fetch_all(query).await?;
        let standing = |row: &Row| {
            Ok(Standing {
                target: row.try_get("target")?,
                waiting: u64::try_from(row.try_get::<i64, _>("waiting")?).map_err(unreadable)?,
                due: Timestamp::from_microsecond(row.try_get("due_at")?).map_err(unreadable)?,
            })
        };
        rows.iter().map(standing).collect()
    }
}

impl Transaction<'_> {
    pub(in crate::store) async fn insert_notices(
        &mut self,
        notices: &[NewNotice],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for notices in parts(notices) {
            let mut query = database::query(AssertSqlSafe(format!(
                "WITH v(id, target, notice, now) AS (VALUES {}) \
                 INSERT INTO outbox (id, target, state, notice, created_at, due_at, attempts, lease) \
                 SELECT id, target, 'waiting', notice, now, now, 0, '' FROM v",
                places(notices.len(), 4)
            )));
            for NewNotice { id, target, notice } in notices {
                query = query.bind(id).bind(target).bind(to_json(notice)?).bind(now.as_microsecond());
            }
            query.execute(&mut self.0).await?;
        }
        Ok(())
    }

    /// `due_at` is asked for twice: the outer one decides when two servers take the same rows at the same time.
    pub(in crate::store) async fn claim(
        &mut self,
        target: &str,
        most: u32,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let query = database::query(
            "UPDATE outbox SET due_at = $1, lease = $2, attempts = attempts + 1 \
             WHERE state = 'waiting' AND due_at <= $3 AND id IN (SELECT id FROM outbox \
             WHERE target = $4 AND state = 'waiting' AND due_at <= $3 ORDER BY due_at, id LIMIT $5) \
             RETURNING id, target, notice, created_at, attempts, lease",
        );
        let query = query.bind(until.as_microsecond()).bind(lease).bind(now.as_microsecond());
        let rows = query.bind(target).bind(i64::from(most)).fetch_all(&mut self.0).await?;
        let mut claimed = rows.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        claimed.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(claimed)
    }

    /// The oldest that nobody has taken, due or not.
    pub(in crate::store) async fn claim_oldest(
        &mut self,
        target: &str,
        most: u32,
        lease: &str,
        until: Timestamp,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let query = database::query(
            "UPDATE outbox SET due_at = $1, lease = $2 WHERE state = 'waiting' AND lease = '' AND id IN \
             (SELECT id FROM outbox WHERE target = $3 AND state = 'waiting' AND lease = '' ORDER BY id LIMIT $4) \
             RETURNING id, target, notice, created_at, attempts, lease",
        );
        let query = query.bind(until.as_microsecond()).bind(lease).bind(target).bind(i64::from(most));
        query.fetch_all(&mut self.0).await?.iter().map(decode).collect()
    }

    /// Whether there was such a row with this lease.
    pub(in crate::store) async fn settle(
        &mut self,
        id: &str,
        lease: &str,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        let query = match settled {
            Settled::Sent | Settled::Dropped => {
                database::query("DELETE FROM outbox WHERE id = $1 AND lease = $2 AND state = 'waiting'")
                    .bind(id)
                    .bind(lease)
            }
            Settled::Later(due) => database::query(
                "UPDATE outbox SET due_at = $3, lease = '' WHERE id = $1 AND lease = $2 AND state = 'waiting'",
            )
            .bind(id)
            .bind(lease)
            .bind(due.as_microsecond()),
            Settled::Dead => database::query(
                "UPDATE outbox SET state = 'dead' WHERE id = $1 AND lease = $2 AND state = 'waiting'",
            )
            .bind(id)
            .bind(lease),
        };
        Ok(query.execute(&mut self.0).await? > 0)
    }

    /// Deletes what was written before `kept_since` and never sent, and of what was given up all but the newest.
    pub(in crate::store) async fn forget_notices(&mut self, kept_since: Timestamp) -> Result<(), StoreError> {
        let query = database::query(
            "DELETE FROM outbox WHERE state = 'dead' AND id NOT IN \
             (SELECT id FROM outbox WHERE state = 'dead' ORDER BY id DESC LIMIT $1)",
        );
        query.bind(MOST_DEAD).execute(&mut self.0).await?;
        let query = database::query("DELETE FROM outbox WHERE created_at < $1");
        query.bind(kept_since.as_microsecond()).execute(&mut self.0).await?;
        Ok(())
    }
}

fn decode(row: &Row) -> Result<Outgoing, StoreError> {
    Ok(Outgoing {
        id: row.try_get("id")?,
        target: row.try_get("target")?,
        notice: row.try_get("notice")?,
        created: Timestamp::from_microsecond(row.try_get("created_at")?).map_err(unreadable)?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        lease: row.try_get("lease")?,
    })
}
