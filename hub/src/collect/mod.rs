//! Collecting: looks at every server at its own pace and hands one `Reading` per look to
//! ingest, failures included.
//!
//! Targets come in through a `watch` (so that servers are added, changed and removed while
//! the hub runs), readings go out through a bounded channel whose back-pressure slows the
//! polls down instead of filling memory. Knows nothing of the store, of alerts or of HTTP.

mod explain;
mod gate;
mod local;
pub mod lock;
mod node;
mod pace;
mod plan;
mod presence;
mod scheduler;
mod ssh;
mod stand_in;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use presence::{AgentPresence, AgentStream};
pub use scheduler::Collector;
pub use ssh::{
    agent::{AgentKey, agent_keys},
    certificate::parse_user_certificate,
    fetch_host_key,
    key::{HubKey, parse_private_key},
    test,
};

use crate::model::{
    Certificate, HostAuthority, HostKey, Server, ServerId, host_authority::HostAuthoritySpec,
    server::SshCredential,
};

/// The host authorities and revoked keys that count for one host.
pub type Authorities = Arc<[Arc<HostAuthoritySpec>]>;

/// Those of all authorities that count for a host.
#[must_use]
pub fn authorities_for(all: &[HostAuthority], host: &str, port: u16) -> Authorities {
    all.iter()
        .filter(|authority| authority.spec.counts_for(host, port))
        .map(|authority| Arc::clone(&authority.spec))
        .collect()
}

/// One server to collect from, with what is needed to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server as stored.
    pub server: Server,
    /// How to log in, in the clear.
    pub credential: SshCredential,
    /// Who may vouch for it.
    pub authorities: Authorities,
}

/// Every server the hub knows. Jump hosts are looked up by id among them.
pub type Targets = Arc<Vec<Arc<Target>>>;

/// Limits and paces of collection.
#[derive(Debug, Clone)]
pub struct CollectConfig {
    /// What the hub logs in with where a server has neither a password nor a key of its own.
    pub hub_key: Option<HubKey>,
    /// The socket of the ssh-agent beside the hub.
    pub agent_socket: Option<PathBuf>,
    /// Poll interval of servers that have none of their own.
    pub default_interval: Duration,
    /// The longest a connection may take, from the first packet to the running probe.
    pub connect_timeout: Duration,
    /// The longest an established connection may take to answer one poll.
    pub poll_timeout: Duration,
    /// SSH handshakes under way at once, over all servers.
    pub max_handshakes: usize,
    /// SSH handshakes under way at once to one address (sshd's `MaxStartups` begins to refuse at 10).
    pub max_handshakes_per_address: usize,
    /// The most one answer may hold, in bytes.
    pub max_poll_bytes: usize,
    /// The most a login shell may print before the probe says hello, in bytes.
    pub max_noise_bytes: usize,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            hub_key: None,
            agent_socket: None,
            default_interval: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            poll_timeout: Duration::from_secs(10),
            max_handshakes: 256,
            max_handshakes_per_address: 8,
            max_poll_bytes: 512 * 1024,
            max_noise_bytes: 64 * 1024,
        }
    }
}

/// A wish to look at once instead of at the next interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// At every server.
    All,
    /// At one.
    One(ServerId),
}

/// A host to connect to, outside of regular collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectSpec {
    /// The server's name, for error messages.
    pub name: String,
    /// Address or host name.
    pub host: String,
    /// SSH port.
    pub port: u16,
    /// Log-in name.
    pub user: String,
    /// How to log in.
    pub credential: SshCredential,
    /// The host key it must prove; `None` takes any (and reports it).
    pub expected_host_key: Option<HostKey>,
    /// Who may vouch for its key with a certificate, whatever key is expected.
    pub authorities: Authorities,
    /// The host to go through.
    pub jump: Option<Box<ConnectSpec>>,
}

/// What a connection test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// Time from the first packet until the probe's first answer, in milliseconds.
    pub latency_ms: u64,
    /// The host key it proved.
    pub host_key: HostKey,
    /// The certificate that vouched for that key, if one did.
    pub host_certificate: Option<Certificate>,
    /// `PRETTY_NAME` of its `/etc/os-release`.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Its own host name.
    pub hostname: Option<String>,
}

/// The host key of a machine that was only asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenHostKey {
    /// The key it proved.
    pub host_key: HostKey,
    /// The certificate that vouches for that key, if one does.
    pub host_certificate: Option<Certificate>,
}

/// What a private key is, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
    /// The line for `authorized_keys`: algorithm and key in base64, without a comment.
    pub public_key: String,
}
