//! Servers: what a person configured, what the hub last saw, and what a client may send.

use gander_probe::{Snapshot, snapshot::Disk};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{
    CollectError, CredentialId, HostKey, Origin, Server, ServerId, ServerPath, ServerState, Status,
    Timestamp, Transport, server::CredentialUse,
};

use super::{hundredths, percent};

/// One monitored server.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Server)]
pub struct ServerView {
    /// Row id.
    pub id: ServerId,
    /// Unique name.
    pub name: String,
    /// Address or host name.
    pub ip: String,
    /// Log-in name on the node; empty: that of `credential`.
    pub ssh_user: String,
    /// SSH port.
    pub ssh_port: u16,
    /// How the hub reads it.
    pub transport: Transport,
    /// Its own poll interval in seconds; null takes the hub's.
    pub interval_seconds: Option<u32>,
    /// The poll interval in force, in seconds.
    pub effective_interval_seconds: u32,
    /// The enrolled server that is gone through.
    pub jump_server_id: Option<ServerId>,
    /// Free words for filtering.
    pub tags: Vec<String>,
    /// One group, or none.
    pub group: Option<String>,
    /// `false`: kept, but not polled.
    pub enabled: bool,
    /// CPU use in percent that is a warning.
    pub cpu_threshold: u8,
    /// CPU use in percent that is critical.
    pub cpu_critical_threshold: u8,
    /// Memory use in percent that is a warning.
    pub memory_threshold: u8,
    /// Memory use in percent that is critical.
    pub memory_critical_threshold: u8,
    /// Filesystem use in percent that is a warning.
    pub disk_threshold: u8,
    /// Filesystem use in percent that is critical.
    pub disk_critical_threshold: u8,
    /// Whether a password of its own is stored. The password itself is never returned.
    pub has_password: bool,
    /// Whether a private key of its own is stored. The key itself is never returned.
    pub has_key: bool,
    /// The shared credential the hub logs in with; null: the server's own, or the hub's key.
    pub credential: Option<CredentialUse>,
    /// The pinned host key.
    pub host_key: Option<HostKey>,
    /// Whether it answers.
    pub status: Status,
    /// Since when it has had this status.
    pub status_since: Option<Timestamp>,
    /// The last successful reading.
    pub last_success: Option<Timestamp>,
    /// Failed readings since the last success.
    pub failure_count: u32,
    /// Why the last reading failed; null while online.
    pub error: Option<CollectError>,
    /// The way the last reading came.
    pub origin: Option<Origin>,
    /// Which way it is read at present, and why; null before the first reading.
    pub transport_state: Option<ServerPath>,
    /// Whether the hub's log-in on it may run nothing but the probe; null while not known.
    pub ssh_locked: Option<bool>,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When its configuration last changed.
    pub updated_at: Timestamp,
    /// The newest values; null before the first reading.
    pub latest: Option<Latest>,
    /// Open alerts by level.
    pub active_alerts: AlertCounts,
}

/// How many alerts are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertCounts {
    /// Of level warning.
    pub warning: u32,
    /// Of level critical.
    pub critical: u32,
}

impl From<crate::live::AlertCounts> for AlertCounts {
    fn from(counts: crate::live::AlertCounts) -> Self {
        Self {
            warning: counts.warning,
            critical: counts.critical,
        }
    }
}

/// The headline values of a server's newest reading. Percentages have one decimal; null is absent, not zero.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Latest {
    /// When they were true.
    pub taken_at: Option<Timestamp>,
    /// CPU use of all cores in percent.
    pub cpu_usage: Option<f64>,
    /// Memory use in percent.
    pub memory_usage: Option<f64>,
    /// Use of the root filesystem in percent.
    pub disk_usage: Option<f64>,
    /// The fullest filesystem.
    pub disk_worst: Option<DiskWorst>,
    /// Swap use in percent; null without swap.
    pub swap_usage: Option<f64>,
    /// Load average over 1 minute.
    pub load_1: Option<f64>,
    /// Load average over 5 minutes.
    pub load_5: Option<f64>,
    /// Load average over 15 minutes.
    pub load_15: Option<f64>,
    /// Processes.
    pub processes: Option<u32>,
    /// Seconds since boot.
    pub uptime_seconds: Option<u64>,
    /// Bytes received a second over all physical interfaces.
    pub network_receive_bytes_per_second: Option<u64>,
    /// Bytes sent a second over all physical interfaces.
    pub network_transmit_bytes_per_second: Option<u64>,
    /// Bytes read a second from all whole disks.
    pub disk_read_bytes_per_second: Option<u64>,
    /// Bytes written a second to all whole disks.
    pub disk_write_bytes_per_second: Option<u64>,
    /// Name of the operating system.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// The node's own host name.
    pub hostname: Option<String>,
    /// Hardware name.
    pub architecture: Option<String>,
    /// Name of the CPU.
    pub cpu_model: Option<String>,
    /// Cores the kernel schedules on.
    pub cpu_cores: Option<u32>,
    /// Physical memory in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Used memory in bytes.
    pub memory_used_bytes: Option<u64>,
}

