//! Connection tests, host keys and refreshes: what reaches out to a node on request.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    collect::TestReport,
    model::{CollectError, HostKey, ServerId, reading::SshSession},
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
                os: report.os,
                kernel: report.kernel,
                hostname: report.hostname,
                error: None,
            },
            Err(error) => Self {
                ok: false,
                latency_ms: None,
                host_key: None,
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

/// How the hub gets into a server over SSH, and how to lock its key there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SshView {
    /// The newest session; null before the first, and after a restart of the hub until the next.
    pub session: Option<SshSession>,
    /// The key below: the server's own, or the hub's.
    pub key_owner: KeyOwner,
    /// Whether the hub logs in with it; `false` where it has a password.
    pub key_in_use: bool,
    /// For `authorized_keys`: algorithm and key.
    pub public_key: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
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
    /// The hub's own.
    Hub,
}

/// A node to test before it is enrolled.
#[derive(Debug, ToSchema)]
pub struct TestRequest {
    /// Address or host name.
    pub ip: String,
    /// Log-in name.
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
