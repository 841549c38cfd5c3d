//! All processes of this machine, as the script lists them.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{add, text};
use crate::wire::Answer;

/// Processes that are listed.
const MAX_PROCESSES: usize = 1000;
/// Ticks a thread of the kernel must have used to be listed.
const BUSY_TICKS: u64 = 1000;

pub(super) fn read(answer: &mut Answer) {
    let passwd = text("/etc/passwd").unwrap_or_default();
    let users: HashMap<&str, &str> = passwd
        .lines()
        .filter_map(|line| {
            let mut words = line.split(':');
            let name = words.next()?;
            Some((words.nth(1)?, name))
        })
        .collect();
    let mut out = String::new();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = pids.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        process(pid, &users)
    });
    for line in lines.take(MAX_PROCESSES + 1) {
        out.push_str(&line);
    }
    add(answer, "top", out);
}

/// Its line; `None` for one that has just ended, or a thread of the kernel that did nothing.
fn process(pid: u32, users: &HashMap<&str, &str>) -> Option<String> {
    let stat = text(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // proc(5) counts from 1, and the first two are before the parenthesis.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)?;
    if field(23)? == 0 && ticks < BUSY_TICKS {
        return None;
    }
    let status = text(format!("/proc/{pid}/status")).ok()?;
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let uid = value("Uid:")
        .and_then(|ids| ids.split_ascii_whitespace().nth(1))
        .unwrap_or("-");
    let rss = value("VmRSS:")
        .and_then(|rss| rss.split_ascii_whitespace().next())
        .unwrap_or("0");
    let user = users.get(uid).copied().unwrap_or(uid);
    let name = value("Name:\t").unwrap_or("-");
    let mut line = String::new();
    let _ = writeln!(line, "{pid} {} {ticks} {rss} {user} {name}", field(22)?);
    Some(line)
}
