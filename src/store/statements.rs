//! The statements: how an approval becomes a row and a row an approval.
//!
//! They are the same on SQLite and on PostgreSQL.

use std::sync::Mutex;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::database::{self, Connection, Pool, Query};
use super::{PendingIds, StoreError};
use crate::approval::{Approval, State};

mod approval_row;
mod bundles;
mod credentials;
mod many;
mod outbox;

pub(super) use many::NewBody;

use approval_row::{Terms, decode, decode_all, from_json, to_json, unreadable};

/// The columns of a request `a` that is read without the body of its call.
const WITHOUT_BODY: &str = "a.id, a.digest, a.idempotency_key, a.state, a.created_at, a.expires_at, a.terms, a.votes, \
                            a.progress, '' AS body, CAST(0 AS BIGINT) AS body_bytes";

/// The same with the body.
const WITH_BODY: &str = "a.id, a.digest, a.idempotency_key, a.state, a.created_at, a.expires_at, a.terms, a.votes, \
                         a.progress, coalesce((SELECT b.body FROM bodies b WHERE b.approval = a.id), '') AS body, \
                         a.body_bytes";

/// Requests without the bodies of their calls; `which` of them, as `a`.
fn without_body(which: &str) -> Query {
    database::query(AssertSqlSafe(format!("SELECT {WITHOUT_BODY} FROM approvals a {which}")))
}

/// Ids that sort by age, also within one millisecond.
#[derive(Default)]
pub(super) struct Ids(Mutex<uuid::ContextV7>);

impl Ids {
    pub(super) fn next(&self, now: Timestamp) -> String {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(&self.0, seconds, nanoseconds)).to_string()
    }
}

/// Sorts after every id of a moment before `at`, and before every other.
pub(super) fn first_id(at: Timestamp) -> String {
    let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or(0) & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}", milliseconds >> 16, milliseconds & 0xffff)
}

/// The connections that read.
#[derive(Clone)]
pub(super) struct Reader(Pool);

impl Reader {
    pub(super) fn new(pool: Pool) -> Self {
        Self(pool)
    }

    /// Forgets connections that are not in use: their server was away.
    pub(super) fn renew(&self) {
        self.0.renew();
    }

    pub(super) async fn approval(&self, id: &str) -> Result<Option<Approval>, StoreError> {
        let query = AssertSqlSafe(format!("SELECT {WITH_BODY} FROM approvals a WHERE a.id = $1"));
        let row = self.0.fetch_optional(database::query(query).bind(id)).await?;
        row.map(|row| decode(&row)).transpose()
    }

    pub(super) async fn approvals(
        &self,
        state: Option<State>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        // Sorts after every id.
        let before = before.unwrap_or("~");
        let query = match state {
            Some(state) => {
                without_body("WHERE state = $1 AND id < $2 ORDER BY id DESC LIMIT $3").bind(state.as_str())
            }
            None => without_body("WHERE id < $1 ORDER BY id DESC LIMIT $2"),
        };
        let rows = self.0.fetch_all(query.bind(before).bind(i64::from(limit))).await?;
        Ok(decode_all(&rows))
    }

    pub(super) async fn pending(&self) -> Result<PendingIds, StoreError> {
        // In one row: SQLite's rows come from another thread, one by one.
        let query =
            database::query("SELECT string_agg(id, ' ') FROM approvals WHERE state = 'pending'").long();
        let row = self.0.fetch_optional(query).await?;
        let ids: Option<String> = row.map_or(Ok(None), |row| row.try_get(0))?;
        Ok(PendingIds(ids.unwrap_or_default()))
    }

    pub(super) async fn count_pending(&self) -> Result<i64, StoreError> {
        let query = database::query("SELECT count(*) FROM approvals WHERE state = 'pending'");
        let row = self.0.fetch_optional(query).await?;
        Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
    }

    /// The newest requests of the same caller that are older than `approval`, without bodies.
    pub(super) async fn before(&self, approval: &Approval, limit: u32) -> Result<Vec<Approval>, StoreError> {
        let caller = &approval.caller;
        let query = without_body(
            "WHERE issuer = $1 AND subject = $2 AND spiffe = $3 AND id < $4 ORDER BY id DESC LIMIT $5",
        );
        let query = query.bind(&caller.issuer).bind(&caller.subject).bind(&caller.spiffe);
        let rows = self.0.fetch_all(query.bind(&approval.id).bind(i64::from(limit))).await?;
        Ok(decode_all(&rows))
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.0.fetch_optional(database::query("SELECT count(*) FROM pending_rules WHERE rule = ''")).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// The writer's transaction.
pub(super) struct Transaction<'c>(database::Transaction<'c>);

impl<'c> Transaction<'c> {
    pub(super) async fn begin(connection: &'c mut Connection) -> Result<Self, StoreError> {
        Ok(Self(connection.begin().await?))
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await
    }

