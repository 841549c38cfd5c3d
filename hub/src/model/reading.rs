//! What a collector hands to ingest: one attempt to look at one server, successful or not.

use gander_probe::Snapshot;
use serde::{Deserialize, Serialize};

pub use super::receipt::{Fate, Receipt, ReceiptBook, Settled};
use super::{Certificate, HostKey, ServerId, Timestamp, server::Endpoint};

/// One attempt to look at one server.
#[derive(Debug)]
pub struct Reading {
    /// Which server.
    pub server_id: ServerId,
    /// By which way.
    pub origin: Origin,
    /// When the values were true, by the hub's clock (a failure: when it was noticed).
    pub taken_at: Timestamp,
    /// The snapshot, or why there is none.
    pub outcome: Result<Box<Snapshot>, CollectError>,
    /// Set on the first reading of a new connection.
    pub contact: Option<Contact>,
    /// Tells the sender what became of it, where the sender waits to know.
    pub receipt: Option<Receipt>,
}

/// What a new connection showed of its peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The host key it proved, and where; `None` where the transport has none, and where a
    /// certificate vouches for it: that one need not be pinned.
    pub host_key: Option<(HostKey, Endpoint)>,
    /// What the session is made of; `None` where the transport is not SSH.
    pub session: Option<Box<SshSession>>,
}

/// A session over SSH: what was agreed on, and how far the log-in reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SshSession {
    /// The server's software, in its own words: `SSH-2.0-OpenSSH_9.2p1 Debian-2`.
    pub software: String,
    /// How the keys of the session were made.
    pub key_exchange: String,
    /// How the host proved its key.
    pub host_key_algorithm: String,
    /// The certificate that vouched for the host key; null where the pinned key did.
    pub host_certificate: Option<Certificate>,
    /// What the session is encrypted with.
    pub cipher: String,
    /// What its packets are authenticated with; null where the cipher does it.
    pub mac: Option<String>,
    /// Whether strict key exchange is in force, which ends the Terrapin attack (CVE-2023-48795).
    pub strict_key_exchange: bool,
    /// Whether Terrapin could cut packets from the beginning of the session: no strict key
    /// exchange, and a cipher that is open to it.
    pub terrapin: bool,
    /// Whether the log-in may run nothing but the probe (a forced command).
    pub locked: bool,
    /// The hub's address as the server sees it; null where its sshd does not say.
    pub seen_from: Option<String>,
}

/// The way a reading came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Polled over SSH.
    Ssh,
    /// The hub's own machine, read in process.
    Local,
    /// Streamed by an agent.
    Agent,
}

/// Why a server could not be read. The code is for programs and translations, the message
/// for a person: it names the server, the cause and the fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct CollectError {
    /// What kind of failure.
    pub code: CollectErrorCode,
    /// One sentence in English that names the cause and the fix.
    pub message: String,
    /// Values for the sentence in another language: `host`, `port`, `user`, `fingerprint`, `expected_fingerprint`, …
    pub params: std::collections::BTreeMap<String, String>,
}

/// The kinds of failure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CollectErrorCode {
    /// The host name has no address.
    UnknownHost,
    /// Nothing listens on the port.
    ConnectionRefused,
    /// No route to the host or network.
    NoRoute,
    /// Nobody answered in time.
    Timeout,
    /// What answers does not speak SSH, or shares no algorithm with us.
    Protocol,
    /// The password was refused.
    PasswordRefused,
    /// The key was refused.
    KeyRefused,
    /// The private key cannot be read, or its passphrase is wrong.
    KeyUnreadable,
    /// The user certificate was refused: it expired, is not valid yet, or is not for this user.
    CertificateRefused,
    /// The ssh-agent beside the hub does not answer, or has no such key.
    SshAgent,
    /// No credential is stored for this server.
    NoCredential,
    /// The server takes none of the log-in methods there is a credential for, or wants one more.
    LoginMethod,
    /// The host proved another key than the pinned one.
    HostKeyChanged,
    /// The host's certificate is not valid (expired, for another host), or its key is revoked.
    HostCertificate,
    /// The jump host could not be passed.
    JumpHost,
    /// The connection ended in the middle.
    Disconnected,
    /// The shell did not run the probe (no shell, a forced command, not Linux).
    ProbeFailed,
    /// The node sent more than a poll may hold.
    TooMuchOutput,
    /// The node is not Linux.
    NotLinux,
    /// The hub's own machine could not be read.
    Local,
    /// The agent that reads the server has sent nothing for two intervals.
    AgentSilent,
}

impl CollectErrorCode {
    /// Every kind, for tables that must cover them all.
    pub const ALL: [Self; 21] = [
        Self::UnknownHost,
        Self::ConnectionRefused,
        Self::NoRoute,
        Self::Timeout,
        Self::Protocol,
        Self::PasswordRefused,
        Self::KeyRefused,
        Self::KeyUnreadable,
        Self::CertificateRefused,
        Self::SshAgent,
        Self::NoCredential,
        Self::LoginMethod,
        Self::HostKeyChanged,
        Self::HostCertificate,
        Self::JumpHost,
        Self::Disconnected,
        Self::ProbeFailed,
        Self::TooMuchOutput,
        Self::NotLinux,
        Self::Local,
        Self::AgentSilent,
    ];

    /// The name in JSON, in the database and in translations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown_host",
            Self::ConnectionRefused => "connection_refused",
            Self::NoRoute => "no_route",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::PasswordRefused => "password_refused",
            Self::KeyRefused => "key_refused",
            Self::KeyUnreadable => "key_unreadable",
            Self::CertificateRefused => "certificate_refused",
            Self::SshAgent => "ssh_agent",
            Self::NoCredential => "no_credential",
            Self::LoginMethod => "login_method",
            Self::HostKeyChanged => "host_key_changed",
            Self::HostCertificate => "host_certificate",
            Self::JumpHost => "jump_host",
            Self::Disconnected => "disconnected",
            Self::ProbeFailed => "probe_failed",
            Self::TooMuchOutput => "too_much_output",
            Self::NotLinux => "not_linux",
            Self::Local => "local",
            Self::AgentSilent => "agent_silent",
        }
    }

    /// Whether a person must act before another try can succeed.
    #[must_use]
    pub fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::PasswordRefused
                | Self::KeyRefused
                | Self::KeyUnreadable
                | Self::CertificateRefused
                | Self::NoCredential
                | Self::LoginMethod
                | Self::HostKeyChanged
                | Self::HostCertificate
                | Self::NotLinux
        )
    }
}
