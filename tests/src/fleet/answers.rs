//! What the nodes of a simulated fleet answer: a real machine's seconds, in the words of the real script.
//!
//! The seconds come from a recording (`recording.rs` tells of it): counters that really went on while
//! the machine worked. The recorder reads whole files, so what the script leaves out is left out here;
//! a test compares the shape with an answer that was captured from the script. Every text is made once:
//! a poll costs the simulator a copy, so that in a measurement the hub is what works.

use std::{io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use gander_probe::{
    Sections,
    wire::{Answer, Decoder, Frame, Limits},
};

/// What the script asks of the operating system once a connection; host and boot are each node's own.
const FACTS: &str = "=os_release\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
    VERSION_ID=\"12\"\nID=debian\n";
const CPU_INFO: &str = "=cpuinfo\nmodel name\t: Intel(R) Xeon(R) Processor @ 2.50GHz\n";
/// A small server without containers and graphics cards.
const RARE: &str = "=updates\nreboot 0\n=tcp\n01 12\n06 3\n0A 5\ncomplete\n=containers\n=units\ncomplete\n";
/// A hundred processes would be a kilobyte or more; nobody watches a simulated node.
const TOP: &str = "=top\n1 100 4711 12288 root systemd\n402 900 815 20480 root sshd\n";

/// The answers of every node at every second.
pub struct Answers {
    ticks: Vec<Box<str>>,
    slow: Vec<Box<str>>,
}

impl Answers {
    /// Out of a recording compressed by gzip.
    ///
    /// # Errors
    /// The file cannot be read, or is no recording.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
        let mut decoder = Decoder::new(Limits::default());
        let (mut ticks, mut slow): (Vec<Box<str>>, Vec<Box<str>>) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(4096) {
            decoder.push(piece)?;
            while let Some(frame) = decoder.next() {
                let Frame::Answer(answer) = frame else { continue };
                ticks.push(tick(&answer).into());
                if let Some(text) = slow_sections(&answer) {
                    slow.push(text.into());
                }
            }
        }
        if ticks.is_empty() || slow.is_empty() {
            bail!("{} has no answers", path.display());
        }
        Ok(Self { ticks, slow })
    }

    /// The recording that is in the repository.
    ///
    /// # Errors
    /// It is not there.
    pub fn committed() -> anyhow::Result<Self> {
        Self::read(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/bench/loaded.answers.gz"
        )))
    }

    /// Its length in seconds: after them a node starts anew, as after a reboot.
    #[must_use]
    pub fn seconds(&self) -> usize {
        self.ticks.len()
    }

    /// The whole answer of a node, framed, to request `seq` for `sections` in this second of its life.
    #[must_use]
    pub fn framed(&self, node: usize, second: usize, seq: &str, sections: Sections) -> Vec<u8> {
        let (boot, at) = (second / self.ticks.len(), second % self.ticks.len());
        let mut body = String::with_capacity(2048);
        if sections.contains(Sections::TICK) {
            body.push_str(&self.ticks[at]);
        }
        if sections.contains(Sections::FACTS) {
            body.push_str(FACTS);
            body.push_str(&format!(
                "=kernel\nostype Linux\nosrelease 6.1.0-18-amd64\nhostname sim-{node}\n\
                 boot_id {node:08x}-0000-4000-8000-{boot:012x}\nonline 0-1\narch x86_64\n"
            ));
            body.push_str(CPU_INFO);
        }
        if sections.contains(Sections::SLOW) {
            body.push_str(&self.slow[at * self.slow.len() / self.ticks.len()]);
        }
        for (set, text) in [(Sections::RARE, RARE), (Sections::TOP, TOP)] {
            if sections.contains(set) {
                body.push_str(text);
            }
        }
        format!("@gander answer {seq} {}\n{body}@gander end {seq}\n", body.len()).into_bytes()
    }
}

/// The sections a request line asks for, and its number; `None` for what is no request.
#[must_use]
pub fn request(line: &str) -> Option<(&str, Sections)> {
    let mut words = line.split_ascii_whitespace();
    let seq = words
        .next()
        .filter(|seq| seq.bytes().all(|byte| byte.is_ascii_digit()))?;
    let sections = words.fold(Sections::NONE, |all, word| {
        all | match word {
            "tick" => Sections::TICK,
            "slow" => Sections::SLOW,
            "facts" => Sections::FACTS,
            "rare" => Sections::RARE,
            "top" => Sections::TOP,
            _ => Sections::NONE,
        }
    });
    Some((seq, sections))
}

