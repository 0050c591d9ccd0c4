//! The statements: how an approval becomes a row and a row an approval.
//!
//! They are the same on SQLite and on PostgreSQL.

use std::str::FromStr;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::database::{self, Connection, Pool, Row};
use crate::approval::{Approval, CallSummary, Caller, State};
use crate::effect::{Approvers, Grant};

mod bundles;
mod credentials;
mod outbox;

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
        let row =
            self.0.fetch_optional(database::query("SELECT * FROM approvals WHERE id = $1").bind(id)).await?;
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
            Some(state) => database::query(
                "SELECT id, digest, idempotency_key, state, created_at, expires_at, terms, votes, '' AS body \
                 FROM approvals WHERE state = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(state.as_str()),
            None => database::query(
                "SELECT id, digest, idempotency_key, state, created_at, expires_at, terms, votes, '' AS body \
                 FROM approvals WHERE id < $1 ORDER BY id DESC LIMIT $2",
            ),
        };
        let rows = self.0.fetch_all(query.bind(before).bind(i64::from(limit))).await?;
        rows.iter().map(decode).collect()
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

    pub(super) async fn approval(&mut self, id: &str) -> Result<Option<Approval>, StoreError> {
        let query = database::query("SELECT * FROM approvals WHERE id = $1").bind(id);
        query.fetch_optional(&mut self.0).await?.map(|row| decode(&row)).transpose()
    }

    pub(super) async fn open_approval(
        &mut self,
        digest: &str,
        idempotency_key: &str,
    ) -> Result<Option<Approval>, StoreError> {
        let query = database::query(
            "SELECT * FROM approvals \
             WHERE digest = $1 AND idempotency_key = $2 AND state IN ('pending', 'approved')",
        );
        let row = query.bind(digest).bind(idempotency_key).fetch_optional(&mut self.0).await?;
        row.map(|row| decode(&row)).transpose()
    }

    pub(super) async fn pending_of(&mut self, caller: &Caller) -> Result<i64, StoreError> {
        let query = database::query(
            "SELECT count(*) FROM approvals \
             WHERE issuer = $1 AND subject = $2 AND spiffe = $3 AND state = 'pending'",
        );
        let query = query.bind(&caller.issuer).bind(&caller.subject).bind(&caller.spiffe);
        query.fetch_value(&mut self.0).await
    }

    pub(super) async fn pending_by(&mut self, rule: &str) -> Result<i64, StoreError> {
        let query = database::query("SELECT count(*) FROM pending_rules WHERE rule = $1").bind(rule);
        query.fetch_value(&mut self.0).await
    }

    pub(super) async fn insert(&mut self, approval: &Approval) -> Result<(), StoreError> {
        let query = database::query(
            "INSERT INTO approvals (id, digest, idempotency_key, state, created_at, expires_at, \
             issuer, subject, spiffe, terms, votes, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        );
        query
            .bind(&approval.id)
            .bind(&approval.digest)
            .bind(&approval.idempotency_key)
            .bind(approval.state.as_str())
            .bind(approval.created.as_microsecond())
            .bind(approval.expires.as_microsecond())
            .bind(&approval.caller.issuer)
            .bind(&approval.caller.subject)
            .bind(&approval.caller.spiffe)
            .bind(to_json(&Terms::of(approval))?)
            .bind(to_json(&approval.votes)?)
            .bind(&approval.call.body)
            .execute(&mut self.0)
            .await?;
        for rule in &approval.rules {
            let query = database::query(
                "INSERT INTO pending_rules (rule, approval) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            );
            query.bind(rule).bind(&approval.id).execute(&mut self.0).await?;
        }
        Ok(())
    }

    /// Writes what a decision or a use changed.
    pub(super) async fn update(&mut self, approval: &Approval) -> Result<(), StoreError> {
        let query =
            database::query("UPDATE approvals SET state = $2, expires_at = $3, votes = $4 WHERE id = $1")
                .bind(&approval.id)
                .bind(approval.state.as_str())
                .bind(approval.expires.as_microsecond())
                .bind(to_json(&approval.votes)?);
        query.execute(&mut self.0).await?;
        if approval.state != State::Pending {
            self.not_pending(&approval.id).await?;
        }
        Ok(())
    }

    /// Marks as expired what is due at `now`, and returns the ids.
    pub(super) async fn expire(&mut self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let query = database::query(
            "UPDATE approvals SET state = 'expired' \
             WHERE state IN ('pending', 'approved') AND expires_at <= $1 RETURNING id",
        );
        let expired: Vec<String> = query.bind(now.as_microsecond()).fetch_values(&mut self.0).await?;
        for id in &expired {
            self.not_pending(id).await?;
        }
        Ok(expired)
    }

    /// Deletes the finished requests made before `kept_since`.
    pub(super) async fn forget(&mut self, kept_since: Timestamp) -> Result<(), StoreError> {
        let query = database::query(
            "DELETE FROM approvals WHERE created_at < $1 AND state IN ('rejected', 'expired', 'used')",
        );
        query.bind(kept_since.as_microsecond()).execute(&mut self.0).await?;
        Ok(())
    }

    async fn not_pending(&mut self, id: &str) -> Result<(), StoreError> {
        database::query("DELETE FROM pending_rules WHERE approval = $1")
            .bind(id)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }
}

/// What never changes after a request was made, but for the body of the call, which has its own column.
#[derive(Serialize, Deserialize)]
struct Terms {
    caller: Caller,
    call: CallSummary,
    rules: Vec<String>,
    revision: String,
    requires: Vec<Approvers>,
    grant: Grant,
}

impl Terms {
    fn of(approval: &Approval) -> Self {
        let call = CallSummary { body: String::new(), ..approval.call.clone() };
        Self {
            caller: approval.caller.clone(),
            call,
            rules: approval.rules.clone(),
            revision: approval.revision.clone(),
            requires: approval.requires.clone(),
            grant: approval.grant,
        }
    }
}

fn decode(row: &Row) -> Result<Approval, StoreError> {
    let mut terms: Terms = from_json(row.try_get("terms")?)?;
    terms.call.body = row.try_get("body")?;
    Ok(Approval {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        idempotency_key: row.try_get("idempotency_key")?,
        state: State::from_str(row.try_get("state")?).map_err(unreadable)?,
        created: Timestamp::from_microsecond(row.try_get("created_at")?).map_err(unreadable)?,
        expires: Timestamp::from_microsecond(row.try_get("expires_at")?).map_err(unreadable)?,
        caller: terms.caller,
        call: terms.call,
        rules: terms.rules,
        revision: terms.revision,
        requires: terms.requires,
        grant: terms.grant,
        votes: from_json(row.try_get("votes")?)?,
    })
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(unreadable)
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(Arc::from(error.to_string()))
}
