//! The one place where counters are subtracted.
//!
//! What may happen between two readings, and what is made of it:
//! - a reboot (another boot id, or the uptime went back): everything starts anew, no rates;
//! - a device was replaced and counts from 0 again: no rates for it this time;
//! - a counter of 32 bits wrapped (32-bit kernels, and the milliseconds of diskstats on all of
//!   them, after 49 days): it is told from a reset by being the only one of its device to go back;
//! - `idle` and `iowait` go back a little (the kernel says they may): no time passed in them;
//! - the clock was set: nothing, as times are the caller's monotonic clock and the node's uptime;
//! - the answer was late: the time between two readings is the difference of the node's uptimes,
//!   which were read beside the counters, where that agrees with the caller's clock within a half.
//!
//! A rate has ten significant bits, three decimal figures: both ends of a second are known to the
//! millisecond, so more would be noise, and noise is what storing a rate costs.

use std::collections::HashMap;

use crate::parse::RawSample;
use crate::parse::cgroup::{Cgroup, CpuUsage};
use crate::parse::containers::ContainerCounters;
use crate::parse::diskstats::DiskCounters;
use crate::parse::netdev::InterfaceCounters;
use crate::parse::stat::{CpuTimes, Stat};
use crate::parse::top::ProcessCounters;
use crate::snapshot::{
    Container, Cpu, Disk, DiskRates, Interface, InterfaceRates, Snapshot, TopProcess, permille,
};

/// So many processes with the most CPU use are kept, and so many with the most memory.
const TOP: usize = 15;
/// What is known of a rate.
const SIGNIFICANT_BITS: u32 = 10;
/// Nanoseconds of a clock tick as the kernel shows it to programs (`USER_HZ`).
const TICK_NS: u64 = 10_000_000;

/// Turns the counters of successive answers of one machine into snapshots.
///
/// It may live longer than a connection: then the first snapshot of the next connection has the
/// mean rates since the last one.
#[derive(Debug, Clone, Default)]
pub struct Differ {
    boot_id: Option<String>,
    uptime_ms: Option<u64>,
    cpu: Option<Stat>,
    disks: HashMap<String, (Moment, DiskCounters)>,
    interfaces: HashMap<String, (Moment, InterfaceCounters)>,
    guest: Option<(Moment, CpuUsage)>,
    /// CPU time in nanoseconds, by group.
    containers: HashMap<String, (Moment, u64)>,
    /// CPU time in ticks, by number and start.
    processes: HashMap<(u32, u64), (Moment, u64)>,
}

/// When counters were read.
#[derive(Debug, Clone, Copy)]
struct Moment {
    monotonic_ms: i64,
    uptime_ms: Option<u64>,
}

impl Moment {
    /// Milliseconds since `earlier`; `None` if no time passed.
    fn since(self, earlier: Moment) -> Option<u64> {
        let here = self
            .monotonic_ms
            .checked_sub(earlier.monotonic_ms)
            .and_then(|ms| u64::try_from(ms).ok())
            .filter(|&ms| ms > 0)?;
        let there = self
            .uptime_ms
            .zip(earlier.uptime_ms)
            .and_then(|(now, then)| now.checked_sub(then))
            .filter(|&ms| ms.abs_diff(here) <= here / 2 && ms > 0);
        Some(there.unwrap_or(here))
    }
}

impl Differ {
    /// A differ that has seen nothing yet: the first snapshot has no CPU use and no rates.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next reading, received at `at_monotonic_ms` of a clock of the caller's that is
    /// never set and never goes back (any zero point).
    pub fn advance(&mut self, raw: RawSample, at_monotonic_ms: i64) -> Snapshot {
        self.notice_reboot(&raw);
        let now = Moment {
            monotonic_ms: at_monotonic_ms,
            uptime_ms: raw.uptime_ms,
        };
        let cpu = match raw.cgroup {
            Some(cgroup) if cgroup.cpu.is_some() => self.guest_cpu(&cgroup, raw.stat.as_ref(), now),
            _ => raw.stat.and_then(|stat| self.cpu(stat)),
        };
        Snapshot {
            cpu,
            memory: raw.memory,
            swap: raw.swap,
            load: raw.load,
            uptime_seconds: raw.uptime_ms.map(|ms| ms / 1000),
            boot_id: raw.boot_id,
            processes: raw.processes,
            pressure: raw.pressure,
            sockets: raw.sockets,
            filesystems: raw.filesystems,
            disks: raw.disks.map(|disks| self.disks(disks, now)),
            interfaces: raw.interfaces.map(|interfaces| self.interfaces(interfaces, now)),
            temperatures: raw.temperatures,
            tcp_states: raw.tcp_states,
            units: raw.units,
            updates: raw.updates,
            containers: raw.containers.map(|containers| self.containers(containers, now)),
            gpus: raw.gpus,
            custom: raw.custom,
            top_processes: raw.top.map(|processes| self.top(processes, now)),
            system: raw.system,
            faults: raw.faults,
        }
    }

