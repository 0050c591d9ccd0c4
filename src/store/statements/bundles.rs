//! The statements of the policies' revisions and of their history.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::{Reader, Transaction, from_json, to_json, unreadable};
use crate::store::StoreError;
use crate::store::bundles::{
    Activate, BundleEvent, BundleState, Content, KEPT_BUNDLES, KEPT_EVENTS, KeptBundle, NewBundle,
    NewestVersion, RecordedEvent, StateChange,
};
use crate::store::database::{self, Row};

const KEPT: &str =
    "SELECT id, revision, name, version, digest, signer, source, kept_at, active_at, previous FROM bundles";

/// Content, in bytes, that may take longer to write.
const LARGE: usize = 256 << 10;

impl Reader {
    pub(in crate::store) async fn bundle_state(&self) -> Result<BundleState, StoreError> {
        // One transaction, so that the state and what it points to belong together.
        let mut lease = self.0.lease().await?;
        let mut transaction = lease.snapshot().await?;
        let state = state(&mut transaction).await?;
        transaction.commit().await?;
        lease.give_back();
        Ok(state)
    }

    pub(in crate::store) async fn bundles(&self) -> Result<Vec<KeptBundle>, StoreError> {
        let text = format!("{KEPT} ORDER BY active_at DESC, id DESC");
        let rows = self.0.fetch_all(database::query(AssertSqlSafe(text))).await?;
        rows.iter().map(kept).collect()
    }

    pub(in crate::store) async fn bundle_content(&self, id: &str) -> Result<Option<Content>, StoreError> {
        let query = database::query("SELECT form, content FROM bundles WHERE id = $1").long().bind(id);
        let Some(row) = self.0.fetch_optional(query).await? else { return Ok(None) };
        let bytes = row.try_get("content")?;
        match row.try_get("form")? {
            "archive" => Ok(Some(Content::Archive(bytes))),
            "files" => Ok(Some(Content::Files(bytes))),
            other => Err(unreadable(format!("a revision of the unknown form `{other}`"))),
        }
    }

    pub(in crate::store) async fn bundle_events(
        &self,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        // `~` sorts after every id.
        let query = database::query(
            "SELECT id, at, event FROM bundle_events WHERE id < $1 ORDER BY id DESC LIMIT $2",
        );
        let rows = self.0.fetch_all(query.bind(before.unwrap_or("~")).bind(i64::from(limit))).await?;
        let event = |row: &Row| {
            Ok(RecordedEvent {
                id: row.try_get("id")?,
                at: time(row, "at")?,
                event: from_json(row.try_get("event")?)?,
            })
        };
        rows.iter().map(event).collect()
    }
}

