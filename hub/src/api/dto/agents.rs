//! Agents, enrolment tokens, and machines that wait for a person.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    live::AgentLive,
    model::{
        Agent, AgentId, ServerId, Timestamp, Transport,
        agent::{AgentToken, Decision, Likeness, Machine, PendingAgent},
    },
};

/// An enrolment token to make.
#[derive(Debug, ToSchema)]
pub struct AgentTokenRequest {
    /// What it is for, 1 to 100 characters; without it, the moment it is made.
    #[schema(required = false, max_length = 100, example = "web servers")]
    pub name: String,
    /// How many machines may enrol with it.
    #[schema(required = false, minimum = 1, maximum = 100_000, default = 1)]
    pub uses: u32,
    /// When it stops working; without it, in an hour.
    #[schema(required = false)]
    pub expires_at: Timestamp,
    /// Tags of the servers it makes.
    #[schema(required = false)]
    pub tags: Vec<String>,
    /// Group of the servers it makes.
    #[schema(required = false, nullable, max_length = 100)]
    pub group: Option<String>,
    /// Transport of the servers it makes: `agent` or `auto`.
    #[schema(required = false, default = "agent")]
    pub transport: Transport,
    /// The enrolled server that it adds an agent to, instead of making a server.
    #[schema(required = false, nullable)]
    pub server_id: Option<ServerId>,
}

/// An enrolment token, without the token.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AgentToken)]
pub struct AgentTokenView {
    /// Row id.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// How many machines may enrol with it.
    pub uses: u32,
    /// How many have, or wait to.
    pub used: u32,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// Tags of the servers it makes.
    pub tags: Vec<String>,
    /// Group of the servers it makes.
    pub group: Option<String>,
    /// Transport of the servers it makes.
    pub transport: Transport,
    /// The enrolled server that it adds an agent to.
    pub server_id: Option<ServerId>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<AgentToken> for AgentTokenView {
    fn from(token: AgentToken) -> Self {
        Self {
            id: token.id,
            name: token.spec.name,
            uses: token.spec.uses,
            used: token.used,
            expires_at: token.spec.expires_at,
            tags: token.spec.tags,
            group: token.spec.group,
            transport: token.spec.transport,
            server_id: token.spec.server_id,
            created_at: token.created_at,
        }
    }
}

/// A fresh enrolment token. The only time its text is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NewAgentTokenAnswer {
    /// The token.
    pub token: String,
    /// The one line to run on the machine, with everything pinned.
    pub command: String,
    /// When the token stops working.
    pub expires_at: Timestamp,
    /// Architectures (as `uname -m`) the hub has an agent for; on others the line says what to do.
    pub architectures: Vec<String>,
    /// What is stored of it.
    pub info: AgentTokenView,
}

/// Where agents reach the hub, and whom they trust.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentAuthority {
    /// `HOST:PORT` of gRPC.
    pub address: String,
    /// SHA-256 of the authority's certificate, in hexadecimal digits.
    pub sha256: String,
    /// The certificate: other programs need it to trust the gRPC port.
    pub certificate_pem: String,
}

/// An enrolled agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Agent)]
pub struct AgentView {
    /// Row id.
    pub id: AgentId,
    /// The server it reads.
    pub server_id: ServerId,
    /// What its machine says of itself.
    pub machine: Machine,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When it last streamed.
    pub last_seen_at: Option<Timestamp>,
    /// When its certificate ends, unless it is renewed before.
    pub certificate_ends_at: Timestamp,
    /// What its clock is ahead of the hub's, in milliseconds, as it is corrected for; 0 while they agree.
    pub clock_ahead_ms: i64,
    /// Samples it dropped since it was enrolled, because its disk or its spool was full.
    pub dropped_samples: u64,
    /// The stream, while there is one.
    pub stream: Option<AgentStreamView>,
}

/// The stream of an agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AgentStream)]
pub struct AgentStreamView {
    /// Since when.
    pub connected_at: Timestamp,
    /// From which address.
    pub address: String,
    /// When its last batch became durable.
    pub last_batch_at: Option<Timestamp>,
    /// What its clock is ahead by the last measurement, in milliseconds.
    pub clock_measured_ms: Option<i64>,
    /// The interval it was told, in milliseconds.
    pub interval_ms: u32,
    /// Samples that lay on its disk when it connected.
    pub spooled_samples: u64,
}

impl AgentView {
    /// An agent as stored, with what its stream says if it has one.
    #[must_use]
    pub fn new(agent: Agent, live: Option<AgentLive>) -> Self {
        let clock_ahead_ms = live
            .as_ref()
            .map_or(agent.clock_ahead_ms, |live| live.clock_ahead_ms);
        let dropped_samples = live.as_ref().map_or(agent.dropped, |live| live.dropped);
        let last_batch_at = live.as_ref().and_then(|live| live.last_batch_at);
        Self {
            id: agent.id,
            server_id: agent.server_id,
            machine: agent.machine,
            enrolled_at: agent.enrolled_at,
            last_seen_at: last_batch_at.max(agent.last_seen_at),
            certificate_ends_at: agent.not_after,
            clock_ahead_ms,
            dropped_samples,
            stream: live.map(|live| AgentStreamView {
                connected_at: live.connected_at,
                address: live.address,
                last_batch_at: live.last_batch_at,
                clock_measured_ms: live.clock_measured_ms,
                interval_ms: live.interval_ms,
                spooled_samples: live.spooled_samples,
            }),
        }
    }
}

/// A machine that waits for a person: is it the server it looks like?
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PendingAgent)]
pub struct PendingAgentView {
    /// Row id.
    pub id: i64,
    /// What it says of itself.
    pub machine: Machine,
    /// Where it comes from.
    pub address: String,
    /// The server it looks like.
    pub server_id: ServerId,
    /// Why it looks like it.
    pub likeness: Likeness,
    /// When it first asked.
    pub first_asked_at: Timestamp,
    /// When it last asked.
    pub last_asked_at: Timestamp,
    /// What a person said; carried out when it next asks, within half a minute.
    pub decision: Option<Decision>,
}

impl From<PendingAgent> for PendingAgentView {
    fn from(pending: PendingAgent) -> Self {
        Self {
            id: pending.id,
            machine: pending.machine,
            address: pending.address,
            server_id: pending.server_id,
            likeness: pending.likeness,
            first_asked_at: pending.first_asked_at,
            last_asked_at: pending.last_asked_at,
            decision: pending.decision,
        }
    }
}
