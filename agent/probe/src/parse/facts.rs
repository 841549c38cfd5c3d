//! What hardly changes: operating system, kernel, CPU model; and the process count.

use super::{ParseError, label, number};
use crate::snapshot::Processes;

/// What `/proc/sys/kernel` and the like tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// The host's name.
    pub hostname: Option<String>,
    /// As `uname -r`.
    pub release: Option<String>,
    /// As `uname -m`.
    pub architecture: Option<String>,
    /// Changes with every boot.
    pub boot_id: Option<String>,
    /// CPUs online.
    pub cpu_cores: Option<u32>,
    /// What kind of guest it is that shares its host's kernel.
    pub container: Option<String>,
}

/// Parses lines `name value`.
///
/// # Errors
/// None at present; the signature is that of every section.
pub fn kernel(text: &str) -> Result<Kernel, ParseError> {
    let mut kernel = Kernel::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else {
            continue;
        };
        let value = Some(label(value)).filter(|value| !value.is_empty());
        match name {
            "hostname" => kernel.hostname = value,
            "osrelease" => kernel.release = value,
            "arch" => kernel.architecture = value,
            "boot_id" => kernel.boot_id = value,
            "container" => kernel.container = value,
            "online" => kernel.cpu_cores = value.as_deref().and_then(cpu_list),
            _ => {}
        }
    }
    Ok(kernel)
}

/// How many CPUs a list like `0-3,8` names.
pub(super) fn cpu_list(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u32 = first.trim().parse().ok()?;
        let last: u32 = last.trim().parse().ok()?;
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// What `/etc/os-release` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Os {
    /// `PRETTY_NAME`, or `NAME` and `VERSION_ID`, or the line of `/etc/redhat-release`.
    pub name: Option<String>,
    /// `ID`.
    pub id: Option<String>,
}

/// Parses `/etc/os-release` (format: `os-release(5)`), or `release TEXT` from before it existed.
///
/// # Errors
/// None at present; the signature is that of every section.
pub fn os_release(text: &str) -> Result<Os, ParseError> {
    let mut os = Os::default();
    let (mut name, mut version) = (None, None);
    for line in text.lines() {
        if let Some(release) = line.strip_prefix("release ") {
            os.name = Some(label(release));
            let id = release.split(' ').next().unwrap_or_default().to_ascii_lowercase();
            os.id = Some(if id == "red" {
                "rhel".to_owned()
            } else {
                label(&id)
            });
            continue;
        }
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        let value = Some(label(&unquote(value))).filter(|value| !value.is_empty());
        match key {
            "PRETTY_NAME" => os.name = value,
            "NAME" => name = value,
            "VERSION_ID" => version = value,
            "ID" => os.id = value,
            _ => {}
        }
    }
    if os.name.is_none() {
        os.name = match (name, version) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (name, _) => name,
        };
    }
    Ok(os)
}

/// A value as the shell would read it: without its quotes and the backslashes within.
fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            if quote == '\'' {
                return inner.to_owned();
            }
            let mut out = String::new();
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                out.extend(if character == '\\' {
                    characters.next()
                } else {
                    Some(character)
                });
            }
            return out;
        }
    }
    value.to_owned()
}

/// The CPU's name from `/proc/cpuinfo` or the device tree. What stands there differs by
/// architecture: x86 has `model name`, MIPS `cpu model`, POWER `cpu`; 64-bit ARM has numbers only,
/// of which the usual ones are put in words, unless the board tells its name.
///
/// # Errors
/// None at present; the signature is that of every section.
pub fn cpuinfo(text: &str) -> Result<Option<String>, ParseError> {
    let mut found = std::collections::HashMap::new();
    for line in text.lines() {
        if let Some(board) = line.strip_prefix("board ") {
            found
                .entry("board")
                .or_insert_with(|| label(board.trim_end_matches('\0')));
        } else if let Some((name, value)) = line.split_once(':') {
            let name = name.trim();
            let known = [
                "model name",
                "cpu model",
                "cpu",
                "CPU implementer",
                "CPU part",
                "Hardware",
                "Model",
                "machine",
            ];
            if let Some(name) = known.into_iter().find(|known| *known == name) {
                found.entry(name).or_insert_with(|| label(value));
            }
        }
    }
    found.retain(|_, value| !value.is_empty());
    let arm = match (found.get("CPU implementer"), found.get("CPU part")) {
        (Some(implementer), Some(part)) => Some(arm_core(implementer, part)),
        _ => None,
    };
    let named = ["model name", "cpu model", "cpu"]
        .iter()
        .find_map(|name| found.get(name).cloned());
    let board = ["Model", "board", "Hardware", "machine"]
        .iter()
        .find_map(|name| found.get(name).cloned());
    // "ARMv7 Processor rev 4 (v7l)" says less than the board's name.
    let named = named.filter(|name| board.is_none() || !name.starts_with("ARMv"));
    Ok(match (named, arm, board) {
        (Some(named), _, _) => Some(named),
        (None, Some(arm), Some(board)) => Some(format!("{arm} ({board})")),
        (None, arm, board) => arm.or(board),
    })
}

/// The usual cores of `MIDR_EL1`, as `lscpu` names them.
fn arm_core(implementer: &str, part: &str) -> String {
    let name = match (implementer, part) {
        ("0x41", "0xc07") => "ARM Cortex-A7",
        ("0x41", "0xc08") => "ARM Cortex-A8",
        ("0x41", "0xc09") => "ARM Cortex-A9",
        ("0x41", "0xc0f") => "ARM Cortex-A15",
        ("0x41", "0xd03") => "ARM Cortex-A53",
        ("0x41", "0xd04") => "ARM Cortex-A35",
        ("0x41", "0xd05") => "ARM Cortex-A55",
        ("0x41", "0xd07") => "ARM Cortex-A57",
        ("0x41", "0xd08") => "ARM Cortex-A72",
        ("0x41", "0xd09") => "ARM Cortex-A73",
        ("0x41", "0xd0b") => "ARM Cortex-A76",
        ("0x41", "0xd0c") => "ARM Neoverse-N1",
        ("0x41", "0xd40") => "ARM Neoverse-V1",
        ("0x41", "0xd49") => "ARM Neoverse-N2",
        ("0x41", "0xd4f") => "ARM Neoverse-V2",
        ("0x48", "0xd01") => "HiSilicon Kunpeng-920",
        ("0xc0", "0xac3") => "Ampere-1",
        ("0x61", _) => "Apple Silicon",
        _ => return label(&format!("ARM core {implementer}/{part}")),
    };
    name.to_owned()
}

/// Parses `total N` and `blocked N`.
///
/// # Errors
/// Where a value is no number.
pub fn processes(text: &str) -> Result<Processes, ParseError> {
    let mut processes = Processes::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once(' ') else {
            continue;
        };
        let value = number(value.trim()).ok_or_else(|| ParseError::at("not a count", line))?;
        let value = Some(u32::try_from(value).unwrap_or(u32::MAX));
        match name {
            "total" => processes.total = value,
            "blocked" => processes.blocked = value,
            _ => {}
        }
    }
    Ok(processes)
}