/// The fullest filesystem of a server.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DiskWorst {
    /// Where it is mounted.
    pub mount_point: String,
    /// Its use in percent.
    pub usage: f64,
}

/// Everything the hub last read of one server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SnapshotAnswer {
    /// Which server.
    pub server_id: ServerId,
    /// When the newest values were true; null before the first reading.
    pub taken_at: Option<Timestamp>,
    /// The values; null until the first reading since the hub started.
    pub snapshot: Option<Snapshot>,
}

impl ServerView {
    /// Joins what is configured with what was seen.
    #[must_use]
    pub fn new(server: &Server, state: &ServerState, alerts: AlertCounts, default_interval: u32) -> Self {
        let spec = &server.spec;
        let thresholds = spec.thresholds;
        Self {
            id: server.id,
            name: spec.name.clone(),
            ip: spec.ip.clone(),
            ssh_user: spec.ssh_user.clone(),
            ssh_port: spec.ssh_port,
            transport: spec.transport,
            interval_seconds: spec.interval_seconds,
            effective_interval_seconds: spec.interval_seconds.unwrap_or(default_interval),
            jump_server_id: spec.jump_server_id,
            tags: spec.tags.clone(),
            group: spec.group.clone(),
            enabled: spec.enabled,
            cpu_threshold: thresholds.cpu.warning_percent,
            cpu_critical_threshold: thresholds.cpu.critical_percent,
            memory_threshold: thresholds.memory.warning_percent,
            memory_critical_threshold: thresholds.memory.critical_percent,
            disk_threshold: thresholds.disk.warning_percent,
            disk_critical_threshold: thresholds.disk.critical_percent,
            has_password: server.has_password,
            has_key: server.has_key,
            credential: server.credential.clone(),
            host_key: server.host_key.clone(),
            status: if spec.enabled {
                state.status
            } else {
                Status::Paused
            },
            status_since: state.status_since,
            last_success: state.last_success,
            failure_count: state.failure_count,
            error: state.error.clone(),
            origin: state.origin,
            transport_state: state.path.clone(),
            ssh_locked: state.ssh.as_ref().map(|session| session.locked),
            created_at: server.created_at,
            updated_at: server.updated_at,
            latest: state
                .snapshot
                .as_deref()
                .map(|snapshot| Latest::new(snapshot, state.last_success)),
            active_alerts: alerts,
        }
    }
}

impl Latest {
    /// The headline values of a snapshot.
    #[must_use]
    pub fn new(snapshot: &Snapshot, taken_at: Option<Timestamp>) -> Self {
        let system = snapshot.system.clone().unwrap_or_default();
        let load = snapshot.load.as_ref();
        let (receive, transmit) = network_totals(snapshot);
        let (read, write) = disk_totals(snapshot);
        Self {
            taken_at,
            cpu_usage: snapshot.cpu.as_ref().map(|cpu| percent(cpu.usage_permille)),
            memory_usage: snapshot
                .memory
                .as_ref()
                .and_then(|memory| memory.usage_permille())
                .map(percent),
            disk_usage: snapshot
                .root_filesystem()
                .map(|root| percent(root.usage_permille)),
            disk_worst: worst_filesystem(snapshot),
            swap_usage: snapshot
                .swap
                .as_ref()
                .and_then(|swap| swap.usage_permille())
                .map(percent),
            load_1: load.map(|load| hundredths(load.one_hundredths)),
            load_5: load.map(|load| hundredths(load.five_hundredths)),
            load_15: load.map(|load| hundredths(load.fifteen_hundredths)),
            processes: snapshot.processes.as_ref().and_then(|processes| processes.total),
            uptime_seconds: snapshot.uptime_seconds,
            network_receive_bytes_per_second: receive,
            network_transmit_bytes_per_second: transmit,
            disk_read_bytes_per_second: read,
            disk_write_bytes_per_second: write,
            os: system.os,
            kernel: system.kernel,
            hostname: system.hostname,
            architecture: system.architecture,
            cpu_model: system.cpu_model,
            cpu_cores: system.cpu_cores,
            memory_total_bytes: snapshot.memory.as_ref().map(|memory| memory.total_bytes),
            memory_used_bytes: snapshot.memory.as_ref().map(|memory| memory.used_bytes),
        }
    }
}

