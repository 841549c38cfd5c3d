//! Text to counters: one file a subsystem, pure functions on `&str`, and the [`RawSample`] they
//! fill. What they read came from somebody else's machine: nothing here panics, and every list
//! and every name has a longest size.
//!
//! A subsystem is added with its parser here, a captured fixture, and its place in
//! [`RawSample::parse`].

pub mod cgroup;
pub mod containers;
pub mod df;
pub mod diskstats;
pub mod facts;
pub mod gpus;
pub mod loadavg;
pub mod meminfo;
pub mod mounts;
pub mod netdev;
pub mod pressure;
pub mod prom;
pub mod sensors;
pub mod sockstat;
pub mod stat;
pub mod system;
pub mod tcp;
pub mod top;
pub mod uptime;

use crate::snapshot::{
    Custom, Filesystem, Gpu, Load, Memory, Pressure, Processes, SectionFault, Sockets, Swap, System,
    TcpState, Temperature, Units, Updates,
};
use crate::wire::Answer;

/// Longest name (device, interface, sensor, mount point) that is kept, in bytes.
pub const MAX_LABEL: usize = 255;
/// The last line of a list that may be cut short.
pub(crate) const COMPLETE: &str = "complete";

/// Why a section could not be understood, for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl ParseError {
    /// `what`, and the line it is about, cut and made printable.
    fn at(what: &str, line: &str) -> Self {
        let end = line
            .char_indices()
            .nth(60)
            .map_or(line.len(), |(position, _)| position);
        Self(format!(
            "{what}: \"{}\"",
            crate::wire::sanitise(&line.as_bytes()[..end])
        ))
    }

    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// The lines of a list section: those that were understood, and what was wrong with the first
/// that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// What was understood.
    pub items: Vec<T>,
    /// The first line that was not.
    pub fault: Option<ParseError>,
}

impl<T> Listed<T> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            fault: None,
        }
    }

    /// Adds an item while there are fewer than `most`.
    fn add(&mut self, most: usize, item: Result<T, ParseError>) {
        match item {
            Ok(item) if self.items.len() < most => self.items.push(item),
            Ok(_) => self.note(ParseError(format!(
                "more than {most} entries, the rest is left out"
            ))),
            Err(error) => self.note(error),
        }
    }

    fn note(&mut self, error: ParseError) {
        self.fault.get_or_insert(error);
    }
}

/// The counters of one answer, not yet subtracted from those before. `None` was not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawSample {
    /// CPU time since boot.
    pub stat: Option<stat::Stat>,
    /// What a guest that shares its host's kernel has of it. Its memory is in `memory` already.
    pub cgroup: Option<cgroup::Cgroup>,
    /// Physical memory.
    pub memory: Option<Memory>,
    /// Swap space.
    pub swap: Option<Swap>,
    /// Load averages.
    pub load: Option<Load>,
    /// Milliseconds since boot, as the node counts them.
    pub uptime_ms: Option<u64>,
    /// The boot id.
    pub boot_id: Option<String>,
    /// Process counts.
    pub processes: Option<Processes>,
    /// Pressure stall information.
    pub pressure: Option<Pressure>,
    /// Sockets in use.
    pub sockets: Option<Sockets>,
    /// Local filesystems.
    pub filesystems: Option<Vec<Filesystem>>,
    /// Disk I/O since boot.
    pub disks: Option<Vec<diskstats::DiskCounters>>,
    /// Network traffic since boot.
    pub interfaces: Option<Vec<netdev::InterfaceCounters>>,
    /// Temperature sensors.
    pub temperatures: Option<Vec<Temperature>>,
    /// TCP sockets by state.
    pub tcp_states: Option<Vec<TcpState>>,
    /// Failed units.
    pub units: Option<Units>,
    /// What updates left behind.
    pub updates: Option<Updates>,
    /// Containers, their CPU time since they began.
    pub containers: Option<Vec<containers::ContainerCounters>>,
    /// Graphics processors.
    pub gpus: Option<Vec<Gpu>>,
    /// Series out of the owner's files.
    pub custom: Option<Vec<Custom>>,
    /// All processes, their CPU time since they began.
    pub top: Option<Vec<top::ProcessCounters>>,
    /// What the machine is.
    pub system: Option<System>,
    /// Sections that were asked for and could not be read or understood.
    pub faults: Vec<SectionFault>,
}

