//! What one look at a machine tells: the [`Snapshot`], the same whether it came
//! over SSH, from the hub's own machine or from an agent.
//!
//! Integers only. Percentages are tenths of a percent (`_permille`), sizes are
//! bytes, rates are per second. What a machine cannot tell, or was not asked in
//! this poll, is `None`: absent is never zero.

use serde::{Deserialize, Serialize};

/// Everything one poll learned. A `None` section was not read in this poll.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Snapshot {
    /// CPU use since the poll before; absent in the first poll of a boot.
    pub cpu: Option<Cpu>,
    /// Physical memory.
    pub memory: Option<Memory>,
    /// Swap space; all zero where none is configured.
    pub swap: Option<Swap>,
    /// Load averages.
    pub load: Option<Load>,
    /// Seconds since boot.
    pub uptime_seconds: Option<u64>,
    /// `/proc/sys/kernel/random/boot_id`: changes with every boot.
    pub boot_id: Option<String>,
    /// Process counts.
    pub processes: Option<Processes>,
    /// Pressure stall information (Linux 4.20 and later, where switched on).
    pub pressure: Option<Pressure>,
    /// Sockets in use.
    pub sockets: Option<Sockets>,
    /// Local filesystems.
    pub filesystems: Option<Vec<Filesystem>>,
    /// Block devices; rates are absent until a device was seen twice.
    pub disks: Option<Vec<Disk>>,
    /// Network interfaces; rates are absent until an interface was seen twice.
    pub interfaces: Option<Vec<Interface>>,
    /// Temperature sensors.
    pub temperatures: Option<Vec<Temperature>>,
    /// TCP sockets by state, both address families.
    pub tcp_states: Option<Vec<TcpState>>,
    /// Units of systemd that failed; absent where systemd does not run.
    pub units: Option<Units>,
    /// What waits to be installed or to take effect.
    pub updates: Option<Updates>,
    /// Containers that run on this machine, as their cgroups tell.
    pub containers: Option<Vec<Container>>,
    /// Graphics processors.
    pub gpus: Option<Vec<Gpu>>,
    /// What the owner of the machine wrote into `*.prom` files for us.
    pub custom: Option<Vec<Custom>>,
    /// The processes that use most CPU and most memory. Read while somebody looks; never stored.
    pub top_processes: Option<Vec<TopProcess>>,
    /// What the machine is.
    pub system: Option<System>,
    /// Sections that were asked for and could not be read, with the reason.
    pub faults: Vec<SectionFault>,
}

/// CPU use over the time since the poll before, in tenths of a percent of all cores; of a guest that
/// shares its host's kernel (LXC, Docker), in tenths of a percent of what it may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Cpu {
    /// 1000 minus idle and iowait.
    pub usage_permille: u16,
    /// Time in user mode, nice included.
    pub user_permille: u16,
    /// Time in the kernel, interrupts included.
    pub system_permille: u16,
    /// Time idle while a disk request was open; absent in such a guest.
    pub iowait_permille: Option<u16>,
    /// Time taken by the hypervisor for other guests; absent in such a guest.
    pub steal_permille: Option<u16>,
    /// Share of the periods of its quota in which such a guest was held back; absent without a quota.
    pub throttled_permille: Option<u16>,
    /// How much of the machine such a guest may use, in thousandths of a core.
    pub limit_millicores: Option<u32>,
    /// Use of each core, in the kernel's order; empty in such a guest, whose cores are its host's.
    pub cores_permille: Vec<u16>,
}

/// Physical memory in bytes. `used` is `total - available`. Of a guest that shares its host's kernel
/// (LXC, Docker) its own: `total` is its limit, or its host's memory where it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Memory {
    /// All memory the kernel manages.
    pub total_bytes: u64,
    /// `total - available`.
    pub used_bytes: u64,
    /// What could be given to a program without swapping (estimated on kernels before 3.14).
    pub available_bytes: u64,
    /// Memory used for nothing at all.
    pub free_bytes: u64,
    /// Block device buffers; absent where nobody counts them.
    pub buffers_bytes: Option<u64>,
    /// Page cache and reclaimable slab; absent where nobody counts them.
    pub cached_bytes: Option<u64>,
}

/// Swap in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Swap {
    /// Configured swap space.
    pub total_bytes: u64,
    /// `total - free`.
    pub used_bytes: u64,
}

/// Load averages in hundredths, as the kernel prints them (`0.42` is 42).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Load {
    /// Over 1 minute.
    pub one_hundredths: u32,
    /// Over 5 minutes.
    pub five_hundredths: u32,
    /// Over 15 minutes.
    pub fifteen_hundredths: u32,
}

