//! Connection tests, host keys and refreshes: what reaches out to a node on request.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    collect::TestReport,
    model::{Certificate, CollectError, CredentialId, HostKey, ServerId, reading::SshSession},
};

/// What a connection test found. A node that cannot be read is an answer (`ok` false), not an HTTP error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TestAnswer {
    /// Whether the hub connected, logged in and ran the probe.
    pub ok: bool,
    /// Time from the first packet until the probe's first answer, in milliseconds.
    pub latency_ms: Option<u64>,
    /// The host key it proved.
    pub host_key: Option<HostKey>,
    /// The certificate by which a known authority vouches for that key; null where none does.
    pub host_certificate: Option<Certificate>,
    /// Name of its operating system.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Its own host name.
    pub hostname: Option<String>,
    /// Why it could not be read; null when `ok`.
    pub error: Option<CollectError>,
}

impl From<Result<TestReport, CollectError>> for TestAnswer {
    fn from(outcome: Result<TestReport, CollectError>) -> Self {
        match outcome {
            Ok(report) => Self {
                ok: true,
                latency_ms: Some(report.latency_ms),
                host_key: Some(report.host_key),
                host_certificate: report.host_certificate,
                os: report.os,
                kernel: report.kernel,
                hostname: report.hostname,
                error: None,
            },
            Err(error) => Self {
                ok: false,
                latency_ms: None,
                host_key: None,
                host_certificate: None,
                os: None,
                kernel: None,
                hostname: None,
                error: Some(error),
            },
        }
    }
}

/// The host key of a node that is not enrolled yet.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HostKeyAnswer {
    /// The key it offers; null when it could not be asked.
    pub host_key: Option<HostKey>,
    /// The certificate by which a known authority vouches for that key; null where none does.
    pub host_certificate: Option<Certificate>,
    /// Why it could not be asked; null with a key.
    pub error: Option<CollectError>,
}

/// That a collection was started.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefreshAnswer {
    /// Always true: the collection starts at once, its values come with the next delta.
    pub started: bool,
}

/// The hub's own key: what it logs in with where a server has neither a password nor a key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HubKeyView {
    /// For `authorized_keys`: algorithm and key.
    pub public_key: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
    /// One line for a shell on the server, as the user the hub logs in as: lets the key in.
    pub authorise_command: String,
}

/// The ssh-agent beside the hub. One that cannot be asked is an answer (`error`), not an HTTP error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SshAgentView {
    /// Where it listens, as configured; null where the hub knows of none.
    pub socket: Option<String>,
    /// The keys it holds.
    pub keys: Vec<SshAgentKey>,
    /// Why it could not be asked; null when it could.
    pub error: Option<CollectError>,
}

/// A key in the ssh-agent beside the hub.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SshAgentKey {
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-add -l` prints it.
    pub fingerprint: String,
    /// For `authorized_keys`: algorithm and key.
    pub public_key: String,
    /// What the agent calls it.
    pub comment: String,
    /// Whether the agent holds a certificate of it too.
    pub has_certificate: bool,
}

/// How the hub gets into a server over SSH, and how to lock its key there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SshView {
    /// The newest session; null before the first, and after a restart of the hub until the next.
    pub session: Option<SshSession>,
    /// The key below: the server's own, a shared credential's, or the hub's.
    pub key_owner: KeyOwner,
    /// Whether the hub logs in with it; `false` where it has a password.
    pub key_in_use: bool,
    /// For `authorized_keys`: algorithm and key.
    pub public_key: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
    /// The user certificate the key is offered with first; null without one.
    pub certificate: Option<Certificate>,
    /// One line for a shell on the server, as the user the hub logs in as: lets the key in.
    pub authorise_command: String,
    /// The line of `authorized_keys` with which the key may run the probe and nothing else.
    pub locked_line: String,
    /// A script that writes the probe's file and that line; to be run on the server by the user
    /// the hub logs in as.
    pub lock_script: String,
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyOwner {
    /// Stored for this server.
    Server,
    /// Of the shared credential, and stored with it.
    Credential,
    /// Of the shared credential, and in the ssh-agent beside the hub.
    Agent,
    /// The hub's own.
    Hub,
}

/// A node to test before it is enrolled.
#[derive(Debug, ToSchema)]
pub struct TestRequest {
    /// Address or host name.
    pub ip: String,
    /// Log-in name. May be left out where the shared credential brings one.
    pub ssh_user: String,
    /// SSH port.
    #[schema(required = false, minimum = 1, maximum = 65535, default = 22)]
    pub ssh_port: u16,
    /// Password.
    #[schema(required = false, nullable, write_only)]
    pub ssh_password: Option<String>,
    /// Private key.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key: Option<String>,
    /// Passphrase of the private key.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key_passphrase: Option<String>,
    /// Log in with the hub's own key.
    #[schema(required = false, default = false)]
    pub hub_key: bool,
    /// Log in with a shared credential.
    #[schema(required = false, nullable)]
    pub credential_id: Option<CredentialId>,
    /// Another enrolled server to go through.
    #[schema(required = false, nullable)]
    pub jump_server_id: Option<ServerId>,
    /// The host key it must prove (`ssh-ed25519 AAAA…`); without it any key is taken and reported.
    #[schema(required = false, nullable)]
    pub host_key: Option<String>,
    /// An enrolled server whose stored secrets stand in for those left out (for a form that edits it).
    #[schema(required = false, nullable)]
    pub server_id: Option<ServerId>,
}

/// A node whose host key to look at. No credential is sent to it.
#[derive(Debug, ToSchema)]
pub struct HostKeyRequest {
    /// Address or host name.
    pub ip: String,
    /// SSH port.
    #[schema(required = false, minimum = 1, maximum = 65535, default = 22)]
    pub ssh_port: u16,
    /// Another enrolled server to go through.
    #[schema(required = false, nullable)]
    pub jump_server_id: Option<ServerId>,
}

/// A host key a person accepts for an enrolled server.
#[derive(Debug, ToSchema)]
pub struct AcceptHostKeyRequest {
    /// `ssh-ed25519 AAAA…`, as the person has seen it.
    pub public_key: String,
}
