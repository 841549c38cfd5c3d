//! Containers by their cgroups: lines `MEMORY INACTIVE_FILE CPU_NS NAME PATH`, `-` for what is not
//! known. The path is that of the group below its hierarchy; the engine's name for the container
//! comes from its own file, where that may be read.

use std::collections::HashSet;

use super::{Listed, ParseError, label, number};

/// Containers after the first 256 are left out.
const MAX_CONTAINERS: usize = 256;
/// As many digits of an id are shown, as engines do.
const ID_DIGITS: usize = 12;

/// One container, its CPU time not yet subtracted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerCounters {
    /// Its name, or the beginning of its id.
    pub name: String,
    /// Which group it is: a restarted container has another.
    pub path: String,
    /// Bytes it holds, file caches that nobody used lately not counted.
    pub memory_bytes: Option<u64>,
    /// CPU time since it began, in nanoseconds.
    pub cpu_ns: Option<u64>,
}

/// Parses the lines.
#[must_use]
pub fn parse(text: &str) -> Listed<ContainerCounters> {
    let mut listed = Listed::new();
    let mut names = HashSet::new();
    for line in text.lines() {
        let mut words = line.trim_start().splitn(5, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (memory, caches, cpu, name, path) = (next(), next(), next(), next(), next());
        let (known_memory, known_cpu) = (known(memory), known(cpu));
        let (Ok(memory), Ok(cpu), false) = (known_memory, known_cpu, path.is_empty()) else {
            listed.note(ParseError::at("not a container", line));
            continue;
        };
        let name = if name == "-" { name_of(path) } else { label(name) };
        // Two of one name would be one series.
        if !names.insert(name.clone()) {
            continue;
        }
        listed.add(
            MAX_CONTAINERS,
            Ok(ContainerCounters {
                name,
                path: label(path),
                memory_bytes: memory.map(|memory| memory.saturating_sub(number(caches).unwrap_or(0))),
                cpu_ns: cpu,
            }),
        );
    }
    listed
}

fn known(word: &str) -> Result<Option<u64>, ()> {
    if word == "-" {
        return Ok(None);
    }
    number(word).map(Some).ok_or(())
}

/// What a container is called after its group: `docker-0123….scope`, `lxc.payload.web`,
/// `systemd-nspawn@web.service`, or just an id.
fn name_of(path: &str) -> String {
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path);
    let last = [".scope", ".service"]
        .iter()
        .find_map(|end| last.strip_suffix(end))
        .unwrap_or(last);
    let begin = [
        "docker-",
        "libpod-",
        "cri-containerd-",
        "crio-",
        "lxc.payload.",
        "systemd-nspawn@",
    ];
    let name = begin
        .iter()
        .find_map(|begin| last.strip_prefix(begin))
        .unwrap_or(last);
    let is_id = name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    label(if is_id { &name[..ID_DIGITS] } else { name })
}
