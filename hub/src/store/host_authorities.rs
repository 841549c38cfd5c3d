//! Host authorities: the keys that certify host keys, and those that are revoked.

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::is_unique_violation;
use super::events::insert_event;
use super::{Result, Store, StoreError};
use crate::model::host_authority::{HostAuthority, HostAuthorityId, HostAuthoritySpec};
use crate::model::{Actor, Event, EventKind, HostKey, Timestamp};

const SELECT: &str =
    "SELECT id, public_key, patterns, revoked, comment, created_at, updated_at FROM host_authority";

fn authority_of(row: &SqliteRow) -> Result<HostAuthority> {
    let public_key: &str = row.try_get("public_key")?;
    Ok(HostAuthority {
        id: HostAuthorityId(row.try_get("id")?),
        spec: Arc::new(HostAuthoritySpec {
            public_key: HostKey::parse(public_key)
                .map_err(|error| StoreError::unreadable("public key", error))?,
            patterns: row.try_get("patterns")?,
            revoked: row.try_get("revoked")?,
            comment: row.try_get("comment")?,
        }),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

async fn fetch(connection: &mut SqliteConnection, id: HostAuthorityId) -> Result<Option<HostAuthority>> {
    sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = ?")))
        .bind(id.0)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(authority_of)
        .transpose()
}

/// `change` is `created`, `changed` or `deleted`.
fn happened(spec: &HostAuthoritySpec, change: &str, actor: &Actor, now: Timestamp) -> Event {
    Event {
        at: now,
        kind: EventKind::HostAuthorityChanged,
        server_id: None,
        actor: actor.0.clone(),
        details: serde_json::json!({
            "name": spec.patterns,
            "fingerprint": spec.public_key.fingerprint,
            "revoked": spec.revoked,
            "change": change,
        }),
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    spec: &HostAuthoritySpec,
    actor: &Actor,
    now: Timestamp,
) -> Result<HostAuthority> {
    let inserted = sqlx::query_scalar(
        "INSERT INTO host_authority (public_key, patterns, revoked, comment, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?5, ?5) RETURNING id",
    )
    .bind(&spec.public_key.public_key)
    .bind(&spec.patterns)
    .bind(spec.revoked)
    .bind(&spec.comment)
    .bind(now.0)
    .fetch_one(&mut *connection)
    .await;
    let id = inserted.map_err(|error| taken(error, spec))?;
    insert_event(connection, &happened(spec, "created", actor, now)).await?;
    Ok(HostAuthority {
        id: HostAuthorityId(id),
        spec: Arc::new(spec.clone()),
        created_at: now,
        updated_at: now,
    })
}

fn taken(error: sqlx::Error, spec: &HostAuthoritySpec) -> StoreError {
    if is_unique_violation(&error) {
        StoreError::AuthorityTaken {
            fingerprint: spec.public_key.fingerprint.clone(),
        }
    } else {
        error.into()
    }
}

impl Store {
    /// All host authorities and revoked keys, in the order they were entered.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn host_authorities(&self) -> Result<Vec<HostAuthority>> {
        sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY id")))
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(authority_of)
            .collect()
    }

    /// Enters host authorities: all of them, or none.
    ///
    /// # Errors
    /// [`StoreError::AuthorityTaken`].
    pub async fn create_host_authorities(
        &self,
        specs: &[HostAuthoritySpec],
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Vec<HostAuthority>> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let mut entered = Vec::with_capacity(specs.len());
        for spec in specs {
            entered.push(insert(connection, spec, actor, now).await?);
        }
        write.commit().await?;
        self.servers_changed();
        Ok(entered)
    }

    /// Changes a host authority: its patterns, whether it is revoked, its comment. Its key stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_host_authority(
        &self,
        id: HostAuthorityId,
        patterns: &str,
        revoked: bool,
        comment: &str,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<HostAuthority> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        sqlx::query(
            "UPDATE host_authority SET patterns = ?, revoked = ?, comment = ?, updated_at = ? WHERE id = ?",
        )
        .bind(patterns)
        .bind(revoked)
        .bind(comment)
        .bind(now.0)
        .bind(id.0)
        .execute(&mut *connection)
        .await?;
        let authority = fetch(connection, id).await?.ok_or(StoreError::NotFound {
            what: "host authority",
            id: id.0,
        })?;
        insert_event(connection, &happened(&authority.spec, "changed", actor, now)).await?;
        write.commit().await?;
        self.servers_changed();
        Ok(authority)
    }

    /// Removes a host authority. `false`: there was none.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn delete_host_authority(
        &self,
        id: HostAuthorityId,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<bool> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let Some(authority) = fetch(connection, id).await? else {
            return Ok(false);
        };
        sqlx::query("DELETE FROM host_authority WHERE id = ?")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        insert_event(connection, &happened(&authority.spec, "deleted", actor, now)).await?;
        write.commit().await?;
        self.servers_changed();
        Ok(true)
    }
}