    /// Tells the other servers of the store, once this is committed; each line is a message.
    pub(super) async fn notify(&mut self, lines: &str) -> Result<(), StoreError> {
        self.0.notify(lines).await
    }

    /// Without the body of its call.
    pub(super) async fn approval(&mut self, id: &str) -> Result<Option<Approval>, StoreError> {
        let query = without_body("WHERE a.id = $1").bind(id);
        query.fetch_optional(&mut self.0).await?.map(|row| decode(&row)).transpose()
    }

    /// The open requests on which somebody decided, without bodies: all that is approved and unused, and what is on its
    /// way there.
    pub(super) async fn open_with_votes(&mut self) -> Result<Vec<Approval>, StoreError> {
        let query = without_body("WHERE state IN ('pending', 'approved') AND votes <> '[]'");
        Ok(decode_all(&query.long().fetch_all(&mut self.0).await?))
    }

    /// The requests at which something is due at `now` besides their expiry; at most `limit`.
    pub(super) async fn due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<Approval>, StoreError> {
        let query = without_body("WHERE attention_at <= $1 ORDER BY attention_at LIMIT $2");
        let query = query.bind(now.as_microsecond()).bind(i64::from(limit));
        Ok(decode_all(&query.fetch_all(&mut self.0).await?))
    }

    /// Marks as expired what is due at `now`, the longest due first and at most `limit`, and returns the ids.
    pub(super) async fn expire(&mut self, now: Timestamp, limit: u32) -> Result<Vec<String>, StoreError> {
        let query = database::query(
            "DELETE FROM pending_rules WHERE approval IN (SELECT id FROM approvals WHERE open_until <= $1 \
             ORDER BY open_until, id LIMIT $2)",
        );
        query.bind(now.as_microsecond()).bind(i64::from(limit)).execute(&mut self.0).await?;
        // What nobody decided on proves nothing. Whatever is due beyond the limit expires a moment later.
        let query = database::query(
            "DELETE FROM bodies WHERE approval IN (SELECT id FROM approvals WHERE open_until <= $1 \
             AND state = 'pending' ORDER BY open_until, id LIMIT $2)",
        );
        query.bind(now.as_microsecond()).bind(i64::from(limit)).execute(&mut self.0).await?;
        let query = database::query(
            "UPDATE approvals SET state = 'expired', attention_at = NULL, open_until = NULL \
             WHERE id IN (SELECT id FROM approvals WHERE open_until <= $1 ORDER BY open_until, id LIMIT $2) \
             RETURNING id",
        );
        query.bind(now.as_microsecond()).bind(i64::from(limit)).fetch_values(&mut self.0).await
    }

    /// Deletes finished requests made before `kept_since`, the oldest first and at most `limit`; how many there were.
    pub(super) async fn forget(&mut self, kept_since: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let query = database::query(
            "DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE created_at < $1 \
             AND state NOT IN ('pending', 'approved', 'releasing') ORDER BY created_at LIMIT $2)",
        );
        query.bind(kept_since.as_microsecond()).bind(i64::from(limit)).execute(&mut self.0).await
    }

    /// Deletes the bodies of finished requests whose ids are from before `kept_since`, the oldest first and at most
    /// `limit`; how many there were.
    pub(super) async fn forget_bodies(
        &mut self,
        kept_since: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let query = database::query(
            "DELETE FROM bodies WHERE approval IN (SELECT b.approval FROM bodies b JOIN approvals a ON a.id = b.approval \
             WHERE b.approval < $1 AND a.state NOT IN ('pending', 'approved', 'releasing') \
             ORDER BY b.approval LIMIT $2)",
        );
        query.bind(first_id(kept_since)).bind(i64::from(limit)).execute(&mut self.0).await
    }

    /// How many requests wait for a decision by `rule`.
    pub(super) async fn pending_by(&mut self, rule: &str) -> Result<i64, StoreError> {
        let query = database::query("SELECT count(*) FROM pending_rules WHERE rule = $1").bind(rule);
        query.fetch_value(&mut self.0).await
    }
}

/// When the request expires, while it is open.
fn open_until(approval: &Approval) -> Option<i64> {
    let open = matches!(approval.state, State::Pending | State::Approved);
    open.then(|| approval.expires.as_microsecond())
}
