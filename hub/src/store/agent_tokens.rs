//! What machines enrol with: tokens, of which only the hash is kept.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::events::insert_event;
use super::servers::existing;
use super::words::{from_json, from_word, to_json};
use super::{Result, Store, TokenHash};
use crate::model::agent::{AgentToken, AgentTokenSpec};
use crate::model::{Actor, Event, EventKind, ServerId, Timestamp};

const SELECT: &str = "SELECT id, name, uses, used, expires_at, tags, group_name, transport, server_id, \
     created_at FROM agent_token";

fn token_of(row: &SqliteRow) -> Result<AgentToken> {
    Ok(AgentToken {
        id: row.try_get("id")?,
        spec: AgentTokenSpec {
            name: row.try_get("name")?,
            uses: row.try_get("uses")?,
            expires_at: Timestamp(row.try_get("expires_at")?),
            tags: from_json(row.try_get("tags")?)?,
            group: row.try_get("group_name")?,
            transport: from_word(row.try_get("transport")?)?,
            server_id: row.try_get::<Option<i64>, _>("server_id")?.map(ServerId),
        },
        used: row.try_get("used")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

/// What the record says of a token.
fn token_event(what: &str, token: &AgentTokenSpec, actor: &Actor, now: Timestamp) -> Event {
    Event {
        at: now,
        kind: EventKind::AgentTokenChanged,
        server_id: token.server_id,
        actor: actor.0.clone(),
        details: serde_json::json!({ "change": what, "name": token.name }),
    }
}

impl Store {
    /// Makes an enrolment token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]: the server it is for does not exist.
    pub async fn create_agent_token(
        &self,
        spec: &AgentTokenSpec,
        token: TokenHash,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<AgentToken> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        if let Some(server_id) = spec.server_id {
            existing(connection, server_id).await?;
        }
        let id = sqlx::query_scalar(
            "INSERT INTO agent_token (token_hash, name, uses, used, expires_at, tags, group_name, transport,
                 server_id, created_at)
             VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(&token.0[..])
        .bind(&spec.name)
        .bind(spec.uses)
        .bind(spec.expires_at.0)
        .bind(to_json(&spec.tags)?)
        .bind(&spec.group)
        .bind(spec.transport.as_str())
        .bind(spec.server_id.map(|id| id.0))
        .bind(now.0)
        .fetch_one(&mut *connection)
        .await?;
        insert_event(connection, &token_event("created", spec, actor, now)).await?;
        write.commit().await?;
        Ok(AgentToken {
            id,
            spec: spec.clone(),
            used: 0,
            created_at: now,
        })
    }

    /// All enrolment tokens, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn agent_tokens(&self) -> Result<Vec<AgentToken>> {
        sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY id DESC")))
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(token_of)
            .collect()
    }

    /// Removes an enrolment token; agents that enrolled with it stay. `false`: there was none.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn delete_agent_token(&self, id: i64, actor: &Actor, now: Timestamp) -> Result<bool> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = ?")))
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(token) = row.as_ref().map(token_of).transpose()? else {
            return Ok(false);
        };
        sqlx::query("DELETE FROM agent_token WHERE id = ?")
            .bind(id)
            .execute(&mut *connection)
            .await?;
        insert_event(connection, &token_event("deleted", &token.spec, actor, now)).await?;
        write.commit().await?;
        Ok(true)
    }
}

/// The token with this hash.
pub(super) async fn token_by_hash(
    connection: &mut SqliteConnection,
    token: TokenHash,
) -> Result<Option<AgentToken>> {
    sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE token_hash = ?")))
        .bind(&token.0[..])
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(token_of)
        .transpose()
}