    fn notice_reboot(&mut self, raw: &RawSample) {
        let other_boot = matches!((&raw.boot_id, &self.boot_id), (Some(new), Some(old)) if new != old);
        let went_back = matches!((raw.uptime_ms, self.uptime_ms), (Some(new), Some(old)) if new < old);
        if other_boot || went_back {
            *self = Self::default();
        }
        if raw.boot_id.is_some() {
            self.boot_id.clone_from(&raw.boot_id);
        }
        if raw.uptime_ms.is_some() {
            self.uptime_ms = raw.uptime_ms;
        }
    }

    fn cpu(&mut self, new: Stat) -> Option<Cpu> {
        let old = self.cpu.replace(new);
        let (old, new) = (old?, self.cpu.as_ref()?);
        let mut cpu = usage(&old.total, &new.total)?;
        let same_cores = old.cores.len() == new.cores.len()
            && old.cores.iter().zip(&new.cores).all(|(old, new)| old.0 == new.0);
        // After a core came or went the list is left out once: a place in it is a core.
        if same_cores {
            cpu.cores_permille = old
                .cores
                .iter()
                .zip(&new.cores)
                // A core whose ticks stand still slept through (NO_HZ, or was off for a moment).
                .map(|((_, old), (_, new))| usage(old, new).map_or(0, |core| core.usage_permille))
                .collect();
        }
        Some(cpu)
    }

    /// Of what a guest may use; the cores it sees are its host's.
    fn guest_cpu(&mut self, cgroup: &Cgroup, host: Option<&Stat>, now: Moment) -> Option<Cpu> {
        let new = cgroup.cpu?;
        let (then, old) = self.guest.replace((now, new))?;
        let elapsed_us = now.since(then)?.saturating_mul(1000);
        let passed = |field: fn(&CpuUsage) -> u64| field(&new).checked_sub(field(&old));
        let used = passed(|cpu| cpu.usage_us)?;
        let (user, system) = (passed(|cpu| cpu.user_us)?, passed(|cpu| cpu.system_us)?);
        let limit = cgroup.limit_millicores(host)?;
        let may_use = u64::try_from(u128::from(elapsed_us) * u128::from(limit) / 1000).unwrap_or(u64::MAX);
        let usage_permille = permille(used, may_use)?;
        // Its modes are counted at another moment, and in version 1 in ticks: they share the usage.
        let user_permille = match permille(user, user.saturating_add(system)) {
            Some(share) => u16::try_from(u32::from(usage_permille) * u32::from(share) / 1000).ok()?,
            None => 0,
        };
        let periods = passed(|cpu| cpu.periods)?;
        Some(Cpu {
            usage_permille,
            user_permille,
            system_permille: usage_permille - user_permille,
            iowait_permille: None,
            steal_permille: None,
            // Where it was idle all the time no period began.
            throttled_permille: cgroup
                .quota_millicores
                .and_then(|_| Some(permille(passed(|cpu| cpu.throttled)?, periods).unwrap_or(0))),
            limit_millicores: u32::try_from(limit).ok(),
            cores_permille: Vec::new(),
        })
    }

    fn containers(&mut self, containers: Vec<ContainerCounters>, now: Moment) -> Vec<Container> {
        let mut seen = HashMap::with_capacity(containers.len());
        let answer = containers
            .into_iter()
            .map(|new| {
                let old = self.containers.get(&new.path);
                let cpu_millicores = new
                    .cpu_ns
                    .zip(old)
                    .and_then(|(cpu_ns, (then, old))| cores(cpu_ns.checked_sub(*old)?, now.since(*then)?));
                if let Some(cpu_ns) = new.cpu_ns {
                    seen.insert(new.path, (now, cpu_ns));
                }
                Container {
                    name: new.name,
                    cpu_millicores,
                    memory_bytes: new.memory_bytes,
                }
            })
            .collect();
        self.containers = seen;
        answer
    }

