//! The output of `df -kP` and `df -iP`, for nodes without a `stat` that knows `-f`.
//!
//! GNU and BusyBox, with `-P` or without: a long device name may stand on a line of its own,
//! device and mount point may hold spaces, and a filesystem without a fixed number of inodes
//! has `-` or 0.

use std::collections::HashMap;

use super::mounts::{Mount, Space, filesystem};
use super::{Listed, ParseError, label, number};
use crate::snapshot::Filesystem;

/// Lines after the first 1024 are left out.
const MAX_LINES: usize = 1024;

/// A line of `df`: its three counts and where it is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The device or source.
    pub device: String,
    /// Size, used, available, in the unit of the heading.
    pub counts: [u64; 3],
    /// Where it is mounted.
    pub mount_point: String,
}

/// Parses `df -k`: the space of each mount point in bytes.
#[must_use]
pub fn parse_space(text: &str) -> Listed<(String, Space)> {
    let unit = unit(text.lines().next().unwrap_or_default());
    let listed = parse(text);
    Listed {
        items: listed
            .items
            .into_iter()
            .filter(|line| line.counts[0] > 0)
            .map(|line| {
                let [total, used, available] = line.counts.map(|count| count.saturating_mul(unit));
                let space = Space {
                    total_bytes: total,
                    used_bytes: used,
                    available_bytes: available,
                };
                (line.mount_point, space)
            })
            .collect(),
        fault: listed.fault,
    }
}

/// Parses `df -i`: all and used inodes of each mount point.
#[must_use]
pub fn parse_inodes(text: &str) -> Listed<(String, (u64, u64))> {
    let listed = parse(text);
    Listed {
        items: listed
            .items
            .into_iter()
            .filter(|line| line.counts[0] > 0)
            .map(|line| (line.mount_point, (line.counts[0], line.counts[1])))
            .collect(),
        fault: listed.fault,
    }
}

/// Joins mounts with what `df` said of them.
#[must_use]
pub fn join(
    mounts: &[Mount],
    space: Vec<(String, Space)>,
    inodes: Vec<(String, (u64, u64))>,
) -> Vec<Filesystem> {
    let space: HashMap<String, Space> = space.into_iter().collect();
    let inodes: HashMap<String, (u64, u64)> = inodes.into_iter().collect();
    mounts
        .iter()
        .filter_map(|mount| {
            let space = space.get(&mount.mount_point)?;
            Some(filesystem(mount, space, inodes.get(&mount.mount_point).copied()))
        })
        .collect()
}

/// Parses the table, whatever it counts.
#[must_use]
pub fn parse(text: &str) -> Listed<Line> {
    let mut listed = Listed::new();
    let mut device_alone: Option<&str> = None;
    for line in text.lines() {
        // The heading in any language has no digit in its second half.
        if line.trim().is_empty() || line.starts_with("Filesystem") {
            continue;
        }
        if let Some(parsed) = parse_line(device_alone.take(), line) {
            listed.add(MAX_LINES, Ok(parsed));
        } else if !line.starts_with(' ') {
            // Either the device of the next line, or nothing of ours.
            device_alone = Some(line);
        } else {
            listed.note(ParseError::at("not a line of df", line));
        }
    }
    if let Some(line) = device_alone {
        listed.note(ParseError::at("not a line of df", line));
    }
    listed
}

/// Finds three counts and a percentage in a row; before them is the device, behind them the place.
fn parse_line(device: Option<&str>, line: &str) -> Option<Line> {
    let words = words(line);
    let first = usize::from(device.is_none());
    (first..words.len().saturating_sub(4)).find_map(|index| {
        let [total, used, available, percent, place] = words.get(index..index + 5)? else {
            return None;
        };
        let share = percent.1;
        if share != "-"
            && share
                .strip_suffix('%')
                .is_none_or(|digits| number(digits).is_none())
        {
            return None;
        }
        let counts = [count(total.1)?, count(used.1)?, count(available.1)?];
        let device = device.unwrap_or_else(|| &line[..total.0]);
        Some(Line {
            device: label(device),
            counts,
            mount_point: label(&line[place.0..]),
        })
    })
}

/// The words of a line and where they begin. At most 64: no `df` has more before the mount point.
fn words(line: &str) -> Vec<(usize, &str)> {
    let start = line.as_ptr() as usize;
    line.split_ascii_whitespace()
        .take(64)
        .map(|word| (word.as_ptr() as usize - start, word))
        .collect()
}

fn count(word: &str) -> Option<u64> {
    match word.strip_prefix('-') {
        Some("") => Some(0),
        // Overdrawn: root has used what was kept for it.
        Some(rest) => number(rest).map(|_| 0),
        None => number(word),
    }
}

fn unit(heading: &str) -> u64 {
    if heading.contains("512-") { 512 } else { 1024 }
}
