//! The processes of an SSH server and of its users, read from `/proc`.

use std::{
    fs,
    process::{Command, Stdio},
};

/// Every process of a user, by the owner of `/proc/PID`.
pub(super) fn processes_of(login: &str) -> Vec<u32> {
    let Some(uid) = uid_of(login) else {
        return Vec::new();
    };
    all_processes()
        .filter(|(_, status)| real_uid(status) == Some(uid))
        .map(|(pid, _)| pid)
        .collect()
}

/// The children of a process and theirs.
#[must_use]
pub fn children_of(parent: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = all_processes()
        .filter_map(|(pid, status)| Some((pid, field(&status, "PPid:")?)))
        .collect();
    let mut found = vec![parent];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

fn all_processes() -> impl Iterator<Item = (u32, String)> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Some((pid, fs::read_to_string(format!("/proc/{pid}/status")).ok()?))
    })
}

pub(super) fn field(status: &str, name: &str) -> Option<u32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn real_uid(status: &str) -> Option<u32> {
    // A zombie is no process any more; only its parent has not noticed yet.
    let zombie = status
        .lines()
        .any(|line| line.starts_with("State:") && line.contains('Z'));
    if zombie { None } else { field(status, "Uid:") }
}

fn uid_of(login: &str) -> Option<u32> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        line.strip_prefix(login)?
            .strip_prefix(":x:")?
            .split(':')
            .next()?
            .parse()
            .ok()
    })
}

pub(super) fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}
