//! What a process costs: CPU time and memory by `/proc`, and the size of a directory.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Classes of a [`Lags`]; the last one has all that is longer.
const CLASSES: usize = 6_000;

/// How many times were how long, in classes of equal width; counted from many tasks at once.
pub struct Lags {
    width: Duration,
    classes: Vec<AtomicU64>,
}

impl Lags {
    /// With classes of this width.
    #[must_use]
    pub fn new(width: Duration) -> Self {
        Self {
            width,
            classes: (0..CLASSES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.classes
            .iter()
            .for_each(|class| class.store(0, Ordering::Relaxed));
    }

    /// Counts one time.
    pub fn count(&self, lag: Duration) {
        let class = lag.as_nanos() / self.width.as_nanos().max(1);
        let class = usize::try_from(class).unwrap_or(usize::MAX).min(CLASSES - 1);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }

    /// What so many of a hundred came within, in milliseconds; 0 where nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> u64 {
        let counts: Vec<u64> = self
            .classes
            .iter()
            .map(|class| class.load(Ordering::Relaxed))
            .collect();
        let all = counts.iter().sum::<u64>();
        if all == 0 {
            return 0;
        }
        let wanted = all * percent / 100;
        let mut seen = 0;
        let class = counts.iter().position(|count| {
            seen += count;
            seen > wanted
        });
        let class = u64::try_from(class.map_or(CLASSES, |class| class + 1)).unwrap_or(u64::MAX);
        class * u64::try_from(self.width.as_millis()).unwrap_or(u64::MAX)
    }
}

/// As many open files as the system allows, for this process and those it starts.
///
/// # Panics
/// The system refuses.
pub fn allow_many_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("the limit of open files");
}

/// CPU time of this process so far, user and system, all threads.
#[must_use]
pub fn own_cpu() -> Duration {
    cpu_of("self")
}

/// CPU time of a living process so far, user and system, all threads, to 10 ms.
#[must_use]
pub fn cpu_of(pid: &str) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in field 2 may hold spaces; what follows it does not.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

/// A figure of `/proc/PID/status` in bytes: `VmRSS`, `VmHWM`.
#[must_use]
pub fn memory_of(pid: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Length of all files beneath a directory, in bytes.
#[must_use]
pub fn bytes_beneath(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_beneath(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The value below which so many of a hundred lie.
#[must_use]
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

/// One line that names the machine, for the head of a table.
#[must_use]
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} cores of {model}, load {load} at the start")
}