    /// The processes with the most CPU use, and those with the most memory; the busiest first.
    fn top(&mut self, processes: Vec<ProcessCounters>, now: Moment) -> Vec<TopProcess> {
        let mut seen = HashMap::with_capacity(processes.len());
        let mut all: Vec<TopProcess> = processes
            .into_iter()
            .map(|new| {
                let old = self.processes.get(&(new.pid, new.started));
                let cpu_millicores = old.and_then(|(then, old)| {
                    let ns = new.ticks.checked_sub(*old)?.saturating_mul(TICK_NS);
                    cores(ns, now.since(*then)?)
                });
                seen.insert((new.pid, new.started), (now, new.ticks));
                TopProcess {
                    pid: new.pid,
                    name: new.name,
                    user: new.user,
                    cpu_millicores,
                    memory_bytes: new.memory_bytes,
                }
            })
            .collect();
        self.processes = seen;
        all.sort_by_key(|process| std::cmp::Reverse(process.memory_bytes));
        let mut rest = all.split_off(TOP.min(all.len()));
        rest.sort_by_key(|process| std::cmp::Reverse(process.cpu_millicores));
        all.extend(rest.into_iter().take(TOP));
        all.sort_by_key(|process| std::cmp::Reverse((process.cpu_millicores, process.memory_bytes)));
        all
    }

    fn disks(&mut self, disks: Vec<DiskCounters>, now: Moment) -> Vec<Disk> {
        let mut seen = HashMap::with_capacity(disks.len());
        let answer = disks
            .into_iter()
            .map(|new| {
                let rates = self
                    .disks
                    .get(&new.device)
                    .and_then(|(then, old)| disk_rates(old, &new, now.since(*then)?));
                let disk = Disk {
                    device: new.device.clone(),
                    rates,
                };
                seen.insert(new.device.clone(), (now, new));
                disk
            })
            .collect();
        self.disks = seen;
        answer
    }

    fn interfaces(&mut self, interfaces: Vec<InterfaceCounters>, now: Moment) -> Vec<Interface> {
        let mut seen = HashMap::with_capacity(interfaces.len());
        let answer = interfaces
            .into_iter()
            .map(|new| {
                let rates = self
                    .interfaces
                    .get(&new.name)
                    .and_then(|(then, old)| interface_rates(old, &new, now.since(*then)?));
                let interface = Interface {
                    name: new.name.clone(),
                    rates,
                };
                seen.insert(new.name.clone(), (now, new));
                interface
            })
            .collect();
        self.interfaces = seen;
        answer
    }
}

/// Shares of the ticks between two readings; `None` where none passed, or they were reset.
///
/// Guest time is within user time already. Shares are rounded so that user, system and steal
/// add up to the usage, and with iowait to at most 1000.
fn usage(old: &CpuTimes, new: &CpuTimes) -> Option<Cpu> {
    if new.total() < old.total() {
        return None;
    }
    let passed = |field: fn(&CpuTimes) -> u64| u128::from(field(new).saturating_sub(field(old)));
    let user = passed(|times| times.user) + passed(|times| times.nice);
    let system = passed(|times| times.system) + passed(|times| times.irq) + passed(|times| times.softirq);
    let steal = passed(|times| times.steal);
    let iowait = passed(|times| times.iowait);
    let total = user + system + steal + iowait + passed(|times| times.idle);
    if total == 0 {
        return None;
    }
    let share = |ticks: u128| u16::try_from((ticks * 1000 + total / 2) / total).unwrap_or(1000);
    let (to_user, to_system) = (share(user), share(user + system));
    let to_steal = share(user + system + steal);
    let to_iowait = share(user + system + steal + iowait);
    Some(Cpu {
        usage_permille: to_steal,
        user_permille: to_user,
        system_permille: to_system - to_user,
        steal_permille: Some(to_steal - to_system),
        iowait_permille: Some(to_iowait - to_steal),
        throttled_permille: None,
        limit_millicores: None,
        cores_permille: Vec::new(),
    })
}

/// Differences of all counters of one device; `None` if it was reset.
fn differences<const N: usize>(old: [u64; N], new: [u64; N]) -> Option<[u64; N]> {
    const WRAP: u64 = 1 << 32;
    let mut wrapped = 0;
    let mut out = [0; N];
    for ((out, old), new) in out.iter_mut().zip(old).zip(new) {
        *out = match new.checked_sub(old) {
            Some(difference) => difference,
            // A step over the edge of 32 bits, and not a very long one.
            None if old < WRAP && WRAP - old + new < WRAP / 2 => {
                wrapped += 1;
                WRAP - old + new
            }
            None => return None,
        };
    }
    (wrapped <= 1).then_some(out)
}

