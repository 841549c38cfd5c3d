//! What a poll costs a node: CPU time and bytes for each shell that is installed here, beside the
//! usual way of polling without an agent, five commands a poll.
//!
//! ```sh
//! cargo run --release -p gander-probe --example node_cost -- 1000
//! ```
//!
//! CPU time is user and system time of the shell and its children, as the kernel accounts it to
//! this process after they ended, less that of a shell that was asked nothing. The two ways are
//! measured in turn, so that what else the machine does hits both; the best of some rounds counts.
//! sshd's own part is not in it.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use gander_probe::wire::{Decoder, Frame, Limits, Sections, request};

const ROUNDS: u32 = 5;

/// The five commands.
const RIVAL: [&str; 5] = ["top -bn1", "free", "df", "cat /proc/loadavg", "ps aux | wc -l"];

fn main() -> Result<()> {
    let polls: u32 = std::env::args().nth(1).map_or(Ok(1000), |word| word.parse())?;
    let shells: [&[&str]; 5] = [
        &["dash"],
        &["bash", "--posix"],
        &["busybox", "ash"],
        &["ksh"],
        &["mksh"],
    ];

    let mut rival = f64::INFINITY;
    let mut rows = Vec::new();
    for shell in shells {
        let mut tick = Cost::worst();
        let mut slow = Cost::worst();
        let mut there = true;
        for _ in 0..ROUNDS {
            let Ok(idle) = run(shell, Sections::NONE, 0) else {
                there = false;
                break;
            };
            tick = tick.best(run(shell, Sections::TICK, polls)?.per_poll(&idle, polls));
            let few = (polls / 20).max(1);
            slow = slow.best(run(shell, Sections::SLOW, few)?.per_poll(&idle, few));
            rival = rival.min(rival_ms((polls / 200).max(1))?);
        }
        if there {
            rows.push((shell.join(" "), tick, slow));
        } else {
            println!("{}: not installed here", shell.join(" "));
        }
    }
    println!("{polls} polls, best of {ROUNDS} rounds; the five commands take {rival:.1} ms of CPU a poll");
    println!("shell          tick ms   bytes   slow ms   bytes   five commands / tick");
    for (name, tick, slow) in rows {
        println!(
            "{name:<14} {:>7.3} {:>7.0}   {:>7.3} {:>7.0}   {:>7.0} x",
            tick.cpu_ms,
            tick.bytes,
            slow.cpu_ms,
            slow.bytes,
            rival / tick.cpu_ms
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Cost {
    cpu_ms: f64,
    bytes: f64,
}

impl Cost {
    fn worst() -> Self {
        Self {
            cpu_ms: f64::INFINITY,
            bytes: 0.0,
        }
    }

    fn best(self, other: Self) -> Self {
        if other.cpu_ms < self.cpu_ms { other } else { self }
    }

    fn per_poll(self, idle: &Self, polls: u32) -> Self {
        Self {
            cpu_ms: (self.cpu_ms - idle.cpu_ms) / f64::from(polls),
            bytes: (self.bytes - idle.bytes) / f64::from(polls),
        }
    }
}

/// Asks a probe in `shell` for `sections`, `polls` times one after the other, and counts.
fn run(shell: &[&str], sections: Sections, polls: u32) -> Result<Cost> {
    let line = gander_probe::script::exec_command();
    let script = line
        .strip_prefix("exec /bin/sh -c '")
        .and_then(|rest| rest.strip_suffix('\''))
        .context("the command has another form")?;
    let before = children_ms()?;
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    let mut output = child.stdout.take().context("no output")?;
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    input.write_all(gander_probe::script::second_line().as_bytes())?;
    // The greeting first.
    for poll in 0..=polls {
        if poll > 0 {
            input.write_all(request(poll, sections).as_bytes())?;
        }
        loop {
            match decoder.next() {
                Some(Frame::Answer(answer)) if !answer.faults.is_empty() => bail!("{:?}", answer.faults),
                Some(_) => break,
                None => {}
            }
            let length = output.read(&mut buffer)?;
            if length == 0 {
                bail!("{} ended", shell[0]);
            }
            bytes += length;
            decoder.push(&buffer[..length])?;
        }
    }
    drop(input);
    child.wait()?;
    Ok(Cost {
        cpu_ms: children_ms()? - before,
        bytes: f64::from(u32::try_from(bytes)?),
    })
}

/// CPU time of one poll by the five commands, without the connection they need.
fn rival_ms(polls: u32) -> Result<f64> {
    let before = children_ms()?;
    for _ in 0..polls {
        for command in RIVAL {
            Command::new("sh")
                .args(["-c", command])
                .stdin(Stdio::null())
                .output()?;
        }
    }
    Ok((children_ms()? - before) / f64::from(polls))
}

/// User and system time of all children that ended, in milliseconds: fields 16 and 17 of
/// `/proc/self/stat`, in ticks of a hundredth of a second.
fn children_ms() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .context("no command in /proc/self/stat")?
        .1
        .split(' ')
        .collect();
    let ticks: u32 = fields[13].parse::<u32>()? + fields[14].parse::<u32>()?;
    Ok(f64::from(ticks) * 10.0)
}
