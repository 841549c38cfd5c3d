//! Things that happened, for the record: status changes, host keys, people's actions.

use serde::{Deserialize, Serialize};

use super::{ServerId, Timestamp};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// To which server.
    pub server_id: Option<ServerId>,
    /// By whom: a user name, `token:NAME`, or `None` for the hub itself.
    pub actor: Option<String>,
    /// Values for the sentence: codes, names, counts. Never a secret.
    pub details: serde_json::Value,
}

/// The kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The hub started.
    HubStarted,
    /// A server was enrolled.
    ServerAdded,
    /// A server's configuration changed.
    ServerChanged,
    /// A server was removed, with its data.
    ServerDeleted,
    /// A server answers (again).
    ServerOnline,
    /// A server stopped answering; `details` holds the error's code and message.
    ServerOffline,
    /// A server was rebooted: its boot id changed.
    ServerRebooted,
    /// A server with transport `auto` is read another way: `details` holds `from`, `to` and `why`.
    TransportChanged,
    /// A host key was pinned.
    HostKeyPinned,
    /// A host proved another key than the pinned one.
    HostKeyChanged,
    /// An alert was resolved by a person.
    AlertResolved,
    /// Samples were deleted by a person.
    SamplesDeleted,
    /// How long samples are kept was changed.
    RetentionChanged,
    /// A server has more series than are kept; `details` holds the limit.
    SeriesLimited,
    /// Somebody logged in.
    LoggedIn,
    /// A log-in failed.
    LoginFailed,
    /// A user was made, changed or removed.
    UserChanged,
    /// An API token was made or removed.
    TokenChanged,
    /// A shared credential was made, changed, given new secrets or removed.
    CredentialChanged,
    /// A host authority, or a revoked host key, was entered, changed or removed.
    HostAuthorityChanged,
    /// A backup was made and verified; `details` holds its name and size.
    BackupMade,
    /// A backup could not be made; `details` holds the reason.
    BackupFailed,
    /// The database was replaced by a backup.
    DatabaseRestored,
    /// The data of the original system was taken over.
    DataImported,
    /// Readings could not be stored for a while (a full disk); they were kept and stored later.
    StorageFailed,
    /// An agent enrolled.
    AgentEnrolled,
    /// A machine asked to enrol and waits for a person: it looks like a server that is there.
    AgentWaits,
    /// An agent was revoked, or replaced by a new enrolment.
    AgentRevoked,
    /// An enrolment token was made or removed.
    AgentTokenChanged,
}

/// Who did something: a user name, `token:NAME`, or nobody but the hub itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor(pub Option<String>);

impl Actor {
    /// The hub itself.
    #[must_use]
    pub fn hub() -> Self {
        Self(None)
    }

    /// Somebody who logged in with a name and a password.
    #[must_use]
    pub fn user(username: &str) -> Self {
        Self(Some(username.to_owned()))
    }

    /// A program with an API token.
    #[must_use]
    pub fn token(name: &str) -> Self {
        Self(Some(format!("token:{name}")))
    }
}
