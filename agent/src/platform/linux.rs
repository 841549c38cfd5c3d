//! Linux, through the probe.

use gander_probe::{Answer, Differ, RawSample, Sections, Snapshot, local};

use rustix::time::{ClockId, clock_gettime};

/// The machine this program runs on; remembers the counters of the look before.
#[derive(Debug, Default)]
pub struct Machine {
    differ: Differ,
}

/// What the slow or the rare sections told.
pub type HeavyPart = Answer;

impl Machine {
    /// Reads what every look asks for, and of the facts and the top processes what is in `also`, at a
    /// moment of a clock that never goes back. Never waits for a device.
    pub fn read(&mut self, also: Sections, at_monotonic_ms: i64) -> Snapshot {
        let sections = Sections::TICK | also;
        self.differ
            .advance(RawSample::parse(&local::read(sections)), at_monotonic_ms)
    }

    /// Lays what the slow or the rare sections told over a look.
    pub fn lay_over(&mut self, look: &mut Snapshot, part: &HeavyPart, at_monotonic_ms: i64) {
        let mut heavy = self.differ.advance(RawSample::parse(part), at_monotonic_ms);
        heavy.faults.append(&mut look.faults);
        look.merge(heavy);
    }
}

/// Reads the slow sections (filesystems, temperatures, the number of processes) or the rare ones
/// (failed units, containers, the owner's files). May hang with a broken disk.
#[must_use]
pub fn read_heavy(sections: Sections) -> HeavyPart {
    local::read(sections)
}

/// Milliseconds since boot, sleep included.
#[must_use]
pub fn uptime_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec
        .saturating_mul(1000)
        .saturating_add(time.tv_nsec / 1_000_000)
}

/// Changes with every boot; empty where the kernel does not tell.
#[must_use]
pub fn boot_id() -> String {
    first_line("/proc/sys/kernel/random/boot_id")
}

/// The same for the life of an installation; empty where the system has none.
#[must_use]
pub fn machine_id() -> String {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .map(first_line)
        .find(|id| !id.is_empty())
        .unwrap_or_default()
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
