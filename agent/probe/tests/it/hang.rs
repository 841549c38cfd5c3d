//! A filesystem that hangs: given up, named, and never piled up.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use gander_probe::script::exec_command;
use gander_probe::{RawSample, Sections};

use crate::support::{Probe, eventually, processes_of_group};

/// A directory with a `stat` that never ends once `hang` exists in it.
fn hanging_stat() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stat");
    let place = dir.path().display();
    let script = format!("#!/bin/sh\n[ -e {place}/hang ] && exec sleep 3600\nexec /usr/bin/stat \"$@\"\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn start(dir: &tempfile::TempDir, command: &str) -> Probe {
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    Probe::start(Command::new("sh").arg("-c").arg(command).env("PATH", path))
}

/// A directory with an `nvidia-smi` that tells one GPU, or never ends once `hang` exists in it.
fn hanging_nvidia() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nvidia-smi");
    let place = dir.path().display();
    let script = format!(
        "#!/bin/sh\n[ -e {place}/hang ] && exec sleep 3600\necho '0, NVIDIA L4, 88, 20112, 23034, 61, 68.25'\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn a_stuck_program_is_named_and_comes_last_from_then_on() {
    let dir = hanging_nvidia();
    let mut probe = start(&dir, &exec_command());
    let sample = RawSample::parse(&probe.ask(Sections::RARE));
    assert_eq!(sample.faults, []);
    assert_eq!(sample.gpus.unwrap()[0].name, "0 NVIDIA L4");

    std::fs::write(dir.path().join("hang"), "").unwrap();
    for round in 0..2 {
        let answer = probe.ask(Sections::RARE | Sections::TICK);
        assert_eq!(answer.faults.len(), 1, "{:?}", answer.faults);
        assert_eq!(answer.faults[0].section, "nvidia");
        assert!(answer.faults[0].reason.contains("gave up"), "{:?}", answer.faults);
        let sample = RawSample::parse(&answer);
        assert!(sample.stat.is_some() && sample.tcp_states.is_some() && sample.containers.is_some());
        assert_eq!(sample.gpus, None);
        // Whatever stood behind it the first time is read before it the second time: its own
        // heading is the last.
        if round == 1 {
            let last = answer.sections.last().unwrap();
            assert_eq!((last.name.as_str(), last.text.as_str()), ("nvidia", ""));
        }
        let group = probe.group();
        eventually("only the script itself is left", || {
            processes_of_group(group).len() == 1
        });
    }

    std::fs::remove_file(dir.path().join("hang")).unwrap();
    let sample = RawSample::parse(&probe.ask(Sections::RARE));
    assert_eq!(sample.faults, []);
    assert_eq!(sample.gpus.map(|list| list.len()), Some(1));
}

#[test]
fn a_hanging_filesystem_is_given_up_and_killed() {
    let dir = hanging_stat();
    let mut probe = start(&dir, &exec_command());
    assert_eq!(probe.ask(Sections::SLOW).faults, []);

    std::fs::write(dir.path().join("hang"), "").unwrap();
    let answer = probe.ask(Sections::SLOW | Sections::TICK);
    assert_eq!(answer.faults.len(), 1, "{:?}", answer.faults);
    assert_eq!(answer.faults[0].section, "statfs");
    assert!(answer.faults[0].reason.contains("gave up"), "{:?}", answer.faults);
    let sample = RawSample::parse(&answer);
    assert_eq!(sample.filesystems, None);
    assert!(sample.stat.is_some() && sample.temperatures.is_some() && sample.processes.is_some());
    let group = probe.group();
    eventually("only the script itself is left", || {
        processes_of_group(group).len() == 1
    });

    std::fs::remove_file(dir.path().join("hang")).unwrap();
    let sample = RawSample::parse(&probe.ask(Sections::SLOW));
    assert_eq!(sample.faults, []);
    assert!(
        sample
            .filesystems
            .is_some_and(|filesystems| !filesystems.is_empty())
    );
}

#[test]
fn one_that_cannot_be_killed_is_not_tried_again_while_it_hangs() {
    let dir = hanging_stat();
    // A process in uninterruptible sleep survives SIGKILL. That cannot be had in a test, so the
    // script's own `kill` spares it.
    let spare = "kill() { for p do case $p in -9|\"$job\") ;; *) command kill -9 \"$p\" ;; esac; done; }; exec 2>/dev/null; ";
    let script = exec_command().replacen("sh -c '", &format!("sh -c '{spare}"), 1);
    let mut probe = start(&dir, &script);
    assert_eq!(probe.ask(Sections::SLOW).faults, []);
    std::fs::write(dir.path().join("hang"), "").unwrap();

    let faults = probe.ask(Sections::SLOW).faults;
    assert!(faults[0].reason.contains("gave up"), "{faults:?}");
    let group = probe.group();
    let hanging = |(pid, _): &(u32, String)| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x003600\x00")
    };
    // It, and the subshells that wait for it.
    eventually("the watchdog is gone", || processes_of_group(group).len() <= 5);
    assert_eq!(
        processes_of_group(group)
            .iter()
            .filter(|process| hanging(process))
            .count(),
        1
    );
    for _ in 0..20 {
        let answer = probe.ask(Sections::SLOW | Sections::TICK);
        assert!(
            answer.faults[0].reason.contains("still hangs"),
            "{:?}",
            answer.faults
        );
        assert!(RawSample::parse(&answer).stat.is_some());
    }
    assert!(
        processes_of_group(group).len() <= 5,
        "{:?}",
        processes_of_group(group)
    );

    // It wakes up at last: the next answer is whole again.
    std::fs::remove_file(dir.path().join("hang")).unwrap();
    let (pid, _) = processes_of_group(group).into_iter().find(hanging).unwrap();
    let ended = Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(ended.success());
    eventually("it is gone", || processes_of_group(group).len() == 1);
    assert_eq!(probe.ask(Sections::SLOW).faults, []);
}