/// The lines of a section that the script prints too.
fn tick(answer: &Answer) -> String {
    let mut body = String::with_capacity(1200);
    let mut section = |name: &str, keep: &dyn Fn(&str) -> Option<String>| {
        let Some(text) = answer.text(name) else { return };
        body.push('=');
        body.push_str(name);
        body.push('\n');
        for line in text.lines().filter_map(keep) {
            body.push_str(&line);
            body.push('\n');
        }
    };
    let all = |line: &str| Some(line.to_owned());
    section("stat", &|line| line.starts_with("cpu").then(|| line.to_owned()));
    section("meminfo", &|line| {
        (!line.starts_with("Shmem:")).then(|| line.to_owned())
    });
    section("loadavg", &all);
    section("uptime", &all);
    section("blockstat", &all);
    section("netdev", &|line| {
        let is_card = line.contains(':') && !line.trim_start().starts_with("lo:");
        is_card.then(|| line.to_owned())
    });
    section("pressure", &|line| {
        // The mean of ten seconds is all the hub keeps; the CPUs are never all stalled.
        let (words, _) = line.split_once(" avg60=")?;
        (!line.starts_with("cpu full")).then(|| words.to_owned())
    });
    section("sockstat", &|line| {
        (line.starts_with("TCP") || line.starts_with("UDP:") || line.starts_with("UDP6"))
            .then(|| line.to_owned())
    });
    body
}

fn slow_sections(answer: &Answer) -> Option<String> {
    answer.text("statfs")?;
    let mut body = String::new();
    for name in ["thermal", "hwmon", "processes", "mounts", "statfs"] {
        let text = answer.text(name)?;
        body.push_str(&format!("={name}\n"));
        for line in text.lines() {
            // What a mount point is called is not the script's to choose.
            if name == "mounts" && !line.starts_with(' ') {
                body.push(' ');
            }
            body.push_str(line);
            body.push('\n');
        }
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use gander_probe::{RawSample, delta::Differ};

    use super::*;

    const CAPTURED: &str = include_str!("../../../agent/probe/fixtures/debian12-dash.answer");

    fn decoded(bytes: &[u8]) -> Answer {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(b"@gander hello 1 Linux\n").unwrap();
        decoder.push(bytes).unwrap();
        let frames: Vec<Frame> = std::iter::from_fn(|| decoder.next()).collect();
        match frames.into_iter().next_back() {
            Some(Frame::Answer(answer)) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The first word of each line of each section, as far as it is a name and not a value.
    fn shape(answer: &Answer) -> Vec<(String, Vec<String>)> {
        let is_named = |name: &str| !matches!(name, "loadavg" | "uptime" | "statfs" | "mounts" | "cpuinfo");
        let mut shape: Vec<(String, Vec<String>)> = answer
            .sections
            .iter()
            .map(|section| {
                let words = section.text.lines().filter(|_| is_named(&section.name));
                let words = words.map(|line| {
                    let mut words = line.split_whitespace();
                    let first = words.next().unwrap_or_default();
                    match section.name.as_str() {
                        "pressure" => format!("{first} {}", words.next().unwrap_or_default()),
                        "os_release" => first.split('=').next().unwrap_or_default().to_owned(),
                        _ => first.to_owned(),
                    }
                });
                (section.name.clone(), words.collect())
            })
            .collect();
        shape.sort();
        shape
    }

    #[test]
    fn an_answer_has_the_shape_of_one_that_was_captured_from_the_script() {
        let answers = Answers::committed().unwrap();
        let sections = Sections::TICK | Sections::FACTS | Sections::SLOW;
        let ours = decoded(&answers.framed(7, 30, "1", sections));
        let captured = format!("@gander answer 1 {}\n{CAPTURED}@gander end 1\n", CAPTURED.len());
        assert_eq!(shape(&ours), shape(&decoded(captured.as_bytes())));
    }

    #[test]
    fn values_go_on_and_every_node_is_itself() {
        let answers = Answers::committed().unwrap();
        let mut differ = Differ::new();
        let mut look = |second: usize| {
            let answer = decoded(&answers.framed(3, second, "5", Sections::TICK | Sections::FACTS));
            differ.advance(RawSample::parse(&answer), second as i64 * 1000)
        };
        assert!(look(0).cpu.is_none());
        let (one, other) = (look(10), look(20));
        assert!(one.cpu.is_some() && one.cpu != other.cpu);
        assert_ne!(one.disks, other.disks);
        assert_eq!(one.system.unwrap().hostname.as_deref(), Some("sim-3"));
    }

    #[test]
    fn a_request_is_told_from_the_scripts_second_line() {
        let wanted = Sections::TICK | Sections::SLOW;
        let line = gander_probe::wire::request(17, wanted);
        assert_eq!(request(&line), Some(("17", wanted)));
        let all = gander_probe::wire::request(1, Sections::ALL);
        assert_eq!(request(&all), Some(("1", Sections::ALL)));
        assert_eq!(request(&gander_probe::script::second_line()), None);
    }
}
