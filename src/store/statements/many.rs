//! Statements about many requests for approval at once: a transaction has hundreds of changes, and each statement goes to
//! another thread, or over a network.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::{Reader, Terms, Transaction, WITHOUT_BODY, decode, first_id, open_until, to_json, without_body};
use crate::approval::{Approval, State};
use crate::store::StoreError;
use crate::store::database::{self, Query, Row};

/// The body of a call that asks for approval, as it is written.
pub(in crate::store) struct NewBody {
    /// In base64; empty where it is not kept.
    pub(in crate::store) kept: String,
    /// How long it is, also where it is not kept.
    pub(in crate::store) bytes: i64,
}

/// The most rows of one statement.
const MOST: usize = 128;

impl Reader {
    /// Those of these requests that are there, without bodies, each as far as it can be read.
    pub(in crate::store) async fn all_of(
        &self,
        ids: &[String],
    ) -> Result<Vec<(String, Result<Approval, StoreError>)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in parts(ids) {
            for row in self.0.fetch_all(by_ids(ids)).await? {
                found.push((row.try_get("id")?, decode(&row)));
            }
        }
        Ok(found)
    }
}

impl Transaction<'_> {
    /// Those of these requests that are there, without bodies.
    pub(in crate::store) async fn all_of(&mut self, ids: &[String]) -> Result<Vec<Approval>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in parts(ids) {
            found.extend(decoded(by_ids(ids).fetch_all(&mut self.0).await?)?);
        }
        Ok(found)
    }

    /// What is open of these calls, each a digest and an idempotency key.
    pub(in crate::store) async fn open_of(
        &mut self,
        calls: &[(String, String)],
    ) -> Result<Vec<Approval>, StoreError> {
        let open = "a.digest = v.digest AND a.idempotency_key = v.idempotency_key AND a.state IN ('pending', 'approved')";
        self.of_calls(calls, open).await
    }

    /// The last use of an approval of each of these calls.
    pub(in crate::store) async fn used_of(
        &mut self,
        calls: &[(String, String)],
    ) -> Result<Vec<Approval>, StoreError> {
        let used = "a.id = (SELECT max(u.id) FROM approvals u WHERE u.digest = v.digest \
                    AND u.idempotency_key = v.idempotency_key \
                    AND u.state IN ('releasing', 'used', 'released_unconfirmed'))";
        self.of_calls(calls, used).await
    }

    /// The requests `a` of the calls `v` that `are` so. `CROSS`, because SQLite looks up each call then, where it might scan
    /// the approvals.
    async fn of_calls(
        &mut self,
        calls: &[(String, String)],
        are: &'static str,
    ) -> Result<Vec<Approval>, StoreError> {
        let mut found = Vec::new();
        for calls in parts(calls) {
            let query = database::query(AssertSqlSafe(format!(
                "WITH v(digest, idempotency_key) AS (VALUES {}) SELECT {WITHOUT_BODY} FROM v CROSS JOIN approvals a \
                 WHERE {are}",
                places(calls.len(), 2)
            )));
            let query = calls.iter().fold(query, |query, (digest, key)| query.bind(digest).bind(key));
            found.extend(decoded(query.fetch_all(&mut self.0).await?)?);
        }
        Ok(found)
    }

    /// How many requests of each of these callers (issuer, subject, SPIFFE id) wait for a decision, and how many were
    /// opened since `since`; in their order.
    pub(in crate::store) async fn counts_of(
        &mut self,
        callers: &[[String; 3]],
        since: Timestamp,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut counts = Vec::with_capacity(callers.len());
        for callers in parts(callers) {
            let row = |at: usize| format!("({at}, ${}, ${}, ${})", 3 * at + 1, 3 * at + 2, 3 * at + 3);
            let rows: Vec<String> = (0..callers.len()).map(row).collect();
            let query = database::query(AssertSqlSafe(format!(
                "WITH v(place, issuer, subject, spiffe) AS (VALUES {}) \
                 SELECT (SELECT count(*) FROM approvals a WHERE a.issuer = v.issuer AND a.subject = v.subject \
                 AND a.spiffe = v.spiffe AND a.state = 'pending'), \
                 (SELECT count(*) FROM approvals a WHERE a.issuer = v.issuer AND a.subject = v.subject \
                 AND a.spiffe = v.spiffe AND a.id >= ${}) FROM v ORDER BY v.place",
                rows.join(", "),
                3 * callers.len() + 1
            )));
            let query = callers.iter().flatten().fold(query, Query::bind).bind(first_id(since));
            for row in query.fetch_all(&mut self.0).await? {
                counts.push((row.try_get(0)?, row.try_get(1)?));
            }
        }
        Ok(counts)
    }

    /// Writes new requests, each with the body of its call.
    pub(in crate::store) async fn insert(&mut self, new: &[(&Approval, &NewBody)]) -> Result<(), StoreError> {
        for new in parts(new) {
            let mut query = database::query(AssertSqlSafe(format!(
                "INSERT INTO approvals (id, digest, idempotency_key, state, created_at, expires_at, \
                 issuer, subject, spiffe, terms, votes, body_bytes, progress, attention_at, open_until) VALUES {}",
                places(new.len(), 15)
            )));
            for (approval, body) in new {
                query = query
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
                    .bind(body.bytes)
                    .bind(to_json(&approval.progress)?)
                    .bind(approval.attention().map(Timestamp::as_microsecond))
                    .bind(open_until(approval));
            }
            query.execute(&mut self.0).await?;
        }
        let kept = new.iter().filter(|(_, body)| !body.kept.is_empty());
        let kept: Vec<(&str, &str)> =
            kept.map(|(approval, body)| (approval.id.as_str(), body.kept.as_str())).collect();
        for kept in parts(&kept) {
            let sql = format!("INSERT INTO bodies (approval, body) VALUES {}", places(kept.len(), 2));
            let query = database::query(AssertSqlSafe(sql));
            let query = kept.iter().fold(query, |query, (id, body)| query.bind(*id).bind(*body));
            query.execute(&mut self.0).await?;
        }
        // What rules approved by themselves waits for nobody.
        let pending = new.iter().filter(|(approval, _)| approval.state == State::Pending);
        let rules: Vec<(&str, &str)> = pending
            .flat_map(|(approval, _)| approval.rules.iter().map(|rule| (rule.as_str(), approval.id.as_str())))
            .collect();
        for rules in parts(&rules) {
            let query = database::query(AssertSqlSafe(format!(
                "INSERT INTO pending_rules (rule, approval) VALUES {} ON CONFLICT DO NOTHING",
                places(rules.len(), 2)
            )));
            let query = rules.iter().fold(query, |query, (rule, id)| query.bind(*rule).bind(*id));
            query.execute(&mut self.0).await?;
        }
        Ok(())
    }

    /// Writes what decisions and uses changed.
    pub(in crate::store) async fn update(&mut self, changed: &[&Approval]) -> Result<(), StoreError> {
        for changed in parts(changed) {
            let mut query = database::query(AssertSqlSafe(format!(
                "WITH v(id, digest, state, expires_at, votes, progress, attention_at, open_until) AS (VALUES {}) \
                 UPDATE approvals SET digest = v.digest, state = v.state, expires_at = v.expires_at, votes = v.votes, \
                 progress = v.progress, attention_at = v.attention_at, open_until = v.open_until \
                 FROM v WHERE approvals.id = v.id",
                places(changed.len(), 8)
            )));
            for approval in changed {
                query = query
                    .bind(&approval.id)
                    .bind(&approval.digest)
                    .bind(approval.state.as_str())
                    .bind(approval.expires.as_microsecond())
                    .bind(to_json(&approval.votes)?)
                    .bind(to_json(&approval.progress)?)
                    .bind(approval.attention().map(Timestamp::as_microsecond))
                    .bind(open_until(approval));
            }
            query.execute(&mut self.0).await?;
        }
        Ok(())
    }

    /// The bodies of these requests are kept no longer.
    pub(in crate::store) async fn drop_bodies(&mut self, ids: &[String]) -> Result<(), StoreError> {
        for ids in parts(ids) {
            let sql = format!("DELETE FROM bodies WHERE approval IN ({})", list(ids.len()));
            let query = ids.iter().fold(database::query(AssertSqlSafe(sql)), Query::bind);
            query.execute(&mut self.0).await?;
        }
        Ok(())
    }

    /// These requests hold no place among those that wait for a decision any more.
    pub(in crate::store) async fn not_pending(&mut self, ids: &[String]) -> Result<(), StoreError> {
        for ids in parts(ids) {
            let sql = format!("DELETE FROM pending_rules WHERE approval IN ({})", list(ids.len()));
            let query = ids.iter().fold(database::query(AssertSqlSafe(sql)), Query::bind);
            query.execute(&mut self.0).await?;
        }
        Ok(())
    }
}

fn by_ids(ids: &[String]) -> Query {
    ids.iter().fold(without_body(&format!("WHERE a.id IN ({})", list(ids.len()))), Query::bind)
}

fn decoded(rows: Vec<Row>) -> Result<Vec<Approval>, StoreError> {
    rows.iter().map(decode).collect()
}

/// In parts of 1, 2, 4 and so on: each length is a statement that has to be prepared once, and these are few.
pub(super) fn parts<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = 1_usize << rest.len().min(MOST).checked_ilog2()?;
        let (part, others) = rest.split_at_checked(length)?;
        rest = others;
        Some(part)
    })
}

/// `($1, $2), ($3, $4)`: places for so many rows.
pub(super) fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let row = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", row.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// `$1, $2`
fn list(count: usize) -> String {
    (1..=count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_one_of_a_few_lengths() {
        let lengths = |count: usize| parts(&vec![(); count]).map(<[()]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(7), [4, 2, 1]);
        assert_eq!(lengths(300), [128, 128, 32, 8, 4]);
    }

    #[test]
    fn every_parameter_has_a_place() {
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(list(3), "$1, $2, $3");
    }
}
