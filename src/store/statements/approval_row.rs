//! How an approval becomes a row, and a row an approval.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::approval::{Approval, CallSummary, Caller, Requirement, Shown, State};
use crate::effect::{Class, Grant};
use crate::store::StoreError;
use crate::store::database::Row;

/// What never changes after a request was made, but for the body of the call, which has a table of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct Terms {
    caller: Caller,
    call: CallSummary,
    rules: Vec<String>,
    revision: String,
    requires: Vec<Requirement>,
    grant: Grant,
    #[serde(default)]
    same: Option<Class>,
    #[serde(default)]
    exact: Option<String>,
    #[serde(default)]
    remind_after: Option<Duration>,
}

impl Terms {
    pub(super) fn of(approval: &Approval) -> Self {
        let call = CallSummary { body: String::new(), ..approval.call.clone() };
        Self {
            caller: approval.caller.clone(),
            call,
            rules: approval.rules.clone(),
            revision: approval.revision.clone(),
            requires: approval.requires.clone(),
            grant: approval.grant,
            same: approval.same.clone(),
            exact: approval.exact.clone(),
            remind_after: approval.remind_after,
        }
    }
}

pub(super) fn decode(row: &Row) -> Result<Approval, StoreError> {
    let mut terms: Terms = from_json(row.try_get("terms")?)?;
    terms.call.body = row.try_get("body")?;
    let bytes: i64 = row.try_get("body_bytes")?;
    if terms.call.body.is_empty() && bytes > 0 {
        terms.call.shown = Shown::NotKept(bytes.unsigned_abs());
    }
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
        same: terms.same,
        exact: terms.exact,
        remind_after: terms.remind_after,
        votes: from_json(row.try_get("votes")?)?,
        progress: from_json(row.try_get("progress")?)?,
    })
}

/// Those that can be read: one row of a newer server, or a damaged one, keeps nobody from the others.
pub(super) fn decode_all(rows: &[Row]) -> Vec<Approval> {
    let readable = |row: &Row| match decode(row) {
        Ok(approval) => Some(approval),
        Err(error) => {
            let id: String = row.try_get("id").unwrap_or_default();
            tracing::error!(%error, approval = %id, "a request for approval can't be read, and is left out");
            None
        }
    };
    rows.iter().filter_map(readable).collect()
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(unreadable)
}

pub(super) fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(unreadable)
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(Arc::from(error.to_string()))
}
