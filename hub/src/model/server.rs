//! A monitored server: what a person configured, and what the hub last saw of it.

use gander_probe::Snapshot;
use serde::{Deserialize, Serialize};

use super::{
    CollectError, CredentialId, HostKey, Origin, Secret, Timestamp,
    credential::{CredentialKind, KeySource},
    reading::SshSession,
};

/// Row id of a server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct ServerId(pub i64);

impl std::fmt::Display for ServerId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How the hub reads a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// The agent while it streams, SSH otherwise.
    Auto,
    /// SSH only.
    Ssh,
    /// The agent only.
    Agent,
    /// In process: the hub's own machine. Only the hub itself makes such a server.
    Local,
}

impl Transport {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ssh => "ssh",
            Self::Agent => "agent",
            Self::Local => "local",
        }
    }
}

/// Warning and critical threshold of one measure, in percent (1 to 100).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// At or above: warning.
    pub warning_percent: u8,
    /// At or above: critical.
    pub critical_percent: u8,
}

/// The thresholds of one server. Defaults: cpu 80/90, memory 85/90, disk 90/95.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// CPU use.
    pub cpu: Threshold,
    /// Memory use.
    pub memory: Threshold,
    /// Use of each filesystem.
    pub disk: Threshold,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            cpu: Threshold {
                warning_percent: 80,
                critical_percent: 90,
            },
            memory: Threshold {
                warning_percent: 85,
                critical_percent: 90,
            },
            disk: Threshold {
                warning_percent: 90,
                critical_percent: 95,
            },
        }
    }
}

/// How the hub logs in over SSH, in the clear. Never serialised.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshCredential {
    /// For password and keyboard-interactive.
    pub password: Option<Secret>,
    /// A private key: OpenSSH, PEM or PKCS#8 text.
    pub private_key: Option<Secret>,
    /// Opens the private key.
    pub passphrase: Option<Secret>,
    /// Where the key comes from.
    pub key_source: KeySource,
    /// An OpenSSH user certificate of that key, offered before the key by itself. No secret.
    pub certificate: Option<String>,
}

impl SshCredential {
    /// Whether there is a key to log in with, wherever it lies.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.private_key.is_some() || self.key_source != KeySource::Stored || self.uses_hub_key()
    }

    /// Whether the key to log in with is the hub's own: asked for, or for want of anything else.
    #[must_use]
    pub fn uses_hub_key(&self) -> bool {
        match self.key_source {
            KeySource::Hub => true,
            KeySource::Stored => self.password.is_none() && self.private_key.is_none(),
            KeySource::Agent { .. } => false,
        }
    }
}

/// Where the hub connects to: as long as it stays the same, so must the host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address or host name.
    pub ip: String,
    /// 1 to 65535.
    pub ssh_port: u16,
    /// The server gone through.
    pub jump_server_id: Option<ServerId>,
}

impl ServerSpec {
    /// A server with nothing chosen but these: port 22, the hub's interval, the default thresholds,
    /// enabled, in no group.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        ip: impl Into<String>,
        ssh_user: impl Into<String>,
        transport: Transport,
    ) -> Self {
        Self {
            name: name.into(),
            ip: ip.into(),
            ssh_port: 22,
            ssh_user: ssh_user.into(),
            transport,
            interval_seconds: None,
            jump_server_id: None,
            credential_id: None,
            tags: Vec::new(),
            group: None,
            thresholds: Thresholds::default(),
            enabled: true,
        }
    }

    /// Where the hub connects to.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            ip: self.ip.clone(),
            ssh_port: self.ssh_port,
            jump_server_id: self.jump_server_id,
        }
    }
}

/// What a person configured of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// Unique, 1 to 100 characters.
    pub name: String,
    /// Address or host name.
    pub ip: String,
    /// 1 to 65535.
    pub ssh_port: u16,
    /// Log-in name on the node; empty: that of the shared credential.
    pub ssh_user: String,
    /// How the hub reads it.
    pub transport: Transport,
    /// Its own poll interval in seconds; `None` takes the hub's.
    pub interval_seconds: Option<u32>,
    /// Another enrolled server to go through.
    pub jump_server_id: Option<ServerId>,
    /// The shared credential it is logged in to with; `None`: its own secrets, or the hub's key.
    pub credential_id: Option<CredentialId>,
    /// Free words for filtering.
    pub tags: Vec<String>,
    /// One group, or none.
    pub group: Option<String>,
    /// Alert thresholds.
    pub thresholds: Thresholds,
    /// `false`: kept, but not polled.
    pub enabled: bool,
}

/// A server as stored. Secrets are not part of it: only collection gets those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Row id.
    pub id: ServerId,
    /// What a person configured.
    pub spec: ServerSpec,
    /// Whether a password of its own is stored.
    pub has_password: bool,
    /// Whether a private key of its own is stored.
    pub has_key: bool,
    /// The shared credential it uses, in short.
    pub credential: Option<CredentialUse>,
    /// The pinned host key.
    pub host_key: Option<HostKey>,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When its configuration last changed.
    pub updated_at: Timestamp,
}

impl Server {
    /// Whom the hub logs in as: the server's own name, or that of its shared credential.
    #[must_use]
    pub fn login_name(&self) -> &str {
        match &self.credential {
            Some(shared) if self.spec.ssh_user.is_empty() => &shared.ssh_user,
            _ => &self.spec.ssh_user,
        }
    }
}

/// What a server shows of the shared credential it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CredentialUse {
    /// Its id.
    pub id: CredentialId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: CredentialKind,
    /// Its log-in name, for servers without one of their own; may be empty.
    pub ssh_user: String,
}

/// Whether a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not tried yet since it was enrolled.
    #[default]
    Unknown,
    /// The last try succeeded.
    Online,
    /// The last try failed.
    Offline,
    /// Switched off by a person.
    Paused,
}

impl Status {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Paused => "paused",
        }
    }
}

/// Which way a server is read at present, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerPath {
    /// The way.
    pub live: Origin,
    /// Since when.
    pub since: Timestamp,
    /// Why this one.
    pub why: PathReason,
    /// The newest value its agent told; null when none was ever heard.
    pub agent_seen: Option<Timestamp>,
}

/// Why a server is read the way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathReason {
    /// It is the only way its transport allows.
    Only,
    /// Its agent streams.
    AgentStreams,
    /// No agent was ever heard.
    NoAgent,
    /// Its agent was heard before and is silent.
    AgentSilent,
}

impl PathReason {
    /// The name in JSON and in translations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::AgentStreams => "agent_streams",
            Self::NoAgent => "no_agent",
            Self::AgentSilent => "agent_silent",
        }
    }
}

/// What the hub last saw of a server; survives a restart except for the snapshot's detail.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerState {
    /// Whether it answers.
    pub status: Status,
    /// Since when it has had this status.
    pub status_since: Option<Timestamp>,
    /// The last successful reading.
    pub last_success: Option<Timestamp>,
    /// Failed readings since the last success.
    pub failure_count: u32,
    /// Why the last reading failed; `None` while online.
    pub error: Option<CollectError>,
    /// The way the last reading came.
    pub origin: Option<Origin>,
    /// Why it came that way; `None` before the first reading.
    pub path: Option<ServerPath>,
    /// The newest session over SSH; `None` before the first.
    pub ssh: Option<Box<SshSession>>,
    /// The newest value of every section, merged over readings.
    pub snapshot: Option<Box<Snapshot>>,
}