impl Transaction<'_> {
    pub(in crate::store) async fn bundle_state(&mut self) -> Result<BundleState, StoreError> {
        state(&mut self.0).await
    }

    /// Writes the change of the state `before`; `id` is for a revision that is not kept yet.
    pub(in crate::store) async fn change_bundles(
        &mut self,
        change: &StateChange,
        before: BundleState,
        id: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let number = before.number + 1;
        let before = before.active.map(|active| active.id);
        let active = match &change.active {
            Activate::Same => before.unwrap_or_default(),
            Activate::New(new) => self.keep(new, id, before, now).await?,
            Activate::Kept(id) => {
                let query = database::query("UPDATE bundles SET active_at = $2 WHERE id = $1");
                query.bind(id).bind(now.as_microsecond()).execute(&mut self.0).await?;
                id.clone()
            }
        };
        let query = database::query(
            "INSERT INTO bundle_state (only_one, active, pinned, rolled_back, passed_over, number) \
             VALUES (1, $1, $2, $3, $4, $5) ON CONFLICT (only_one) \
             DO UPDATE SET active = $1, pinned = $2, rolled_back = $3, passed_over = $4, number = $5",
        );
        let passed_over = change.passed_over.as_deref().unwrap_or_default();
        let query = query.bind(active).bind(i64::from(change.pinned)).bind(i64::from(change.rolled_back));
        query.bind(passed_over).bind(number).execute(&mut self.0).await?;
        if let Some(newest) = &change.newest {
            let query = database::query(
                "INSERT INTO bundle_versions (name, version, digest) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET version = $2, digest = $3",
            );
            let query = query.bind(&newest.name).bind(&newest.version).bind(&newest.digest);
            query.execute(&mut self.0).await?;
        }
        let query = database::query(
            "DELETE FROM bundles WHERE id NOT IN \
             (SELECT id FROM bundles ORDER BY active_at DESC, id DESC LIMIT $1) \
             AND id NOT IN (SELECT active FROM bundle_state)",
        );
        query.bind(i64::from(KEPT_BUNDLES)).execute(&mut self.0).await?;
        Ok(())
    }

    pub(in crate::store) async fn record_event(
        &mut self,
        event: &BundleEvent,
        id: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let query = database::query("INSERT INTO bundle_events (id, at, event) VALUES ($1, $2, $3)");
        query.bind(id).bind(now.as_microsecond()).bind(to_json(event)?).execute(&mut self.0).await?;
        let query = database::query(
            "DELETE FROM bundle_events WHERE id NOT IN (SELECT id FROM bundle_events ORDER BY id DESC LIMIT $1)",
        );
        query.bind(i64::from(KEPT_EVENTS)).execute(&mut self.0).await?;
        Ok(())
    }

    /// Keeps a revision as the active one that follows `before`, and returns its id: an old one where the same
    /// content is kept already.
    async fn keep(
        &mut self,
        new: &NewBundle,
        id: String,
        before: Option<String>,
        now: Timestamp,
    ) -> Result<String, StoreError> {
        let (form, content) = match &new.content {
            Content::Archive(bytes) => ("archive", bytes),
            Content::Files(bytes) => ("files", bytes),
        };
        if content.len() > LARGE {
            self.0.allow_long().await?;
        }
        let query = database::query(
            "INSERT INTO bundles (id, revision, name, version, digest, signer, source, form, content, kept_at, \
             active_at, previous) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11) \
             ON CONFLICT (name, version, digest) DO UPDATE SET revision = $2, signer = $6, source = $7, \
             form = $8, content = $9, active_at = $10, \
             previous = CASE WHEN bundles.id = $11 THEN bundles.previous ELSE $11 END RETURNING id",
        );
        let query = query
            .bind(id)
            .bind(&new.revision)
            .bind(&new.name)
            .bind(&new.version)
            .bind(&new.digest)
            .bind(&new.signer)
            .bind(&new.source)
            .bind(form)
            .bind(content)
            .bind(now.as_microsecond())
            .bind(before.unwrap_or_default())
            .long();
        query.fetch_value(&mut self.0).await
    }
}

async fn state(transaction: &mut database::Transaction<'_>) -> Result<BundleState, StoreError> {
    let newest = database::query("SELECT name, version, digest FROM bundle_versions ORDER BY name");
    let newest = newest.fetch_all(&mut *transaction).await?;
    let newest = newest.iter().map(|row| {
        Ok(NewestVersion {
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            digest: row.try_get("digest")?,
        })
    });
    let newest = newest.collect::<Result<_, StoreError>>()?;
    let row = database::query("SELECT active, pinned, rolled_back, passed_over, number FROM bundle_state");
    let Some(row) = row.fetch_optional(&mut *transaction).await? else {
        return Ok(BundleState { newest, ..BundleState::default() });
    };
    let active: String = row.try_get("active")?;
    let text = format!("{KEPT} WHERE id = $1");
    let active = database::query(AssertSqlSafe(text)).bind(active).fetch_optional(&mut *transaction).await?;
    Ok(BundleState {
        active: active.map(|row| kept(&row)).transpose()?,
        pinned: row.try_get::<i64, _>("pinned")? != 0,
        rolled_back: row.try_get::<i64, _>("rolled_back")? != 0,
        passed_over: filled(row.try_get("passed_over")?),
        newest,
        number: row.try_get("number")?,
    })
}

fn kept(row: &Row) -> Result<KeptBundle, StoreError> {
    Ok(KeptBundle {
        id: row.try_get("id")?,
        revision: row.try_get("revision")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        digest: row.try_get("digest")?,
        signer: row.try_get("signer")?,
        source: row.try_get("source")?,
        kept: time(row, "kept_at")?,
        activated: time(row, "active_at")?,
        previous: filled(row.try_get("previous")?),
    })
}

fn time(row: &Row, column: &str) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(row.try_get(column)?).map_err(unreadable)
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
