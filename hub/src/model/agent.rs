//! Agents: the programs on machines that stream, the tokens they enrol with, and the machines
//! that wait for a person to say who they are.

use serde::{Deserialize, Serialize};

use super::{ServerId, Timestamp, Transport};

/// Row id of an agent. It is never given again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct AgentId(pub i64);

impl std::fmt::Display for AgentId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What an agent's certificates carry in their serial number: 96 random bits, so that a database
/// restored from a backup never takes one agent for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AgentUid(pub [u8; 12]);

/// What a machine says of itself: shown, and compared when it enrols; it proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Machine {
    /// `/etc/machine-id`; empty where the machine has none.
    pub machine_id: String,
    /// Its own host name.
    pub hostname: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// As `uname -r`.
    pub kernel: String,
    /// As `uname -m`.
    pub architecture: String,
    /// `/proc/sys/kernel/random/boot_id`; empty where there is none.
    pub boot_id: String,
    /// Version of the agent.
    pub agent_version: String,
}

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Row id.
    pub id: AgentId,
    /// What its certificates carry.
    pub uid: AgentUid,
    /// The server it reads.
    pub server_id: ServerId,
    /// What its machine last said of itself.
    pub machine: Machine,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When it last streamed; trails the truth by at most a minute.
    pub last_seen_at: Option<Timestamp>,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// What its clock was ahead of the hub's, in milliseconds, and corrected for; 0 while they agree.
    pub clock_ahead_ms: i64,
    /// Samples it dropped since it was enrolled, as it says.
    pub dropped: u64,
    /// When it was revoked: it may not come back.
    pub revoked_at: Option<Timestamp>,
    /// By whom: a user name, `token:NAME`; `None` when another enrolment took its place.
    pub revoked_by: Option<String>,
}

/// What an agent said while it streamed, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSeen {
    /// Which agent.
    pub id: AgentId,
    /// When it was last heard.
    pub at: Timestamp,
    /// See [`Agent::clock_ahead_ms`].
    pub clock_ahead_ms: i64,
    /// See [`Agent::dropped`].
    pub dropped: u64,
    /// What its machine said of itself.
    pub machine: Machine,
}

/// What a person configured of an enrolment token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTokenSpec {
    /// What it is for.
    pub name: String,
    /// How many machines may enrol with it.
    pub uses: u32,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// Tags of the servers it makes.
    pub tags: Vec<String>,
    /// Group of the servers it makes.
    pub group: Option<String>,
    /// Transport of the servers it makes: `agent` or `auto`.
    pub transport: Transport,
    /// The enrolled server that it adds an agent to, instead of making one.
    pub server_id: Option<ServerId>,
}

/// An enrolment token as stored, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentToken {
    /// Row id.
    pub id: i64,
    /// What a person configured.
    pub spec: AgentTokenSpec,
    /// How many machines have enrolled with it or wait to.
    pub used: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A machine that asks to enrol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// SHA-256 of the public key it proved to hold.
    pub key_hash: [u8; 32],
    /// What it says of itself.
    pub machine: Machine,
    /// Where it comes from.
    pub address: String,
}

/// What becomes of an [`Applicant`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is this agent, of the server with this name.
    Enrolled(Box<Agent>, String),
    /// A person must say whether it is the server with this name.
    Waiting(String),
    /// It may not enrol.
    Refused(Refusal),
}

/// Why a machine may not enrol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such token.
    #[error(
        "this token is unknown or was removed: make a new one in the hub (Agents, or gander-hub agent-token create)"
    )]
    TokenUnknown,
    /// Too late.
    #[error("this token ended at {0}: make a new one in the hub")]
    TokenExpired(Timestamp),
    /// Too many.
    #[error("this token was good for {0} machines and all of them have enrolled: make a new one in the hub")]
    TokenUsedUp(u32),
    /// A person said no.
    #[error("a person refused this machine on the hub's page: ask them, and enrol with a new token")]
    Rejected,
    /// Too many wait.
    #[error("too many machines wait for a person's word on the hub's page (Agents): clear that list first")]
    TooManyWaiting,
}

/// A machine that waits for a person: is it the server it looks like?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAgent {
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
    /// What a person said; carried out when it next asks.
    pub decision: Option<Decision>,
}

/// Why a machine looks like an enrolled server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// An agent with the same machine-id is enrolled: a reinstalled agent, or a cloned machine.
    SameMachine,
    /// A server without an agent shows the same boot id: the same machine, or a container on it.
    SameBoot,
}

/// What a person says of a machine that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is that server: its agent takes the place of the one before.
    Merge,
    /// It is another machine: it becomes a server of its own.
    Separate,
    /// It may not enrol.
    Reject,
}
