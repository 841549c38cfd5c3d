//! The record of what happened.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::words::{from_json, from_word, to_json, to_word};
use super::{EventQuery, Result, Store, StoredEvent};
use crate::model::{Event, ServerId, Timestamp};

/// Adds one event inside a transaction.
pub(super) async fn insert_event(connection: &mut SqliteConnection, event: &Event) -> Result<()> {
    sqlx::query("INSERT INTO event (at, kind, server_id, actor, details) VALUES (?, ?, ?, ?, ?)")
        .bind(event.at.0)
        .bind(to_word(&event.kind)?)
        .bind(event.server_id.map(|id| id.0))
        .bind(event.actor.as_deref())
        .bind(to_json(&event.details)?)
        .execute(connection)
        .await?;
    Ok(())
}

fn event_of(row: &SqliteRow) -> Result<StoredEvent> {
    let server_id: Option<i64> = row.try_get("server_id")?;
    Ok(StoredEvent {
        id: row.try_get("id")?,
        event: Event {
            at: Timestamp(row.try_get("at")?),
            kind: from_word(row.try_get("kind")?)?,
            server_id: server_id.map(ServerId),
            actor: row.try_get("actor")?,
            details: from_json(row.try_get("details")?)?,
        },
    })
}

impl Store {
    /// Events, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>> {
        events_sql(query)?
            .build()
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(event_of)
            .collect()
    }

    /// Adds one event to the record.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn record_event(&self, event: &Event) -> Result<()> {
        let mut write = self.write().await?;
        insert_event(write.connection()?, event).await?;
        write.commit().await
    }
}

pub(super) fn events_sql(query: &EventQuery) -> Result<QueryBuilder<Sqlite>> {
    let mut sql = QueryBuilder::new("SELECT id, at, kind, server_id, actor, details FROM event WHERE TRUE");
    if let Some(server_id) = query.server_id {
        sql.push(" AND server_id = ").push_bind(server_id.0);
    }
    if let Some(kind) = query.kind {
        // With a server, its index is the narrower one: a `+` keeps the kind's index out of it.
        sql.push(if query.server_id.is_some() {
            " AND +kind = "
        } else {
            " AND kind = "
        })
        .push_bind(to_word(&kind)?);
    }
    if let Some(before) = query.before {
        sql.push(" AND id < ").push_bind(before);
    }
    sql.push(" ORDER BY id DESC LIMIT ")
        .push_bind(i64::from(query.limit));
    Ok(sql)
}
