//! How a machine becomes an agent: admission, and those that wait for a person.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::agent_tokens::token_by_hash;
use super::agents::{find_agent, revoke_of_server};
use super::events::insert_event;
use super::seal::fill_random;
use super::servers::{existing, fetch_server, happened, write_spec};
use super::words::{from_json, from_word, to_json, to_word};
use super::{Result, Store, StoreError, TokenHash};
use crate::model::agent::{
    Admission, Agent, AgentToken, Applicant, Decision, Likeness, PendingAgent, Refusal,
};
use crate::model::server::ServerSpec;
use crate::model::{Actor, Event, EventKind, Server, ServerId, Timestamp, Transport};

/// Machines that may wait for a person at a time.
const MOST_PENDING: i64 = 1_000;
/// A machine that has not asked for this long is forgotten.
const FORGET_PENDING_MS: i64 = 7 * 24 * 3600 * 1000;
/// A token stays on the list this long after its end.
const FORGET_TOKEN_MS: i64 = 7 * 24 * 3600 * 1000;

const SELECT_PENDING: &str = "SELECT id, machine, address, server_id, likeness, first_asked_at, last_asked_at, \
     decision FROM agent_pending";

fn pending_of(row: &SqliteRow) -> Result<PendingAgent> {
    let decision: Option<&str> = row.try_get("decision")?;
    Ok(PendingAgent {
        id: row.try_get("id")?,
        machine: from_json(row.try_get("machine")?)?,
        address: row.try_get("address")?,
        server_id: ServerId(row.try_get("server_id")?),
        likeness: from_word(row.try_get("likeness")?)?,
        first_asked_at: Timestamp(row.try_get("first_asked_at")?),
        last_asked_at: Timestamp(row.try_get("last_asked_at")?),
        decision: decision.map(from_word).transpose()?,
    })
}

impl Store {
    /// Decides whether a machine may enrol, and makes it an agent if so. Asking again with the
    /// same key and token gives the same answer and uses nothing up.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn enrol(
        &self,
        token: TokenHash,
        applicant: &Applicant,
        not_after: Timestamp,
        now: Timestamp,
    ) -> Result<Admission> {
        // A guess must not hold up the one writer.
        let mut reader = self.inner.readers.acquire().await?;
        if token_by_hash(&mut reader, token).await?.is_none() {
            return Ok(Admission::Refused(Refusal::TokenUnknown));
        }
        drop(reader);
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        let Some(token) = token_by_hash(connection, token).await? else {
            return Ok(Admission::Refused(Refusal::TokenUnknown));
        };
        let admission = Enrolment {
            connection,
            token,
            applicant,
            not_after,
            now,
        }
        .decide()
        .await?;
        if let Admission::Enrolled(..) = admission {
            cache.forget_servers();
        }
        write.commit().await?;
        if let Admission::Enrolled(..) = admission {
            self.servers_changed();
            self.agents_changed();
        }
        Ok(admission)
    }

    /// The machines that wait for a person, the oldest first; those decided on come last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn pending_agents(&self) -> Result<Vec<PendingAgent>> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT_PENDING} ORDER BY decision IS NOT NULL, id"
        )))
        .fetch_all(&self.inner.readers)
        .await?
        .iter()
        .map(pending_of)
        .collect()
    }

    /// A person's word on a machine that waits; carried out when it next asks. `false`: it does
    /// not wait any more.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn decide_pending_agent(&self, id: i64, decision: Decision) -> Result<bool> {
        let mut write = self.write().await?;
        let updated = sqlx::query("UPDATE agent_pending SET decision = ? WHERE id = ?")
            .bind(to_word(&decision)?)
            .bind(id)
            .execute(write.connection()?)
            .await?;
        write.commit().await?;
        Ok(updated.rows_affected() > 0)
    }

    /// Forgets tokens that ended long ago and machines that ask no more.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn purge_enrolment(&self, now: Timestamp) -> Result<()> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        sqlx::query("DELETE FROM agent_pending WHERE last_asked_at < ?")
            .bind(now.plus_millis(-FORGET_PENDING_MS).0)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "DELETE FROM agent_token WHERE expires_at < ?
             AND NOT EXISTS (SELECT 1 FROM agent_pending WHERE token_id = agent_token.id)",
        )
        .bind(now.plus_millis(-FORGET_TOKEN_MS).0)
        .execute(connection)
        .await?;
        write.commit().await
    }
}

/// One machine asking, inside a transaction.
struct Enrolment<'a> {
    connection: &'a mut SqliteConnection,
    token: AgentToken,
    applicant: &'a Applicant,
    not_after: Timestamp,
    now: Timestamp,
}

