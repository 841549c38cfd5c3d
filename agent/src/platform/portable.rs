//! Every system that is not Linux, as far as sysinfo knows it. Compiled for the tests on Linux too,
//! so that it keeps working, and compared there with what the probe says.

use std::time::Duration;

use gander_probe::{
    Sections, Snapshot,
    snapshot::{
        Cpu, Filesystem, Interface, InterfaceRates, Load, Memory, Swap, System as Facts, Temperature,
        permille,
    },
};
use sysinfo::{Components, CpuRefreshKind, Disks, MemoryRefreshKind, Networks, System};

/// The machine this program runs on.
#[derive(Debug)]
pub struct Machine {
    system: Option<System>,
    networks: Option<Networks>,
    /// When the one before was; the first look has no rates.
    last_ms: Option<i64>,
}

/// What the slow sections told.
#[derive(Debug, Default)]
pub struct HeavyPart {
    filesystems: Option<Vec<Filesystem>>,
    temperatures: Option<Vec<Temperature>>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            system: System::new().ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            last_ms: None,
        }
    }
}

impl Machine {
    /// Reads what every look asks for, and the facts if they are in `also`, at a moment of a clock that
    /// never goes back. Never waits for a device.
    pub fn read(&mut self, also: Sections, at_monotonic_ms: i64) -> Snapshot {
        let facts = also.contains(Sections::FACTS);
        let elapsed = self
            .last_ms
            .and_then(|last| u64::try_from(at_monotonic_ms.saturating_sub(last)).ok())
            .filter(|elapsed| *elapsed > 0);
        self.last_ms = Some(at_monotonic_ms);
        if let Some(system) = &mut self.system {
            system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
            system.refresh_memory_specifics(MemoryRefreshKind::everything());
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
        }
        let system = self.system.as_ref();
        Snapshot {
            cpu: elapsed.and_then(|_| system.map(cpu)),
            memory: system.map(memory),
            swap: system.map(|system| Swap {
                total_bytes: system.total_swap(),
                used_bytes: system.used_swap(),
            }),
            load: load(),
            uptime_seconds: System::uptime().ok(),
            boot_id: facts.then(boot_id),
            interfaces: self
                .networks
                .as_ref()
                .map(|networks| interfaces(networks, elapsed)),
            system: facts.then(|| facts_of(system.map_or(&[], System::cpus))),
            ..Snapshot::default()
        }
    }

    /// Lays what the slow sections told over a look.
    pub fn lay_over(&mut self, look: &mut Snapshot, part: &HeavyPart, _at_monotonic_ms: i64) {
        let faults = std::mem::take(&mut look.faults);
        look.merge(Snapshot {
            filesystems: part.filesystems.clone(),
            temperatures: part.temperatures.clone(),
            faults,
            ..Snapshot::default()
        });
    }
}

fn cpu(system: &System) -> Cpu {
    let tenths = |percent: f32| (percent * 10.0).round().clamp(0.0, 1000.0) as u16;
    Cpu {
        usage_permille: tenths(system.global_cpu_usage()),
        cores_permille: system.cpus().iter().map(|cpu| tenths(cpu.usage())).collect(),
        ..Cpu::default()
    }
}

fn memory(system: &System) -> Memory {
    let (total, available) = (system.total_memory(), system.available_memory());
    Memory {
        total_bytes: total,
        used_bytes: total.saturating_sub(available),
        available_bytes: available,
        free_bytes: system.free_memory(),
        buffers_bytes: None,
        cached_bytes: None,
    }
}

/// Windows has no such thing.
fn load() -> Option<Load> {
    let load = System::load_average().ok().filter(|_| !cfg!(windows))?;
    let hundredths = |load: f64| (load * 100.0).round() as u32;
    Some(Load {
        one_hundredths: hundredths(load.one),
        five_hundredths: hundredths(load.five),
        fifteen_hundredths: hundredths(load.fifteen),
    })
}

fn interfaces(networks: &Networks, elapsed_ms: Option<u64>) -> Vec<Interface> {
    let per_second = |amount: u64, elapsed: u64| {
        u64::try_from(u128::from(amount) * 1000 / u128::from(elapsed)).unwrap_or(u64::MAX)
    };
    let mut interfaces: Vec<Interface> = networks
        .iter()
        .map(|(name, data)| Interface {
            name: name.to_string_lossy().into_owned(),
            rates: elapsed_ms.map(|elapsed| InterfaceRates {
                receive_bytes_per_second: per_second(data.received(), elapsed),
                transmit_bytes_per_second: per_second(data.transmitted(), elapsed),
                receive_packets_per_second: per_second(data.packets_received(), elapsed),
                transmit_packets_per_second: per_second(data.packets_transmitted(), elapsed),
                errors: data.errors_on_received() + data.errors_on_transmitted(),
                drops: 0,
            }),
        })
        .collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    interfaces
}

