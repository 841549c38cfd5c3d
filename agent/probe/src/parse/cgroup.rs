//! The cgroup of a guest that shares its host's kernel (LXC, Docker): what it may use, what it uses,
//! and how often it was held back. Lines `NAME VALUE` from its files, of version 1 or 2.
//!
//! Formats: `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst`, `scheduler/sched-bwc.rst`.
//! `/proc/meminfo` and `/proc/stat` are the host's there, unless lxcfs is mounted over them, which
//! takes its figures from the same files.

use super::{ParseError, number, stat::Stat};
use crate::snapshot::{Memory, Swap};

/// From this many bytes on a limit of version 1 says that there is none.
const NO_LIMIT: u64 = 1 << 62;
/// The kernel's clock tick in the files of version 1, in microseconds.
const TICK_US: u64 = 10_000;

/// What the files tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Bytes it may use; `None` is as many as the host has.
    pub memory_limit: Option<u64>,
    /// Bytes it uses, file caches included.
    pub memory_current: Option<u64>,
    /// File caches and slab that could be given back.
    pub memory_reclaimable: Option<u64>,
    /// Bytes it may swap out; `None` is as many as the host has.
    pub swap_limit: Option<u64>,
    /// Bytes it has swapped out.
    pub swap_current: Option<u64>,
    /// CPU time since it began.
    pub cpu: Option<CpuUsage>,
    /// Thousandths of a core its quota allows.
    pub quota_millicores: Option<u64>,
    /// CPUs it may run on.
    pub cpus: Option<u32>,
}

/// CPU time of a guest since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// Microseconds in all.
    pub usage_us: u64,
    /// Microseconds in user mode.
    pub user_us: u64,
    /// Microseconds in the kernel.
    pub system_us: u64,
    /// Periods of the quota in which it ran.
    pub periods: u64,
    /// Those of them in which it was held back.
    pub throttled: u64,
}

/// Parses the files of version 2.
///
/// # Errors
/// Where a value is no number.
pub fn parse_v2(text: &str) -> Result<Cgroup, ParseError> {
    let mut group = Cgroup::default();
    let mut cpu = CpuUsage::default();
    let (mut has_cpu, mut caches) = (false, None);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else {
            continue;
        };
        match name {
            "memory.max" => group.memory_limit = limit(value, line)?,
            "memory.current" => group.memory_current = Some(count(value, line)?),
            "memory.swap.max" => group.swap_limit = limit(value, line)?,
            "memory.swap.current" => group.swap_current = Some(count(value, line)?),
            "cpu.max" => {
                let (quota, period) = value.split_once(' ').unwrap_or((value, "100000"));
                let period = count(period, line)?;
                group.quota_millicores = limit(quota, line)?.and_then(|quota| millicores(quota, period));
            }
            "cpuset.cpus.effective" => group.cpus = super::facts::cpu_list(value),
            "usage_usec" => (cpu.usage_us, has_cpu) = (count(value, line)?, true),
            "user_usec" => cpu.user_us = count(value, line)?,
            "system_usec" => cpu.system_us = count(value, line)?,
            "nr_periods" => cpu.periods = count(value, line)?,
            "nr_throttled" => cpu.throttled = count(value, line)?,
            "inactive_file" | "active_file" | "slab_reclaimable" => add(&mut caches, count(value, line)?),
            _ => {}
        }
    }
    group.cpu = has_cpu.then_some(cpu);
    group.memory_reclaimable = caches;
    Ok(group)
}

