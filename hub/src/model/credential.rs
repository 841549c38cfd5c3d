//! A shared credential: one log-in of many servers, sealed, and rotated in one place.

use serde::{Deserialize, Serialize};

use super::{HostKey, ServerId, Timestamp};

/// Row id of a shared credential.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct CredentialId(pub i64);

impl std::fmt::Display for CredentialId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where the key of a credential comes from, if it has one. A password may stand beside any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// From nowhere: a password alone.
    Password,
    /// A private key stored with it.
    Key,
    /// The hub's own key.
    HubKey,
    /// The ssh-agent that runs beside the hub.
    Agent,
}

impl CredentialKind {
    /// Every kind, by its name in JSON and in the database.
    pub const ALL: [(&str, Self); 4] = [
        ("password", Self::Password),
        ("key", Self::Key),
        ("hub_key", Self::HubKey),
        ("agent", Self::Agent),
    ];

    /// The name in JSON and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Key => "key",
            Self::HubKey => "hub_key",
            Self::Agent => "agent",
        }
    }
}

/// Where the private key of a log-in lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeySource {
    /// With the log-in, if it has one.
    #[default]
    Stored,
    /// It is the hub's own.
    Hub,
    /// In the ssh-agent beside the hub.
    Agent {
        /// `SHA256:…` of the key to take; `None` offers those it holds, one after the other.
        fingerprint: Option<String>,
    },
}

/// What a person configured of a credential, but for its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSpec {
    /// Unique, 1 to 100 characters.
    pub name: String,
    /// Where its key comes from.
    pub kind: CredentialKind,
    /// Log-in name of servers that have none of their own; empty: each has its own.
    pub ssh_user: String,
    /// Of kind `agent`: `SHA256:…` of the key to take; `None` for any it holds.
    pub agent_key: Option<String>,
}

/// A shared credential as stored. Secrets are not part of it: only collection gets those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Row id.
    pub id: CredentialId,
    /// What a person configured.
    pub spec: CredentialSpec,
    /// Whether a password is stored.
    pub has_password: bool,
    /// Whether a passphrase of the key is stored.
    pub has_passphrase: bool,
    /// The public half of the stored key.
    pub public_key: Option<HostKey>,
    /// The OpenSSH user certificate of its key.
    pub certificate: Option<String>,
    /// The servers that use it, in the order of their ids.
    pub servers: Vec<ServerId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed or rotated.
    pub updated_at: Timestamp,
}
