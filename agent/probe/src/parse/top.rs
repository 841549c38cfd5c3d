//! All processes: lines `PID STARTED TICKS RSS_KIB USER NAME`, of `/proc/PID/stat` and `status`. The
//! name is the last, as it may hold spaces; it is whatever the process wants to be called.

use super::{Listed, ParseError, label, number};

/// Processes after the first 1000 are left out.
const MAX_PROCESSES: usize = 1000;

/// One process, its CPU time not yet subtracted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessCounters {
    /// Its number.
    pub pid: u32,
    /// Ticks after boot at which it started: with the number it is the process.
    pub started: u64,
    /// CPU time in ticks of a hundredth of a second.
    pub ticks: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Whose it is.
    pub user: String,
    /// The kernel's name for it.
    pub name: String,
}

/// Parses the lines.
#[must_use]
pub fn parse(text: &str) -> Listed<ProcessCounters> {
    let mut listed = Listed::new();
    for line in text.lines() {
        let mut words = line.splitn(6, ' ');
        let mut count = || words.next().and_then(number);
        let (pid, started, ticks, rss) = (count(), count(), count(), count());
        let process = pid
            .and_then(|pid| u32::try_from(pid).ok())
            .zip(started)
            .zip(ticks.zip(rss))
            .map(|((pid, started), (ticks, rss))| ProcessCounters {
                pid,
                started,
                ticks,
                memory_bytes: rss.saturating_mul(1024),
                user: words.next().map(label).unwrap_or_default(),
                name: words.next().map(label).unwrap_or_default(),
            });
        listed.add(
            MAX_PROCESSES,
            process.ok_or_else(|| ParseError::at("not a process", line)),
        );
    }
    listed
}
