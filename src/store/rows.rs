//! Approvals as rows, and the statements that read and write them. Parameters are `$1`, so that other databases
//! can follow. Knows no rule of approvals.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, Sqlite};

use super::error::StoreError;
use super::{Change, Filter};
use crate::approval::{Approval, CallSummary, Caller, State};
use crate::effect::{Approvers, Grant};

/// One row of `approvals`.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    digest: String,
    idempotency_key: String,
    state: String,
    created_us: i64,
    expires_us: i64,
    details: String,
    votes: String,
    body: String,
}

/// What is never searched, as JSON. The body has a column of its own, so that lists need not read it.
#[derive(Serialize, Deserialize)]
struct Details {
    caller: Caller,
    call: CallSummary,
    rules: Vec<String>,
    revision: String,
    requires: Vec<Approvers>,
    grant: Grant,
}

impl Row {
    pub fn decode(self) -> Result<Approval, StoreError> {
        let id = self.id.clone();
        self.read().map_err(|why| StoreError::Unreadable { id, why })
    }

    fn read(self) -> Result<Approval, String> {
        let json = |error: serde_json::Error| error.to_string();
        let time = |us| Timestamp::from_microsecond(us).map_err(|error| error.to_string());
        let details: Details = serde_json::from_str(&self.details).map_err(json)?;
        Ok(Approval {
            id: self.id,
            digest: self.digest,
            idempotency_key: self.idempotency_key,
            state: state(&self.state).ok_or_else(|| format!("unknown state `{}`", self.state))?,
            created: time(self.created_us)?,
            expires: time(self.expires_us)?,
            caller: details.caller,
            call: CallSummary { body: self.body, ..details.call },
            rules: details.rules,
            revision: details.revision,
            requires: details.requires,
            grant: details.grant,
            votes: serde_json::from_str(&self.votes).map_err(json)?,
        })
    }
}

fn state(name: &str) -> Option<State> {
    const ALL: [State; 5] = [State::Pending, State::Approved, State::Rejected, State::Expired, State::Used];
    ALL.into_iter().find(|state| state.as_str() == name)
}

/// The caller for whom pending requests are counted, unambiguously.
pub(super) fn principal(caller: &Caller) -> String {
    serde_json::json!([caller.issuer, caller.subject, caller.spiffe]).to_string()
}

fn json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

pub(super) async fn by_id(
    database: impl Executor<'_, Database = Sqlite>,
    id: &str,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM approvals WHERE id = $1").bind(id).fetch_optional(database).await
}

/// The open approval of this call, if there is one.
pub(super) async fn open(
    database: &mut SqliteConnection,
    digest: &str,
    idempotency_key: &str,
) -> Result<Option<Row>, sqlx::Error> {
    let open = "SELECT * FROM approvals
        WHERE digest = $1 AND idempotency_key = $2 AND state IN ('pending', 'approved')";
    sqlx::query_as(open).bind(digest).bind(idempotency_key).fetch_optional(database).await
}

/// Newest first, with empty bodies.
pub(super) async fn list(
    database: impl Executor<'_, Database = Sqlite>,
    filter: &Filter,
) -> Result<Vec<Row>, sqlx::Error> {
    let all = "SELECT id, digest, idempotency_key, state, created_us, expires_us, details, votes, '' AS body
        FROM approvals WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2";
    let of_state =
        "SELECT id, digest, idempotency_key, state, created_us, expires_us, details, votes, '' AS body
        FROM approvals WHERE state = $3 AND ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2";
    let query = sqlx::query_as(if filter.state.is_some() { of_state } else { all });
    let query = query.bind(filter.before.as_deref()).bind(i64::from(filter.limit));
    match filter.state {
        Some(state) => query.bind(state.as_str()).fetch_all(database).await,
        None => query.fetch_all(database).await,
    }
}

pub(super) async fn ping(database: impl Executor<'_, Database = Sqlite>) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT id FROM approvals LIMIT 1").fetch_optional(database).await.map(drop)
}

pub(super) async fn count_of_principal(
    database: &mut SqliteConnection,
    principal: &str,
) -> Result<i64, sqlx::Error> {
    let count = "SELECT count(*) FROM approvals WHERE principal = $1 AND state = 'pending'";
    sqlx::query_scalar(count).bind(principal).fetch_one(database).await
}

pub(super) async fn count_of_rule(database: &mut SqliteConnection, rule: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM pending_rules WHERE rule = $1")
        .bind(rule)
        .fetch_one(database)
        .await
}

pub(super) async fn insert(database: &mut SqliteConnection, approval: &Approval) -> Result<(), sqlx::Error> {
    let details = Details {
        caller: approval.caller.clone(),
        call: CallSummary { body: String::new(), ..approval.call.clone() },
        rules: approval.rules.clone(),
        revision: approval.revision.clone(),
        requires: approval.requires.clone(),
        grant: approval.grant,
    };
    let insert = "INSERT INTO approvals
        (id, digest, idempotency_key, state, created_us, expires_us, principal, details, votes, body)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    sqlx::query(insert)
        .bind(&approval.id)
        .bind(&approval.digest)
        .bind(&approval.idempotency_key)
        .bind(approval.state.as_str())
        .bind(approval.created.as_microsecond())
        .bind(approval.expires.as_microsecond())
        .bind(principal(&approval.caller))
        .bind(json(&details)?)
        .bind(json(&approval.votes)?)
        .bind(&approval.call.body)
        .execute(&mut *database)
        .await?;
    for rule in &approval.rules {
        let insert = "INSERT INTO pending_rules (rule, approval_id, expires_us) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING";
        let query = sqlx::query(insert).bind(rule).bind(&approval.id);
        query.bind(approval.expires.as_microsecond()).execute(&mut *database).await?;
    }
    Ok(())
}

/// Writes what a vote or a use changes.
pub(super) async fn update(database: &mut SqliteConnection, approval: &Approval) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE approvals SET state = $2, expires_us = $3, votes = $4 WHERE id = $1")
        .bind(&approval.id)
        .bind(approval.state.as_str())
        .bind(approval.expires.as_microsecond())
        .bind(json(&approval.votes)?)
        .execute(&mut *database)
        .await?;
    if approval.state != State::Pending {
        let delete = sqlx::query("DELETE FROM pending_rules WHERE approval_id = $1");
        delete.bind(&approval.id).execute(database).await?;
    }
    Ok(())
}

/// Marks as expired all that lapsed, and says which.
pub(super) async fn expire(
    database: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Vec<Change>, sqlx::Error> {
    let expire = "UPDATE approvals SET state = 'expired'
        WHERE state IN ('pending', 'approved') AND expires_us <= $1 RETURNING id";
    let ids: Vec<String> =
        sqlx::query_scalar(expire).bind(now.as_microsecond()).fetch_all(&mut *database).await?;
    if !ids.is_empty() {
        let delete = sqlx::query("DELETE FROM pending_rules WHERE expires_us <= $1");
        delete.bind(now.as_microsecond()).execute(database).await?;
    }
    Ok(ids.into_iter().map(|id| Change { id, state: State::Expired }).collect())
}

/// Forgets some finished requests that were made before `then`; says how many.
pub(super) async fn forget(database: &mut SqliteConnection, then: Timestamp) -> Result<u64, sqlx::Error> {
    let forget = "DELETE FROM approvals WHERE id IN (
        SELECT id FROM approvals
        WHERE created_us < $1 AND state IN ('rejected', 'expired', 'used') ORDER BY created_us LIMIT 500)";
    let done = sqlx::query(forget).bind(then.as_microsecond()).execute(database).await?;
    Ok(done.rows_affected())
}
