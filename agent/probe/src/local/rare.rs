//! The rare sections: what reads many files. No program is run here, unlike by the script over SSH:
//! failed units and NVIDIA cards are absent.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{MAX_FILE, add, entries, line, text};
use crate::parse::COMPLETE;
use crate::snapshot::SectionFault;
use crate::wire::Answer;

/// Where the owner of the machine leaves files for us.
const TEXT_FILES: [&str; 3] = [
    "/var/lib/gander/textfile",
    "/var/lib/prometheus/node-exporter",
    "/var/lib/node_exporter/textfile_collector",
];
/// Series in those files that are read.
const MAX_SERIES: usize = 500;
/// Bytes of a line in those files that are read.
const MAX_LINE: usize = 400;
/// Sockets that are counted.
const MAX_SOCKETS: u64 = 50_000;

pub(super) fn read(answer: &mut Answer) {
    updates(answer);
    tcp(answer);
    containers(answer);
    gpus(answer);
    prom(answer);
}

fn fault(answer: &mut Answer, section: &str, reason: impl Into<String>) {
    answer.faults.push(SectionFault {
        section: section.to_owned(),
        reason: reason.into(),
    });
}

fn updates(answer: &mut Answer) {
    let mut out = String::new();
    if Path::new("/run/reboot-required").exists() || Path::new("/var/run/reboot-required").exists() {
        out.push_str("reboot 1\n");
    } else if Path::new("/var/lib/dpkg/status").exists() {
        out.push_str("reboot 0\n");
    }
    for sentence in text("/var/lib/update-notifier/updates-available")
        .unwrap_or_default()
        .lines()
    {
        let _ = writeln!(out, "available {sentence}");
    }
    add(answer, "updates", out);
}

fn tcp(answer: &mut Answer) {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let mut sockets = 0;
    let mut is_there = false;
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(file) = fs::File::open(path) else { continue };
        is_there = true;
        for row in BufReader::new(file).lines().skip(1).map_while(Result::ok) {
            sockets += 1;
            if sockets > MAX_SOCKETS {
                let reason = format!("there are more than {MAX_SOCKETS} sockets, too many to count");
                return fault(answer, "tcp", reason);
            }
            if let Some(state) = row.split_ascii_whitespace().nth(3) {
                *counts.entry(state.to_owned()).or_default() += 1;
            }
        }
    }
    if is_there {
        let mut out = String::new();
        for (state, count) in counts {
            let _ = writeln!(out, "{state} {count}");
        }
        out.push_str(COMPLETE);
        out.push('\n');
        add(answer, "tcp", out);
    }
}

fn gpus(answer: &mut Answer) {
    let mut cards = String::new();
    for card in entries("/sys/class/drm") {
        let device = card.join("device");
        let Some(busy) = line(device.join("gpu_busy_percent")) else {
            continue;
        };
        let Some(name) = card.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let value = |file: &str| line(device.join(file)).unwrap_or_else(|| "-".to_owned());
        let (used, total) = (value("mem_info_vram_used"), value("mem_info_vram_total"));
        let _ = writeln!(cards, "{name} {busy} {used} {total}");
    }
    if !cards.is_empty() {
        add(answer, "amdgpu", cards);
    }
}

/// The parts of paths under which engines keep their containers' groups; `*` stands for any text.
const GROUPS: [&str; 12] = [
    "docker/*",
    "system.slice/docker-*.scope",
    "machine.slice/libpod-*.scope",
    "libpod_parent/libpod-*",
    "user.slice/user-*/user@*/user.slice/libpod-*.scope",
    "kubepods*/pod*/*",
    "kubepods*/*/pod*/*",
    "kubepods*/*/*/cri*.scope",
    "kubepods*/*/*.slice/*/cri*.scope",
    "lxc/*",
    "lxc.payload.*",
    "machine.slice/systemd-nspawn@*",
];

fn containers(answer: &mut Answer) {
    let root = Path::new("/sys/fs/cgroup");
    let (memory, cpu) = if root.join("memory").is_dir() {
        (root.join("memory"), root.join("cpuacct"))
    } else {
        (root.to_owned(), root.to_owned())
    };
    let mut out = String::new();
    let groups = GROUPS.iter().flat_map(|pattern| matching(&memory, pattern));
    for group in groups.take(256) {
        let Some(path) = group.strip_prefix(&memory).ok().and_then(Path::to_str) else {
            continue;
        };
        let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let used = line(group.join("memory.current")).or_else(|| line(group.join("memory.usage_in_bytes")));
        let stat = text(group.join("memory.stat")).unwrap_or_default();
        let inactive = ["total_inactive_file ", "inactive_file "]
            .iter()
            .find_map(|name| stat.lines().find_map(|line| line.strip_prefix(name)))
            .unwrap_or("0");
        let usage = line(cpu.join(path).join("cpu.stat"))
            .and_then(|line| Some(format!("{}000", line.strip_prefix("usage_usec ")?)))
            .or_else(|| line(cpu.join(path).join("cpuacct.usage")));
        let name = known(docker_name(path));
        let _ = writeln!(out, " {} {inactive} {} {name} /{path}", known(used), known(usage));
    }
    add(answer, "containers", out);
}

/// The directories below `root` whose path fits `pattern`, part by part.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/') {
        found = found
            .iter()
            .flat_map(|dir| entries(dir.to_str().unwrap_or_default()))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| fits(name, part)) && path.is_dir()
            })
            .collect();
    }
    found
}

fn fits(name: &str, pattern: &str) -> bool {
    let Some((begin, end)) = pattern.split_once('*') else {
        return name == pattern;
    };
    match name.strip_prefix(begin) {
        Some(rest) => (0..=rest.len())
            .filter(|at| rest.is_char_boundary(*at))
            .any(|at| fits(&rest[at..], end)),
        None => false,
    }
}

/// The name Docker gave a container, where its own file may be read.
fn docker_name(path: &str) -> Option<String> {
    let id = path
        .split(|character: char| !character.is_ascii_hexdigit())
        .find(|word| word.len() >= 32)?;
    let config = text(format!("/var/lib/docker/containers/{id}/config.v2.json")).ok()?;
    let name = config.split_once("\"Name\":\"/")?.1.split('"').next()?;
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    (is_plain && !name.is_empty()).then(|| name.to_owned())
}

fn prom(answer: &mut Answer) {
    let files = TEXT_FILES
        .iter()
        .flat_map(|dir| entries(dir))
        .filter(|path| path.extension().is_some_and(|extension| extension == "prom") && path.is_file());
    let mut out = String::new();
    let (mut count, mut any) = (0, false);
    for path in files {
        any = true;
        let Ok(file) = fs::File::open(&path) else { continue };
        let mut lines = BufReader::new(file.take(MAX_FILE)).split(b'\n');
        for number in 1.. {
            let Some(Ok(bytes)) = lines.next() else { break };
            let whole = String::from_utf8_lossy(&bytes);
            let sample = whole.trim_start();
            if sample.is_empty() || sample.starts_with('#') {
                continue;
            }
            count += 1;
            if count > MAX_SERIES {
                break;
            }
            let end = (0..=MAX_LINE.min(whole.len()))
                .rev()
                .find(|end| whole.is_char_boundary(*end));
            let cut = &whole[..end.unwrap_or(0)];
            let _ = writeln!(out, "{}:{number}:{cut}", path.display());
        }
    }
    if any {
        add(answer, "prom", out);
    }
}
