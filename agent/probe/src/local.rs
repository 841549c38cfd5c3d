//! The same sections from this machine's own files, so that the hub's own machine is read without
//! SSH and goes through the same parsers.
//!
//! Only filesystems on local storage are asked how full they are, as by the script: a dead network
//! mount is never touched. A local disk that hangs can still hang [`read`] with [`Sections::SLOW`],
//! and the owner's directory of files one with [`Sections::RARE`]: call each where that stalls nothing
//! else, with a deadline of your own, and not again while it hangs.

mod guest;
mod rare;
mod top;

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::parse::mounts;
use crate::snapshot::SectionFault;
use crate::wire::{Answer, Section, Sections};

/// No file of `/proc` that is read here is longer on a machine that can be run.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads `sections` of the machine this program runs on, under the names and in the form of the
/// script's answers. Never fails: what cannot be read becomes a fault.
#[must_use]
pub fn read(sections: Sections) -> Answer {
    let mut answer = Answer::default();
    if sections.contains(Sections::TICK) {
        tick(&mut answer);
    }
    if sections.contains(Sections::FACTS) {
        facts(&mut answer);
    }
    if sections.contains(Sections::SLOW) {
        slow(&mut answer);
    }
    if sections.contains(Sections::RARE) {
        rare::read(&mut answer);
    }
    if sections.contains(Sections::TOP) {
        top::read(&mut answer);
    }
    answer
}

fn add(answer: &mut Answer, name: &str, text: String) {
    answer.sections.push(Section {
        name: name.to_owned(),
        text,
    });
}

fn add_file(answer: &mut Answer, name: &str, path: &str) {
    match text(path) {
        Ok(text) => add(answer, name, text),
        Err(error) => answer.faults.push(SectionFault {
            section: name.to_owned(),
            reason: format!("{path} cannot be read: {error}"),
        }),
    }
}

fn text(path: impl AsRef<Path>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line of a file, if it has one.
fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = text(path).ok()?;
    let line = text.lines().next()?.trim_end_matches('\0').trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The entries of a directory in the order of their names; empty if it is not there.
fn entries(path: &str) -> Vec<std::path::PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(path)
        .map(|dir| dir.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    entries.sort();
    entries
}

fn tick(answer: &mut Answer) {
    for (name, path) in [
        ("stat", "/proc/stat"),
        ("meminfo", "/proc/meminfo"),
        ("loadavg", "/proc/loadavg"),
        ("uptime", "/proc/uptime"),
        ("netdev", "/proc/net/dev"),
    ] {
        add_file(answer, name, path);
    }
    if Path::new("/sys/block").is_dir() {
        let mut disks = String::new();
        for disk in entries("/sys/block") {
            let Some(device) = disk.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let Some(counters) = line(disk.join("stat")) else {
                continue;
            };
            if counters.contains(|character| matches!(character, '1'..='9')) {
                let _ = writeln!(disks, "{device} {counters}");
            }
        }
        add(answer, "blockstat", disks);
    } else {
        add_file(answer, "diskstats", "/proc/diskstats");
    }
    let version = guest::version();
    if let Some(version) = version {
        guest::cgroup(answer, version);
    }
    if Path::new(&guest::pressure("cpu", version)).exists() {
        let mut pressure = String::new();
        for resource in ["cpu", "memory", "io"] {
            let text = text(guest::pressure(resource, version)).unwrap_or_default();
            for line in text.lines() {
                let _ = writeln!(pressure, "{resource} {line}");
            }
        }
        add(answer, "pressure", pressure);
    }
    match text("/proc/net/sockstat") {
        Ok(sockstat) => {
            let sockstat6 = text("/proc/net/sockstat6").unwrap_or_default();
            add(answer, "sockstat", sockstat + &sockstat6);
        }
        Err(_) => add_file(answer, "sockstat", "/proc/net/sockstat"),
    }
}

fn facts(answer: &mut Answer) {
    let os = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| text(path).ok())
        .or_else(|| line("/etc/redhat-release").map(|line| format!("release {line}\n")));
    add(answer, "os_release", os.unwrap_or_default());
    let mut kernel = String::new();
    for (name, path) in [
        ("ostype", "/proc/sys/kernel/ostype"),
        ("osrelease", "/proc/sys/kernel/osrelease"),
        ("hostname", "/proc/sys/kernel/hostname"),
        ("boot_id", "/proc/sys/kernel/random/boot_id"),
        ("online", "/sys/devices/system/cpu/online"),
    ] {
        if let Some(line) = line(path) {
            let _ = writeln!(kernel, "{name} {line}");
        }
    }
    let machine = rustix::system::uname();
    let _ = writeln!(kernel, "arch {}", machine.machine().to_string_lossy());
    if let Some(kind) = guest::kind() {
        let _ = writeln!(kernel, "container {kind}");
    }
    add(answer, "kernel", kernel);
    let mut cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
    if let Some(board) = line("/proc/device-tree/model") {
        let _ = writeln!(cpuinfo, "\nboard {board}");
    }
    add(answer, "cpuinfo", cpuinfo);
}

