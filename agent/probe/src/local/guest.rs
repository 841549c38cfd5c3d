//! What a guest that shares its host's kernel reads of its own cgroup, as the script does.

use std::fmt::Write as _;
use std::path::Path;

use super::{add, line, text};
use crate::wire::Answer;

const ROOT: &str = "/sys/fs/cgroup";

/// The version of the cgroup this process is a guest in, if it is in one. A machine of its own has the
/// root of all groups there: that one has no events (version 2), and is told what to run when a group
/// is empty (version 1).
pub(super) fn version() -> Option<u8> {
    let exists = |path: &str| Path::new(ROOT).join(path).exists();
    if exists("cgroup.events") {
        Some(2)
    } else {
        let is_guest = exists("memory/memory.limit_in_bytes") && !exists("memory/release_agent");
        is_guest.then_some(1)
    }
}

/// Where the pressure of this machine, or of this guest alone, stands: `cpu`, `memory` or `io`.
pub(super) fn pressure(resource: &str, version: Option<u8>) -> String {
    match version {
        None => format!("/proc/pressure/{resource}"),
        Some(_) => format!("{ROOT}/{resource}.pressure"),
    }
}

pub(super) fn cgroup(answer: &mut Answer, version: u8) {
    let (name, values, tables): (&str, &[&str], &[&str]) = if version == 2 {
        (
            "cgroup2",
            &[
                "memory.max",
                "memory.current",
                "memory.swap.max",
                "memory.swap.current",
                "cpu.max",
                "cpuset.cpus.effective",
            ],
            &["cpu.stat", "memory.stat"],
        )
    } else {
        (
            "cgroup1",
            &[
                "memory/memory.limit_in_bytes",
                "memory/memory.usage_in_bytes",
                "memory/memory.memsw.limit_in_bytes",
                "memory/memory.memsw.usage_in_bytes",
                "cpu/cpu.cfs_quota_us",
                "cpu/cpu.cfs_period_us",
                "cpuacct/cpuacct.usage",
                "cpuset/cpuset.cpus",
            ],
            &["cpuacct/cpuacct.stat", "cpu/cpu.stat", "memory/memory.stat"],
        )
    };
    let mut out = String::new();
    for path in values {
        if let Some(value) = line(format!("{ROOT}/{path}")) {
            let file = path.rsplit('/').next().unwrap_or(path);
            let _ = writeln!(out, "{file} {value}");
        }
    }
    for path in tables {
        out.push_str(&text(format!("{ROOT}/{path}")).unwrap_or_default());
    }
    add(answer, name, out);
}

/// What kind of guest this is: what systemd or the engine left as a sign, or just a container.
pub(super) fn kind() -> Option<String> {
    if let Some(kind) = line("/run/systemd/container") {
        return Some(kind);
    }
    // The marks of engines may also lie in an image that a machine was made of.
    version()?;
    let marks = [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")];
    let mark = marks.iter().find(|(mark, _)| Path::new(mark).exists());
    Some(mark.map_or("container", |(_, kind)| *kind).to_owned())
}
