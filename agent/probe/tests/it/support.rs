//! The script run for real: a process, its pipes, and the decoder behind them.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gander_probe::script;
use gander_probe::wire::{self, Answer, Decoder, Frame, Hello, Limits, Sections};

/// No answer takes this long, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running probe.
pub(crate) struct Probe {
    pub(crate) hello: Hello,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    decoder: Decoder,
    seq: u32,
}

impl Probe {
    /// Starts `command` in a process group of its own and waits for its greeting.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = stdout.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut probe = Self {
            hello: Hello {
                protocol: 0,
                os: String::new(),
                wants_more: false,
                seen_from: None,
                is_locked: false,
            },
            stdin: child.stdin.take(),
            child,
            output,
            decoder: Decoder::new(Limits::default()),
            seq: 0,
        };
        match probe.next_frame() {
            Frame::Hello(hello) => probe.hello = hello,
            Frame::Answer(answer) => panic!("an answer before the greeting: {answer:?}"),
        }
        if probe.hello.wants_more {
            let stdin = probe.stdin.as_mut().unwrap();
            stdin.write_all(script::second_line().as_bytes()).unwrap();
        }
        probe
    }

    /// The script, run by `shell` (program and arguments) as over SSH.
    pub(crate) fn in_shell(shell: &[&str]) -> Self {
        let line = gander_probe::script::exec_command();
        let script = line
            .strip_prefix("exec /bin/sh -c '")
            .and_then(|rest| rest.strip_suffix('\''))
            .unwrap();
        Self::start(Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(script))
    }

    pub(crate) fn ask(&mut self, sections: Sections) -> Answer {
        self.seq += 1;
        let request = wire::request(self.seq, sections);
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(request.as_bytes())
            .unwrap();
        match self.next_frame() {
            Frame::Answer(answer) => {
                assert_eq!(answer.seq, self.seq);
                answer
            }
            Frame::Hello(hello) => panic!("a second greeting: {hello:?}"),
        }
    }

    fn next_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.next() {
                return frame;
            }
            let bytes = self
                .output
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|error| panic!("{error}; noise so far: {}", self.decoder.noise_excerpt()));
            self.decoder.push(&bytes).unwrap();
        }
    }

    /// The process group all of the probe's processes are in.
    pub(crate) fn group(&self) -> u32 {
        self.child.id()
    }

    /// Ends the input, as a closed channel does, and waits for the script to end.
    pub(crate) fn hang_up(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds; fails the test if it never does.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        std::thread::yield_now();
    }
}

/// The processes of a process group that are not zombies: `(pid, command)`.
pub(crate) fn processes_of_group(group: u32) -> Vec<(u32, String)> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (head, tail) = stat.rsplit_once(") ")?;
            let mut words = tail.split(' ');
            let state = words.next()?;
            let pgrp: u32 = words.nth(1)?.parse().ok()?;
            (pgrp == group && state != "Z").then(|| (pid, head.to_owned()))
        })
        .collect()
}

/// The shells a node may run the script in.
pub(crate) fn shells() -> Vec<Vec<&'static str>> {
    let all: [&[&str]; 7] = [
        &["sh"],
        &["dash"],
        &["bash"],
        &["bash", "--posix"],
        &["busybox", "ash"],
        &["ksh"],
        &["mksh"],
    ];
    all.into_iter()
        .map(|shell| {
            require(shell[0]);
            shell.to_vec()
        })
        .collect()
}

/// Fails the test where a program is missing: one that passed without it would say nothing.
pub(crate) fn require(program: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    assert!(
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file()),
        "{program} is not installed: deploy/install-packages.sh test"
    );
}
