//! A guest that shares its host's kernel, in a real cgroup with limits: it shows its own memory and
//! CPU, not its host's. As root.

use std::process::Command;

use gander_probe::script::SCRIPT;
use gander_probe::{Answer, Differ, RawSample, Section, Sections, local};

use crate::support::{Probe, eventually, shells};

const LIMIT: u64 = 256 << 20;

/// A group of that name, removed at the end.
struct Guest(String);

impl Guest {
    fn new(name: &str) -> Self {
        Self(format!("gander-{name}-{}", std::process::id()))
    }

    /// `program` and its arguments, to be run in it.
    fn command(&self, program: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("guest.sh"), "sh"]);
        command.args(program).env("NAME", &self.0);
        command
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        for hierarchy in ["", "memory/", "cpu/", "cpuacct/"] {
            let _ = std::fs::remove_dir(format!("/sys/fs/cgroup/{hierarchy}{}", self.0));
        }
    }
}

#[test]
fn a_guest_shows_its_own_memory_and_cpu_in_every_shell() {
    let host = RawSample::parse(&local::read(Sections::TICK));
    assert_eq!(host.cgroup, None, "this test runs on a machine of its own");
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("probe.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    for (number, shell) in shells().into_iter().enumerate() {
        let guest = Guest::new(&format!("shell{number}"));
        let program = [&shell[..], &[script.to_str().unwrap()]].concat();
        let mut probe = Probe::start(&mut guest.command(&program));
        let mut differ = Differ::new();
        let first = differ.advance(RawSample::parse(&probe.ask(Sections::TICK | Sections::FACTS)), 0);
        assert_eq!(first.faults, [], "{shell:?}");
        let memory = first.memory.unwrap();
        assert_eq!(memory.total_bytes, LIMIT, "{shell:?}");
        assert!(memory.used_bytes < LIMIT / 2, "{shell:?}: {memory:?}");
        assert_eq!(memory.used_bytes + memory.available_bytes, LIMIT);
        assert!(first.system.unwrap().container.is_some(), "{shell:?}");
        assert_eq!(first.load, None, "the load is the host's");
        // Time is what the differ is told: CPU time of the script over a millisecond or so.
        let mut cpu = None;
        for at in 1..1_000_000 {
            let next = differ.advance(RawSample::parse(&probe.ask(Sections::TICK)), at);
            cpu = next.cpu;
            if cpu.as_ref().is_some_and(|cpu| cpu.usage_permille > 0) {
                break;
            }
        }
        let cpu = cpu.unwrap();
        assert_eq!(cpu.limit_millicores, Some(500), "{shell:?}");
        assert!(cpu.throttled_permille.is_some() && cpu.cores_permille.is_empty());
        assert!(probe.hang_up().success());
        drop(guest);
    }
}

/// The reader of this crate, run by [`the_local_reader_agrees_in_a_guest`] in a guest.
#[test]
#[ignore = "run by the test below"]
fn print_what_the_local_reader_sees() {
    let out = std::env::var_os("GANDER_TEST_OUT").unwrap();
    let answer = local::read(Sections::TICK | Sections::FACTS);
    let texts = answer.sections.iter().map(|section| {
        let text: String = section.text.lines().map(|line| format!(" {line}\n")).collect();
        format!("={}\n{text}", section.name)
    });
    std::fs::write(out, texts.collect::<String>()).unwrap();
}

#[test]
fn the_local_reader_agrees_in_a_guest() {
    let guest = Guest::new("local");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let program = std::env::current_exe().unwrap();
    let status = guest
        .command(&[
            program.to_str().unwrap(),
            "--ignored",
            "--exact",
            "guest::print_what_the_local_reader_sees",
        ])
        .env("GANDER_TEST_OUT", &out)
        .status()
        .unwrap();
    assert!(status.success());
    let mut answer = Answer::default();
    for line in std::fs::read_to_string(&out).unwrap().lines() {
        match line.strip_prefix('=') {
            Some(name) => answer.sections.push(Section {
                name: name.to_owned(),
                text: String::new(),
            }),
            None => {
                let text = &mut answer.sections.last_mut().unwrap().text;
                text.push_str(&line[1..]);
                text.push('\n');
            }
        }
    }
    let sample = RawSample::parse(&answer);
    assert_eq!(sample.faults, []);
    assert_eq!(sample.memory.unwrap().total_bytes, LIMIT);
    assert!(sample.system.unwrap().container.is_some());
    let group = sample.cgroup.unwrap();
    assert_eq!(group.quota_millicores, Some(500));
    assert!(group.cpu.unwrap().usage_us > 0);
    eventually("the group is empty", || {
        let group = &guest.0;
        ["memory/", ""].iter().all(|hierarchy| {
            std::fs::read_to_string(format!("/sys/fs/cgroup/{hierarchy}{group}/cgroup.procs"))
                .is_ok_and(|text| text.is_empty())
                || !std::path::Path::new(&format!("/sys/fs/cgroup/{hierarchy}{group}")).exists()
        })
    });
}