fn slow(answer: &mut Answer) {
    let mut thermal = String::new();
    for zone in entries("/sys/class/thermal") {
        if let (Some(value), Some(name)) = (line(zone.join("temp")), line(zone.join("type"))) {
            let _ = writeln!(thermal, "{value} {name}");
        }
    }
    add(answer, "thermal", thermal);
    add(answer, "hwmon", hwmon());

    let processes = fs::read_dir("/proc").map_or(0, |dir| {
        dir.flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
            .count()
    });
    let blocked = text("/proc/stat").unwrap_or_default();
    let blocked = blocked
        .lines()
        .find_map(|line| line.strip_prefix("procs_blocked "));
    let mut counts = String::new();
    // Where the first is hidden from us (mount option hidepid), most others are.
    if Path::new("/proc/1").is_dir() {
        let _ = writeln!(counts, "total {processes}");
    }
    // The kernel counts those of a guest with all others.
    if let Some(blocked) = blocked.filter(|_| guest::version().is_none()) {
        let _ = writeln!(counts, "blocked {blocked}");
    }
    add(answer, "processes", counts);
    filesystems(answer);
}

fn hwmon() -> String {
    let mut out = String::new();
    for chip in entries("/sys/class/hwmon") {
        // Kernels before 3.13 have the files of most chips a level below.
        for place in [chip.clone(), chip.join("device")] {
            let Some(place_text) = place.to_str() else {
                continue;
            };
            let name = line(place.join("name")).unwrap_or_default();
            for input in entries(place_text) {
                let Some(file) = input.file_name().and_then(|file| file.to_str()) else {
                    continue;
                };
                let Some(sensor) = file
                    .strip_suffix("_input")
                    .filter(|file| file.starts_with("temp"))
                else {
                    continue;
                };
                let label = line(place.join(format!("{sensor}_label"))).unwrap_or_default();
                // The package above them says enough.
                if label.starts_with("Core ") {
                    continue;
                }
                if let Some(value) = line(&input) {
                    let _ = writeln!(out, "{value} {name} {label}");
                }
            }
        }
    }
    out
}

fn filesystems(answer: &mut Answer) {
    let table = match text("/proc/mounts") {
        Ok(table) => table,
        Err(error) => {
            answer.faults.push(SectionFault {
                section: "mounts".to_owned(),
                reason: format!("/proc/mounts cannot be read: {error}"),
            });
            return;
        }
    };
    let mut mounts = String::new();
    let mut statfs = String::new();
    let mut devices = std::collections::HashSet::new();
    for line in table.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(place), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let mount_point = mounts::unescape(place);
        // Files can be mount points too: containers have /etc/hosts.
        if !mounts::counts(kind, &mount_point)
            || devices.contains(device)
            || !Path::new(&mount_point).is_dir()
        {
            continue;
        }
        if device.starts_with('/') {
            devices.insert(device.to_owned());
        }
        let Ok(status) = rustix::fs::statvfs(mount_point.as_str()) else {
            continue;
        };
        let _ = writeln!(mounts, "{device} {place} {kind}");
        let _ = writeln!(
            statfs,
            "{} {} {} {} {} {} {mount_point}",
            status.f_frsize, status.f_blocks, status.f_bfree, status.f_bavail, status.f_files, status.f_ffree
        );
    }
    add(answer, "mounts", mounts);
    add(answer, "statfs", statfs);
}