fn worst_filesystem(snapshot: &Snapshot) -> Option<DiskWorst> {
    // The first of equals wins, so that the answer does not flicker between two full disks.
    let filesystems = snapshot.filesystems.as_ref()?;
    let worst = filesystems
        .iter()
        .rev()
        .max_by_key(|filesystem| filesystem.usage_permille)?;
    Some(DiskWorst {
        mount_point: worst.mount_point.clone(),
        usage: percent(worst.usage_permille),
    })
}

/// Bytes in and out a second. Loopback, bridges and container ends carry the same bytes a second
/// time, so they do not count.
fn network_totals(snapshot: &Snapshot) -> (Option<u64>, Option<u64>) {
    const VIRTUAL: [&str; 10] = [
        "lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "vnet", "dummy",
    ];
    let Some(interfaces) = &snapshot.interfaces else {
        return (None, None);
    };
    let rates = || {
        interfaces
            .iter()
            .filter(|interface| !VIRTUAL.iter().any(|prefix| interface.name.starts_with(prefix)))
            .filter_map(|interface| interface.rates.as_ref())
    };
    if rates().next().is_none() {
        return (None, None);
    }
    (
        Some(rates().map(|rate| rate.receive_bytes_per_second).sum()),
        Some(rates().map(|rate| rate.transmit_bytes_per_second).sum()),
    )
}

/// Bytes read and written a second on whole disks: a partition's or a mapped device's bytes are
/// already counted by the disk below it.
fn disk_totals(snapshot: &Snapshot) -> (Option<u64>, Option<u64>) {
    let Some(disks) = &snapshot.disks else {
        return (None, None);
    };
    let rates = || {
        disks
            .iter()
            .filter(|disk| is_whole_disk(disk, disks))
            .filter_map(|disk| disk.rates.as_ref())
    };
    if rates().next().is_none() {
        return (None, None);
    }
    (
        Some(rates().map(|rate| rate.read_bytes_per_second).sum()),
        Some(rates().map(|rate| rate.write_bytes_per_second).sum()),
    )
}

