//! Connection tests, host keys and refreshes: what reaches out to a node on request.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    collect::TestReport,
    model::{CollectError, HostKey, ServerId},
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
