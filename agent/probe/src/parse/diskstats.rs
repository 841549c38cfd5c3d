//! Disk I/O since boot, from `/sys/block/*/stat` or, where that is not to be had, `/proc/diskstats`.
//!
//! Format: `Documentation/admin-guide/iostats.rst`. The columns are the same; the latter has
//! `major minor name` before them and lists partitions as well. 11 columns since 2.6, 15 since
//! 4.18 (discards), 17 since 5.5 (flushes). Sectors are 512 bytes whatever the device has.

use super::{Listed, ParseError, label, number};

/// Devices after the first 256 are left out.
const MAX_DISKS: usize = 256;

/// Counters of one block device since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Kernel name: `sda`.
    pub device: String,
    /// Reads completed.
    pub reads: u64,
    /// Sectors of 512 bytes read.
    pub read_sectors: u64,
    /// Milliseconds that reads took together.
    pub read_ms: u64,
    /// Writes completed.
    pub writes: u64,
    /// Sectors of 512 bytes written.
    pub write_sectors: u64,
    /// Milliseconds that writes took together.
    pub write_ms: u64,
    /// Milliseconds with at least one request open.
    pub io_ms: u64,
}

/// Parses the section made of `/sys/block/*/stat`: a device's name, then its columns.
#[must_use]
pub fn parse_block(text: &str) -> Listed<DiskCounters> {
    let mut listed = Listed::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let Some(device) = words.next() {
            listed.add(MAX_DISKS, counters(device, words, line));
        }
    }
    listed
        .items
        .retain(|disk: &DiskCounters| !is_virtual(&disk.device));
    listed
}

/// Parses `/proc/diskstats`. Partitions, loop and RAM disks, and devices that never did anything
/// are left out.
#[must_use]
pub fn parse(text: &str) -> Listed<DiskCounters> {
    let mut listed = Listed::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(_major), Some(_minor)) = (words.next(), words.next()) else {
            continue;
        };
        let Some(device) = words.next() else {
            listed.note(ParseError::at("no device", line));
            continue;
        };
        if !is_virtual(device) {
            listed.add(MAX_DISKS, counters(device, words, line));
        }
    }
    let names: std::collections::HashSet<String> =
        listed.items.iter().map(|disk| disk.device.clone()).collect();
    listed
        .items
        .retain(|disk| disk.reads + disk.writes > 0 && !is_partition(&disk.device, &names));
    listed
}

/// Not a device that could wear out or be slow of itself: its I/O is some other device's, or memory's.
#[must_use]
pub fn is_virtual(device: &str) -> bool {
    ["loop", "ram", "zram", "sr", "fd"].iter().any(|prefix| {
        device
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(|character: char| character.is_ascii_digit()))
    })
}

/// `sda1` of `sda`; `nvme0n1p2` of `nvme0n1`.
fn is_partition(device: &str, names: &std::collections::HashSet<String>) -> bool {
    let disk = device.trim_end_matches(|character: char| character.is_ascii_digit());
    if disk.len() == device.len() {
        return false;
    }
    match disk.strip_suffix('p') {
        Some(parent) if parent.ends_with(|character: char| character.is_ascii_digit()) => {
            names.contains(parent)
        }
        _ => names.contains(disk),
    }
}

fn counters<'a>(
    device: &str,
    words: impl Iterator<Item = &'a str>,
    line: &str,
) -> Result<DiskCounters, ParseError> {
    let mut fields = [0; 10];
    let mut count = 0;
    for (field, word) in fields.iter_mut().zip(words) {
        *field = number(word).ok_or_else(|| ParseError::at("not a counter", line))?;
        count += 1;
    }
    if count < 10 {
        return Err(ParseError::at("too few columns", line));
    }
    let [
        reads,
        _,
        read_sectors,
        read_ms,
        writes,
        _,
        write_sectors,
        write_ms,
        _,
        io_ms,
    ] = fields;
    Ok(DiskCounters {
        device: label(device),
        reads: reads.min(u64::MAX / 2),
        read_sectors,
        read_ms,
        writes: writes.min(u64::MAX / 2),
        write_sectors,
        write_ms,
        io_ms,
    })
}
