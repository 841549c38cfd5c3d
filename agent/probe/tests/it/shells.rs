//! The script in every shell a node may have, started by every login shell a user may have.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use gander_probe::script::{SCRIPT, exec_command};
use gander_probe::{Differ, RawSample, Sections};

use crate::support::{Probe, eventually, processes_of_group, require, shells};

#[test]
fn every_shell_answers_everything_and_leaves_nothing_behind() {
    for shell in shells() {
        let mut probe = Probe::in_shell(&shell);
        assert_eq!(probe.hello.protocol, gander_probe::wire::PROTOCOL, "{shell:?}");
        assert_eq!(probe.hello.os, "Linux", "{shell:?}");

        let mut differ = Differ::new();
        let first = probe.ask(Sections::ALL);
        assert!(first.faults.is_empty(), "{shell:?}: {:?}", first.faults);
        let first = differ.advance(RawSample::parse(&first), 0);
        assert_eq!(first.faults, [], "{shell:?}");
        let system = first.system.clone().unwrap();
        assert!(system.hostname.is_some() && system.kernel.is_some() && system.os.is_some());
        assert!(
            first.root_filesystem().is_some(),
            "{shell:?}: {:?}",
            first.filesystems
        );
        assert!(first.boot_id.is_some() && first.temperatures.is_some());
        assert!(first.processes.unwrap().total > Some(1), "{shell:?}");
        assert!(first.cpu.is_none());

        // Ticks count in hundredths of a second: ask until one has passed.
        let cpu = (1..1_000_000).find_map(|at| {
            let answer = probe.ask(Sections::TICK);
            let snapshot = differ.advance(RawSample::parse(&answer), at);
            assert_eq!(snapshot.faults, [], "{shell:?}");
            assert!(snapshot.memory.is_some() && snapshot.swap.is_some() && snapshot.load.is_some());
            assert!(snapshot.sockets.is_some() && snapshot.disks.is_some() && snapshot.interfaces.is_some());
            assert!(snapshot.filesystems.is_none() && snapshot.system.is_none());
            snapshot.cpu
        });
        assert_eq!(
            cpu.unwrap().cores_permille.len(),
            system.cpu_cores.unwrap() as usize
        );

        let group = probe.group();
        assert!(probe.hang_up().success(), "{shell:?}");
        eventually("nothing of the probe runs any more", || {
            processes_of_group(group).is_empty()
        });
    }
}

#[test]
fn the_tick_forks_nothing() {
    for shell in shells() {
        let mut probe = Probe::in_shell(&shell);
        probe.ask(Sections::TICK);
        // The number of forks of the machine cannot be asked for one shell, its children's time can.
        let children = |pid: u32| -> Vec<String> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let tail = stat.rsplit_once(") ").unwrap().1.to_owned();
            let words: Vec<&str> = tail.split(' ').collect();
            // cminflt: page faults of children that ended; a fork has dozens.
            vec![words[8].to_owned()]
        };
        let before = children(probe.group());
        for _ in 0..20 {
            probe.ask(Sections::TICK);
        }
        assert_eq!(children(probe.group()), before, "{shell:?}");
    }
}

#[test]
fn every_login_shell_hands_the_command_on() {
    let command = exec_command();
    let login_shells = [
        "sh", "dash", "bash", "busybox", "zsh", "ksh", "mksh", "fish", "csh", "tcsh",
    ];
    for shell in login_shells {
        require(shell);
        let mut login = Command::new(shell);
        if shell == "busybox" {
            login.arg("ash");
        }
        let mut probe = Probe::start(login.arg("-c").arg(&command));
        let sample = RawSample::parse(&probe.ask(Sections::TICK | Sections::FACTS));
        assert_eq!(sample.faults, [], "{shell}");
        assert!(sample.stat.is_some() && sample.system.is_some(), "{shell}");
        assert!(probe.hang_up().success(), "{shell}");
    }
}

#[test]
fn the_file_behind_a_forced_command_speaks_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(SCRIPT.as_bytes()).unwrap();
    drop(file);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    // sshd hands the command over to the login shell, the request is in the environment.
    let mut forced = Command::new("sh");
    forced
        .arg("-c")
        .arg(&path)
        .env("SSH_ORIGINAL_COMMAND", exec_command());
    let mut probe = Probe::start(&mut forced);
    assert_eq!(probe.ask(Sections::ALL).faults, []);
}

#[test]
fn what_a_login_prints_does_no_harm() {
    let noise =
        "echo 'Welcome! @gander hello is not at the start'; printf '\\033[1mno newline @gander answer 1 5'; ";
    let mut probe = Probe::start(
        Command::new("sh")
            .arg("-c")
            .arg(format!("{noise}{}", exec_command())),
    );
    assert_eq!(probe.ask(Sections::TICK).faults, []);
}

#[test]
fn the_script_writes_no_file() {
    for line in SCRIPT.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for (position, _) in line.match_indices('>') {
            let target = &line[position + 1..];
            // Everything else would be a redirection into a file.
            assert!(target.starts_with("/dev/null"), "{line}");
        }
    }
}

#[test]
fn a_strange_environment_does_no_harm() {
    // By its path: it is found before the path is strange.
    let mut strange = Command::new("/bin/sh");
    strange
        .env("IFS", "x")
        .env("LC_ALL", "de_DE.UTF-8")
        .env("LANG", "tr_TR.UTF-8")
        .env("PATH", "/nonexistent")
        .env("BASH_VERSION", "5")
        .env("POSIXLY_CORRECT", "1")
        .env("DF_BLOCK_SIZE", "M")
        .args(["-c", &exec_command()]);
    let mut probe = Probe::start(&mut strange);
    let sample = RawSample::parse(&probe.ask(Sections::ALL));
    assert_eq!(sample.faults, []);
    assert!(sample.memory.is_some() && sample.filesystems.is_some());
}