impl RawSample {
    /// Parses every section of `answer`. A broken one becomes a fault and spoils no other; one
    /// this version does not know is passed over.
    #[must_use]
    pub fn parse(answer: &Answer) -> Self {
        let mut faults = answer.faults.clone();
        let mut reader = Reader {
            answer,
            faults: &mut faults,
        };
        let stat = reader.one("stat", stat::parse);
        let meminfo = reader.one("meminfo", meminfo::parse);
        let loadavg = reader.one("loadavg", loadavg::parse);
        let uptime_ms = reader.one("uptime", uptime::parse);
        let disks = reader
            .many("blockstat", diskstats::parse_block)
            .or_else(|| reader.many("diskstats", diskstats::parse));
        let interfaces = reader.many("netdev", netdev::parse);
        let pressure = reader.one("pressure", pressure::parse);
        let sockets = reader.one("sockstat", sockstat::parse);
        let counted = reader.one("processes", facts::processes);
        let filesystems = reader.filesystems();
        let temperatures = reader.temperatures();
        let kernel = reader.one("kernel", facts::kernel);
        let os = reader.one("os_release", facts::os_release);
        let cpu_model = reader.one("cpuinfo", facts::cpuinfo);
        let cgroup = reader
            .one("cgroup2", cgroup::parse_v2)
            .or_else(|| reader.one("cgroup1", cgroup::parse_v1));
        let tcp_states = reader.one("tcp", tcp::parse).flatten();
        let units = reader.one("units", system::units).flatten();
        let updates = reader.one("updates", system::updates).flatten();
        let containers = reader.many("containers", containers::parse);
        let gpus = reader.gpus();
        let custom = reader.many("prom", prom::parse);
        let top = reader.many("top", top::parse);

        let mut processes = counted;
        // The kernel counts those of a guest with all others.
        let is_guest = cgroup.is_some();
        if let Some(processes) = processes.as_mut().filter(|_| is_guest) {
            processes.blocked = None;
        }
        if let Some(stat) = stat.as_ref().filter(|_| !is_guest) {
            let processes = processes.get_or_insert_default();
            processes.running = stat.running;
            processes.blocked = stat.blocked.or(processes.blocked);
        }
        let loadavg = loadavg.filter(|_| !is_guest);
        if let Some(loadavg) = &loadavg {
            let processes = processes.get_or_insert_default();
            processes.running = processes.running.or(loadavg.running);
            processes.threads = loadavg.threads;
        }
        let boot_id = kernel.as_ref().and_then(|kernel| kernel.boot_id.clone());
        let mut system = None::<System>;
        if let Some(kernel) = kernel {
            let system = system.get_or_insert_default();
            system.hostname = kernel.hostname;
            system.kernel = kernel.release;
            system.architecture = kernel.architecture;
            system.cpu_cores = kernel.cpu_cores;
            system.container = kernel.container;
        }
        if let Some(os) = os {
            let system = system.get_or_insert_default();
            system.os = os.name;
            system.os_id = os.id;
        }
        if let Some(cpu_model) = cpu_model {
            system.get_or_insert_default().cpu_model = cpu_model;
        }
        if let (Some(system), Some(stat)) = (&mut system, &stat) {
            let counted = u32::try_from(stat.cores.len()).ok().filter(|&cores| cores > 0);
            system.cpu_cores = system.cpu_cores.or(counted);
        }

        let (mut memory, mut swap) = match meminfo {
            Some((memory, swap)) => (Some(memory), swap),
            None => (None, None),
        };
        if let Some(cgroup) = &cgroup {
            memory = memory.map(|host| cgroup.memory(&host).unwrap_or(host));
            swap = swap.map(|host| cgroup.swap(&host).unwrap_or(host));
        }

        Self {
            stat,
            cgroup,
            memory,
            swap,
            load: loadavg.map(|loadavg| loadavg.load),
            uptime_ms,
            boot_id,
            processes,
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
            top,
            system: system.filter(|system| *system != System::default()),
            faults,
        }
    }
}