/// Process counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Processes {
    /// All processes (where only the thread count is to be had cheaply, absent).
    pub total: Option<u32>,
    /// Kernel scheduling entities: processes and threads.
    pub threads: Option<u32>,
    /// Runnable now.
    pub running: Option<u32>,
    /// Waiting for I/O to finish. Read with the slow sections where the node's shell would have
    /// to read all of `/proc/stat` byte by byte for it.
    pub blocked: Option<u32>,
}

/// Share of the last ten seconds in which tasks stood still for want of a resource, in tenths of a percent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pressure {
    /// Some task waited for a CPU.
    pub cpu_some_permille: Option<u16>,
    /// Some task waited for memory.
    pub memory_some_permille: Option<u16>,
    /// All tasks waited for memory.
    pub memory_full_permille: Option<u16>,
    /// Some task waited for I/O.
    pub io_some_permille: Option<u16>,
    /// All tasks waited for I/O.
    pub io_full_permille: Option<u16>,
}

/// Sockets in use, from `/proc/net/sockstat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Sockets {
    /// TCP sockets in use, both address families.
    pub tcp_in_use: Option<u32>,
    /// TCP sockets in TIME_WAIT.
    pub tcp_time_wait: Option<u32>,
    /// UDP sockets in use, both address families.
    pub udp_in_use: Option<u32>,
}

/// One mounted local filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Filesystem {
    /// Where it is mounted.
    pub mount_point: String,
    /// The device or source.
    pub device: String,
    /// `ext4`, `xfs`, …; absent where the target's `df` cannot tell.
    pub kind: Option<String>,
    /// Size in bytes.
    pub total_bytes: u64,
    /// Used bytes.
    pub used_bytes: u64,
    /// Bytes an ordinary user may still write.
    pub available_bytes: u64,
    /// `used / (used + available)`, rounded up, as `df` shows it.
    pub usage_permille: u16,
    /// All inodes; absent where the filesystem has no fixed number.
    pub inodes_total: Option<u64>,
    /// Used inodes.
    pub inodes_used: Option<u64>,
}

/// One block device's I/O since the poll before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Disk {
    /// Kernel name: `sda`, `nvme0n1`.
    pub device: String,
    /// Rates since the device was last read.
    pub rates: Option<DiskRates>,
}

/// Rates of one block device, each to ten significant bits ([`delta`](crate::delta)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiskRates {
    /// Bytes read a second.
    pub read_bytes_per_second: u64,
    /// Bytes written a second.
    pub write_bytes_per_second: u64,
    /// Reads completed a second.
    pub reads_per_second: u64,
    /// Writes completed a second.
    pub writes_per_second: u64,
    /// Share of the time with at least one request open.
    pub utilisation_permille: u16,
    /// Mean time of a request from queueing to completion, in microseconds; absent when none completed.
    pub await_us: Option<u64>,
}

/// One network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Interface {
    /// Kernel name: `eth0`.
    pub name: String,
    /// Rates since the interface was last read.
    pub rates: Option<InterfaceRates>,
}

/// Rates of one network interface, each to ten significant bits ([`delta`](crate::delta)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct InterfaceRates {
    /// Bytes received a second.
    pub receive_bytes_per_second: u64,
    /// Bytes sent a second.
    pub transmit_bytes_per_second: u64,
    /// Packets received a second.
    pub receive_packets_per_second: u64,
    /// Packets sent a second.
    pub transmit_packets_per_second: u64,
    /// Errors since the interface was last read, both directions.
    pub errors: u64,
    /// Drops since the interface was last read, both directions.
    pub drops: u64,
}

/// One temperature sensor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Temperature {
    /// What is measured: `x86_pkg_temp`, `nvme Composite`.
    pub sensor: String,
    /// Thousandths of a degree Celsius.
    pub millicelsius: i64,
}

/// How many TCP sockets are in one state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TcpState {
    /// `established`, `listen`, `time_wait`, …
    pub state: String,
    /// How many.
    pub count: u32,
}

/// Units of systemd that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Units {
    /// How many.
    pub failed: u32,
    /// Their names, at most 32 of them.
    pub failed_names: Vec<String>,
}

/// What waits to be installed or to take effect, as files on the machine tell; what none tells is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Updates {
    /// Packages that a newer version is known of.
    pub pending: Option<u32>,
    /// Those of them that close a security hole.
    pub security: Option<u32>,
    /// Whether what was installed asks for a reboot: 1 or 0.
    pub reboot_required: Option<u16>,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Container {
    /// Its name where that can be read, else the beginning of its id.
    pub name: String,
    /// CPU use since it was last read, in thousandths of a core; absent until it was seen twice.
    pub cpu_millicores: Option<u32>,
    /// Memory it holds, without file caches that nobody used lately.
    pub memory_bytes: Option<u64>,
}

