//! Enrolled agents, and the certificate authority that names them.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::watch;

use super::events::insert_event;
use super::seal::Place;
use super::servers::fetch_server;
use super::words::{from_json, to_json};
use super::{Result, Store, StoreError};
use crate::model::agent::{Agent, AgentId, AgentSeen, AgentUid};
use crate::model::{Actor, Event, EventKind, Secret, Server, ServerId, Timestamp};

const SELECT: &str = "SELECT id, uid, server_id, machine, enrolled_at, last_seen_at, not_after, clock_ahead_ms, \
     dropped, revoked_at, revoked_by FROM agent";

/// The authority's private key is sealed for this place.
const AUTHORITY: Place = Place {
    table: "authority",
    row: 1,
    field: "private key",
};

pub(super) fn agent_of(row: &SqliteRow) -> Result<Agent> {
    let uid: &[u8] = row.try_get("uid")?;
    let dropped: i64 = row.try_get("dropped")?;
    let moment = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    Ok(Agent {
        id: AgentId(row.try_get("id")?),
        uid: AgentUid(
            uid.try_into()
                .map_err(|_| StoreError::unreadable("agent", "a uid of another length"))?,
        ),
        server_id: ServerId(row.try_get("server_id")?),
        machine: from_json(row.try_get("machine")?)?,
        enrolled_at: Timestamp(row.try_get("enrolled_at")?),
        last_seen_at: moment("last_seen_at")?,
        not_after: Timestamp(row.try_get("not_after")?),
        clock_ahead_ms: row.try_get("clock_ahead_ms")?,
        dropped: dropped.unsigned_abs(),
        revoked_at: moment("revoked_at")?,
        revoked_by: row.try_get("revoked_by")?,
    })
}

/// The agent that a condition on `agent` finds, which one value is bound to.
pub(super) async fn find_agent<'q, T>(
    connection: &mut SqliteConnection,
    condition: &'static str,
    value: T,
) -> Result<Option<Agent>>
where
    T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + 'q,
{
    sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE {condition} LIMIT 1")))
        .bind(value)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(agent_of)
        .transpose()
}

/// Revokes the agent of a server, if it has one.
pub(super) async fn revoke_of_server(
    connection: &mut SqliteConnection,
    server_id: ServerId,
    by: &Actor,
    now: Timestamp,
) -> Result<()> {
    if let Some(agent) = find_agent(connection, "server_id = ? AND revoked_at IS NULL", server_id.0).await? {
        revoke(connection, &agent, by, now).await?;
    }
    Ok(())
}

async fn revoke(connection: &mut SqliteConnection, agent: &Agent, by: &Actor, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE agent SET revoked_at = ?, revoked_by = ? WHERE id = ?")
        .bind(now.0)
        .bind(&by.0)
        .bind(agent.id.0)
        .execute(&mut *connection)
        .await?;
    let event = Event {
        at: now,
        kind: EventKind::AgentRevoked,
        server_id: Some(agent.server_id),
        actor: by.0.clone(),
        details: serde_json::json!({ "agent_id": agent.id, "name": agent.machine.hostname }),
    };
    insert_event(connection, &event).await
}

impl Store {
    /// The authority's certificate (DER) and its private key (PEM), once it was made.
    ///
    /// # Errors
    /// The database cannot be read, or the key does not open.
    pub async fn authority(&self) -> Result<Option<(Vec<u8>, Secret)>> {
        let row = sqlx::query("SELECT certificate, private_key FROM authority WHERE id = 1")
            .fetch_optional(&self.inner.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let sealed: &[u8] = row.try_get("private_key")?;
        let key = self.inner.key.open(&AUTHORITY, sealed).ok_or_else(|| {
            StoreError::unreadable("the private key of the agents' authority", "it does not open")
        })?;
        Ok(Some((row.try_get("certificate")?, key)))
    }

    /// Keeps a new authority. One that is there already stays; read it again.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn put_authority(&self, certificate: &[u8], key: &Secret, now: Timestamp) -> Result<()> {
        let sealed = self.inner.key.seal(&AUTHORITY, key.expose())?;
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO authority (id, certificate, private_key, created_at) VALUES (1, ?, ?, ?)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(certificate)
        .bind(sealed)
        .bind(now.0)
        .execute(write.connection()?)
        .await?;
        write.commit().await
    }

    /// The agent that a certificate names, revoked or not, and its server.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn agent_by_uid(&self, uid: AgentUid) -> Result<Option<(Agent, Server)>> {
        let mut connection = self.read().await?;
        let Some(agent) = find_agent(&mut connection, "uid = ?", uid.0.to_vec()).await? else {
            return Ok(None);
        };
        let server = fetch_server(&mut connection, agent.server_id).await?;
        Ok(server.map(|server| (agent, server)))
    }

    /// Every agent that is not revoked, by id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn agents(&self) -> Result<Vec<Agent>> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE revoked_at IS NULL ORDER BY id"
        )))
        .fetch_all(&self.inner.readers)
        .await?
        .iter()
        .map(agent_of)
        .collect()
    }

    /// Agents revoked at this moment or later.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn agents_revoked_since(&self, moment: Timestamp) -> Result<Vec<AgentId>> {
        let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM agent WHERE revoked_at >= ?")
            .bind(moment.0)
            .fetch_all(&self.inner.readers)
            .await?;
        Ok(ids.into_iter().map(AgentId).collect())
    }

    /// Revokes an agent: its certificates are worth nothing from now on. `false`: there is no such
    /// agent, or it was revoked before.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn revoke_agent(&self, id: AgentId, actor: &Actor, now: Timestamp) -> Result<bool> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let Some(agent) = find_agent(connection, "id = ? AND revoked_at IS NULL", id.0).await? else {
            return Ok(false);
        };
        revoke(connection, &agent, actor, now).await?;
        write.commit().await?;
        self.agents_changed();
        Ok(true)
    }

    /// An agent has a certificate that ends at this moment.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn agent_renewed(&self, id: AgentId, not_after: Timestamp) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE agent SET not_after = ? WHERE id = ?")
            .bind(not_after.0)
            .bind(id.0)
            .execute(write.connection()?)
            .await?;
        write.commit().await
    }

    /// Keeps what agents said while they streamed, in one transaction.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn agents_seen(&self, seen: &[AgentSeen]) -> Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        let mut write = self.write().await?;
        let connection = write.connection()?;
        for agent in seen {
            sqlx::query(
                "UPDATE agent SET last_seen_at = ?, clock_ahead_ms = ?, dropped = ?, machine = ? WHERE id = ?",
            )
            .bind(agent.at.0)
            .bind(agent.clock_ahead_ms)
            .bind(i64::try_from(agent.dropped).unwrap_or(i64::MAX))
            .bind(to_json(&agent.machine)?)
            .bind(agent.id.0)
            .execute(&mut *connection)
            .await?;
        }
        write.commit().await
    }

    /// A number that grows after agents enrolled or were revoked by this process.
    #[must_use]
    pub fn subscribe_agents(&self) -> watch::Receiver<u64> {
        self.inner.agents_changed.subscribe()
    }

    pub(super) fn agents_changed(&self) {
        self.inner
            .agents_changed
            .send_modify(|generation| *generation += 1);
    }
}
