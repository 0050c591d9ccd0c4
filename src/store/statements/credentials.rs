//! The statements of API keys, of revocations and of the sequence of their changes.

use std::str::FromStr;

use jiff::Timestamp;

use super::{Reader, Transaction, from_json, to_json, unreadable};
use crate::credential::{ApiKey, Revocation, RevocationKind};
use crate::store::StoreError;
use crate::store::credentials::CredentialChanges;
use crate::store::database::{self, Query, Row};

/// A follower that missed more than this reads everything again.
const MOST_CHANGES: i64 = 1_000;

const API_KEY: &str = "api_key";
const REVOCATION: &str = "revocation";

impl Reader {
    pub(in crate::store) async fn api_keys(
        &self,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<ApiKey>, StoreError> {
        // `~` sorts after every id.
        let query = database::query("SELECT * FROM api_keys WHERE id < $1 ORDER BY id DESC LIMIT $2");
        let rows = self.0.fetch_all(query.bind(before.unwrap_or("~")).bind(i64::from(limit))).await?;
        rows.iter().map(api_key).collect()
    }

    pub(in crate::store) async fn revocations(
        &self,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<Revocation>, StoreError> {
        let query = database::query(
            "SELECT * FROM revocations WHERE id < $1 AND console = 0 ORDER BY id DESC LIMIT $2",
        );
        let rows = self.0.fetch_all(query.bind(before.unwrap_or("~")).bind(i64::from(limit))).await?;
        rows.iter().map(revocation).collect()
    }

    pub(in crate::store) async fn credential_changes(
        &self,
        seen: Option<i64>,
    ) -> Result<CredentialChanges, StoreError> {
        // One transaction, so that the number and what it stands for belong together.
        let mut lease = self.0.lease().await?;
        let mut transaction = lease.snapshot().await?;
        let changes = changes(&mut transaction, seen).await?;
        transaction.commit().await?;
        lease.give_back();
        Ok(changes)
    }
}

async fn changes(
    transaction: &mut database::Transaction<'_>,
    seen: Option<i64>,
) -> Result<CredentialChanges, StoreError> {
    let numbers = database::query(
        "SELECT coalesce(min(number), 0) AS oldest, coalesce(max(number), 0) AS newest FROM changes",
    );
    let numbers = numbers.fetch_one(&mut *transaction).await?;
    let (oldest, newest): (i64, i64) = (numbers.try_get("oldest")?, numbers.try_get("newest")?);
    match seen {
        Some(seen) if seen == newest => Ok(CredentialChanges { newest, ..CredentialChanges::default() }),
        // A number that was never given is of another file: one that was put back from a copy.
        Some(seen) if seen < newest && seen >= oldest - 1 && newest - seen <= MOST_CHANGES => {
            since(transaction, seen, newest).await
        }
        _ => everything(transaction, newest).await,
    }
}

async fn everything(
    transaction: &mut database::Transaction<'_>,
    newest: i64,
) -> Result<CredentialChanges, StoreError> {
    let rows = database::query("SELECT * FROM api_keys").long().fetch_all(&mut *transaction).await?;
    let keys = rows.iter().map(|row| api_key(row).map(|key| (key.id.clone(), Some(key))));
    let api_keys = keys.collect::<Result<_, StoreError>>()?;
    let rows = database::query("SELECT * FROM revocations").long().fetch_all(&mut *transaction).await?;
    let revoked = rows.iter().map(|row| revocation(row).map(|one| (one.id.clone(), Some(one))));
    Ok(CredentialChanges { newest, whole: true, api_keys, revocations: revoked.collect::<Result<_, _>>()? })
}

async fn since(
    transaction: &mut database::Transaction<'_>,
    seen: i64,
    newest: i64,
) -> Result<CredentialChanges, StoreError> {
    let query = database::query("SELECT DISTINCT kind, id FROM changes WHERE number > $1");
    let rows = query.bind(seen).fetch_all(&mut *transaction).await?;
    let mut changes = CredentialChanges { newest, ..CredentialChanges::default() };
    for row in rows {
        let id: String = row.try_get("id")?;
        match row.try_get("kind")? {
            API_KEY => {
                let key = find_api_key(transaction, &id).await?;
                changes.api_keys.push((id, key));
            }
            REVOCATION => {
                let found = find_revocation(transaction, &id).await?;
                changes.revocations.push((id, found));
            }
            other => return Err(unreadable(format!("a change of the unknown kind `{other}`"))),
        }
    }
    Ok(changes)
}

impl Transaction<'_> {
    pub(in crate::store) async fn api_key(&mut self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        find_api_key(&mut self.0, id).await
    }

    pub(in crate::store) async fn revocation(&mut self, id: &str) -> Result<Option<Revocation>, StoreError> {
        find_revocation(&mut self.0, id).await
    }

    /// The revocations of one of these values that hold at `now`, log-outs of the console left out.
    pub(in crate::store) async fn revocations_of(
        &mut self,
        values: [&str; 4],
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        let query = database::query(
            "SELECT * FROM revocations WHERE value IN ($1, $2, $3, $4) AND console = 0 \
             AND (until_at IS NULL OR until_at > $5)",
        );
        let query = values.into_iter().fold(query, Query::bind).bind(now.as_microsecond());
        query.fetch_all(&mut self.0).await?.iter().map(revocation).collect()
    }

    pub(in crate::store) async fn count_api_keys(&mut self) -> Result<i64, StoreError> {
        database::query("SELECT count(*) FROM api_keys").fetch_value(&mut self.0).await
    }

    /// How many log-outs of the console there are, or other revocations.
    pub(in crate::store) async fn count_revocations(&mut self, logouts: bool) -> Result<i64, StoreError> {
        let query = database::query("SELECT count(*) FROM revocations WHERE console = $1");
        query.bind(i64::from(logouts)).fetch_value(&mut self.0).await
    }

    pub(in crate::store) async fn insert_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let query = database::query(
            "INSERT INTO api_keys (id, name, owner, person, member_of, hash, created_at, created_by, \
             expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        );
        query
            .bind(&key.id)
            .bind(&key.name)
            .bind(&key.owner)
            .bind(&key.person)
            .bind(to_json(&key.groups)?)
            .bind(&key.hash)
            .bind(key.created.as_microsecond())
            .bind(to_json(&key.created_by)?)
            .bind(key.expires.map(Timestamp::as_microsecond))
            .bind(key.revoked.map(Timestamp::as_microsecond))
            .execute(&mut self.0)
            .await?;
        self.changed(API_KEY, &key.id, key.created).await
    }

    pub(in crate::store) async fn revoke_api_key(
        &mut self,
        id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let query = database::query("UPDATE api_keys SET revoked_at = $2 WHERE id = $1");
        query.bind(id).bind(now.as_microsecond()).execute(&mut self.0).await?;
        self.changed(API_KEY, id, now).await
    }

    pub(in crate::store) async fn insert_revocation(&mut self, new: &Revocation) -> Result<(), StoreError> {
        let query = database::query(
            "INSERT INTO revocations (id, kind, value, issuer, issued_before, until_at, created_at, created_by, \
             reason, console) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        );
        let logout = new.kind == RevocationKind::ConsoleSession;
        // A log-out as servers that know no such kind read it.
        let kind = if logout { RevocationKind::TokenId } else { new.kind };
        query
            .bind(&new.id)
            .bind(kind.as_str())
            .bind(&new.value)
            .bind(&new.issuer)
            .bind(new.issued_before.map(Timestamp::as_microsecond))
            .bind(new.until.map(Timestamp::as_microsecond))
            .bind(new.created.as_microsecond())
            .bind(to_json(&new.created_by)?)
            .bind(&new.reason)
            .bind(i64::from(logout))
            .execute(&mut self.0)
            .await?;
        self.changed(REVOCATION, &new.id, new.created).await
    }

    pub(in crate::store) async fn delete_revocation(
        &mut self,
        id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        database::query("DELETE FROM revocations WHERE id = $1").bind(id).execute(&mut self.0).await?;
        self.changed(REVOCATION, id, now).await
    }

    /// Deletes the log-outs that ended before `now`, the keys and revocations that ended before `kept_since`, and the
    /// changes made before it but for the
    /// newest, whose number goes on. `true` when a key or revocation went.
    pub(in crate::store) async fn forget_credentials(
        &mut self,
        kept_since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let since = kept_since.as_microsecond();
        let query = database::query(
            "DELETE FROM revocations WHERE until_at < $1 OR (console = 1 AND until_at < $2) RETURNING id",
        );
        let query = query.bind(since).bind(now.as_microsecond());
        let ended: Vec<String> = query.fetch_values(&mut self.0).await?;
        for id in &ended {
            self.changed(REVOCATION, id, now).await?;
        }
        let query =
            database::query("DELETE FROM api_keys WHERE revoked_at < $1 OR expires_at < $1 RETURNING id");
        let keys: Vec<String> = query.bind(since).fetch_values(&mut self.0).await?;
        for id in &keys {
            self.changed(API_KEY, id, now).await?;
        }
        let query = database::query(
            "DELETE FROM changes WHERE changed_at < $1 AND number < (SELECT max(number) FROM changes)",
        );
        query.bind(since).execute(&mut self.0).await?;
        Ok(!ended.is_empty() || !keys.is_empty())
    }

    async fn changed(&mut self, kind: &str, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let query = database::query(
            "INSERT INTO changes (number, kind, id, changed_at) \
             SELECT coalesce(max(number), 0) + 1, $1, $2, $3 FROM changes",
        );
        query.bind(kind).bind(id).bind(now.as_microsecond()).execute(&mut self.0).await?;
        Ok(())
    }
}

async fn find_api_key(
    transaction: &mut database::Transaction<'_>,
    id: &str,
) -> Result<Option<ApiKey>, StoreError> {
    let query = database::query("SELECT * FROM api_keys WHERE id = $1").bind(id);
    query.fetch_optional(transaction).await?.map(|row| api_key(&row)).transpose()
}

async fn find_revocation(
    transaction: &mut database::Transaction<'_>,
    id: &str,
) -> Result<Option<Revocation>, StoreError> {
    let query = database::query("SELECT * FROM revocations WHERE id = $1").bind(id);
    query.fetch_optional(transaction).await?.map(|row| revocation(&row)).transpose()
}

fn api_key(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        owner: row.try_get("owner")?,
        person: row.try_get("person")?,
        groups: from_json(row.try_get("member_of")?)?,
        hash: row.try_get("hash")?,
        created: time(row.try_get("created_at")?)?,
        created_by: from_json(row.try_get("created_by")?)?,
        expires: optional_time(row, "expires_at")?,
        revoked: optional_time(row, "revoked_at")?,
    })
}

fn revocation(row: &Row) -> Result<Revocation, StoreError> {
    Ok(Revocation {
        id: row.try_get("id")?,
        kind: match row.try_get::<i64, _>("console")? {
            0 => RevocationKind::from_str(row.try_get("kind")?).map_err(unreadable)?,
            _ => RevocationKind::ConsoleSession,
        },
        value: row.try_get("value")?,
        issuer: row.try_get("issuer")?,
        issued_before: optional_time(row, "issued_before")?,
        until: optional_time(row, "until_at")?,
        created: time(row.try_get("created_at")?)?,
        created_by: from_json(row.try_get("created_by")?)?,
        reason: row.try_get("reason")?,
    })
}

fn time(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds).map_err(unreadable)
}

fn optional_time(row: &Row, column: &str) -> Result<Option<Timestamp>, StoreError> {
    row.try_get::<Option<i64>, _>(column)?.map(time).transpose()
}