/// One graphics processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Gpu {
    /// `0 NVIDIA L4`, `card0`.
    pub name: String,
    /// Share of the time in which it computed.
    pub usage_permille: Option<u16>,
    /// Memory of its own.
    pub memory_total_bytes: Option<u64>,
    /// Memory of its own in use.
    pub memory_used_bytes: Option<u64>,
    /// Its temperature, in thousandths of a degree Celsius.
    pub millicelsius: Option<i64>,
    /// What it draws, in thousandths of a watt.
    pub milliwatts: Option<u32>,
}

/// One value out of a `*.prom` file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Custom {
    /// Name and labels as in the file, spaces between them removed: `backup_age_seconds{job="db"}`.
    pub series: String,
    /// The value in thousandths.
    pub value_thousandths: i64,
}

/// One process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TopProcess {
    /// Its number.
    pub pid: u32,
    /// The kernel's name for it: the program's, at most 15 bytes.
    pub name: String,
    /// Whose it is: a name, or a number where the machine has no name for it.
    pub user: String,
    /// CPU use since it was last read, in thousandths of a core; absent until it was seen twice.
    pub cpu_millicores: Option<u32>,
    /// Resident memory.
    pub memory_bytes: u64,
}

/// What the machine is; changes rarely.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct System {
    /// The node's own host name.
    pub hostname: Option<String>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os: Option<String>,
    /// `ID` of `/etc/os-release`: `debian`, `centos`, `alpine`.
    pub os_id: Option<String>,
    /// Kernel release, as `uname -r`.
    pub kernel: Option<String>,
    /// Hardware name, as `uname -m`.
    pub architecture: Option<String>,
    /// Name of the CPU.
    pub cpu_model: Option<String>,
    /// Cores the kernel schedules on.
    pub cpu_cores: Option<u32>,
    /// What kind of guest that shares its host's kernel: `docker`, `lxc`, `podman`, …; absent on
    /// physical and virtual machines.
    pub container: Option<String>,
}

/// A section that was asked for and could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SectionFault {
    /// The section's name in the protocol: `df`, `diskstats`.
    pub section: String,
    /// What happened, for a person.
    pub reason: String,
}

impl Snapshot {
    /// The filesystem at `/`.
    #[must_use]
    pub fn root_filesystem(&self) -> Option<&Filesystem> {
        self.filesystems
            .as_ref()?
            .iter()
            .find(|filesystem| filesystem.mount_point == "/")
    }

    /// Lays `newer` over this snapshot: sections that `newer` read replace ours, the rest stay.
    /// Faults are the newer ones alone.
    pub fn merge(&mut self, newer: Snapshot) {
        macro_rules! take {
            ($($field:ident),+) => { $( if newer.$field.is_some() { self.$field = newer.$field; } )+ };
        }
        take!(
            cpu,
            memory,
            swap,
            load,
            uptime_seconds,
            boot_id,
            pressure,
            sockets,
            filesystems,
            disks,
            interfaces,
            temperatures,
            tcp_states,
            units,
            updates,
            containers,
            gpus,
            custom,
            top_processes,
            system
        );
        // Its fields are read at different paces.
        if let Some(newer) = newer.processes {
            let ours = self.processes.get_or_insert_default();
            ours.total = newer.total.or(ours.total);
            ours.threads = newer.threads.or(ours.threads);
            ours.running = newer.running.or(ours.running);
            ours.blocked = newer.blocked.or(ours.blocked);
        }
        self.faults = newer.faults;
    }
}

impl Memory {
    /// `used / total` in tenths of a percent; absent for a machine without memory figures.
    #[must_use]
    pub fn usage_permille(&self) -> Option<u16> {
        permille(self.used_bytes, self.total_bytes)
    }
}

impl Swap {
    /// `used / total` in tenths of a percent; absent without swap.
    #[must_use]
    pub fn usage_permille(&self) -> Option<u16> {
        permille(self.used_bytes, self.total_bytes)
    }
}

/// `part / whole` in tenths of a percent, rounded half up, at most 1000; absent for a whole of nothing.
#[must_use]
pub fn permille(part: u64, whole: u64) -> Option<u16> {
    if whole == 0 {
        return None;
    }
    let scaled = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    Some(u16::try_from(scaled.min(1000)).unwrap_or(1000))
}