impl Enrolment<'_> {
    async fn decide(mut self) -> Result<Admission> {
        let key = self.applicant.key_hash.to_vec();
        // The same key again: the answer was lost on its way, or the agent asks with a new token.
        if let Some(agent) = find_agent(self.connection, "key_hash = ? AND revoked_at IS NULL", key).await? {
            return self.again(agent).await;
        }
        if let Some(pending) = self.pending().await? {
            return self.still_pending(pending).await;
        }
        if let Some(refusal) = self.use_token().await? {
            return Ok(Admission::Refused(refusal));
        }
        if let Some(server_id) = self.token.spec.server_id {
            let server = existing(self.connection, server_id).await?;
            return self.attach(server).await;
        }
        match self.lookalike().await? {
            Some((server, likeness)) => self.wait(server, likeness).await,
            None => self.separate().await,
        }
    }

    async fn again(&mut self, agent: Agent) -> Result<Admission> {
        let used: Option<i64> = sqlx::query_scalar("SELECT token_id FROM agent WHERE id = ?")
            .bind(agent.id.0)
            .fetch_one(&mut *self.connection)
            .await?;
        if used != Some(self.token.id) {
            if let Some(refusal) = self.use_token().await? {
                return Ok(Admission::Refused(refusal));
            }
            sqlx::query("UPDATE agent SET token_id = ? WHERE id = ?")
                .bind(self.token.id)
                .bind(agent.id.0)
                .execute(&mut *self.connection)
                .await?;
        }
        sqlx::query("UPDATE agent SET not_after = ? WHERE id = ?")
            .bind(self.not_after.0)
            .bind(agent.id.0)
            .execute(&mut *self.connection)
            .await?;
        let server = existing(self.connection, agent.server_id).await?;
        let agent = Agent {
            not_after: self.not_after,
            ..agent
        };
        Ok(Admission::Enrolled(Box::new(agent), server.spec.name))
    }

    /// Counts a use of the token, or says why it has none left.
    async fn use_token(&mut self) -> Result<Option<Refusal>> {
        let spec = &self.token.spec;
        if spec.expires_at <= self.now {
            return Ok(Some(Refusal::TokenExpired(spec.expires_at)));
        }
        if self.token.used >= spec.uses {
            return Ok(Some(Refusal::TokenUsedUp(spec.uses)));
        }
        sqlx::query("UPDATE agent_token SET used = used + 1 WHERE id = ?")
            .bind(self.token.id)
            .execute(&mut *self.connection)
            .await?;
        Ok(None)
    }

    async fn pending(&mut self) -> Result<Option<PendingAgent>> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT_PENDING} WHERE key_hash = ? AND token_id = ?"
        )))
        .bind(self.applicant.key_hash.to_vec())
        .bind(self.token.id)
        .fetch_optional(&mut *self.connection)
        .await?
        .as_ref()
        .map(pending_of)
        .transpose()
    }

    async fn still_pending(&mut self, pending: PendingAgent) -> Result<Admission> {
        sqlx::query("UPDATE agent_pending SET last_asked_at = ? WHERE id = ?")
            .bind(self.now.0)
            .bind(pending.id)
            .execute(&mut *self.connection)
            .await?;
        let server = existing(self.connection, pending.server_id).await?;
        match pending.decision {
            None => Ok(Admission::Waiting(server.spec.name)),
            Some(Decision::Reject) => Ok(Admission::Refused(Refusal::Rejected)),
            Some(Decision::Merge) => {
                self.forget(&pending).await?;
                self.attach(server).await
            }
            Some(Decision::Separate) => {
                self.forget(&pending).await?;
                self.separate().await
            }
        }
    }

    async fn forget(&mut self, pending: &PendingAgent) -> Result<()> {
        sqlx::query("DELETE FROM agent_pending WHERE id = ?")
            .bind(pending.id)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// The enrolled server that this machine may well be.
    async fn lookalike(&mut self) -> Result<Option<(Server, Likeness)>> {
        let machine = &self.applicant.machine;
        if !machine.machine_id.is_empty() {
            let condition = "machine_id = ? AND revoked_at IS NULL";
            let id = machine.machine_id.clone();
            if let Some(agent) = find_agent(self.connection, condition, id).await? {
                let server = existing(self.connection, agent.server_id).await?;
                return Ok(Some((server, Likeness::SameMachine)));
            }
        }
        if machine.boot_id.is_empty() {
            return Ok(None);
        }
        let server_id: Option<i64> = sqlx::query_scalar(
            "SELECT server.id FROM server JOIN status ON status.server_id = server.id
             WHERE status.boot_id = ? AND server.transport IN ('auto', 'ssh')
               AND NOT EXISTS (SELECT 1 FROM agent WHERE agent.server_id = server.id AND revoked_at IS NULL)
             ORDER BY server.id LIMIT 1",
        )
        .bind(&machine.boot_id)
        .fetch_optional(&mut *self.connection)
        .await?;
        let Some(id) = server_id else { return Ok(None) };
        let server = fetch_server(self.connection, ServerId(id)).await?;
        Ok(server.map(|server| (server, Likeness::SameBoot)))
    }

    async fn wait(&mut self, server: Server, likeness: Likeness) -> Result<Admission> {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_pending")
            .fetch_one(&mut *self.connection)
            .await?;
        if waiting >= MOST_PENDING {
            return Ok(Admission::Refused(Refusal::TooManyWaiting));
        }
        let machine = &self.applicant.machine;
        // One key waits once: with the token it asked with last.
        sqlx::query(
            "INSERT INTO agent_pending (key_hash, token_id, server_id, likeness, machine, address,
                 first_asked_at, last_asked_at)
             VALUES (?, ?, ?, ?, ?, ?, ?7, ?7)
             ON CONFLICT (key_hash) DO UPDATE SET token_id = excluded.token_id,
                 server_id = excluded.server_id, likeness = excluded.likeness, machine = excluded.machine,
                 address = excluded.address, last_asked_at = excluded.last_asked_at, decision = NULL",
        )
        .bind(self.applicant.key_hash.to_vec())
        .bind(self.token.id)
        .bind(server.id.0)
        .bind(to_word(&likeness)?)
        .bind(to_json(machine)?)
        .bind(&self.applicant.address)
        .bind(self.now.0)
        .execute(&mut *self.connection)
        .await?;
        let event = Event {
            at: self.now,
            kind: EventKind::AgentWaits,
            server_id: Some(server.id),
            actor: None,
            details: serde_json::json!({
                "name": server.spec.name,
                "hostname": machine.hostname,
                "address": self.applicant.address,
                "likeness": likeness,
            }),
        };
        insert_event(self.connection, &event).await?;
        Ok(Admission::Waiting(server.spec.name))
    }

    /// Makes the machine a server of its own.
    async fn separate(&mut self) -> Result<Admission> {
        let token = &self.token.spec;
        let mut spec = ServerSpec {
            tags: token.tags.clone(),
            group: token.group.clone(),
            ..ServerSpec::new("", self.applicant.address.clone(), "", token.transport)
        };
        spec.name = self.free_name().await?;
        let id = write_spec(self.connection, None, &spec, self.now).await?;
        let server = existing(self.connection, id).await?;
        let actor = self.actor();
        let event = happened(EventKind::ServerAdded, &server, &actor, self.now);
        insert_event(self.connection, &event).await?;
        self.make_agent(&server).await
    }

    /// Makes the machine the agent of a server that is there.
    async fn attach(&mut self, server: Server) -> Result<Admission> {
        revoke_of_server(self.connection, server.id, &Actor::hub(), self.now).await?;
        let mut server = server;
        if server.spec.transport == Transport::Ssh {
            server.spec.transport = Transport::Auto;
            write_spec(self.connection, Some(server.id), &server.spec, self.now).await?;
        }
        self.make_agent(&server).await
    }

    async fn make_agent(&mut self, server: &Server) -> Result<Admission> {
        let mut uid = [0; 12];
        fill_random(&mut uid)?;
        let machine = &self.applicant.machine;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO agent (uid, server_id, key_hash, token_id, machine_id, machine, enrolled_at, not_after,
                 clock_ahead_ms, dropped)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0) RETURNING id",
        )
        .bind(uid.to_vec())
        .bind(server.id.0)
        .bind(self.applicant.key_hash.to_vec())
        .bind(self.token.id)
        .bind(&machine.machine_id)
        .bind(to_json(machine)?)
        .bind(self.now.0)
        .bind(self.not_after.0)
        .fetch_one(&mut *self.connection)
        .await?;
        let event = Event {
            at: self.now,
            kind: EventKind::AgentEnrolled,
            server_id: Some(server.id),
            actor: self.actor().0,
            details: serde_json::json!({
                "agent_id": id,
                "name": server.spec.name,
                "hostname": machine.hostname,
                "address": self.applicant.address,
            }),
        };
        insert_event(self.connection, &event).await?;
        let agent = find_agent(self.connection, "id = ?", id).await?;
        let agent = agent.ok_or(StoreError::NotFound { what: "agent", id })?;
        Ok(Admission::Enrolled(Box::new(agent), server.spec.name.clone()))
    }

    fn actor(&self) -> Actor {
        Actor(Some(format!("agent-token:{}", self.token.spec.name)))
    }

    /// The machine's own name, with a number behind it where that is taken.
    async fn free_name(&mut self) -> Result<String> {
        let wished = &self.applicant.machine.hostname;
        let wished = if wished.is_empty() { "machine" } else { wished };
        let wished: String = wished.chars().take(80).collect();
        for number in 1..10_000 {
            let name = if number == 1 {
                wished.clone()
            } else {
                format!("{wished}-{number}")
            };
            let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM server WHERE name = ?)")
                .bind(&name)
                .fetch_one(&mut *self.connection)
                .await?;
            if !taken {
                return Ok(name);
            }
        }
        Err(StoreError::NameTaken { name: wished })
    }
}