/// Parses the files of version 1.
///
/// # Errors
/// Where a value is no number.
pub fn parse_v1(text: &str) -> Result<Cgroup, ParseError> {
    let mut group = Cgroup::default();
    let mut cpu = CpuUsage::default();
    let (mut has_cpu, mut caches) = (false, None);
    let (mut quota, mut period) = (None, None);
    let (mut both_limit, mut both_current) = (None, None);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else {
            continue;
        };
        match name {
            // The smaller of its own and those above it.
            "memory.limit_in_bytes" | "hierarchical_memory_limit" => {
                group.memory_limit = smaller(group.memory_limit, bounded(count(value, line)?));
            }
            "memory.usage_in_bytes" => group.memory_current = Some(count(value, line)?),
            // Of memory and swap together.
            "memory.memsw.limit_in_bytes" | "hierarchical_memsw_limit" => {
                both_limit = smaller(both_limit, bounded(count(value, line)?));
            }
            "memory.memsw.usage_in_bytes" => both_current = Some(count(value, line)?),
            // -1 is none.
            "cpu.cfs_quota_us" => quota = number(value.trim()),
            "cpu.cfs_period_us" => period = Some(count(value, line)?),
            "cpuset.cpus" => group.cpus = super::facts::cpu_list(value),
            "cpuacct.usage" => (cpu.usage_us, has_cpu) = (count(value, line)? / 1000, true),
            "user" => cpu.user_us = count(value, line)?.saturating_mul(TICK_US),
            "system" => cpu.system_us = count(value, line)?.saturating_mul(TICK_US),
            "nr_periods" => cpu.periods = count(value, line)?,
            "nr_throttled" => cpu.throttled = count(value, line)?,
            "total_inactive_file" | "total_active_file" => add(&mut caches, count(value, line)?),
            _ => {}
        }
    }
    group.cpu = has_cpu.then_some(cpu);
    group.memory_reclaimable = caches;
    group.quota_millicores = quota
        .zip(period)
        .and_then(|(quota, period)| millicores(quota, period));
    group.swap_limit = both_limit
        .zip(group.memory_limit)
        .map(|(both, memory)| both.saturating_sub(memory));
    group.swap_current = both_current
        .zip(group.memory_current)
        .map(|(both, memory)| both.saturating_sub(memory));
    Ok(group)
}

impl Cgroup {
    /// The guest's own memory, if its group tells; `host` is what `/proc/meminfo` says. What could be
    /// given to a program is what is left of the limit when the caches are given back, as the kernel
    /// reckons `MemAvailable`, but not more than the host has.
    #[must_use]
    pub fn memory(&self, host: &Memory) -> Option<Memory> {
        let current = self.memory_current?;
        let total = self.memory_limit.unwrap_or(u64::MAX).min(host.total_bytes);
        let caches = self.memory_reclaimable.map(|caches| caches.min(current));
        let held = current.saturating_sub(caches.unwrap_or(0)).min(total);
        Some(Memory {
            total_bytes: total,
            used_bytes: held,
            available_bytes: total - held,
            free_bytes: total.saturating_sub(current),
            buffers_bytes: None,
            cached_bytes: caches,
        })
    }

    /// The guest's own swap, if its group tells.
    #[must_use]
    pub fn swap(&self, host: &Swap) -> Option<Swap> {
        let used = self.swap_current?;
        let total = self.swap_limit.unwrap_or(u64::MAX).min(host.total_bytes);
        Some(Swap {
            total_bytes: total,
            used_bytes: used.min(total),
        })
    }

    /// Thousandths of a core it may use: its quota, its CPUs, or those of the host.
    #[must_use]
    pub fn limit_millicores(&self, host: Option<&Stat>) -> Option<u64> {
        let cpus = [
            self.cpus.map(u64::from),
            host.map(|stat| stat.cores.len() as u64)
                .filter(|cores| *cores > 0),
        ];
        let cores = cpus
            .into_iter()
            .flatten()
            .min()
            .map(|cpus| cpus.saturating_mul(1000));
        smaller(self.quota_millicores, cores).filter(|limit| *limit > 0)
    }
}

fn count(value: &str, line: &str) -> Result<u64, ParseError> {
    number(value.trim()).ok_or_else(|| ParseError::at("not a number", line))
}

fn limit(value: &str, line: &str) -> Result<Option<u64>, ParseError> {
    if value.trim() == "max" {
        return Ok(None);
    }
    count(value, line).map(Some)
}

fn bounded(limit: u64) -> Option<u64> {
    Some(limit).filter(|limit| *limit < NO_LIMIT)
}

fn smaller(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

fn millicores(quota: u64, period: u64) -> Option<u64> {
    quota.saturating_mul(1000).checked_div(period)
}

fn add(sum: &mut Option<u64>, value: u64) {
    *sum = Some(sum.unwrap_or(0).saturating_add(value));
}