fn disk_rates(old: &DiskCounters, new: &DiskCounters, elapsed_ms: u64) -> Option<DiskRates> {
    let counters = |disk: &DiskCounters| {
        [
            disk.reads,
            disk.read_sectors,
            disk.read_ms,
            disk.writes,
            disk.write_sectors,
            disk.write_ms,
            disk.io_ms,
        ]
    };
    let [
        reads,
        read_sectors,
        read_ms,
        writes,
        write_sectors,
        write_ms,
        io_ms,
    ] = differences(counters(old), counters(new))?;
    let requests = reads.saturating_add(writes);
    let request_ms = u128::from(read_ms) + u128::from(write_ms);
    let utilisation = u128::from(io_ms) * 1000 / u128::from(elapsed_ms);
    Some(DiskRates {
        read_bytes_per_second: per_second(u128::from(read_sectors) * 512, elapsed_ms),
        write_bytes_per_second: per_second(u128::from(write_sectors) * 512, elapsed_ms),
        reads_per_second: per_second(reads.into(), elapsed_ms),
        writes_per_second: per_second(writes.into(), elapsed_ms),
        utilisation_permille: u16::try_from(utilisation.min(1000)).unwrap_or(1000),
        await_us: (requests > 0).then(|| significant(narrow(request_ms * 1000 / u128::from(requests)))),
    })
}

fn interface_rates(
    old: &InterfaceCounters,
    new: &InterfaceCounters,
    elapsed_ms: u64,
) -> Option<InterfaceRates> {
    let counters = |interface: &InterfaceCounters| {
        [
            interface.receive_bytes,
            interface.receive_packets,
            interface.receive_errors,
            interface.receive_drops,
            interface.transmit_bytes,
            interface.transmit_packets,
            interface.transmit_errors,
            interface.transmit_drops,
        ]
    };
    let [
        receive_bytes,
        receive_packets,
        receive_errors,
        receive_drops,
        transmit_bytes,
        transmit_packets,
        transmit_errors,
        transmit_drops,
    ] = differences(counters(old), counters(new))?;
    Some(InterfaceRates {
        receive_bytes_per_second: per_second(receive_bytes.into(), elapsed_ms),
        transmit_bytes_per_second: per_second(transmit_bytes.into(), elapsed_ms),
        receive_packets_per_second: per_second(receive_packets.into(), elapsed_ms),
        transmit_packets_per_second: per_second(transmit_packets.into(), elapsed_ms),
        errors: receive_errors.saturating_add(transmit_errors),
        drops: receive_drops.saturating_add(transmit_drops),
    })
}

/// CPU time as thousandths of a core.
fn cores(cpu_ns: u64, elapsed_ms: u64) -> Option<u32> {
    let elapsed_us = u128::from(elapsed_ms) * 1000;
    u32::try_from((u128::from(cpu_ns) + elapsed_us / 2) / elapsed_us).ok()
}

/// Rounded half up, and to what is known of it.
fn per_second(amount: u128, elapsed_ms: u64) -> u64 {
    let elapsed_ms = u128::from(elapsed_ms);
    significant(narrow((amount * 1000 + elapsed_ms / 2) / elapsed_ms))
}

/// Rounds half up to [`SIGNIFICANT_BITS`]; numbers that have no more stay as they are.
fn significant(value: u64) -> u64 {
    let surplus = (u64::BITS - value.leading_zeros()).saturating_sub(SIGNIFICANT_BITS);
    if surplus == 0 {
        return value;
    }
    value.saturating_add(1 << (surplus - 1)) >> surplus << surplus
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_ten_significant_bits_and_are_off_by_a_thousandth_at_most() {
        for (value, rounded) in [
            (0, 0),
            (1_023, 1_023),
            (1_025, 1_026),
            (2_047, 2_048),
            (64_251, 64_256),
            (u64::MAX, u64::MAX << 54),
        ] {
            assert_eq!(significant(value), rounded, "{value}");
        }
        for value in (0..63).flat_map(|bit| [(1_u64 << bit) + 1, (3_u64 << bit) / 2 + 7]) {
            let rounded = significant(value);
            assert!(rounded.abs_diff(value) <= value / 1_024, "{value}: {rounded}");
            assert_eq!(significant(rounded), rounded);
        }
    }
}