fn facts_of(cpus: &[sysinfo::Cpu]) -> Facts {
    Facts {
        hostname: System::host_name().ok(),
        os: System::long_os_version().ok(),
        os_id: Some(System::distribution_id()),
        kernel: System::kernel_version().ok(),
        architecture: Some(System::cpu_arch()),
        cpu_model: cpus.first().map(|cpu| cpu.brand().to_owned()),
        cpu_cores: u32::try_from(cpus.len()).ok().filter(|cores| *cores > 0),
        container: None,
    }
}

/// Reads the slow sections: filesystems and temperatures. May hang with a broken disk. The rare ones
/// are of Linux alone.
#[must_use]
pub fn read_heavy(sections: Sections) -> HeavyPart {
    if !sections.contains(Sections::SLOW) {
        return HeavyPart::default();
    }
    let filesystem = |disk: &sysinfo::Disk| {
        let (total, available) = (disk.total_space(), disk.available_space());
        let used = total.saturating_sub(available);
        Filesystem {
            mount_point: disk.mount_point().to_string_lossy().into_owned(),
            device: disk.name().to_string_lossy().into_owned(),
            kind: Some(disk.file_system().to_string_lossy().into_owned()),
            total_bytes: total,
            used_bytes: used,
            available_bytes: available,
            usage_permille: permille(used, total).unwrap_or_default(),
            inodes_total: None,
            inodes_used: None,
        }
    };
    let temperature = |component: &sysinfo::Component| {
        Some(Temperature {
            sensor: component.label().to_owned(),
            millicelsius: (f64::from(component.temperature()?) * 1000.0).round() as i64,
        })
    };
    HeavyPart {
        filesystems: Disks::new_with_refreshed_list()
            .ok()
            .map(|disks| disks.iter().map(filesystem).collect()),
        temperatures: Components::new_with_refreshed_list()
            .ok()
            .map(|all| all.iter().filter_map(temperature).collect()),
    }
}

/// Milliseconds since boot.
#[must_use]
pub fn uptime_ms() -> i64 {
    let uptime = Duration::from_secs(System::uptime().unwrap_or_default());
    i64::try_from(uptime.as_millis()).unwrap_or(i64::MAX)
}

/// Changes with every boot: the moment of the boot.
#[must_use]
pub fn boot_id() -> String {
    System::boot_time().map_or_else(|_| String::new(), |time| format!("booted-{time}"))
}

/// The same for the life of an installation; empty where the system has none.
#[must_use]
pub fn machine_id() -> String {
    sysinfo::Product::uuid().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{self, linux};

    #[test]
    fn sysinfo_and_the_probe_tell_the_same() {
        let mut ours = linux::Machine::default();
        let mut theirs = Machine::default();
        let (ours, theirs) = (ours.read(Sections::FACTS, 1), theirs.read(Sections::FACTS, 1));
        let (a, b) = (ours.memory.unwrap(), theirs.memory.unwrap());
        assert_eq!(a.total_bytes, b.total_bytes);
        assert!(a.used_bytes.abs_diff(b.used_bytes) < a.total_bytes / 10);
        let (a, b) = (ours.system.unwrap(), theirs.system.unwrap());
        assert_eq!(
            (a.hostname, a.kernel, a.os_id, a.cpu_cores),
            (b.hostname, b.kernel, b.os_id, b.cpu_cores)
        );
        assert!(platform::uptime_ms().abs_diff(uptime_ms()) < 5000);
        let names = |snapshot: &[Interface]| -> Vec<String> {
            let mut names: Vec<String> = snapshot.iter().map(|interface| interface.name.clone()).collect();
            names.sort();
            names
        };
        // The probe leaves out what has no traffic of its own (loopback, mirrors).
        let (ours, theirs) = (
            names(&ours.interfaces.unwrap()),
            names(&theirs.interfaces.unwrap()),
        );
        assert!(
            ours.iter().all(|name| theirs.contains(name)),
            "{ours:?} {theirs:?}"
        );
    }

    #[test]
    fn a_second_look_has_rates_and_the_slow_sections_ride_along() {
        let mut machine = Machine::default();
        assert!(machine.read(Sections::NONE, 1000).cpu.is_none());
        let mut look = machine.read(Sections::NONE, 2000);
        assert!(look.cpu.is_some());
        assert!(
            look.interfaces
                .as_ref()
                .unwrap()
                .iter()
                .all(|interface| interface.rates.is_some())
        );
        machine.lay_over(&mut look, &read_heavy(Sections::SLOW), 2000);
        assert!(look.filesystems.is_some() && look.temperatures.is_some());
        assert!(!boot_id().is_empty());
        assert!(machine_id().is_ascii());
    }
}