/// Hands sections to parsers and keeps what they complain of.
struct Reader<'a> {
    answer: &'a Answer,
    faults: &'a mut Vec<SectionFault>,
}

impl<'a> Reader<'a> {
    /// The text of a section; that of one the node gave up is not whole.
    fn text(&self, section: &str) -> Option<&'a str> {
        let gave_up = self.answer.faults.iter().any(|fault| fault.section == section);
        self.answer.text(section).filter(|_| !gave_up)
    }

    fn one<T>(&mut self, section: &str, parse: fn(&str) -> Result<T, ParseError>) -> Option<T> {
        match parse(self.text(section)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(section, &error);
                None
            }
        }
    }

    fn many<T>(&mut self, section: &str, parse: fn(&str) -> Listed<T>) -> Option<Vec<T>> {
        let listed = parse(self.text(section)?);
        self.listed(section, listed)
    }

    fn listed<T>(&mut self, section: &str, listed: Listed<T>) -> Option<Vec<T>> {
        if let Some(error) = &listed.fault {
            self.fault(section, error);
            if listed.items.is_empty() {
                return None;
            }
        }
        Some(listed.items)
    }

    fn fault(&mut self, section: &str, error: &ParseError) {
        self.faults.push(SectionFault {
            section: section.to_owned(),
            reason: error.to_string(),
        });
    }

    fn filesystems(&mut self) -> Option<Vec<Filesystem>> {
        let mounts = self.many("mounts", mounts::parse)?;
        if mounts.is_empty() {
            return Some(Vec::new());
        }
        let answer: &'a Answer = self.answer;
        if let Some(text) = answer.text("statfs") {
            // Empty where the section was given up.
            if text.trim().is_empty() {
                return None;
            }
            let listed = mounts::join_statfs(&mounts, text);
            return self.listed("statfs", listed);
        }
        let text = answer.text("df")?;
        let space = df::parse_space(text);
        let space = self.listed("df", space)?;
        let inodes = answer.text("dfi").map(df::parse_inodes);
        let inodes = inodes.and_then(|listed| self.listed("dfi", listed));
        Some(df::join(&mounts, space, inodes.unwrap_or_default()))
    }

    fn gpus(&mut self) -> Option<Vec<Gpu>> {
        let amd = self.many("amdgpu", gpus::parse_amd);
        let nvidia = self.many("nvidia", gpus::parse_nvidia);
        if amd.is_none() && nvidia.is_none() {
            return None;
        }
        Some(amd.into_iter().chain(nvidia).flatten().collect())
    }

    fn temperatures(&mut self) -> Option<Vec<Temperature>> {
        let hwmon = self.many("hwmon", sensors::parse);
        let thermal = self.many("thermal", sensors::parse);
        if hwmon.is_none() && thermal.is_none() {
            return None;
        }
        Some(sensors::join(
            hwmon.unwrap_or_default(),
            thermal.unwrap_or_default(),
        ))
    }
}

/// A name from a node, fit to be kept: no control characters, at most [`MAX_LABEL`] bytes.
#[must_use]
pub fn label(text: &str) -> String {
    let mut out = String::new();
    for character in text.trim().chars() {
        let character = if character.is_control() {
            '\u{fffd}'
        } else {
            character
        };
        if out.len() + character.len_utf8() > MAX_LABEL {
            break;
        }
        out.push(character);
    }
    out
}

/// A whole number of the kernel; nothing but digits.
fn number(word: &str) -> Option<u64> {
    // `parse` alone would take a plus sign.
    if word.starts_with('+') {
        return None;
    }
    word.parse().ok()
}

/// A decimal of the kernel in hundredths: `0.42` is 42, `7` is 700, further digits are cut off.
fn hundredths(word: &str) -> Option<u64> {
    let (whole, part) = word.split_once('.').unwrap_or((word, ""));
    let mut digits = part
        .bytes()
        .map(|byte| byte.is_ascii_digit().then(|| u64::from(byte - b'0')));
    let tens = digits.next().unwrap_or(Some(0))?;
    let ones = digits.next().unwrap_or(Some(0))?;
    if digits.any(|digit| digit.is_none()) {
        return None;
    }
    number(whole)?.checked_mul(100)?.checked_add(tens * 10 + ones)
}
