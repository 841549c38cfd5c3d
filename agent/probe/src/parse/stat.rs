//! `/proc/stat`: CPU time since boot in clock ticks.
//!
//! Format: `Documentation/filesystems/proc.rst`, 1.7. Old kernels have fewer columns (no steal
//! before 2.6.11, no guest before 2.6.24): what is not there is 0.

use super::{ParseError, number};

/// More cores than any kernel is built for are not believed.
const MAX_CORES: usize = 8192;

/// Ticks since boot spent in each mode, of one core or all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// User mode; the kernel counts `guest` in here as well.
    pub user: u64,
    /// User mode at low priority; the kernel counts `guest_nice` in here as well.
    pub nice: u64,
    /// Kernel mode.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do while a disk request is open. May go backwards.
    pub iowait: u64,
    /// Hardware interrupts.
    pub irq: u64,
    /// Software interrupts.
    pub softirq: u64,
    /// Taken by the hypervisor for other guests.
    pub steal: u64,
}

impl CpuTimes {
    /// All ticks. Guest time is in `user` and `nice` already.
    #[must_use]
    pub fn total(&self) -> u128 {
        [
            self.user,
            self.nice,
            self.system,
            self.idle,
            self.iowait,
            self.irq,
            self.softirq,
            self.steal,
        ]
        .into_iter()
        .map(u128::from)
        .sum()
    }
}

/// What `/proc/stat` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// All cores together.
    pub total: CpuTimes,
    /// Each core by its number; numbers are missing where cores are offline.
    pub cores: Vec<(u32, CpuTimes)>,
    /// Tasks runnable now.
    pub running: Option<u32>,
    /// Tasks waiting for I/O.
    pub blocked: Option<u32>,
}

/// Parses the cpu lines, and the counts behind them where they were sent.
///
/// # Errors
/// Where there is no line for all CPUs together, or a cpu line has words that are not numbers.
pub fn parse(text: &str) -> Result<Stat, ParseError> {
    let mut total = None;
    let mut stat = Stat::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        if name == "cpu" {
            total = Some(times(words, line)?);
        } else if let Some(core) = name.strip_prefix("cpu") {
            let core = core
                .parse()
                .map_err(|_| ParseError::at("no number of a CPU", line))?;
            if stat.cores.len() < MAX_CORES {
                stat.cores.push((core, times(words, line)?));
            }
        } else if name == "procs_running" {
            stat.running = words.next().and_then(|word| word.parse().ok());
        } else if name == "procs_blocked" {
            stat.blocked = words.next().and_then(|word| word.parse().ok());
        }
    }
    stat.total = total.ok_or_else(|| ParseError::new("there is no line for all CPUs together"))?;
    Ok(stat)
}

fn times<'a>(words: impl Iterator<Item = &'a str>, line: &str) -> Result<CpuTimes, ParseError> {
    let mut fields = [0; 8];
    let mut count = 0;
    for (field, word) in fields.iter_mut().zip(words) {
        *field = number(word).ok_or_else(|| ParseError::at("not a number of ticks", line))?;
        count += 1;
    }
    if count < 4 {
        return Err(ParseError::at("fewer than four columns", line));
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
    Ok(CpuTimes {
        user,
        nice,
        system,
        idle,
        iowait,
        irq,
        softirq,
        steal,
    })
}