fn is_whole_disk(disk: &Disk, all: &[Disk]) -> bool {
    const STACKED: [&str; 6] = ["dm-", "md", "loop", "ram", "zram", "sr"];
    let name = disk.device.as_str();
    let is_partition = || {
        all.iter().any(|other| {
            name.strip_prefix(other.device.as_str()).is_some_and(|rest| {
                let digits = rest.strip_prefix('p').unwrap_or(rest);
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
    };
    !STACKED.iter().any(|prefix| name.starts_with(prefix)) && !is_partition()
}

/// A server to enrol (`POST`), or its full configuration (`PUT`: what is left out takes its default,
/// except for secrets, which stay).
#[derive(Debug, ToSchema)]
pub struct ServerRequest {
    /// Unique name, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, example = "web-1")]
    pub name: String,
    /// IPv4 or IPv6 address, or host name.
    #[schema(max_length = 253, example = "192.0.2.10")]
    pub ip: String,
    /// Log-in name on the node. May be left out where the shared credential brings one.
    #[schema(min_length = 1, max_length = 64, example = "monitor")]
    pub ssh_user: String,
    /// Password. Write-only; null removes the stored one.
    #[schema(required = false, nullable, write_only)]
    pub ssh_password: Option<String>,
    /// Private key: OpenSSH, PEM or PKCS#8 text. Write-only; null removes the stored one.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key: Option<String>,
    /// Passphrase of the private key. Write-only; null removes the stored one.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key_passphrase: Option<String>,
    /// Log in with the hub's own key (`GET /api/hub-key`); removes a stored password and key.
    #[schema(required = false, default = false, write_only)]
    pub hub_key: bool,
    /// Log in with a shared credential (`GET /api/credentials`); removes a stored password and key.
    #[schema(required = false, nullable)]
    pub credential_id: Option<CredentialId>,
    /// SSH port.
    #[schema(required = false, minimum = 1, maximum = 65535, default = 22)]
    pub ssh_port: u16,
    /// How the hub reads it: `auto`, `ssh` or `agent`.
    #[schema(required = false, default = "auto")]
    pub transport: Transport,
    /// Its own poll interval in seconds; null takes the hub's.
    #[schema(required = false, nullable, minimum = 1, maximum = 86400)]
    pub interval_seconds: Option<u32>,
    /// Another enrolled server to go through.
    #[schema(required = false, nullable)]
    pub jump_server_id: Option<ServerId>,
    /// Free words for filtering, at most 32 of at most 50 characters.
    #[schema(required = false)]
    pub tags: Vec<String>,
    /// One group.
    #[schema(required = false, nullable, max_length = 100)]
    pub group: Option<String>,
    /// `false`: kept, but not polled.
    #[schema(required = false, default = true)]
    pub enabled: bool,
    /// CPU use in percent that is a warning.
    #[schema(required = false, minimum = 1, maximum = 100, default = 80)]
    pub cpu_threshold: u8,
    /// CPU use in percent that is critical; at least the warning threshold.
    #[schema(required = false, minimum = 1, maximum = 100, default = 90)]
    pub cpu_critical_threshold: u8,
    /// Memory use in percent that is a warning.
    #[schema(required = false, minimum = 1, maximum = 100, default = 85)]
    pub memory_threshold: u8,
    /// Memory use in percent that is critical; at least the warning threshold.
    #[schema(required = false, minimum = 1, maximum = 100, default = 90)]
    pub memory_critical_threshold: u8,
    /// Filesystem use in percent that is a warning.
    #[schema(required = false, minimum = 1, maximum = 100, default = 90)]
    pub disk_threshold: u8,
    /// Filesystem use in percent that is critical; at least the warning threshold.
    #[schema(required = false, minimum = 1, maximum = 100, default = 95)]
    pub disk_critical_threshold: u8,
    /// The host key the person has seen (`ssh-ed25519 AAAA…`); without it the first key seen is pinned.
    #[schema(required = false, nullable)]
    pub host_key: Option<String>,
}

/// Some fields of a server; what is left out stays as it is.
#[derive(Debug, ToSchema)]
pub struct ServerPatchRequest {
    /// Unique name, 1 to 100 characters.
    #[schema(required = false, min_length = 1, max_length = 100)]
    pub name: String,
    /// IPv4 or IPv6 address, or host name. A new address drops the pinned host key.
    #[schema(required = false, max_length = 253)]
    pub ip: String,
    /// Log-in name on the node.
    #[schema(required = false, min_length = 1, max_length = 64)]
    pub ssh_user: String,
    /// Password. Write-only; null removes the stored one.
    #[schema(required = false, nullable, write_only)]
    pub ssh_password: Option<String>,
    /// Private key. Write-only; null removes the stored one.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key: Option<String>,
    /// Passphrase of the private key. Write-only; null removes the stored one.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key_passphrase: Option<String>,
    /// Log in with the hub's own key (`GET /api/hub-key`); removes a stored password and key.
    #[schema(required = false, default = false, write_only)]
    pub hub_key: bool,
    /// Log in with a shared credential (`GET /api/credentials`); removes a stored password and key.
    #[schema(required = false, nullable)]
    pub credential_id: Option<CredentialId>,
    /// SSH port. A new port drops the pinned host key.
    #[schema(required = false, minimum = 1, maximum = 65535)]
    pub ssh_port: u16,
    /// How the hub reads it: `auto`, `ssh` or `agent`.
    #[schema(required = false)]
    pub transport: Transport,
    /// Its own poll interval in seconds; null takes the hub's.
    #[schema(required = false, nullable, minimum = 1, maximum = 86400)]
    pub interval_seconds: Option<u32>,
    /// Another enrolled server to go through; null goes straight.
    #[schema(required = false, nullable)]
    pub jump_server_id: Option<ServerId>,
    /// Free words for filtering.
    #[schema(required = false)]
    pub tags: Vec<String>,
    /// One group; null for none.
    #[schema(required = false, nullable, max_length = 100)]
    pub group: Option<String>,
    /// `false`: kept, but not polled.
    #[schema(required = false)]
    pub enabled: bool,
    /// CPU use in percent that is a warning.
    #[schema(required = false, minimum = 1, maximum = 100)]
    pub cpu_threshold: u8,
    /// CPU use in percent that is critical.
    #[schema(required = false, minimum = 1, maximum = 100)]
    pub cpu_critical_threshold: u8,
    /// Memory use in percent that is a warning.
    #[schema(required = false, minimum = 1, maximum = 100)]
    pub memory_threshold: u8,
    /// Memory use in percent that is critical.
    #[schema(required = false, minimum = 1, maximum = 100)]
    pub memory_critical_threshold: u8,
    /// Filesystem use in percent that is a warning.
    #[schema(required = false, minimum = 1, maximum = 100)]
    pub disk_threshold: u8,
    /// Filesystem use in percent that is critical.
    #[schema(required = false, minimum = 1, maximum = 100)]
    pub disk_critical_threshold: u8,
    /// The host key the person has seen.
    #[schema(required = false)]
    pub host_key: String,
}
